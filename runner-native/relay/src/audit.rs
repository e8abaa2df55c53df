//! The audit log of a relay: who was refused, taken over, banned or given what, and why.
//!
//! It writes nothing: records are events. Texts in them may come from strangers, and whoever shows them escapes them.

mod rate;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Owner;

use rate::AuditRate;

/// Characters of the detail of a record; a stranger may have written it.
const MAX_DETAIL_CHARACTERS: usize = 300;
/// Records that are remembered: what an operator reads at a glance, at most 400 KiB.
pub(crate) const MAX_LATEST: usize = 256;

/// What a record is about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AuditKind {
    /// An agent was not let in.
    LoginRefused,
    /// A newer session took the place of an older one.
    Takeover,
    /// The operator ended an agent's session.
    Kicked,
    /// The operator banned an agent.
    Banned,
    /// The operator lifted a ban.
    Unbanned,
    /// A service was given a public TCP port.
    PortGiven,
    /// The list of agents was read again.
    ListLoaded,
    /// The list of agents cannot be used, and the one from before holds.
    ListKept,
    /// A key, token or password was wrong.
    WrongKey,
    /// An owner took a delegation back.
    DelegationRevoked,
}

impl AuditKind {
    /// Every kind.
    const ALL: [AuditKind; 10] = [
        AuditKind::LoginRefused,
        AuditKind::Takeover,
        AuditKind::Kicked,
        AuditKind::Banned,
        AuditKind::Unbanned,
        AuditKind::PortGiven,
        AuditKind::ListLoaded,
        AuditKind::ListKept,
        AuditKind::WrongKey,
        AuditKind::DelegationRevoked,
    ];

    /// The kind as a word, for logs that programs read.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuditKind::LoginRefused => "login_refused",
            AuditKind::Takeover => "takeover",
            AuditKind::Kicked => "kicked",
            AuditKind::Banned => "banned",
            AuditKind::Unbanned => "unbanned",
            AuditKind::PortGiven => "port_given",
            AuditKind::ListLoaded => "list_loaded",
            AuditKind::ListKept => "list_kept",
            AuditKind::WrongKey => "wrong_key",
            AuditKind::DelegationRevoked => "delegation_revoked",
        }
    }
}

/// One record of the audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AuditRecord {
    /// What it is about.
    pub kind: AuditKind,
    /// The agent, as far as it is known.
    pub agent: Option<Owner>,
    /// Where the other side connected from.
    pub peer: Option<IpAddr>,
    /// Why, or what, for a person. It may contain what a stranger sent.
    pub detail: String,
    /// Records of this kind that were left out since the last one, because they came too fast.
    pub suppressed: u64,
}

impl AuditRecord {
    /// A record without an agent and a peer.
    pub(crate) fn new(kind: AuditKind, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL_CHARACTERS) {
            detail.truncate(end);
        }
        Self { kind, agent: None, peer: None, detail, suppressed: 0 }
    }

    #[must_use]
    pub(crate) fn agent(mut self, agent: impl Into<Option<Owner>>) -> Self {
        self.agent = agent.into();
        self
    }

    #[must_use]
    pub(crate) fn peer(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer.to_canonical());
        self
    }
}

/// Counts records, so that a flood of them fills no disk, and remembers the latest.
#[derive(Default)]
pub(crate) struct Audit {
    rate: Mutex<AuditRate>,
    latest: Mutex<VecDeque<(SystemTime, AuditRecord)>>,
}

impl Audit {
    pub(crate) fn rate(&self) -> MutexGuard<'_, AuditRate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, in place of the oldest where there are [`MAX_LATEST`].
    pub(crate) fn remember(&self, at: SystemTime, record: AuditRecord) {
        let mut latest = self.latest();
        if latest.len() >= MAX_LATEST {
            latest.pop_front();
        }
        latest.push_back((at, record));
    }

    /// The latest records, the oldest first.
    pub(crate) fn latest(&self) -> MutexGuard<'_, VecDeque<(SystemTime, AuditRecord)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a login that ended for this reason was refused by the relay, rather than given up by the agent.
pub(crate) const fn is_refusal(reason: &DownReason) -> bool {
    matches!(
        reason,
        DownReason::Authentication(_)
            | DownReason::TokenTime { .. }
            | DownReason::NotAllowed(_)
            | DownReason::Delegation { .. }
            | DownReason::RateLimited(_)
            | DownReason::Malformed(_)
            | DownReason::OutOfOrder(_)
            | DownReason::TooLarge(_)
            | DownReason::TimedOut(_)
            | DownReason::UnknownSession(_)
            | DownReason::Overloaded(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_records_are_remembered_and_no_more() {
        let audit = Audit::default();
        for number in 0..=MAX_LATEST {
            audit.remember(SystemTime::UNIX_EPOCH, AuditRecord::new(AuditKind::Banned, number.to_string()));
        }
        let latest = audit.latest();
        let ends = [latest.front(), latest.back()].map(|end| end.map(|(_, record)| record.detail.clone()));
        assert_eq!((latest.len(), ends), (MAX_LATEST, [Some("1".to_owned()), Some("256".to_owned())]));
    }

    #[test]
    fn a_detail_is_cut_at_its_limit() {
        let longest = "\u{e9}".repeat(MAX_DETAIL_CHARACTERS);
        assert_eq!(AuditRecord::new(AuditKind::Banned, longest.clone()).detail, longest);
        assert_eq!(AuditRecord::new(AuditKind::Banned, format!("{longest}x")).detail, longest);
    }
}
