//! Sends records of the audit log as events of their relay.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timer::Timer;

use crate::audit::{AuditKind, AuditRecord};
use crate::event::RelayEvent;
use crate::relay_state::RelayState;

/// How long after the first record that is left out somebody is told how many were.
const SUMMARY_AFTER: Duration = Duration::from_secs(60);

impl RelayState {
    /// Sends a record as an event, unless those of its kind come too fast.
    pub(crate) fn audit(self: &Arc<Self>, mut record: AuditRecord) {
        let now = self.clock.now();
        let outcome = self.audit.rate().record(record.kind, now);
        match outcome {
            Ok(suppressed) => {
                record.suppressed = suppressed;
                self.audit.remember(SystemTime::now(), record.clone());
                self.emit(RelayEvent::Audit(record));
            }
            Err(1) => self.summarize_later(record.kind),
            Err(_) => {}
        }
    }

    /// A key, token or password from this address was wrong: others from there wait.
    pub(crate) fn handle_wrong_key(self: &Arc<Self>, from: IpAddr, what: &str) {
        let delay = self.guesses.handle_wrong(from, self.clock.now());
        let detail = match delay {
            Duration::ZERO => format!("{what} was wrong"),
            delay => format!("{what} was wrong; none is looked at for {} s", delay.as_secs()),
        };
        self.audit(AuditRecord::new(AuditKind::WrongKey, detail).peer(from));
    }

    /// Says how many records of this kind were left out, if nothing else has until then.
    fn summarize_later(self: &Arc<Self>, kind: AuditKind) {
        let state = Arc::clone(self);
        spawn(async move {
            Timer::after(SUMMARY_AFTER).await;
            let suppressed = state.audit.rate().take(kind);
            if suppressed > 0 {
                let record = AuditRecord::new(kind, "they came too fast to be written one by one");
                let record = AuditRecord { suppressed, ..record };
                state.audit.remember(SystemTime::now(), record.clone());
                state.emit(RelayEvent::Audit(record));
            }
        })
        .detach();
    }
}
