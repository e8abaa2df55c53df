//! Drives a machine of the core over sockets, in four steps with a budget. Knows nothing of the protocol.
//!
//! 1. While a socket is writable, `poll_transmit_to` it: nothing is pulled before what was pulled last is written.
//! 2. Read, always, even when (1) is blocked.
//! 3. When the clock has passed `poll_timeout`, `handle_timeout`.
//! 4. Commands from elsewhere, through [`LinkHandle::with`], wake the loop.

mod streams;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::poll_fn;
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_core::link::{StreamEvent, StreamWakers, Streams};
use hvym_tunnel_core::message::{Close, Transmit};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::time::Instant;

use super::clock::Clock;
use super::link_sockets::{Attached, Sockets};
use super::stream::TunnelStream;
use super::timer::Timer;
use super::trace::TraceId;
use super::websocket::{Incoming, Socket, SocketError};

pub use super::link_sockets::SocketGuard;

/// Rounds of the loop before other tasks get their turn.
const BUDGET: usize = 32;
/// Messages that are pulled at once, however small.
const WRITE_MESSAGES: usize = 8;

/// The bytes that passed through streams, as their users count them.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct ByteCounters {
    /// From the peer.
    pub read: u64,
    /// To the peer.
    pub written: u64,
}

struct State<M: Streams> {
    machine: M,
    counters: ByteCounters,
    driver: Option<Waker>,
    wakers: StreamWakers,
    /// Sockets that the driver has not taken yet.
    arriving: Vec<Attached<M::Socket>>,
}

struct Shared<M: Streams> {
    state: Mutex<State<M>>,
    clock: Clock,
    trace: TraceId,
}

impl<M: Streams> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // A panic inside the machine is a bug; the link is still closed in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Streams> State<M> {
    fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }
}

/// What a driver has for its owner.
enum OwnerEvent<E> {
    Machine(E),
    Opened(StreamId, Box<StreamHeader>),
}

impl<M: Streams> State<M> {
    /// Hands stream events to those who wait for them; `Some` is for the owner.
    fn next_event(&mut self) -> Option<OwnerEvent<M::Event>> {
        while let Some(event) = self.machine.poll_event() {
            match M::split_event(event) {
                Ok(StreamEvent::Opened { id, header }) => {
                    return Some(OwnerEvent::Opened(id, header));
                }
                Ok(event) => self.wakers.wake(&event),
                Err(event) => {
                    // It may be the end of the link, which every stream must learn of.
                    self.wakers.wake_all();
                    return Some(OwnerEvent::Machine(event));
                }
            }
        }
        None
    }
}

/// A handle of the machine that a [`Driver`] drives.
pub struct LinkHandle<M: Streams>(Arc<Shared<M>>);

impl<M: Streams> Clone for LinkHandle<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Streams + Send + 'static> LinkHandle<M> {
    /// A handle of `machine`, which no driver drives yet.
    pub fn new(machine: M, clock: Clock) -> Self {
        let state = State {
            machine,
            counters: ByteCounters::default(),
            driver: None,
            wakers: StreamWakers::new(),
            arriving: Vec::new(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), clock, trace: TraceId::next() }))
    }

    /// One transition, under the lock. `act` must not block.
    pub fn with<R>(&self, act: impl FnOnce(&mut M, Instant) -> R) -> R {
        let now = self.0.clock.now();
        let mut state = self.0.lock();
        let result = act(&mut state.machine, now);
        state.wake_driver();
        result
    }

    /// Gives the machine a further socket, which it knows by `id`. `guard` is dropped with the socket.
    pub fn attach(&self, id: M::Socket, socket: Socket, guard: Option<SocketGuard>) {
        self.0.trace.link("socket");
        let mut state = self.0.lock();
        state.arriving.push(Attached::new(id, socket, guard));
        state.wake_driver();
    }

    /// Reads the machine. `see` must not block.
    pub fn look<R>(&self, see: impl FnOnce(&M) -> R) -> R {
        see(&self.0.lock().machine)
    }

    /// The bytes of all its streams.
    pub fn counters(&self) -> ByteCounters {
        self.0.lock().counters
    }

    /// The only handle of a stream that was just opened.
    pub fn stream(&self, id: StreamId) -> TunnelStream {
        self.0.trace.stream("opened", id, 0);
        TunnelStream::new(Arc::new(self.clone()), id)
    }
}

/// What the owner of the machine must handle.
pub enum DriverEvent<E> {
    /// An event that is not about a stream.
    Event(E),
    /// The peer opened a stream.
    Opened {
        /// The stream; dropping it refuses it.
        stream: TunnelStream,
        /// What it is for; boxed, for it is large and other events are many.
        opening: Box<StreamHeader>,
    },
}

/// Drives one machine over the sockets it is given.
pub struct Driver<M: Streams> {
    handle: LinkHandle<M>,
    sockets: Sockets<M::Socket>,
    timer: Option<(Instant, Timer)>,
    /// Found while reading, for the owner.
    event: Option<OwnerEvent<M::Event>>,
}

impl<M: Streams + Send + 'static> Driver<M> {
    /// Drives the machine behind `handle`, without a socket yet.
    pub fn new(handle: LinkHandle<M>) -> Self {
        Self { handle, sockets: Sockets::new(), timer: None, event: None }
    }

    /// Gives the machine a socket, which it knows by `id`. Those that it does not use any more are dropped.
    pub fn attach(&mut self, id: M::Socket, socket: Socket) {
        self.handle.0.trace.link("socket");
        {
            let machine = &self.handle.0.lock().machine;
            self.sockets.retain(|id| machine.is_current(id));
        }
        self.sockets.push(Attached::new(id, socket, None));
    }

    /// Takes a socket away from the machine, to be given to another one.
    pub fn detach(&mut self, id: M::Socket) -> Option<Socket> {
        self.sockets.take(id)
    }

    /// Drives until there is something for the owner. Dropping the future loses nothing.
    pub async fn next(&mut self) -> DriverEvent<M::Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Drives until all sockets are closed and the close frames are sent, which a process that exits sooner would lose.
    /// Does not end if the machine does not close.
    pub async fn closed(&mut self) {
        poll_fn(|cx| {
            while self.has_sockets() {
                if self.poll_next(cx).is_pending() && self.has_sockets() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
        self.sockets.closed().await;
    }

    fn has_sockets(&self) -> bool {
        self.sockets.len() > 0 || !self.handle.0.lock().arriving.is_empty()
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<DriverEvent<M::Event>> {
        let now = self.handle.0.clock.now();
        for _ in 0..BUDGET {
            if let Some(event) = self.poll_events(cx) {
                return Poll::Ready(event);
            }
            let moved = self.poll_sockets(cx, now);
            let fired = self.poll_timer(cx, now);
            if !(moved || fired) {
                return match self.poll_events(cx) {
                    Some(event) => Poll::Ready(event),
                    None => Poll::Pending,
                };
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One round for each socket, up to an event for the owner.
    fn poll_sockets(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        let mut at = 0;
        while let Some(id) = self.sockets.id(at).filter(|_| self.event.is_none()) {
            moved |= self.poll_write(at, cx, now);
            // One that ended is not there any more.
            if self.sockets.id(at) == Some(id) {
                moved |= self.poll_read(at, cx, now);
            }
            at += usize::from(self.sockets.id(at) == Some(id));
        }
        moved
    }

    /// Hands stream events to those who wait for them; `Some` is for the owner.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Option<DriverEvent<M::Event>> {
        let event = match self.event.take() {
            Some(event) => event,
            None => {
                let mut state = self.handle.0.lock();
                if !state.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    state.driver = Some(cx.waker().clone());
                }
                self.sockets.append(&mut state.arriving);
                for attached in self.sockets.iter_mut() {
                    // Before anything more is read, since a login that was just over may have changed them.
                    attached.socket.set_limits(state.machine.limits(attached.id));
                }
                state.next_event()?
            }
        };
        Some(match event {
            OwnerEvent::Opened(id, opening) => {
                DriverEvent::Opened { stream: self.handle.stream(id), opening }
            }
            OwnerEvent::Machine(event) => DriverEvent::Event(event),
        })
    }

    fn poll_write(&mut self, at: usize, cx: &mut Context<'_>, now: Instant) -> bool {
        let Attached { id, socket, .. } = self.sockets.at(at);
        let has_output = self.handle.0.lock().machine.has_output();
        match if has_output { socket.poll_room(cx, now) } else { socket.poll_flush(cx) } {
            Poll::Pending => return false,
            Poll::Ready(Err(error)) => return self.lost(at, error.into(), now),
            Poll::Ready(Ok(())) => {}
        }
        let mut progress = false;
        for _ in 0..WRITE_MESSAGES {
            let room = socket.batch().saturating_sub(socket.queued_bytes());
            if room == 0 {
                break;
            }
            let mut state = self.handle.0.lock();
            state.machine.set_batch(*id, room);
            let transmit = state.machine.poll_transmit_to(*id);
            drop(state);
            match transmit {
                None => break,
                Some(Transmit::Send(message)) => socket.send(message),
                Some(Transmit::Close(close)) => {
                    let attached = self.sockets.remove(at);
                    self.sockets.close(attached.socket, close);
                    return true;
                }
            }
            progress = true;
        }
        match progress.then(|| socket.poll_flush(cx)) {
            Some(Poll::Ready(Err(error))) => self.lost(at, error.into(), now),
            _ => progress,
        }
    }

    /// Hands over all messages of one read, up to an event for the owner.
    fn poll_read(&mut self, at: usize, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = false;
        loop {
            let Attached { id, socket, .. } = self.sockets.at(at);
            match socket.next_message() {
                Ok(Some(Incoming::Message(message))) => {
                    let mut state = self.handle.0.lock();
                    state.machine.handle_message_from(*id, message, now);
                    self.event = state.next_event();
                    progress = true;
                    if self.event.is_some() {
                        return true;
                    }
                }
                Ok(Some(Incoming::Oversized(head))) => {
                    self.handle.0.lock().machine.handle_oversized(*id, head, now);
                    progress = true;
                }
                Ok(Some(Incoming::Close(close))) => {
                    // The answer goes into a socket that has room for it, or is not worth waiting.
                    let _sent = socket.poll_flush(cx);
                    return self.ended(at, close, now);
                }
                Ok(None) if progress => return true,
                Ok(None) => match socket.poll_input(cx) {
                    Poll::Pending => return false,
                    // One read for each round, also if it brings no whole message.
                    Poll::Ready(Ok(())) => progress = true,
                    Poll::Ready(Err(error)) => return self.lost(at, error, now),
                },
                Err(error) => return self.lost(at, error, now),
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let deadline = self.handle.0.lock().machine.poll_timeout();
        let Some(deadline) = deadline else {
            self.timer = None;
            return false;
        };
        if now >= deadline {
            self.handle.0.trace.link("timer");
            self.timer = None;
            self.handle.0.lock().machine.handle_timeout(now);
            return true;
        }
        // A deadline moves on with every message. One that comes too early looks at the clock and is set again.
        if self.timer.as_ref().is_none_or(|(armed, _)| *armed > deadline) {
            self.timer = Some((deadline, Timer::at(deadline)));
        }
        let fired = match &mut self.timer {
            Some((_, timer)) => Pin::new(timer).poll(cx).is_ready(),
            None => false,
        };
        if fired {
            // The clock decides what has expired: read it again.
            self.timer = None;
            cx.waker().wake_by_ref();
        }
        false
    }

    fn lost(&mut self, at: usize, error: SocketError, now: Instant) -> bool {
        self.handle.0.trace.link("lost");
        let close = error.close();
        let Attached { id, socket, .. } = self.sockets.remove(at);
        if close.code != Close::ABNORMAL {
            self.sockets.close(socket, close.clone());
        }
        self.handle.0.lock().machine.handle_close_from(id, close, now);
        true
    }

    fn ended(&mut self, at: usize, close: Close, now: Instant) -> bool {
        self.handle.0.trace.link("closed");
        let id = self.sockets.remove(at).id;
        self.handle.0.lock().machine.handle_close_from(id, close, now);
        true
    }
}
