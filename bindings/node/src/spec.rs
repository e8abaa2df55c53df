//! What JavaScript says about an agent and its services, checked: each mistake has the code that the package has for it.

use std::path::PathBuf;

use hvym_tunnel_agent::settings::{LinkSettings, RetrySettings};
use hvym_tunnel_agent::{ConflictPolicy, Identity, OnConflict, ServiceSpec};
use hvym_tunnel_core::access::{Access, AddressSet};
use hvym_tunnel_core::stellar::Address;
use napi_derive::napi;

use crate::error::{Error, new};

/// The longest wait between two dials, as long as the package waits without this module.
const MAX_BACKOFF: std::time::Duration = std::time::Duration::from_secs(15);

/// What an agent needs to log in.
#[napi(object)]
pub struct AgentOptions {
    /// The URL of the relay's WebSocket.
    pub relay: String,
    /// Who the relay must be.
    pub relay_address: Option<String>,
    /// The secret of the identity, `S...`.
    pub secret: String,
    /// A PEM file of authorities to trust beside the public ones, for the relay and for services.
    pub authorities: Option<String>,
}

/// A service, and where it is forwarded to.
#[napi(object)]
pub struct ServiceOptions {
    /// Its name at the relay.
    pub name: String,
    /// `http://host:port`, `https://host:port` or `tcp://host:port`.
    pub target: String,
    /// The identities that reach it; without the list everybody does.
    pub allow: Option<Vec<String>>,
    /// What becomes of it where another program has it.
    pub on_conflict: String,
    /// As in [`AgentOptions`].
    pub authorities: Option<String>,
}

impl AgentOptions {
    /// The settings of the link, and who logs in.
    ///
    /// # Errors
    /// `bad_relay`, `bad_relay_address`, `bad_secret`
    pub(crate) fn parsed(self) -> Result<(LinkSettings, Identity), Error> {
        let relay = self.relay.parse().map_err(|error| new("bad_relay", error))?;
        let address = |text: &String| text.parse().map_err(|error| new("bad_relay_address", error));
        let relay_address = self.relay_address.as_ref().map(address).transpose()?;
        let identity = Identity::from_secret(&self.secret).map_err(|error| new("bad_secret", error))?;
        let link = LinkSettings {
            relay: Some(relay),
            relay_address,
            relay_ca: self.authorities.map(PathBuf::from),
            // Whether it may be without TLS is the program's decision, as without this module.
            plain_relay: true,
            retry: RetrySettings { backoff_max: MAX_BACKOFF, ..RetrySettings::default() },
            ..LinkSettings::default()
        };
        Ok((link, identity))
    }
}

impl ServiceOptions {
    /// The service.
    ///
    /// # Errors
    /// `bad_service`, `bad_target`, `bad_address`, `bad_conflict_mode`
    pub(crate) fn parsed(self) -> Result<ServiceSpec, Error> {
        let name = self.name.parse().map_err(|error| new("bad_service", error))?;
        let target = self.target.parse().map_err(|error| new("bad_target", error))?;
        let mut spec = ServiceSpec::new(name, target);
        if let Some(addresses) = self.allow {
            let mut allowed = AddressSet::default();
            for address in &addresses {
                allowed.insert(address.parse::<Address>().map_err(|error| new("bad_address", error))?);
            }
            spec.access = Access::Private(allowed);
        }
        spec.on_conflict = OnConflict::named(&self.on_conflict)
            .ok_or_else(|| new("bad_conflict_mode", "onConflict is takeover, reject, pool or standby"))?;
        // Whether a tunnel without services goes on is its owner's decision.
        spec.conflict = ConflictPolicy::Stay;
        spec.ca = self.authorities.map(PathBuf::from);
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A public service of this machine.
    fn service() -> ServiceOptions {
        ServiceOptions {
            name: "app".to_owned(),
            target: "http://localhost:3000".to_owned(),
            allow: None,
            on_conflict: "takeover".to_owned(),
            authorities: None,
        }
    }

    fn code(service: ServiceOptions) -> String {
        service.parsed().map(drop).expect_err("it is wrong").status
    }

    #[test]
    fn a_service_is_public_unless_it_has_a_list() {
        let public = service().parsed().expect("a service");
        assert!(public.access.is_public());
        let own = ServiceOptions { allow: Some(Vec::new()), ..service() }.parsed().expect("a service");
        assert!(!own.access.is_public());
    }

    #[test]
    fn each_mistake_has_its_code() {
        assert_eq!(code(ServiceOptions { name: "A b".to_owned(), ..service() }), "bad_service");
        assert_eq!(code(ServiceOptions { target: "ftp://x".to_owned(), ..service() }), "bad_target");
        let allow = Some(vec!["GABC".to_owned()]);
        assert_eq!(code(ServiceOptions { allow, ..service() }), "bad_address");
        assert_eq!(
            code(ServiceOptions { on_conflict: "fight".to_owned(), ..service() }),
            "bad_conflict_mode"
        );
        let login = |relay: &str, relay_address: Option<&str>, secret: &str| {
            let (relay, secret) = (relay.to_owned(), secret.to_owned());
            let relay_address = relay_address.map(str::to_owned);
            let options = AgentOptions { relay, relay_address, secret, authorities: None };
            options.parsed().map(drop).expect_err("it is wrong")
        };
        assert_eq!(login("ftp://x", None, "").status, "bad_relay");
        assert_eq!(login("ws://localhost", Some("GABC"), "").status, "bad_relay_address");
        let error = login("ws://localhost", None, "SHUNTER2");
        assert_eq!(error.status, "bad_secret");
        assert!(!error.reason.contains("HUNTER2"), "{}", error.reason);
    }
}
