//! The commands of the control socket, and their answers.

use std::sync::Arc;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Ban, Owner};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::audit::{AuditKind, AuditRecord};
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;

/// A request: an object with the member `command`.
#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    /// Who is logged in?
    Agents {},
    /// Ends an agent's sessions. It may log in again.
    Kick {
        /// Its address, or the name of an agent that has a token.
        agent: String,
        /// For its owner.
        #[serde(default)]
        reason: String,
    },
    /// Ends an agent's sessions, and refuses its logins from now on.
    Ban {
        /// Whom.
        agent: Address,
        /// For how long; for ever if it is not said.
        seconds: Option<u64>,
        /// For its owner.
        #[serde(default)]
        reason: String,
    },
    /// Lifts a ban.
    Unban {
        /// Whose.
        agent: Address,
    },
    /// Who is banned?
    Bans {},
    /// Reads certificates, keys and lists again.
    Reload {},
}

/// An answer: `ok`, and what was asked for, or the error.
#[derive(Default, Serialize)]
struct Reply {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<Vec<AgentRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bans: Option<Vec<BanRow>>,
    /// Sessions that were ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct AgentRow {
    agent: String,
    /// When it logged in, seconds since 1970.
    since: u64,
    services: Vec<String>,
}

#[derive(Serialize)]
struct BanRow {
    agent: Address,
    /// Seconds since 1970; absent if it does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    reason: String,
}

/// Does what a line asks for, and returns the line that answers it, without its end.
pub(super) fn answer(state: &Arc<RelayState>, line: &str) -> String {
    let reply = match serde_json::from_str(line) {
        Ok(command) => run(state, command),
        Err(error) => failed(format!("this is no command: {error}")),
    };
    serde_json::to_string(&reply).expect("texts and numbers always have a JSON form")
}

fn failed(error: impl Into<String>) -> Reply {
    Reply { error: Some(error.into()), ..Reply::default() }
}

fn done() -> Reply {
    Reply { ok: true, ..Reply::default() }
}

fn run(state: &Arc<RelayState>, command: Command) -> Reply {
    match command {
        Command::Agents {} => Reply { agents: Some(agents(state)), ..done() },
        Command::Bans {} => Reply { bans: Some(bans(state)), ..done() },
        Command::Kick { agent, reason } => kick(state, agent, &reason),
        Command::Ban { agent, seconds, reason } => ban(state, agent, seconds, &reason),
        Command::Unban { agent } => match state.bans.lift(&agent, now(state)) {
            Ok(None) => failed("this agent is not banned"),
            lifted => {
                state.audit(
                    AuditRecord::new(AuditKind::Unbanned, "by the operator").agent(Owner::Identity(agent)),
                );
                lifted.map_or_else(|error| failed(error.to_string()), |_| done())
            }
        },
        Command::Reload {} => {
            state.request_reload();
            done()
        }
    }
}

fn now(state: &RelayState) -> UnixTime {
    state.clock.wall().unix
}

fn agents(state: &RelayState) -> Vec<AgentRow> {
    let row = |live: AgentSession| {
        let joined = live.record.joined.get()?;
        let since = joined.at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        let services = live
            .session
            .look(|session| session.services().iter().map(|service| service.name.clone()).collect());
        Some(AgentRow { agent: shown(&joined.owner), since, services })
    };
    state.sessions.all().into_iter().filter_map(row).collect()
}

fn shown(owner: &Owner) -> String {
    owner.to_string()
}

fn bans(state: &RelayState) -> Vec<BanRow> {
    let row = |(agent, ban): (Address, Ban)| BanRow {
        agent,
        until: ban.until.map(UnixTime::as_secs),
        reason: ban.reason,
    };
    state.bans.all(now(state)).into_iter().map(row).collect()
}

/// Ends all sessions of an agent, and returns how many there were.
fn end(state: &RelayState, agent: &Owner, sentence: &str) -> usize {
    let is_theirs = |live: &AgentSession| {
        let is_owner = live.record.joined.get().is_some_and(|joined| joined.owner == *agent);
        let key = live.session.look(|session| session.delegation().map(|by| by.delegation().key));
        is_owner || key.is_some_and(|key| Owner::Identity(key) == *agent)
    };
    let theirs: Vec<_> = state.sessions.all().into_iter().filter(is_theirs).collect();
    for live in &theirs {
        live.session.with(|session, now| session.refuse(DownReason::NotAllowed(sentence.to_owned()), now));
    }
    theirs.len()
}

fn kick(state: &Arc<RelayState>, agent: String, reason: &str) -> Reply {
    let owner = match agent.parse() {
        Ok(address) => Owner::Identity(address),
        Err(_) => Owner::Named(agent.into()),
    };
    // Cut as the reason of a ban is.
    let reason = Ban::new(None, reason).reason;
    let ended = end(state, &owner, &sentence("the relay's operator has ended your session", &reason));
    if ended == 0 {
        return failed("this agent is not logged in");
    }
    state.audit(AuditRecord::new(AuditKind::Kicked, sentence("by the operator", &reason)).agent(owner));
    Reply { ended: Some(ended), ..done() }
}

fn ban(state: &Arc<RelayState>, agent: Address, seconds: Option<u64>, reason: &str) -> Reply {
    let now = now(state);
    let until = seconds.map(|seconds| UnixTime::from_secs(now.as_secs().saturating_add(seconds)));
    let ban = Ban::new(until, reason);
    let told = sentence("the relay's operator has banned you", &ban.reason);
    let noted = match seconds {
        Some(seconds) => sentence(&format!("for {seconds} s"), &ban.reason),
        None => sentence("for ever", &ban.reason),
    };
    let kept = state.bans.ban(agent, ban, now);
    if let Err(error @ crate::access::BanError::Full(_)) = &kept {
        return failed(error.to_string());
    }
    // Banned first, so that it cannot log in in between.
    let ended = end(state, &Owner::Identity(agent), &told);
    state.audit(AuditRecord::new(AuditKind::Banned, noted).agent(Owner::Identity(agent)));
    match kept {
        Ok(()) => Reply { ended: Some(ended), ..done() },
        Err(error) => failed(error.to_string()),
    }
}

fn sentence(what: &str, reason: &str) -> String {
    if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") }
}
