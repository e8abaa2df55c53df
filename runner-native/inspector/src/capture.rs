//! Keeps the latest requests and responses of agents, bounded in memory, for whoever looks.
//!
//! It sees bytes on their way and never holds one up. Without an inspection at an agent it sees nothing and costs nothing.

pub(crate) mod body;
mod connection;
mod event_stream;
pub(crate) mod exchange;
mod inflate;
pub(crate) mod messages;
pub(crate) mod ring;
mod websocket;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use hvym_tunnel_agent::AgentEvent;
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::Direction;
use hvym_tunnel_net::observer::{ObservedStream, Observer, Piece};
use smol::channel::{Receiver, Sender, bounded};

use self::connection::Connection;
use self::exchange::{CapturedExchange, ExchangeSource, Moment};
use self::ring::Ring;

/// The most connections that are followed at once. Each may hold the beginning of a head and a decompressor, which counts for
/// [`ring::MAX_HELD_BYTES`] too; visitors of a development machine have a few.
pub const MAX_CONNECTIONS: usize = 256;

/// Which stream of which agent.
type ConnectionKey = (u32, StreamId);

/// What is kept, shared by all that look at it.
#[derive(Debug, Default)]
pub struct Capture {
    /// Whether private services are looked at too.
    takes_private: bool,
    state: Mutex<CaptureState>,
    agents: AtomicU32,
}

#[derive(Debug, Default)]
struct CaptureState {
    ring: Ring,
    connections: BTreeMap<ConnectionKey, Connection>,
    /// What the connections hold.
    held: usize,
    /// Connections that are not followed, because there were too many when they began: at most as many as are open.
    skipping: BTreeSet<ConnectionKey>,
    /// How many of them there were.
    skipped: u64,
    watchers: BTreeMap<u64, Watcher>,
    next_watcher: u64,
}

/// Somebody who wants to know what changes.
#[derive(Debug)]
struct Watcher {
    changed: BTreeSet<u64>,
    is_cleared: bool,
    wake: Sender<()>,
}

/// What changed since the last look.
#[derive(Clone, Debug)]
pub(crate) struct Changes<R> {
    /// Everything that was kept before is gone.
    pub is_cleared: bool,
    /// The exchanges that are new or changed, oldest first.
    pub exchanges: Vec<R>,
}

/// How many exchanges and connections are not kept.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Losses {
    /// Exchanges that had to make room.
    pub dropped: u64,
    /// Connections that were not followed.
    pub skipped: u64,
}

impl Capture {
    /// Nothing is kept yet. `takes_private` is whether private services are looked at too.
    pub fn new(takes_private: bool) -> Arc<Self> {
        Arc::new(Self { takes_private, ..Self::default() })
    }

    /// What sees the bytes of one agent, for [`AgentHandle::inspect`](hvym_tunnel_agent::AgentHandle::inspect).
    pub fn observer(self: &Arc<Self>) -> Arc<dyn Observer<AgentEvent>> {
        let agent = self.agents.fetch_add(1, Ordering::Relaxed);
        Arc::new(AgentObserver { capture: Arc::clone(self), agent })
    }

    /// Whether private services are looked at too.
    pub(crate) fn takes_private(&self) -> bool {
        self.takes_private
    }

    /// All exchanges that are kept, oldest first, each as `look` sees it.
    pub(crate) fn list<R>(&self, look: impl FnMut(&CapturedExchange) -> R) -> Vec<R> {
        self.lock().ring.iter().map(look).collect()
    }

    /// One exchange, as `look` sees it; `None` if it is not kept.
    pub(crate) fn look<R>(&self, id: u64, look: impl FnOnce(&CapturedExchange) -> R) -> Option<R> {
        self.lock().ring.get(id).map(look)
    }

    /// What is not kept.
    pub(crate) fn losses(&self) -> Losses {
        let state = self.lock();
        Losses { dropped: state.ring.dropped(), skipped: state.skipped }
    }

    /// Bytes held in all.
    pub fn held(&self) -> usize {
        let state = self.lock();
        state.ring.held() + state.held
    }

    /// Forgets all exchanges; those that are open are not recorded any further.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.ring.clear();
        state.skipped = 0;
        for watcher in state.watchers.values_mut() {
            watcher.changed.clear();
            watcher.is_cleared = true;
            // It is woken already.
            let _full = watcher.wake.try_send(());
        }
    }

    /// Tells of changes from now on.
    pub(crate) fn watch(self: &Arc<Self>) -> ChangeListener {
        let (wake, woken) = bounded(1);
        let mut state = self.lock();
        state.next_watcher += 1;
        let id = state.next_watcher;
        state.watchers.insert(id, Watcher { changed: BTreeSet::new(), is_cleared: false, wake });
        drop(state);
        ChangeListener { capture: Arc::clone(self), id, woken }
    }

    /// Follows a connection that is none of an agent's.
    pub(crate) fn follow(self: &Arc<Self>, source: ExchangeSource) -> FollowedConnection {
        let connection = Connection::new(source);
        FollowedConnection { capture: Arc::clone(self), connection }
    }

    fn lock(&self) -> MutexGuard<'_, CaptureState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CaptureState {
    fn pass(&mut self, key: ConnectionKey, piece: &Piece<'_>, now: Moment) {
        let Some(mut connection) = self.connection(key, piece.stream) else { return };
        let before = connection.held();
        connection.pass(piece.direction, piece.bytes, now, &mut self.ring);
        self.held = self.held - before + connection.held();
        self.connections.insert(key, connection);
        self.settle();
    }

    /// The connection of a stream, which must be put back.
    fn connection(&mut self, key: ConnectionKey, stream: &ObservedStream) -> Option<Connection> {
        if let Some(known) = self.connections.remove(&key) {
            return Some(known);
        }
        if self.skipping.contains(&key) {
            return None;
        }
        if self.connections.len() >= MAX_CONNECTIONS {
            self.skipping.insert(key);
            self.skipped += 1;
            return None;
        }
        let source =
            ExchangeSource { service: Arc::clone(&stream.service), from: stream.from, replay_of: None };
        Some(Connection::new(source))
    }

    fn end(&mut self, key: ConnectionKey, now: Moment) {
        self.skipping.remove(&key);
        if let Some(mut connection) = self.connections.remove(&key) {
            self.held -= connection.held();
            connection.handle_end(now, &mut self.ring);
            self.settle();
        }
    }

    /// Drops what there is no room for, and tells the watchers what changed.
    fn settle(&mut self) {
        self.ring.evict(self.held);
        let oldest = self.ring.iter().next().map_or(u64::MAX, |exchange| exchange.id);
        let changed = self.ring.take_changed();
        for watcher in self.watchers.values_mut() {
            watcher.changed.extend(&changed);
            // What is gone is no news.
            watcher.changed = watcher.changed.split_off(&oldest);
            if !watcher.changed.is_empty() {
                // If it is full, the watcher is about to look.
                let _full = watcher.wake.try_send(());
            }
        }
    }
}

impl Connection {
    fn pass(&mut self, direction: Direction, bytes: Option<&[u8]>, now: Moment, ring: &mut Ring) {
        match (direction, bytes) {
            (Direction::ToLocal, Some(bytes)) => self.handle_request_bytes(bytes, now, ring),
            (Direction::ToTunnel, Some(bytes)) => self.handle_response_bytes(bytes, now, ring),
            (Direction::ToTunnel, None) => self.handle_response_end(now, ring),
            (Direction::ToLocal, None) => {}
        }
    }
}

/// Sees the bytes of one agent.
struct AgentObserver {
    capture: Arc<Capture>,
    agent: u32,
}

impl AgentObserver {
    fn wants(&self, stream: &ObservedStream) -> bool {
        stream.proto == Proto::Http && (self.capture.takes_private || !stream.is_private)
    }
}

impl Observer<AgentEvent> for AgentObserver {
    fn wants_bytes(&self) -> bool {
        true
    }

    fn handle_bytes(&self, piece: &Piece<'_>) {
        if self.wants(piece.stream) {
            self.capture.lock().pass((self.agent, piece.stream.id), piece, now());
        }
    }

    fn handle_stream_end(&self, stream: &ObservedStream) {
        if self.wants(stream) {
            self.capture.lock().end((self.agent, stream.id), now());
        }
    }
}

/// A connection that somebody else carries.
pub(crate) struct FollowedConnection {
    capture: Arc<Capture>,
    connection: Connection,
}

impl FollowedConnection {
    /// These bytes pass; `None` is the end of that direction. Returns the exchange that began last.
    pub(crate) fn pass(&mut self, direction: Direction, bytes: Option<&[u8]>) -> u64 {
        let mut state = self.capture.lock();
        self.connection.pass(direction, bytes, now(), &mut state.ring);
        state.settle();
        state.ring.last()
    }

    /// Whether every request has its response.
    pub(crate) fn is_idle(&self) -> bool {
        self.connection.is_idle()
    }
}

impl Drop for FollowedConnection {
    fn drop(&mut self) {
        let mut state = self.capture.lock();
        self.connection.handle_end(now(), &mut state.ring);
        state.settle();
    }
}

/// Tells what changes, until it is dropped.
#[derive(Debug)]
pub(crate) struct ChangeListener {
    capture: Arc<Capture>,
    id: u64,
    woken: Receiver<()>,
}

impl ChangeListener {
    /// Waits until something changed.
    pub(crate) async fn changed(&self) {
        // The sender lives as long as this.
        let _woken = self.woken.recv().await;
    }

    /// What changed since the last call, each exchange as `look` sees it.
    pub(crate) fn take<R>(&self, look: impl FnMut(&CapturedExchange) -> R) -> Changes<R> {
        let mut state = self.capture.lock();
        let watcher = state.watchers.get_mut(&self.id);
        let (is_cleared, changed) = watcher.map_or_else(Default::default, |watcher| {
            (std::mem::take(&mut watcher.is_cleared), std::mem::take(&mut watcher.changed))
        });
        let exchanges = changed.into_iter().filter_map(|id| state.ring.get(id)).map(look).collect();
        Changes { is_cleared, exchanges }
    }
}

impl Drop for ChangeListener {
    fn drop(&mut self) {
        self.capture.lock().watchers.remove(&self.id);
    }
}

fn now() -> Moment {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { at: Clock::new().now(), unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests;
