//! The login at a server of an older system, which knows agents by tokens, and what such a server does not have.

use std::fmt;

use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_net::target::RelayUrl;
use thiserror::Error;

use super::{Auth, Feature, LinkSettings};
use crate::spec::ServiceSpec;
use crate::token::{AuthToken, TokenFile};

/// The older systems whose agents log in with a token, and say so before anything else.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CompatSystem {
    /// A tunely server.
    Tunely,
    /// A CloudToLocalLLM relay.
    CloudLlm,
}

impl CompatSystem {
    /// The path that agents dial there, unless a URL says otherwise.
    pub const fn path(self) -> &'static str {
        match self {
            CompatSystem::Tunely | CompatSystem::CloudLlm => "/ws/tunnel",
        }
    }

    /// `url` with the path of this system, unless it names one of its own.
    #[must_use]
    pub fn dial_url(self, mut url: RelayUrl) -> RelayUrl {
        if url.path == RelayUrl::DEFAULT_PATH {
            self.path().clone_into(&mut url.path);
        }
        url
    }
}

impl fmt::Display for CompatSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CompatSystem::Tunely => "tunely",
            CompatSystem::CloudLlm => "cloud",
        })
    }
}

/// The login at such a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompatSettings {
    /// The system of the server.
    pub system: CompatSystem,
    /// What the server knows the agent by.
    pub token: AuthToken,
    /// The file of the token. It is read again before each dial, so that a new token needs no restart; while it cannot be, the
    /// last one is shown.
    pub token_file: Option<TokenFile>,
    /// Whether to take the place of another agent that is connected with it.
    pub force: bool,
}

impl CompatSettings {
    /// Whether such a server has everything that is set.
    ///
    /// # Errors
    /// The first that it does not have.
    pub fn check(&self, link: &LinkSettings, services: &[ServiceSpec]) -> Result<(), CompatError> {
        let system = self.system;
        if link.relay.is_none() {
            return Err(CompatError::NoServer(system));
        }
        if self.force && system != CompatSystem::Tunely {
            return Err(CompatError::Force);
        }
        if services.len() > 1 {
            return Err(CompatError::Several);
        }
        let broken = [
            (Feature::PrivateService, services.iter().any(|service| !service.access.is_public())),
            (Feature::RelayAddress, link.relay_address.is_some()),
            (Feature::BearerAuth, link.auth == Auth::Bearer),
            (Feature::Networks, services.iter().any(|service| !service.filter.networks.is_empty())),
            (Feature::ProxyProtocol, services.iter().any(|service| service.proxy_protocol)),
            (
                Feature::RawStreams,
                system == CompatSystem::CloudLlm
                    && services.iter().any(|service| service.target.proto() != Proto::Http),
            ),
        ];
        match broken.into_iter().find(|(_, is_set)| *is_set) {
            Some((feature, _)) => Err(CompatError::Unsupported(feature)),
            None => Ok(()),
        }
    }
}

/// The first thing set for `services` that an existing HVYM server does not have.
pub(crate) fn needed_feature<'a>(services: impl Iterator<Item = &'a ServiceSpec> + Clone) -> Option<Feature> {
    let any = |test: fn(&ServiceSpec) -> bool| services.clone().any(test);
    let needs = [
        (Feature::PrivateService, any(|service| !service.access.is_public())),
        (Feature::Networks, any(|service| !service.filter.networks.is_empty())),
        (Feature::ProxyProtocol, any(|service| service.proxy_protocol)),
        (Feature::SeveralServices, services.clone().count() > 1),
        (Feature::RawStreams, any(|service| service.target.proto() != Proto::Http)),
    ];
    needs.into_iter().find(|(_, is_set)| *is_set).map(|(feature, _)| feature)
}

/// What a server of an older system does not have.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CompatError {
    /// No server is set.
    #[error("no server of {0} is set")]
    NoServer(CompatSystem),
    /// Only tunely has it.
    #[error(
        "taking the place of another agent is for tunely, where the newest agent of a token does not win by itself"
    )]
    Force,
    /// Its visitors could not say which they want.
    #[error("such a server reaches one service of an agent, and more are exposed")]
    Several,
    /// Something that older systems do not have.
    #[error("a server of an older system does not have {0}")]
    Unsupported(Feature),
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_core::access::Access;

    use super::*;

    type Settings = (CompatSettings, LinkSettings, Vec<ServiceSpec>);

    fn settings(system: CompatSystem, target: &str) -> Settings {
        let relay = Some("wss://server.example".parse().expect("a URL"));
        let service = ServiceSpec::new("web".parse().expect("a name"), target.parse().expect("a target"));
        let compat =
            CompatSettings { system, token: "t".parse().expect("a token"), token_file: None, force: false };
        (compat, LinkSettings { relay, ..LinkSettings::default() }, vec![service])
    }

    fn refusal((compat, link, services): &Settings) -> Option<CompatError> {
        compat.check(link, services).err()
    }

    #[test]
    fn what_such_a_server_has_is_let_pass() {
        let (tunely, cloud) = (CompatSystem::Tunely, CompatSystem::CloudLlm);
        for (system, target) in
            [(tunely, "3000"), (tunely, "tcp://db:1"), (tunely, "h2c://app:1"), (cloud, "./site")]
        {
            assert_eq!(refusal(&settings(system, target)), None, "{system} {target}");
        }
        let mut forced = settings(tunely, "3000");
        forced.0.force = true;
        assert_eq!(refusal(&forced), None);
    }

    #[test]
    fn what_such_a_server_does_not_have_is_named() {
        let changed = |system, change: fn(&mut Settings)| {
            let mut settings = settings(system, "3000");
            change(&mut settings);
            settings
        };
        let friend = hvym_tunnel_core::stellar::Address::from_public_key([7; 32]);
        let (tunely, cloud) = (CompatSystem::Tunely, CompatSystem::CloudLlm);
        let mut private = settings(tunely, "3000");
        private.2[0].access = Access::Private([friend].into());
        for (settings, refused) in [
            (changed(tunely, |s| s.1.relay = None), CompatError::NoServer(tunely)),
            (changed(tunely, |s| s.1.auth = Auth::Bearer), CompatError::Unsupported(Feature::BearerAuth)),
            (changed(cloud, |s| s.0.force = true), CompatError::Force),
            (changed(tunely, |s| s.2.push(s.2[0].clone())), CompatError::Several),
            (private, CompatError::Unsupported(Feature::PrivateService)),
            (
                changed(tunely, |s| s.2[0].filter.networks = vec!["10.0.0.0/8".parse().expect("a network")]),
                CompatError::Unsupported(Feature::Networks),
            ),
            (
                changed(tunely, |s| s.2[0].proxy_protocol = true),
                CompatError::Unsupported(Feature::ProxyProtocol),
            ),
            (settings(cloud, "tcp://db:1"), CompatError::Unsupported(Feature::RawStreams)),
        ] {
            assert_eq!(refusal(&settings), Some(refused));
        }
    }
}
