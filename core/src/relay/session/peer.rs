//! Who the agent of a session is, by what it acts, and what that allows.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::{BindRefusal, Session, SessionEvent};
use crate::dialect::{OpenResult, Process, SessionRole, Signal, StreamHeader};
use crate::link::StreamEvent;
use crate::mux::StreamId;
use crate::reason::DownReason;
use crate::stellar::delegation::{DelegationError, DelegationId, VerifiedDelegation};
use crate::stellar::{Address, Scope, Verified};
use crate::time::{Instant, UnixTime, Wall};

/// Reset code of a stream from an agent without an identity. Not sent.
const RESET_NOT_OFFERED: u32 = 2;

/// The agent of a session. It is nobody until it has logged in, and stays nobody if it has no identity.
#[derive(Default)]
pub(super) struct Peer {
    wall: Option<Wall>,
    address: Option<Address>,
    delegation: Option<Delegated>,
    /// Whether what it has signed is good for calls alone.
    pub(super) only_calls: bool,
    /// What the agent says of its program.
    pub(super) process: Process,
}

struct Delegated {
    verified: VerifiedDelegation,
    ends_at: Instant,
}

impl Peer {
    pub(super) fn new(wall: Wall) -> Self {
        Self { wall: Some(wall), ..Self::default() }
    }

    pub(super) fn address(&self) -> Option<Address> {
        self.address
    }

    /// It has logged in.
    pub(super) fn log_in(&mut self, verified: &Verified, now: Instant) {
        self.address = Some(verified.address());
        self.only_calls = verified.scope() == Some(Scope::Call);
        self.settle_role();
        self.delegation = verified.delegation().map(|delegation| {
            let today = self.wall.map_or(UnixTime::from_secs(0), |wall| wall.unix_at(now));
            let left = delegation.delegation().until.as_secs().saturating_sub(today.as_secs());
            Delegated { verified: delegation.clone(), ends_at: now + Duration::from_secs(left) }
        });
    }

    /// What the token says, the signer says; the rest is the program's word.
    pub(super) fn settle_role(&mut self) {
        if self.only_calls {
            self.process.role = SessionRole::Caller;
        }
    }

    pub(super) fn delegation(&self) -> Option<&VerifiedDelegation> {
        self.delegation.as_ref().map(|delegated| &delegated.verified)
    }

    /// Whether both act for the same account, by the same delegation or by none.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.address == other.address && self.delegation() == other.delegation()
    }

    /// When the delegation is over.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.delegation.as_ref().map(|delegated| delegated.ends_at)
    }

    /// Why the agent must go at `now`, if its delegation is over.
    pub(super) fn end(&self, now: Instant) -> Option<DownReason> {
        let Delegated { verified, ends_at } = self.delegation.as_ref()?;
        let until = verified.delegation().until;
        (now >= *ends_at).then(|| DelegationError::Expired { until, now: until }.into())
    }

    /// Whether the agent may serve this service of its account.
    pub(super) fn check_bind(&self, service: &str) -> Result<(), BindRefusal> {
        let Some(delegation) = self.delegation() else { return Ok(()) };
        let allowed = delegation.check_scope(Scope::Agent).and_then(|()| delegation.check_service(service));
        allowed.map_err(|error| BindRefusal { code: "not_allowed", error: error.to_string() })
    }
}

impl Peer {
    /// Whether the agent may claim names for its account: who may serve single services only, or none, may not.
    pub(super) fn check_claim(&self) -> Result<(), BindRefusal> {
        let Some(delegation) = self.delegation() else { return Ok(()) };
        if delegation.check_scope(Scope::Agent).is_ok() && delegation.delegation().services.is_empty() {
            return Ok(());
        }
        let error = "the delegation is for single services or for calls, and not for the names of its owner";
        Err(BindRefusal { code: "not_allowed", error: error.to_string() })
    }
}

impl From<DelegationError> for DownReason {
    fn from(error: DelegationError) -> Self {
        DownReason::Delegation { fault: error.fault(), error: error.to_string() }
    }
}

/// Why a delegation is not revoked, for the agent's owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokeRefusal {
    /// Machine-readable: `bad_id`, `not_allowed`, or the relay's own.
    pub code: &'static str,
    /// For a person.
    pub error: String,
}

impl Session {
    /// By what the agent acts for its account; `None` where it is the account's own key.
    pub fn delegation(&self) -> Option<&VerifiedDelegation> {
        self.peer.delegation()
    }

    /// Answers [`SessionEvent::Revoke`]: whether the delegation stays revoked when the relay is started again, or why it is not
    /// revoked.
    pub fn answer_revoke(&mut self, id: DelegationId, answer: Result<bool, RevokeRefusal>, now: Instant) {
        let id = id.to_string();
        self.send(
            match answer {
                Ok(persisted) => Signal::RevokeOk { id, persisted },
                Err(RevokeRefusal { code, error }) => {
                    Signal::RevokeFailed { id, code: code.to_string(), error }
                }
            },
            now,
        );
        self.drain_links();
    }

    /// The agent wants a delegation of its account to be revoked. A key that acts by one may give up its own, and no other.
    pub(super) fn on_revoke(&mut self, text: &str, until: Option<u64>, now: Instant) -> Option<SessionEvent> {
        let own = self.delegation().map(VerifiedDelegation::delegation);
        let (code, error) = match (text.parse::<DelegationId>(), own) {
            (Ok(id), None) => {
                return Some(SessionEvent::Revoke { id, until: until.map(UnixTime::from_secs) });
            }
            (Ok(id), Some(own)) if own.id == id => {
                return Some(SessionEvent::Revoke { id, until: Some(own.until) });
            }
            (Ok(_), Some(_)) => {
                let error = "a key that acts by a delegation can take back none but this one";
                ("not_allowed", error.to_string())
            }
            (Err(error), _) => ("bad_id", error.to_string()),
        };
        self.send(Signal::RevokeFailed { id: text.to_string(), code: code.to_string(), error }, now);
        None
    }

    /// The one place where a relay says who opened a stream. What a delegation does not allow is refused here.
    pub(super) fn on_opened(
        &mut self,
        id: StreamId,
        mut header: Box<StreamHeader>,
        now: Instant,
    ) -> Option<SessionEvent> {
        let Some(from) = self.peer.address() else {
            if let Ok(mut stream) = self.bundle.stream(id) {
                stream.reset(RESET_NOT_OFFERED, now);
            }
            return None;
        };
        header.from = Some(from);
        if let Some(delegation) = self.peer.delegation() {
            let to = header.to.unwrap_or(from);
            if let Err(error) = delegation.check_call(to, &header.service) {
                let verdict = OpenResult::refused(error.fault().code(), &error.to_string());
                if let Ok(mut stream) = self.bundle.stream(id) {
                    // A stream that was just opened has room for it, and one that was reset needs none.
                    let _written = stream.write(&mut verdict.encode(), now);
                    let _ended = stream.finish(now);
                    stream.stop(now);
                }
                return None;
            }
            header.key = Some(delegation.delegation().key);
            header.delegation = Some(delegation.signed().clone());
        }
        Some(SessionEvent::Stream(StreamEvent::Opened { id, header }))
    }
}
