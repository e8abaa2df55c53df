//! The shutdown of a relay: draining within a deadline, then closing within [`CLOSE_TIMEOUT`].

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, select};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::timeout::within;
use smol::channel::Receiver;

use crate::relay_state::RelayState;
use crate::reload;
use crate::settings::CLOSE_TIMEOUT;
use crate::tls::Tls;

/// The task of a running relay: it ends the relay when asked.
pub(crate) struct Running {
    state: Arc<RelayState>,
    accepting: Vec<Task<()>>,
    /// Polls certificates and lists of agents for changes.
    _renewing: Task<()>,
    /// Orders certificates.
    _ordering: Option<Task<()>>,
}

impl Running {
    pub(crate) fn new(
        state: Arc<RelayState>,
        accepting: Vec<Task<()>>,
        tls: Option<Tls>,
        ordering: Option<Task<()>>,
    ) -> Self {
        let _renewing = spawn(reload::run(Arc::clone(&state), tls));
        Self { state, accepting, _renewing, _ordering: ordering }
    }

    /// Serves until it is asked to end.
    pub(crate) async fn run(mut self, commands: Receiver<Duration>) {
        if let Ok(deadline) = commands.recv().await {
            let stopped = async { while commands.recv().await.is_ok() {} };
            select(pin!(self.drain(deadline)), pin!(stopped)).await;
        }
        self.stop().await;
    }

    async fn drain(&mut self, deadline: Duration) {
        self.state.lifecycle.parting.cancel();
        for accepting in self.accepting.drain(..) {
            accepting.await;
        }
        self.state.lifecycle.drain();
        for live in self.state.sessions.all() {
            live.session.with(|session, now| session.drain("this relay is shutting down", deadline, now));
        }
        let finished = async {
            self.state.lifecycle.connections.empty().await;
            self.state.lifecycle.requests.close();
            self.state.lifecycle.requests.empty().await;
        };
        let _in_time = within(deadline, finished).await;
    }

    async fn stop(mut self) {
        for accepting in self.accepting.drain(..) {
            accepting.cancel().await;
        }
        self.state.lifecycle.drain();
        self.state.lifecycle.requests.close();
        for live in self.state.sessions.all() {
            live.session.with(|session, now| session.refuse(DownReason::GoingAway, now));
        }
        self.state.lifecycle.closing.cancel();
        // Interrupted responses end by a reset, which the tasks send; a process that exits sooner would end them orderly.
        let all = join(self.state.lifecycle.links.empty(), self.state.lifecycle.requests.empty());
        let _in_time = within(CLOSE_TIMEOUT, all).await;
        self.state.events.sender.close();
    }
}
