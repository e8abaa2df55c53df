//! The names that the agent of a session asks for.

use alloc::string::{String, ToString};

use super::{BindRefusal, Session, SessionEvent};
use crate::dialect::Signal;
use crate::time::Instant;

/// Names that one session may ask for: an agent asks once for each that it has, and each may cost the relay a look-up.
pub(super) const MAX_CLAIMS: u32 = 16;

impl Session {
    /// Answers [`SessionEvent::Claim`]: the name is the identity's, and leads visitors to `url`.
    pub fn grant_name(&mut self, name: &str, url: String, now: Instant) {
        self.send(Signal::ClaimOk { name: name.to_string(), url }, now);
        self.drain_links();
    }

    /// Answers [`SessionEvent::Claim`]: it is not.
    pub fn refuse_name(&mut self, name: &str, refusal: &BindRefusal, now: Instant) {
        let (code, error) = (refusal.code.to_string(), refusal.error.clone());
        self.send(Signal::ClaimFailed { name: name.to_string(), code, error }, now);
        self.drain_links();
    }

    pub(super) fn on_claim(&mut self, name: String, now: Instant) -> Option<SessionEvent> {
        let Some(left) = self.claims_left.checked_sub(1) else {
            let error = alloc::format!("a session may ask for {MAX_CLAIMS} names");
            self.refuse_name(&name, &BindRefusal { code: "too_many", error }, now);
            return None;
        };
        self.claims_left = left;
        if let Err(refusal) = self.peer.check_claim() {
            self.refuse_name(&name, &refusal, now);
            return None;
        }
        Some(SessionEvent::Claim(name))
    }
}
