//! The audit log: who changed what, from where.

use std::net::IpAddr;

use crate::EpochMillis;

/// What was done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AuditAction {
    /// A tunnel was created.
    Create,
    /// A tunnel was changed.
    Update,
    /// A tunnel was deleted.
    Delete,
    /// A tunnel got another token.
    Regenerate,
    /// A newer agent took the place of an older one.
    Takeover,
}

impl AuditAction {
    /// Tunely's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuditAction::Create => "create",
            AuditAction::Update => "update",
            AuditAction::Delete => "delete",
            AuditAction::Regenerate => "regenerate",
            AuditAction::Takeover => "takeover",
        }
    }
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// The number of its row; 0 as long as it is not written.
    pub id: i64,
    /// When.
    pub created_at: EpochMillis,
    /// What, in Tunely's words.
    pub action: String,
    /// The tunnel.
    pub domain: Option<String>,
    /// More about it.
    pub detail: Option<String>,
    /// From where.
    pub source_ip: Option<String>,
}

impl AuditEntry {
    /// An entry that is to be written.
    pub(crate) fn new(
        action: AuditAction,
        domain: &str,
        detail: String,
        source: Option<IpAddr>,
        now: EpochMillis,
    ) -> Self {
        Self {
            id: 0,
            created_at: now,
            action: action.as_str().to_owned(),
            domain: Some(domain.to_owned()),
            detail: Some(detail),
            source_ip: source.map(|ip| ip.to_string()),
        }
    }
}
