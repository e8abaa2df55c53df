//! The names of services, as they stand in a public address.

use std::fmt;
use std::str::FromStr;

use hvym_tunnel_core::names::{MAX_SERVICE_CHARACTERS, check_service};
use hvym_tunnel_core::stellar::{Address, AddressError};
use thiserror::Error;

/// The name under which visitors reach a target: 1 to 40 of `a-z`, `0-9` and single `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceName(String);

impl ServiceName {
    /// `web`, the service at the bare address of an identity.
    pub fn web() -> Self {
        ServiceName("web".to_owned())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match text.len() {
            0 => Err(ServiceNameError::Empty),
            length if length > MAX_SERVICE_CHARACTERS => Err(ServiceNameError::Long),
            _ if !text.bytes().all(allowed) => Err(ServiceNameError::Character),
            _ if text.starts_with('-') || text.ends_with('-') || text.contains("--") => {
                Err(ServiceNameError::Hyphen)
            }
            _ if !check_service(text) => Err(ServiceNameError::Punycode),
            _ => Ok(ServiceName(text.to_owned())),
        }
    }
}

/// Why a text cannot name a service.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ServiceNameError {
    /// No characters.
    #[error("a service needs a name")]
    Empty,
    /// It would not fit a DNS label beside the name of its owner.
    #[error("a service name has at most {MAX_SERVICE_CHARACTERS} characters")]
    Long,
    /// It becomes part of a host name.
    #[error("a service name has only a to z (lower case), 0 to 9 and -")]
    Character,
    /// At an end host names forbid it, and two separate a service from its owner.
    #[error("a service name neither starts nor ends with -, and has no two of them in a row")]
    Hyphen,
    /// Browsers decode labels that begin like this.
    #[error("xn cannot be the name of a service: xn-- marks encoded host names")]
    Punycode,
}

/// A service of somebody: `<address>/<service>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceAddress {
    /// Whose.
    pub owner: Address,
    /// Which.
    pub service: ServiceName,
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.service)
    }
}

impl FromStr for ServiceAddress {
    type Err = ServiceAddressError;

    fn from_str(text: &str) -> Result<Self, ServiceAddressError> {
        let (owner, service) = text.split_once('/').ok_or(ServiceAddressError::NoSlash)?;
        Ok(Self { owner: owner.parse()?, service: service.parse()? })
    }
}

/// Why a text names no service of anybody.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ServiceAddressError {
    /// One of the two is missing.
    #[error("an address, a slash and a service are needed, as in G.../web")]
    NoSlash,
    /// Before the slash.
    #[error(transparent)]
    Owner(#[from] AddressError),
    /// After it.
    #[error(transparent)]
    Service(#[from] ServiceNameError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_shares_a_dns_label_with_the_name_of_its_owner() {
        for (name, verdict) in [
            ("web", Ok(())),
            ("a", Ok(())),
            ("7-up", Ok(())),
            ("xn-1", Ok(())),
            (&"a".repeat(40), Ok(())),
            ("", Err(ServiceNameError::Empty)),
            (&"a".repeat(41), Err(ServiceNameError::Long)),
            ("Web", Err(ServiceNameError::Character)),
            ("a.b", Err(ServiceNameError::Character)),
            ("a_b", Err(ServiceNameError::Character)),
            ("-a", Err(ServiceNameError::Hyphen)),
            ("a-", Err(ServiceNameError::Hyphen)),
            ("a--b", Err(ServiceNameError::Hyphen)),
            ("xn", Err(ServiceNameError::Punycode)),
        ] {
            assert_eq!(name.parse::<ServiceName>().map(|_| ()), verdict, "{name}");
        }
    }

    #[test]
    fn a_service_of_somebody_is_an_address_a_slash_and_a_name() {
        let owner = Address::from_public_key([7; 32]);
        let text = format!("{owner}/db");
        let named: ServiceAddress = text.parse().expect("well formed");
        assert_eq!((named.owner, named.service.as_str(), named.to_string()), (owner, "db", text));
        assert_eq!(owner.to_string().parse::<ServiceAddress>(), Err(ServiceAddressError::NoSlash));
        for text in ["/db", "G/db"].map(str::to_owned).into_iter().chain([format!("{}/db", owner.label())]) {
            assert!(matches!(text.parse::<ServiceAddress>(), Err(ServiceAddressError::Owner(_))), "{text}");
        }
        for service in ["", "DB", "a/b", "..", "db/"] {
            let text = format!("{owner}/{service}");
            assert!(matches!(text.parse::<ServiceAddress>(), Err(ServiceAddressError::Service(_))), "{text}");
        }
    }
}
