//! One service and everything that is set for it.

use std::path::PathBuf;

use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::dialect::{OnConflict, Proto, Service as Binding};
use hvym_tunnel_net::target::{ServiceName, Target};

use crate::credentials::Credentials;
use crate::settings::{FilterSettings, SettingsError};

/// One service: its name at the relay, the local place, and who may reach it how.
///
/// ```
/// use hvym_tunnel_agent::ServiceSpec;
///
/// let mut api = ServiceSpec::new("api".parse()?, "https://localhost:8443".parse()?);
/// api.filter.host = Some("localhost:8443".to_owned());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ServiceSpec {
    /// The name in the public address.
    pub name: ServiceName,
    /// The local place.
    pub target: Target,
    /// Which identities may reach it, or whether visitors may.
    pub access: Access,
    /// What is required of visitors and changed in requests. HTTP/1.1 only, but for the networks, which TCP services have too.
    pub filter: FilterSettings,
    /// Whether a TCP service first gets the visitor's address (PROXY protocol version 2). A service that does not
    /// expect the header takes it for the visitor's first bytes.
    pub proxy_protocol: bool,
    /// A PEM file of certificate authorities to trust beside the public ones, for an `https` target.
    pub ca: Option<PathBuf>,
    /// What to do when the relay refuses the name.
    pub conflict: ConflictPolicy,
    /// What becomes of it when another agent of the same identity has it.
    pub on_conflict: OnConflict,
}

/// What an agent does when the relay does not take a service.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ConflictPolicy {
    /// It stays for its other services, and ends if there is none.
    #[default]
    StopIfLast,
    /// It ends.
    Stop,
    /// It stays, even without any service.
    Stay,
}

impl ServiceSpec {
    /// A public service without further settings.
    pub fn new(name: ServiceName, target: Target) -> Self {
        Self {
            name,
            target,
            access: Access::Public,
            filter: FilterSettings::default(),
            proxy_protocol: false,
            ca: None,
            conflict: ConflictPolicy::default(),
            on_conflict: OnConflict::default(),
        }
    }

    /// Whether the settings make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !(self.access.is_public() || self.filter.networks.is_empty()) {
            return Err(SettingsError::NetworksOfPrivate);
        }
        if self.proxy_protocol && self.target.proto() != Proto::Tcp {
            return Err(SettingsError::ProxyProtocolWithoutTcp);
        }
        if let Some(setting) = self.filter.beyond(self.target.proto()) {
            return Err(SettingsError::HttpOnly { setting, target: self.target.clone() });
        }
        self.filter.credentials.iter().try_for_each(Credentials::check)?;
        Ok(())
    }

    /// What is sent to the relay about it.
    pub(crate) fn binding(&self) -> Binding {
        Binding {
            name: self.name.as_str().to_owned(),
            proto: self.target.proto(),
            local_port: self.target.port(),
            public: self.access.is_public(),
            on_conflict: self.on_conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CredentialsError;

    fn service(target: &str) -> ServiceSpec {
        ServiceSpec::new("web".parse().expect("a name"), target.parse().expect("a target"))
    }

    #[test]
    fn a_private_service_may_be_its_owners_alone_and_has_no_networks() {
        let own = ServiceSpec { access: Access::Private([].into()), ..service("3000") };
        assert_eq!(own.check(), Ok(()));
        let friend = hvym_tunnel_core::stellar::Address::from_public_key([7; 32]);
        let private = ServiceSpec { access: Access::Private([friend].into()), ..service("3000") };
        assert_eq!(private.check(), Ok(()));
        let networks = vec!["10.0.0.0/8".parse().expect("a network")];
        let both =
            ServiceSpec { filter: FilterSettings { networks, ..FilterSettings::default() }, ..private };
        assert_eq!(both.check(), Err(SettingsError::NetworksOfPrivate));
    }

    #[test]
    fn a_filter_that_a_service_could_not_have_is_refused() {
        let account = FilterSettings { credentials: vec!["ann:secret".into()], ..FilterSettings::default() };
        let network = "10.0.0.0/8".parse().expect("a network");
        let network = FilterSettings { networks: vec![network], ..FilterSettings::default() };
        let host = FilterSettings { host: Some("app".to_owned()), ..FilterSettings::default() };
        for (filter, target, refused) in [
            (&account, "tcp://db:5432", true),
            (&account, "h2c://app:1", true),
            (&account, "unix:/run/app.sock", false),
            (&account, "./site", false),
            (&network, "tcp://db:5432", false),
            (&network, "h2c://app:1", true),
            (&host, "tcp://db:5432", false),
            (&host, "h2c://app:1", true),
            (&FilterSettings::default(), "h2c://app:1", false),
        ] {
            let checked = ServiceSpec { filter: filter.clone(), ..service(target) }.check();
            assert_eq!(
                matches!(checked, Err(SettingsError::HttpOnly { .. })),
                refused,
                "{target}: {checked:?}"
            );
        }
        let nobody = FilterSettings { credentials: vec!["secret".into()], ..FilterSettings::default() };
        let checked = ServiceSpec { filter: nobody, ..service("3000") }.check();
        assert_eq!(checked, Err(CredentialsError::NoColon.into()));
    }

    #[test]
    fn the_proxy_protocol_is_for_tcp_services() {
        let with = |target| ServiceSpec { proxy_protocol: true, ..service(target) };
        assert_eq!(with("tcp://db:5432").check(), Ok(()));
        assert_eq!(with("3000").check(), Err(SettingsError::ProxyProtocolWithoutTcp));
    }
}
