//! What the task of a registry is asked for. Knows no database.

use std::net::IpAddr;
use std::sync::Arc;

use smol::channel::Sender;

use crate::audit::{AuditAction, AuditEntry};
use crate::request_log::LogPage;
use crate::snapshot::TunnelChange;
use crate::token::TunnelToken;
use crate::tunnel::{NewTunnel, TunnelRecord, TunnelUpdate};
use crate::{ChangeError, EpochMillis};

/// What Tunely's tools are told of every new tunnel.
pub(crate) const TUNNEL_MODE: &str = "tcp";

/// What is to be changed.
#[derive(Debug)]
pub(crate) enum Change {
    Create(NewTunnel),
    Update { domain: String, update: TunnelUpdate, source: Option<IpAddr> },
    Rotate { domain: String, source: Option<IpAddr> },
    Delete { domain: String, source: Option<IpAddr> },
}

/// What the task is asked for.
pub(crate) enum Command {
    Change(Change, Sender<Result<Changed, ChangeError>>),
    Logs {
        domain: String,
        limit: i64,
        offset: i64,
        reply: Sender<Result<LogPage, ChangeError>>,
    },
    AuditLog {
        limit: i64,
        reply: Sender<Result<Vec<AuditEntry>, ChangeError>>,
    },
    Audit(AuditEntry),
    /// Write everything that waits.
    Flush(Sender<()>),
}

/// A change that was made.
#[derive(Debug)]
pub(crate) struct Changed {
    /// The tunnel as it is now; `None`: it is gone.
    pub(crate) tunnel: Option<TunnelRecord>,
    /// Its new token.
    pub(crate) token: Option<TunnelToken>,
    /// The revision that this change made.
    pub(crate) revision: i64,
}

impl Change {
    pub(crate) fn domain(&self) -> &str {
        match self {
            Change::Create(new) => &new.domain,
            Change::Update { domain, .. } | Change::Rotate { domain, .. } | Change::Delete { domain, .. } => {
                domain
            }
        }
    }

    pub(crate) fn happened(&self) -> TunnelChange {
        let domain = Arc::from(self.domain());
        match self {
            Change::Create(_) => TunnelChange::Created(domain),
            Change::Update { update: TunnelUpdate { enabled: Some(false), .. }, .. } => {
                TunnelChange::Disabled(domain)
            }
            Change::Update { .. } => TunnelChange::Updated(domain),
            Change::Rotate { .. } => TunnelChange::Rotated(domain),
            Change::Delete { .. } => TunnelChange::Deleted(domain),
        }
    }

    /// The entry of the audit log.
    pub(crate) fn audit(&self, now: EpochMillis) -> AuditEntry {
        match self {
            Change::Create(new) => AuditEntry::new(
                AuditAction::Create,
                &new.domain,
                format!("mode={TUNNEL_MODE}"),
                new.source,
                now,
            ),
            Change::Update { domain, update, source } => {
                AuditEntry::new(AuditAction::Update, domain, update.summary(), *source, now)
            }
            Change::Rotate { domain, source } => {
                AuditEntry::new(AuditAction::Regenerate, domain, "rotated".to_owned(), *source, now)
            }
            Change::Delete { domain, source } => {
                AuditEntry::new(AuditAction::Delete, domain, String::new(), *source, now)
            }
        }
    }
}
