//! What an operator does to agents: ends their sessions, and bans them.

use std::net::IpAddr;
use std::sync::Arc;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Ban, Owner};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use ipnet::IpNet;
use thiserror::Error;

use crate::access::BanError;
use crate::audit::{AuditKind, AuditRecord};
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;

/// Why something was not done, or not for good.
#[derive(Debug, Error)]
pub(super) enum ActionError {
    /// There is nothing to end.
    #[error("this agent is not logged in")]
    NotLoggedIn,
    /// There is nothing to lift.
    #[error("this agent is not banned")]
    NotBanned,
    /// Nobody can be called so.
    #[error("{0:?} is neither an address G... nor an IP address or network")]
    Subject(String),
    /// The ban has no effect, or may not outlive the process.
    #[error(transparent)]
    Ban(#[from] BanError),
}

/// Whom a ban is about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum BanSubject {
    /// An identity, or a key that acts for one.
    Identity(Address),
    /// Everybody who comes from there, agents and visitors.
    Network(IpNet),
}

impl BanSubject {
    /// An address G..., an IP address, or a network.
    ///
    /// # Errors
    /// [`ActionError::Subject`].
    pub(super) fn parse(text: &str) -> Result<Self, ActionError> {
        let ip = || text.parse().map(|ip: IpAddr| IpNet::from(ip.to_canonical()));
        let network = || text.parse().map(|network: IpNet| network.trunc()).or_else(|_| ip());
        let subject = text.parse().map(BanSubject::Identity);
        subject
            .or_else(|_| network().map(BanSubject::Network))
            .map_err(|_| ActionError::Subject(text.to_owned()))
    }
}

/// Whose sessions end.
pub(super) enum KickSubject {
    /// All of an agent: its address, or the name of one that has a token.
    Agent(String),
    /// The one of this number.
    Session(u64),
}

/// Ends sessions. Returns how many.
///
/// # Errors
/// There are none.
pub(super) fn kick(
    state: &Arc<RelayState>,
    subject: KickSubject,
    reason: &str,
) -> Result<usize, ActionError> {
    // Cut as the reason of a ban is.
    let reason = Ban::new(None, reason).reason;
    let told = sentence("the relay's operator has ended your session", &reason);
    let (owner, ended) = match subject {
        KickSubject::Agent(agent) => {
            let owner = match agent.parse() {
                Ok(address) => Owner::Identity(address),
                Err(_) => Owner::Named(agent.into()),
            };
            let ended = end(state, &told, |live| is_of(live, &owner));
            (Some(owner), ended)
        }
        KickSubject::Session(number) => {
            let entries = state.sessions.entries().into_iter();
            let live = entries.filter(|(key, _)| key.number() == number).map(|(_, live)| live).next();
            let live = live.filter(AgentSession::is_up).ok_or(ActionError::NotLoggedIn)?;
            refuse(&live, &told);
            (live.record.joined.get().map(|joined| joined.owner.clone()), 1)
        }
    };
    if ended == 0 {
        return Err(ActionError::NotLoggedIn);
    }
    state.audit(AuditRecord::new(AuditKind::Kicked, sentence("by the operator", &reason)).agent(owner));
    Ok(ended)
}

/// Bans an identity or a network for so many seconds, or for ever, and ends its sessions. Returns how many. Blocks while the ban
/// is written.
///
/// # Errors
/// The ban has no effect, or holds until the relay ends.
pub(super) fn ban(
    state: &Arc<RelayState>,
    subject: BanSubject,
    seconds: Option<u64>,
    reason: &str,
) -> Result<usize, ActionError> {
    let now = now(state);
    let until = seconds.map(|seconds| UnixTime::from_secs(now.as_secs().saturating_add(seconds)));
    let ban = Ban::new(until, reason);
    let told = sentence("the relay's operator has banned you", &ban.reason);
    let noted = match seconds {
        Some(seconds) => sentence(&format!("for {seconds} s"), &ban.reason),
        None => sentence("for ever", &ban.reason),
    };
    let kept = match subject {
        BanSubject::Identity(agent) => state.bans.ban(agent, ban, now),
        BanSubject::Network(network) => state.network_bans.ban(network, ban, now),
    };
    if let Err(error @ (BanError::Full(_) | BanError::NetworksFull)) = kept {
        return Err(error.into());
    }
    // Banned first, so that nobody can log in in between.
    let (ended, record) = match subject {
        BanSubject::Identity(agent) => {
            let owner = Owner::Identity(agent);
            let ended = end(state, &told, |live| is_of(live, &owner));
            (ended, AuditRecord::new(AuditKind::Banned, noted).agent(owner))
        }
        BanSubject::Network(network) => {
            let ended = end(state, &told, |live| is_from(live, &network));
            (ended, AuditRecord::new(AuditKind::Banned, format!("{network} {noted}")))
        }
    };
    state.audit(record);
    kept?;
    Ok(ended)
}

/// Lifts a ban. Blocks while that is written.
///
/// # Errors
/// There is none, or it is lifted until the relay ends.
pub(super) fn unban(state: &Arc<RelayState>, subject: BanSubject) -> Result<(), ActionError> {
    let now = now(state);
    let (lifted, record) = match subject {
        BanSubject::Identity(agent) => {
            let record = AuditRecord::new(AuditKind::Unbanned, "by the operator");
            (state.bans.lift(&agent, now), record.agent(Owner::Identity(agent)))
        }
        BanSubject::Network(network) => {
            let record = AuditRecord::new(AuditKind::Unbanned, format!("{network} by the operator"));
            (state.network_bans.lift(&network, now), record)
        }
    };
    if let Ok(None) = lifted {
        return Err(ActionError::NotBanned);
    }
    state.audit(record);
    lifted?;
    Ok(())
}

fn now(state: &RelayState) -> UnixTime {
    state.clock.wall().unix
}

/// Whether a session is of this agent, or of a key that acts for somebody else.
fn is_of(live: &AgentSession, agent: &Owner) -> bool {
    let is_owner = live.record.joined.get().is_some_and(|joined| joined.owner == *agent);
    let key = live.session.look(|session| session.delegation().map(|by| by.delegation().key));
    is_owner || key.is_some_and(|key| Owner::Identity(key) == *agent)
}

fn is_from(live: &AgentSession, network: &IpNet) -> bool {
    live.record.joined.get().is_some_and(|joined| network.contains(&joined.from.to_canonical()))
}

/// Ends all sessions that are meant, and returns how many there were.
fn end(state: &RelayState, sentence: &str, is_meant: impl Fn(&AgentSession) -> bool) -> usize {
    let meant: Vec<_> = state.sessions.all().into_iter().filter(is_meant).collect();
    meant.iter().for_each(|live| refuse(live, sentence));
    meant.len()
}

fn refuse(live: &AgentSession, sentence: &str) {
    live.session.with(|session, now| session.refuse(DownReason::NotAllowed(sentence.to_owned()), now));
}

fn sentence(what: &str, reason: &str) -> String {
    if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_about_an_identity_an_address_or_a_network() {
        let address = Address::from_public_key([7; 32]);
        let parsed = |text: &str| BanSubject::parse(text).ok();
        assert_eq!(parsed(&address.to_string()), Some(BanSubject::Identity(address)));
        for (text, network) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::1/48", "2001:db8::/48"),
        ] {
            let network = network.parse().expect("a network");
            assert_eq!(parsed(text), Some(BanSubject::Network(network)), "{text}");
        }
        for text in ["", "web", "192.0.2.7/33", "G"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
