//! How the two ends of a run are set up: which system the peer is of, how it logs in, and what the relay allows.

use hvym_tunnel_compat::dialect::Dialect;
use hvym_tunnel_compat::{CompatAgent, TokenLogin};
use hvym_tunnel_core::agent::AgentConfig;
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::handshake::{AgentLogin, AuthMode, RelayLogin};
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::relay::{BindRefusal, SessionConfig};
use hvym_tunnel_core::time::Instant;

use super::Word;
use crate::Key;
use crate::ends::{AGENT, AgentEnd, RELAY, RelayEnd, agent_config};
use crate::pair::wall;

/// The token of agents without an identity.
pub(super) const SECRET: &str = "not to be shown";

/// What the two ends speak.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum System {
    /// The native dialect.
    Native,
    /// The native login, and no data plane is named.
    Hvym,
    /// A token in the first message.
    Tunely,
    /// A token in the upgrade.
    CloudLlm,
}

/// The setup of one run.
#[derive(Copy, Clone, Debug)]
pub(super) struct Setup {
    /// The end that anything happens to.
    pub subject: Side,
    pub system: System,
    mode: AuthMode,
    /// The agent knows the relay's address.
    pinned: bool,
    /// The relay allows two names.
    restricted: bool,
    require_challenge: bool,
    declines: bool,
    /// An agent with a token has a service; others are unbound at any time.
    offers: bool,
}

impl Setup {
    pub(super) fn of(subject: Side, [system, login, relay, _]: Word) -> Self {
        Self {
            subject,
            system: match system % 8 {
                0 => System::Hvym,
                1 => System::Tunely,
                2 => System::CloudLlm,
                _ => System::Native,
            },
            mode: if login.is_multiple_of(4) { AuthMode::Bearer } else { AuthMode::Challenge },
            pinned: !login.is_multiple_of(3),
            restricted: relay.is_multiple_of(4),
            require_challenge: relay.is_multiple_of(3),
            declines: relay.is_multiple_of(5),
            offers: !relay.is_multiple_of(7),
        }
    }

    /// An agent that is about to dial.
    pub(super) fn agent(&self, now: Instant) -> AgentEnd {
        let mut config =
            AgentConfig::new("wss://relay.example", AgentLogin::new(Key::from_seed(AGENT).address()));
        config.login.mode = self.mode;
        // There is one lane for each direction.
        config.max_links = 1;
        config.login.relay_address = self.pinned.then(|| Key::from_seed(RELAY).address());
        config.services = vec![Service::http("web"), Service { public: false, ..Service::http("api") }];
        config.link = LinkConfig { fallback: agent_config().link.fallback, ..config.link };
        let mut end = AgentEnd::new(config.clone(), [7; 32], now);
        config.services.truncate(usize::from(self.offers));
        let login = match self.system {
            System::Native | System::Hvym => return end,
            System::Tunely => TokenLogin::tunely(SECRET, self.pinned),
            System::CloudLlm => TokenLogin::cloud_llm(SECRET),
        };
        end.machine = hvym_tunnel_compat::agent(config, login, wall(now), [7; 32], now);
        end
    }

    /// A relay that nobody has dialled yet.
    pub(super) fn relay(&self) -> RelayEnd {
        let mut login = RelayLogin::new(Key::from_seed(RELAY).address());
        login.allowed_services = self.restricted.then(|| ["web", "api"].map(String::from).to_vec());
        login.require_challenge = self.require_challenge;
        let mut config = SessionConfig::new(login);
        config.link.fallback = agent_config().link.fallback;
        let mut end = RelayEnd::new(config, [7; 32]);
        end.declines = self.declines.then(|| BindRefusal { code: "taken", error: "by another".into() });
        end.guest = match self.system {
            System::Native | System::Hvym => None,
            System::Tunely => {
                Some(CompatAgent::Tunely { user_agent: self.pinned.then(|| "Python/3".into()) })
            }
            System::CloudLlm => Some(CompatAgent::CloudLlm { token: SECRET.into() }),
        };
        end
    }

    /// The dialect of messages that are no part of the native one.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        match self.system {
            System::Native => None,
            System::Hvym => Some(Dialect::HvymJson),
            System::Tunely => Some(Dialect::Tunely),
            System::CloudLlm => Some(Dialect::CloudLlm),
        }
    }
}
