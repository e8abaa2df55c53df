//! One tunnel, and what may be changed about it.

use std::net::IpAddr;
use std::sync::Arc;

use hvym_tunnel_core::names::check_label;

use crate::token::TokenHash;
use crate::{ChangeError, EpochMillis};

/// Characters of a title, as Tunely's table has it.
const MAX_NAME_CHARACTERS: usize = 100;
/// Characters of a description. It is kept in memory for each tunnel.
const MAX_DESCRIPTION_CHARACTERS: usize = 1000;
/// Characters of an owner, which is the `sub` of a token (a string of any length, RFC 7519 section 4.1.2).
const MAX_OWNER_CHARACTERS: usize = 255;

// Fields: one for each column.
/// A tunnel as the registry knows it. Counters are those of all relays, as of the last time they were read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunnelRecord {
    /// The number of its row.
    pub id: i64,
    /// Its name: the label in front of the relay's domain.
    pub domain: Arc<str>,
    /// Of its token.
    pub token_hash: TokenHash,
    /// A title for people.
    pub name: Option<String>,
    /// A description for people.
    pub description: Option<String>,
    /// What Tunely's tools are told: `tcp`.
    pub mode: String,
    /// Whether its agent is let in.
    pub enabled: bool,
    /// Whether requests of its visitors are logged.
    pub logs_requests: bool,
    /// Who created it by a token of a login service; `None` is the operator.
    pub owner: Option<Arc<str>>,
    /// When it was created.
    pub created_at: EpochMillis,
    /// When it was changed.
    pub updated_at: Option<EpochMillis>,
    /// When its agent last logged in.
    pub last_connected_at: Option<EpochMillis>,
    /// Requests of visitors.
    pub total_requests: i64,
    /// Bytes from visitors.
    pub bytes_in: i64,
    /// Bytes to visitors.
    pub bytes_out: i64,
}

/// A tunnel that is to be created.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewTunnel {
    /// [`TunnelRecord::domain`]
    pub domain: String,
    /// [`TunnelRecord::name`]
    pub name: Option<String>,
    /// [`TunnelRecord::description`]
    pub description: Option<String>,
    /// [`TunnelRecord::owner`]
    pub owner: Option<String>,
    /// How many tunnels the owner may have; `None` is any number.
    pub quota: Option<usize>,
    /// Who asks.
    pub source: Option<IpAddr>,
}

/// What is to be changed; `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TunnelUpdate {
    /// [`TunnelRecord::name`]
    pub name: Option<String>,
    /// [`TunnelRecord::description`]
    pub description: Option<String>,
    /// [`TunnelRecord::enabled`]
    pub enabled: Option<bool>,
    /// [`TunnelRecord::logs_requests`]
    pub logs_requests: Option<bool>,
}

impl NewTunnel {
    /// Whether it can be a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), ChangeError> {
        check_label(&self.domain).map_err(|_| ChangeError::BadName)?;
        check_texts(self.name.as_deref(), self.description.as_deref())?;
        check_length(self.owner.as_deref(), MAX_OWNER_CHARACTERS, "the owner")
    }
}

impl TunnelUpdate {
    /// Whether it can be made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), ChangeError> {
        check_texts(self.name.as_deref(), self.description.as_deref())
    }

    /// What is changed, for the audit log: `changed:description,enabled`.
    pub(crate) fn summary(&self) -> String {
        let changed = [
            ("description", self.description.is_some()),
            ("enabled", self.enabled.is_some()),
            ("logs_requests", self.logs_requests.is_some()),
            ("name", self.name.is_some()),
        ];
        let names: Vec<&str> = changed.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        format!("changed:{}", names.join(","))
    }

    /// `tunnel`, changed.
    pub(crate) fn apply(&self, tunnel: &mut TunnelRecord, now: EpochMillis) {
        if let Some(name) = &self.name {
            tunnel.name = Some(name.clone());
        }
        if let Some(description) = &self.description {
            tunnel.description = Some(description.clone());
        }
        tunnel.enabled = self.enabled.unwrap_or(tunnel.enabled);
        tunnel.logs_requests = self.logs_requests.unwrap_or(tunnel.logs_requests);
        tunnel.updated_at = Some(now);
    }
}

fn check_texts(name: Option<&str>, description: Option<&str>) -> Result<(), ChangeError> {
    check_length(name, MAX_NAME_CHARACTERS, "the name")?;
    check_length(description, MAX_DESCRIPTION_CHARACTERS, "the description")
}

fn check_length(text: Option<&str>, limit: usize, what: &'static str) -> Result<(), ChangeError> {
    match text {
        // PostgreSQL keeps no NUL in a text.
        Some(text) if text.chars().count() > limit || text.contains('\0') => Err(ChangeError::TooLong(what)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_may_be_as_long_as_their_columns() {
        let new = |name: usize, description: usize| {
            let text = |length| Some("é".repeat(length));
            NewTunnel {
                domain: "a".into(),
                name: text(name),
                description: text(description),
                ..NewTunnel::default()
            }
        };
        assert_eq!(new(MAX_NAME_CHARACTERS - 1, MAX_DESCRIPTION_CHARACTERS - 1).check(), Ok(()));
        assert_eq!(new(MAX_NAME_CHARACTERS, MAX_DESCRIPTION_CHARACTERS).check(), Ok(()));
        assert_eq!(new(MAX_NAME_CHARACTERS + 1, 0).check(), Err(ChangeError::TooLong("the name")));
        assert_eq!(
            new(0, MAX_DESCRIPTION_CHARACTERS + 1).check(),
            Err(ChangeError::TooLong("the description"))
        );
    }

    #[test]
    fn a_name_is_checked_to_its_end() {
        for (domain, is_good) in [
            ("agent", true),
            ("a-1", true),
            ("agent\n", false),
            ("Agent", false),
            ("-a", false),
            ("a-", false),
            ("", false),
        ] {
            let new = NewTunnel { domain: domain.into(), ..NewTunnel::default() };
            assert_eq!(new.check().is_ok(), is_good, "{domain:?}");
        }
        let long = |length| NewTunnel { domain: "a".repeat(length), ..NewTunnel::default() }.check();
        assert_eq!((long(63), long(64)), (Ok(()), Err(ChangeError::BadName)));
    }

    #[test]
    fn the_audit_log_names_what_was_changed() {
        let update = TunnelUpdate { name: Some("n".into()), enabled: Some(false), ..TunnelUpdate::default() };
        assert_eq!(update.summary(), "changed:enabled,name");
    }
}
