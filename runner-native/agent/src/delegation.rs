//! A delegation by which an agent acts for another identity, read from a file; and the revocation of one at a relay.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::delegation::{DelegationError, DelegationId, SignedDelegation};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::files;
use hvym_tunnel_net::key::{self, Identity};
use hvym_tunnel_net::timeout::within;
use thiserror::Error;

use crate::builder::Launch;
use crate::error::AgentError;
use crate::event::AgentEvent;
use crate::handle::AgentControl;
use crate::link_status::Purpose;
use crate::service::ServiceTable;
use crate::settings::LinkSettings;

/// Maximum size of a delegation's file in bytes: 2 KiB of text, quoted, and a signature.
const MAX_FILE_BYTES: usize = 8 * 1024;
/// How long the relay's answer to a revocation may take. It writes a file first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an agent cannot act by a delegation.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DelegationFileError {
    /// The file cannot be read.
    #[error("cannot read the delegation in {}: {reason}", key::shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// What it holds is not a delegation, is not signed by its owner, or is for another key than the agent's identity.
    #[error(transparent)]
    Refused(#[from] DelegationError),
}

/// The delegation in this file.
///
/// # Errors
/// [`DelegationFileError`].
pub(crate) fn load(path: &Path) -> Result<SignedDelegation, DelegationFileError> {
    let unreadable = |error: std::io::Error| DelegationFileError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    let text = files::read_text_limited(file, MAX_FILE_BYTES).map_err(unreadable)?;
    Ok(SignedDelegation::from_json(text.trim().as_bytes())?)
}

/// Whether `identity` can act by this delegation. What else it allows, the relay says.
///
/// # Errors
/// [`DelegationFileError::Refused`].
pub(crate) fn check(signed: &SignedDelegation, identity: &Identity) -> Result<(), DelegationFileError> {
    signed.clone().verify()?.check_key(identity.address())?;
    Ok(())
}

/// Logs in at the relay of `link`, and has it take a delegation of this identity for revoked, which would be over at
/// `until`. Returns whether it stays revoked when that relay is started again. To be called on a runtime.
///
/// # Errors
/// The relay cannot be reached, does not let the identity in, or does not revoke.
pub async fn revoke(
    identity: Arc<Identity>,
    mut link: LinkSettings,
    id: DelegationId,
    until: Option<UnixTime>,
) -> Result<bool, AgentError> {
    link.retry.no_retry = true;
    let mut launch = Launch::new(identity);
    launch.link = link;
    let control = launch.prepare(Purpose::Revoke, None, ServiceTable::new(Vec::new())?)?.run(None);
    match within(ANSWER_TIMEOUT, answer(&control, id, until)).await {
        Some(answer) => answer,
        None => {
            let text = "the relay did not say whether it revoked the delegation";
            Err(AgentError::Unreachable(DownReason::TimedOut(text.to_owned())))
        }
    }
}

async fn answer(
    control: &AgentControl,
    id: DelegationId,
    until: Option<UnixTime>,
) -> Result<bool, AgentError> {
    while let Some(event) = control.events.next().await {
        match event {
            AgentEvent::Online { .. } => {
                control.shared.agent.with(|agent, now| agent.revoke(id, until, now));
            }
            AgentEvent::Revoked { persisted } => return Ok(persisted),
            AgentEvent::RevokeRefused { code, message } => {
                return Err(AgentError::RevokeRefused { code, message });
            }
            _ => {}
        }
    }
    control.closed().await.and(Err(AgentError::Closed))
}
