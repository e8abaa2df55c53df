//! What an agent is told about a server of an older system that knows agents by tokens.

use std::fmt;

use hvym_tunnel_core::dialect::Proto;
use thiserror::Error;

use super::{Auth, ExposeOptions};
use crate::token::Token;

/// The older systems whose agents log in with a token, and say so before anything else.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum System {
    /// A tunely server.
    Tunely,
    /// A CloudToLocalLLM relay.
    CloudLlm,
}

impl System {
    /// Where agents arrive there, unless a URL says otherwise.
    pub const fn path(self) -> &'static str {
        match self {
            System::Tunely | System::CloudLlm => "/ws/tunnel",
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            System::Tunely => "tunely",
            System::CloudLlm => "cloud",
        })
    }
}

/// The login at such a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignOptions {
    /// Whose it is.
    pub system: System,
    /// What it knows the agent by.
    pub token: Token,
    /// Whether to take the place of another agent that is connected with it.
    pub force: bool,
}

impl ForeignOptions {
    /// Whether everything else that `options` say can be had there.
    ///
    /// # Errors
    /// The first that cannot.
    pub(super) fn check(&self, options: &ExposeOptions) -> Result<(), ForeignError> {
        let system = self.system;
        if options.link.relay.is_none() {
            return Err(ForeignError::NoServer(system));
        }
        if self.force && system != System::Tunely {
            return Err(ForeignError::Force);
        }
        if options.bindings.len() > 1 {
            return Err(ForeignError::Several);
        }
        let bytes = options.bindings.iter().any(|binding| binding.target.proto() != Proto::Http);
        let broken = [
            ("--private", !options.access.is_public()),
            ("--relay-address", options.link.relay_address.is_some()),
            ("--auth bearer", options.link.auth == Auth::Bearer),
            // Nobody there says who a visitor is, or keeps a visitor from saying it.
            ("--allow-cidr", !options.gate.networks.is_empty()),
            ("--proxy-protocol", options.proxy_protocol),
            (BYTES, bytes && system == System::CloudLlm),
        ];
        match broken.into_iter().find(|(_, is_set)| *is_set) {
            Some((option, _)) => Err(ForeignError::Unkept(option)),
            None => Ok(()),
        }
    }
}

impl ExposeOptions {
    /// The first thing asked for that an existing HVYM server does not have.
    pub fn for_ours_alone(&self) -> Option<&'static str> {
        let wants = [
            ("--private", !self.access.is_public()),
            ("--allow-cidr", !self.gate.networks.is_empty()),
            ("--proxy-protocol", self.proxy_protocol),
            ("a second service", self.bindings.len() > 1),
            (BYTES, self.bindings.iter().any(|binding| binding.target.proto() != Proto::Http)),
        ];
        wants.into_iter().find(|(_, is_set)| *is_set).map(|(option, _)| option)
    }
}

/// How services are called that carry something else than HTTP/1.1.
const BYTES: &str = "a target of tcp:// or h2c://";

/// What cannot be had from a server of an older system.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ForeignError {
    /// There is none on this machine by itself.
    #[error("--dialect {0} is about a server, and none is named")]
    NoServer(System),
    /// An option of a login that does not happen.
    #[error("{0} is about a login with a token, and --dialect names no system that has one")]
    NoLogin(&'static str),
    /// Nothing to log in with.
    #[error("--dialect {0} logs in with a token, and none is given")]
    NoToken(System),
    /// Only one of them has that.
    #[error("--force is for tunely, where the newest agent of a token does not win by itself")]
    Force,
    /// Its visitors could not say which they want.
    #[error("such a server reaches one service of an agent, and more are exposed")]
    Several,
    /// Something that older systems have no word for.
    #[error("{0} cannot be had from a server of an older system")]
    Unkept(&'static str),
}

impl ForeignError {
    /// What to do about it.
    pub(super) const fn hint(self) -> &'static str {
        match self {
            ForeignError::NoServer(_) => "add --relay wss://HOST",
            ForeignError::NoLogin(_) => "add --dialect tunely or --dialect cloud, or leave it out",
            ForeignError::NoToken(_) => {
                "put it into a file that you alone can read (chmod 600), and add --token-file FILE"
            }
            ForeignError::Force | ForeignError::Unkept(_) => "leave it out, or use a relay of hvym-tunnel",
            ForeignError::Several => "start an agent for each, with a token for each",
        }
    }
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_core::access::Access;

    use super::*;
    use crate::config::{ConfigError, GateOptions, LinkOptions};

    fn options(system: System, target: &str) -> ExposeOptions {
        let mut options = ExposeOptions::of(format!("web={target}").parse().expect("a binding"));
        options.link.relay = Some("wss://server.example".parse().expect("a URL"));
        options.foreign = Some(ForeignOptions { system, token: Token::of("t"), force: false });
        options
    }

    fn refusal(options: &ExposeOptions) -> Option<ForeignError> {
        match options.check() {
            Ok(()) => None,
            Err(ConfigError::Foreign(error)) => Some(error),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_such_a_server_has_is_let_pass() {
        let (tunely, cloud) = (System::Tunely, System::CloudLlm);
        for (system, target) in
            [(tunely, "3000"), (tunely, "tcp://db:1"), (tunely, "h2c://app:1"), (cloud, "./site")]
        {
            assert_eq!(refusal(&options(system, target)), None, "{system} {target}");
        }
        let mut forced = options(tunely, "3000");
        forced.foreign = forced.foreign.map(|foreign| ForeignOptions { force: true, ..foreign });
        assert_eq!(refusal(&forced), None);
    }

    #[test]
    fn what_such_a_server_does_not_have_is_named() {
        let good = options(System::Tunely, "3000");
        let friend = hvym_tunnel_core::stellar::Address::from_public_key([7; 32]);
        let network = GateOptions {
            networks: vec!["10.0.0.0/8".parse().expect("a network")],
            ..GateOptions::default()
        };
        let link = |change: fn(&mut LinkOptions)| {
            let mut options = good.clone();
            change(&mut options.link);
            options
        };
        let mut forced = options(System::CloudLlm, "3000");
        forced.foreign = forced.foreign.map(|foreign| ForeignOptions { force: true, ..foreign });
        let mut several = good.clone();
        several.bindings.push("api=1".parse().expect("a binding"));
        let private = Access::Private([friend].into());
        for (options, refused) in [
            (link(|link| link.relay = None), ForeignError::NoServer(System::Tunely)),
            (link(|link| link.auth = Auth::Bearer), ForeignError::Unkept("--auth bearer")),
            (forced, ForeignError::Force),
            (several, ForeignError::Several),
            (ExposeOptions { access: private, ..good.clone() }, ForeignError::Unkept("--private")),
            (ExposeOptions { gate: network, ..good.clone() }, ForeignError::Unkept("--allow-cidr")),
            (
                ExposeOptions { proxy_protocol: true, ..good.clone() },
                ForeignError::Unkept("--proxy-protocol"),
            ),
            (options(System::CloudLlm, "tcp://db:1"), ForeignError::Unkept(BYTES)),
        ] {
            assert_eq!(refusal(&options), Some(refused));
        }
    }
}
