//! Agents that act by a delegation, and owners who take one back.
//!
//! What a delegation allows is decided by the core; here is what this relay alone knows: which are revoked.

use std::sync::Arc;

use hvym_proxy::limits::VisitorKey;
use hvym_tunnel_core::reason::{DelegationFault, DownReason};
use hvym_tunnel_core::relay::{Owner, RevokeRefusal};
use hvym_tunnel_core::stellar::delegation::{DelegationId, VerifiedDelegation};
use hvym_tunnel_core::stellar::{Address, Verified};
use hvym_tunnel_core::time::UnixTime;

use crate::audit::{AuditKind, AuditRecord};
use crate::event::RelayEvent;
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;

/// Why an agent is refused whose login was made by this delegation, if it was revoked.
///
/// To be asked after the session knows of its delegation: whoever revokes it then ends the session, or is seen here.
pub(super) fn check_revoked(state: &RelayState, verified: &Verified) -> Result<(), DownReason> {
    let Some(delegation) = verified.delegation().map(VerifiedDelegation::delegation) else { return Ok(()) };
    if state.revocations.contains(delegation.owner, delegation.id) { Err(revoked()) } else { Ok(()) }
}

fn revoked() -> DownReason {
    let error = "the delegation was revoked by its owner".to_owned();
    DownReason::Delegation { fault: DelegationFault::Revoked, error }
}

/// Revokes a delegation of `owner`, ends the sessions that act by it, and tells the agent whether a restart would undo it.
pub(super) async fn on_revoke(
    state: &Arc<RelayState>,
    live: &AgentSession,
    owner: Address,
    id: DelegationId,
    until: Option<UnixTime>,
    network: Option<VisitorKey>,
) {
    let now = state.clock.wall().unix;
    let is_news = match state.revocations.add(owner, id, until, network, now) {
        Ok(is_news) => is_news,
        Err(error) => {
            let refusal = RevokeRefusal { code: "too_many", error: error.to_string() };
            return live.session.with(|session, now| session.answer_revoke(id, Err(refusal), now));
        }
    };
    let end = |other: &AgentSession| {
        other.session.with(|session, now| {
            let delegation = session.delegation().map(VerifiedDelegation::delegation);
            if delegation.is_some_and(|delegation| (delegation.owner, delegation.id) == (owner, id)) {
                session.refuse(revoked(), now);
            }
        });
    };
    state.sessions.all().iter().filter(|other| !other.is(live)).for_each(end);
    let blocking = Arc::clone(state);
    let persisted = smol::unblock(move || blocking.revocations.write()).await;
    if is_news {
        state.emit(RelayEvent::DelegationRevoked { owner, id, persisted });
        let record = AuditRecord::new(AuditKind::DelegationRevoked, id.to_string());
        state.audit(record.agent(Owner::Identity(owner)));
    }
    live.session.with(|session, now| session.answer_revoke(id, Ok(persisted), now));
    // A key that gives up its own delegation is told first.
    end(live);
}
