//! The relay: the public side, where agents connect and visitors come.
//!
//! ```text
//!  visitor -- HTTP --> visitors -- host name --> roster -- stream --> ingress --> agent
//!                         |                        ^
//!                         +-- /connect --> connect + (one Session each)
//! ```
//!
//! It runs by itself, and inside `expose` for somebody who has no relay. What a session may do is the core's.

mod answering;
mod by_path;
mod conduit;
pub mod config;
mod connect;
mod conversation;
mod descriptors;
mod framing;
mod guests;
mod heads;
mod ingress;
mod live;
mod load;
mod origin;
mod pages;
mod passage;
mod patient;
mod pool;
mod ports;
mod question;
mod reach;
mod reply;
mod roster;
mod seat;
mod settings;
mod surface;
mod switchboard;
mod tally;
mod threshold;
mod tls;
mod trunk;
mod turnstile;
mod upgrade;
mod upload;
mod visitors;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::runtime::Task;
use thiserror::Error;

use guests::Guests;
use hvym_tunnel_net::clock::within;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timer::Timer;
use settings::CLOSE_TIMEOUT;
use switchboard::Switchboard;
use tls::{Stamp, Tls};

pub use guests::KeysError;
pub use settings::{Limits, RelaySettings};
pub use switchboard::{Observer, RelayEvent};
pub use tls::TlsError;

/// Why a relay cannot start.
#[derive(Debug, Error)]
pub enum StartError {
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
    /// What guests' tokens are checked with.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// A running relay. Dropped, it accepts nothing more; what is open goes on.
pub struct Relay {
    board: Arc<Switchboard>,
    local: SocketAddr,
    accepting: Task<()>,
    tls: Option<Tls>,
    /// Looks whether the certificate was renewed.
    _renewing: Option<Task<()>>,
}

impl Relay {
    /// Listens, and serves from then on as the relay `address`. It needs no secret: agents sign, a relay verifies.
    ///
    /// # Errors
    /// No place to listen, or no usable certificate.
    pub fn start(address: Address, settings: RelaySettings, observer: Observer) -> Result<Self, StartError> {
        descriptors::allow(settings.limits.connections);
        let at = settings.options.listen;
        // Taken before the files are read, so that no later write goes unnoticed.
        let stamp = settings.options.tls.as_ref().map(Stamp::of);
        let tls = settings.options.tls.as_ref().map(Tls::load).transpose()?;
        let guests = Guests::new(&settings.options.guests)?;
        let listener = visitors::listen(at).map_err(|error| StartError::Listen { at, error })?;
        let local = listener.local_addr().map_err(|error| StartError::Listen { at, error })?;
        let board = Arc::new(Switchboard::new(address, settings, guests, local.port(), observer));
        let accepting = spawn(visitors::accept(Arc::clone(&board), listener, tls.clone()));
        let _renewing =
            tls.clone().zip(stamp).map(|(tls, stamp)| spawn(renew(Arc::clone(&board), tls, stamp)));
        Ok(Self { board, local, accepting, tls, _renewing })
    }

    /// Where it really listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where visitors and agents are told to begin: the relay's own page, and what agents give as `--relay`.
    pub fn urls(&self) -> (String, String) {
        let options = &self.board.settings.options;
        let front = options.public_url(&options.domain, self.local.port());
        (front, options.agent_url(self.local.port()).to_string())
    }

    /// Reads the certificate's files again, for every handshake from now on, and the keys of guests' tokens.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            self.board.tell(RelayEvent::Certificate(tls.reload()));
        }
        if let Some(reloaded) = self.board.guests.reload() {
            self.board.tell(RelayEvent::Keys(reloaded));
        }
    }

    /// Whether there is anything to read again.
    pub fn has_files(&self) -> bool {
        self.tls.is_some() || self.board.guests.has_file()
    }

    /// Takes nothing new, and waits until every request that is under way is done, at most for `limit`.
    /// Agents are told to connect elsewhere. Follow it with [`Relay::stop`].
    pub async fn drain(&mut self, limit: Duration) {
        self.refuse_new().await;
        for live in self.board.roster.all() {
            live.session.with(|session, now| session.drain("this relay is shutting down", limit, now));
        }
        let finished = async {
            self.board.requests.empty().await;
            // An answer that is complete may still wait to be sent.
            self.board.conversations.empty().await;
        };
        let _in_time = within(limit, finished).await;
    }

    /// Ends everything: agents are told that the relay goes away, visitors are cut off.
    pub async fn stop(mut self) {
        self.refuse_new().await;
        for live in self.board.roster.all() {
            live.session.with(|session, now| session.refuse(DownReason::GoingAway, now));
        }
        self.board.closing.cancel();
        // Visitors too are told, by a reset where a connection breaks off; a process that ends sooner would end them.
        let all = join(self.board.links.empty(), self.board.requests.empty());
        let _in_time = within(CLOSE_TIMEOUT, all).await;
    }

    async fn refuse_new(&mut self) {
        let accepting = std::mem::replace(&mut self.accepting, spawn(async {}));
        accepting.cancel().await;
        self.board.requests.close();
        self.board.conversations.close();
        self.board.links.close();
        self.board.draining.cancel();
    }
}

/// Reads the certificate again whenever its files were written, until it is dropped.
async fn renew(board: Arc<Switchboard>, tls: Tls, mut stamp: Stamp) {
    loop {
        Timer::after(board.settings.certificate_poll).await;
        let now = tls.stamp();
        if now != stamp {
            stamp = now;
            board.tell(RelayEvent::Certificate(tls.reload()));
        }
    }
}
