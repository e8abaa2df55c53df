//! Has a relay take a delegation for revoked: one login, one question, one answer.

use std::time::Duration;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::delegation::DelegationId;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::timeout::within;

use crate::builder::Launch;
use crate::error::AgentError;
use crate::event::AgentEvent;
use crate::handle::AgentControl;
use crate::link_status::Purpose;
use crate::service::ServiceTable;
use crate::settings::LinkSettings;

/// How long the login and the relay's answer may take. It writes a file first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Logs in at the relay of `link`, and has it take a delegation of this identity for revoked, which would be over at
/// `until`. Returns whether it stays revoked when that relay is started again. To be called on a runtime.
///
/// # Errors
/// The relay cannot be reached, does not let the identity in, or does not revoke.
pub async fn revoke(
    signer: impl Into<Signer>,
    mut link: LinkSettings,
    id: DelegationId,
    until: Option<UnixTime>,
) -> Result<bool, AgentError> {
    link.retry.no_retry = true;
    let mut launch = Launch::new(signer.into());
    launch.link = link;
    let control = launch.prepare(Purpose::Revoke, None, ServiceTable::new(Vec::new())?)?.run(None);
    match within(ANSWER_TIMEOUT, answer(&control, id, until)).await {
        Some(answer) => answer,
        None => {
            let text = "the relay did not say whether it revoked the delegation";
            Err(AgentError::Unreachable { reason: DownReason::TimedOut(text.to_owned()), problem: None })
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
