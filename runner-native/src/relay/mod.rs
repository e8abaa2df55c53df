//! The relay: the public side, where agents connect and visitors come.
//!
//! ```text
//!  visitor -- HTTP --> visitors -- host name --> roster -- stream --> ingress --> agent
//!                         |                        ^
//!                         +-- /connect --> connect + (one Session each)
//! ```
//!
//! It runs by itself, and inside `expose` for somebody who has no relay. What a session may do is the core's.

mod connect;
mod descriptors;
mod heads;
mod ingress;
mod live;
mod pages;
mod phases;
mod ports;
mod reach;
mod reply;
mod roster;
mod settings;
mod surface;
mod switchboard;
mod timer;
mod tls;
mod upgrade;
mod visitors;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_executor::Task;
use futures_util::future::{Either, join, select};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use thiserror::Error;

use crate::cli::exit::{Exit, Failure};
use crate::cli::report::{Report, Reporter};
use crate::cli::signals::{DRAIN_LIMIT, Stop, StopSignals};
use crate::config::RelayOptions;
use crate::io::clock::within;
use crate::io::executor::spawn;
use crate::key::Identity;
use settings::CLOSE_TIMEOUT;
use switchboard::Switchboard;

pub(crate) use settings::RelaySettings;
pub(crate) use switchboard::{Observer, RelayEvent};
pub(crate) use tls::TlsError;

/// Why a relay cannot start.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    /// The address is taken, not ours, or below 1024 without the right.
    #[error("cannot listen at {at}: {error}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        let hint = match &error {
            StartError::Listen { error, .. } => match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "something listens there already: stop it, or choose another --listen"
                }
                io::ErrorKind::AddrNotAvailable => "no network interface of this machine has this address",
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need a right: choose another, or grant it"
                }
                _ => "choose another --listen",
            },
            StartError::Tls(_) => {
                "both files must be PEM; the certificate's file holds the whole chain, its own first"
            }
        };
        Failure::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

/// A running relay. Dropped, it accepts nothing more; what is open goes on.
pub(crate) struct Relay {
    board: Arc<Switchboard>,
    local: SocketAddr,
    accepting: Task<()>,
}

impl Relay {
    /// Listens, and serves from then on as the relay `address`. It needs no secret: agents sign, a relay verifies.
    ///
    /// # Errors
    /// No place to listen, or no usable certificate.
    pub(crate) fn start(
        address: Address,
        settings: RelaySettings,
        observer: Observer,
    ) -> Result<Self, StartError> {
        descriptors::allow(settings.limits.connections);
        let at = settings.options.listen;
        let tls = settings.options.tls.as_ref().map(tls::acceptor).transpose()?;
        let listener = visitors::listen(at).map_err(|error| StartError::Listen { at, error })?;
        let local = listener.local_addr().map_err(|error| StartError::Listen { at, error })?;
        let board = Arc::new(Switchboard::new(address, settings, local.port(), observer));
        let accepting = spawn(visitors::accept(Arc::clone(&board), listener, tls));
        Ok(Self { board, local, accepting })
    }

    /// Where it really listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where visitors and agents are told to begin: the relay's own page, and what agents give as `--relay`.
    pub(crate) fn urls(&self) -> (String, String) {
        let options = &self.board.settings.options;
        let front = options.public_url(&options.domain, self.local.port());
        (front, options.agent_url(self.local.port()).to_string())
    }

    /// Takes nothing new, and waits until every request that is under way is done, at most for `limit`.
    /// Agents are told to connect elsewhere. Follow it with [`Relay::stop`].
    pub(crate) async fn drain(&mut self, limit: Duration) {
        self.refuse_new().await;
        for live in self.board.roster.all() {
            live.session.with(|session, now| session.drain("this relay is shutting down", limit, now));
        }
        let _in_time = within(limit, self.board.requests.empty()).await;
    }

    /// Ends everything: agents are told that the relay goes away, visitors are cut off.
    pub(crate) async fn stop(mut self) {
        self.refuse_new().await;
        for live in self.board.roster.all() {
            live.session.with(|session, now| session.refuse(DownReason::GoingAway, now));
        }
        self.board.closing.set();
        // Visitors too are told, by a reset where a connection breaks off; a process that ends sooner would end them.
        let all = join(self.board.links.empty(), self.board.requests.empty());
        let _in_time = within(CLOSE_TIMEOUT, all).await;
    }

    async fn refuse_new(&mut self) {
        let accepting = std::mem::replace(&mut self.accepting, spawn(async {}));
        accepting.cancel().await;
        self.board.requests.close();
        self.board.links.close();
        self.board.draining.set();
    }
}

/// Runs a relay until a person ends it.
///
/// # Errors
/// It could not start.
pub(crate) async fn run(
    identity: Identity,
    options: RelayOptions,
    reporter: Reporter,
    mut signals: StopSignals,
) -> Result<(), Failure> {
    let address = identity.address();
    // Whoever breaks into a relay finds no key in it.
    drop(identity);
    let told = reporter.clone();
    let observer: Observer = Arc::new(move |event| report(&told, event));
    let mut relay = Relay::start(address, RelaySettings::from(options), observer)?;
    let (url, agent_url) = relay.urls();
    let listen = relay.local_addr().to_string();
    reporter.tell(&Report::Listening { url, relay: agent_url, address, listen });
    if signals.next().await == Stop::Drain {
        let reason = "as asked".to_owned();
        reporter.tell(&Report::Draining { reason, deadline: DRAIN_LIMIT });
        let draining = pin!(relay.drain(DRAIN_LIMIT));
        if let Either::Right(_) = select(draining, pin!(signals.next())).await {
            tracing::info!("asked again: stopping at once");
        }
    }
    relay.stop().await;
    reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
    Ok(())
}

fn report(reporter: &Reporter, event: RelayEvent) {
    match event {
        RelayEvent::AgentJoined { address, url, peer } => {
            reporter.tell(&Report::AgentJoined { address, url, peer: peer.to_string() });
        }
        RelayEvent::AgentLeft { address, reason } => {
            reporter.tell(&Report::AgentLeft { address, reason: reason.to_string() });
        }
    }
}
