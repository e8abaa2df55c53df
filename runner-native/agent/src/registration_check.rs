//! Asks an existing HVYM server whether it still has an agent that came back.
//!
//! Such a server that misses a link only after the agent has logged in again removes the newer one when it cleans up, and
//! answers visitors with 502 from then on, although the link stays up. Logging in once more heals that.

use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::agent::{Agent as AgentMachine, AttemptId, DialTarget};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::http_get::{self, Answer};
use hvym_tunnel_net::link_driver::LinkHandle;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::socket::DialOptions;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

/// How long after a login, and after each answer, the server is asked: at once it has not noticed anything yet, and its
/// WebSocket library waits up to 20 s for the close of a link that is gone.
const ASKED_AFTER: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(20)];
/// How long an answer may take. Without one nothing is known, and nothing is done.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the check needs to know of the links of one agent.
pub(crate) struct RegistrationCheck {
    address: Address,
    /// The latest dial.
    dialled: Option<Arc<DialTarget>>,
    /// The last link was lost without a close, so that the server may not have missed it.
    is_due: bool,
}

impl RegistrationCheck {
    /// For the agent that logs in as `address`.
    pub(crate) fn new(address: Address) -> Self {
        Self { address, dialled: None, is_due: false }
    }

    /// A dial begins.
    pub(crate) fn handle_dial(&mut self, target: DialTarget) {
        self.dialled = Some(Arc::new(target));
    }

    /// The link, or an attempt, ended.
    pub(crate) fn handle_down(&mut self, reason: &DownReason) {
        self.is_due |= matches!(reason, DownReason::Silent | DownReason::Lost(_));
    }

    /// Logged in at a server that `is_older`.
    pub(crate) fn handle_up(
        &mut self,
        is_older: bool,
        agent: &LinkHandle<AgentMachine>,
        options: &DialOptions,
    ) {
        let is_due = std::mem::take(&mut self.is_due);
        let Some(target) = self.dialled.clone().filter(|_| is_due && is_older) else { return };
        spawn(check(self.address, target, agent.clone(), options.clone())).detach();
    }
}

async fn check(
    address: Address,
    target: Arc<DialTarget>,
    agent: LinkHandle<AgentMachine>,
    options: DialOptions,
) {
    let path = format!("/api/tunnel/{address}");
    for delay in ASKED_AFTER {
        Timer::after(delay).await;
        if !is_current(&agent, target.attempt) {
            return;
        }
        match within(ANSWER_TIMEOUT, http_get::get(&target.relay, &target.host, &path, &options)).await {
            Some(Ok(Answer { status: 404, .. })) => {
                tracing::info!("the server has lost this agent: logging in once more");
                return agent.with(|agent, now| agent.log_in_again(target.attempt, now));
            }
            Some(Ok(Answer { status, .. })) => tracing::debug!(status, "asked the server for this agent"),
            Some(Err(error)) => tracing::debug!(%error, "the server could not be asked for this agent"),
            None => tracing::debug!("the server did not answer in time"),
        }
    }
}

/// Whether the link of this attempt is still the agent's.
fn is_current(agent: &LinkHandle<AgentMachine>, attempt: AttemptId) -> bool {
    agent.look(|agent| agent.is_up() && agent.attempt() == Some(attempt))
}
