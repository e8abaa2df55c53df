//! What `expose` and `forward` have in common once they run: signals, the countdown, and the end.

use hvym_tunnel_net::timer::Timer;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use hvym_tunnel_agent::event::AgentStatus;
use hvym_tunnel_agent::{AgentError, AgentHandle, ForwardHandle};

use crate::agent_reports::AgentReports;
use crate::exit::ExitError;
use crate::signals::{DRAIN_LIMIT, HangupSignal, Stop, StopSignals};
use crate::supervisor;

/// How often a countdown on the screen is updated.
const COUNTDOWN: Duration = Duration::from_secs(1);

/// An agent or a forward that runs.
pub(crate) trait Running {
    /// How things stand.
    fn status(&self) -> AgentStatus;
    /// Asks it to finish within this.
    fn drain(&self, deadline: Duration);
    /// Asks it to end at once.
    fn stop(&self);
    /// Waits for the end.
    fn closed(&self) -> impl Future<Output = Result<(), AgentError>> + Send;
}

impl Running for AgentHandle {
    fn status(&self) -> AgentStatus {
        AgentHandle::status(self)
    }

    fn drain(&self, deadline: Duration) {
        AgentHandle::drain(self, deadline);
    }

    fn stop(&self) {
        AgentHandle::stop(self);
    }

    fn closed(&self) -> impl Future<Output = Result<(), AgentError>> + Send {
        AgentHandle::closed(self)
    }
}

impl Running for ForwardHandle {
    fn status(&self) -> AgentStatus {
        ForwardHandle::status(self)
    }

    fn drain(&self, deadline: Duration) {
        ForwardHandle::drain(self, deadline);
    }

    fn stop(&self) {
        ForwardHandle::stop(self);
    }

    fn closed(&self) -> impl Future<Output = Result<(), AgentError>> + Send {
        ForwardHandle::closed(self)
    }
}

/// Why [`until_end`] woke.
enum Woke {
    Ended(Result<(), AgentError>),
    Asked(Stop),
    HungUp,
    Countdown,
}

/// Waits until `agent` ends, by itself or because a person asks for it: the first time it finishes what is under way,
/// the second time it does not.
///
/// # Errors
/// Why it ended, unless a person asked for it after visitors could come. `failure` says it in words.
pub(crate) async fn until_end(
    agent: &impl Running,
    reports: &AgentReports,
    signals: &mut StopSignals,
    failure: impl FnOnce(AgentError) -> ExitError,
) -> Result<(), ExitError> {
    let mut is_interrupted = false;
    let mut hangup = HangupSignal::new();
    supervisor::ready();
    loop {
        let woke = {
            let ended = pin!(async { Woke::Ended(agent.closed().await) });
            let asked = pin!(async { Woke::Asked(signals.next().await) });
            let countdown = pin!(async {
                match reports.is_waiting() {
                    true => Timer::after(COUNTDOWN).await,
                    false => reports.waiting_began().await,
                }
                Woke::Countdown
            });
            let hung_up = pin!(async {
                hangup.next().await;
                Woke::HungUp
            });
            let countdown = pin!(async { select(hung_up, countdown).await.factor_first().0 });
            let either = select(ended, asked);
            match select(either, countdown).await {
                Either::Left((Either::Left((woke, _)) | Either::Right((woke, _)), _)) => woke,
                Either::Right((woke, _)) => woke,
            }
        };
        if matches!(woke, Woke::Asked(_) | Woke::HungUp) {
            supervisor::stopping();
        }
        match woke {
            Woke::Ended(_) if is_interrupted => return Err(ExitError::interrupted()),
            Woke::Ended(outcome) => return outcome.map_err(failure),
            Woke::Asked(_) if !agent.status().was_online => {
                is_interrupted = true;
                agent.stop();
            }
            Woke::HungUp => {
                agent.stop();
                return Err(ExitError::hung_up());
            }
            Woke::Asked(Stop::Drain) => agent.drain(DRAIN_LIMIT),
            Woke::Asked(Stop::Now) => agent.stop(),
            Woke::Countdown if reports.is_waiting() => reports.tell_waiting(),
            Woke::Countdown => {}
        }
    }
}
