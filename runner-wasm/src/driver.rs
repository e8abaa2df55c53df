//! Drives an agent over the browser's WebSocket, in callbacks. It knows nothing of the protocol.
//!
//! One run of the loop:
//! 1. Read the agent's events: wake the streams concerned, dial, queue the others for the owner.
//! 2. While the browser's send buffer has room, `poll_transmit`.
//! 3. If the clock has passed `poll_timeout`, `handle_timeout`; repeat until nothing changes.
//! 4. Arm the timer, and pass the queued events to the owner.
//!
//! A run follows each WebSocket event, timer and command ([`Driver::with`]). Wakers and the owner call JavaScript, which may
//! call back, so nothing is borrowed while they are called.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::{Agent, AgentEvent, AttemptId, DialTarget};
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_core::link::{Stream, StreamEvent, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Transmit};
use hvym_tunnel_core::mux::{Read, StreamError, StreamId};
use hvym_tunnel_core::time::Instant;
use js_sys::Function;
use wasm_bindgen::JsValue;

use crate::clock::{self, Timer, TimerCallback};
use crate::microtask::Microtask;
use crate::socket::{Socket, SocketEvent};
use crate::wakers::Wakers;

/// Bytes in the browser's send buffer above which nothing more is sent. Enough for a second of a fast network, because
/// timers of a page in the background fire once a second; not more, because buffered data cannot be cancelled.
const MAX_BUFFERED: u32 = 1024 * 1024;
/// How often a full send buffer is checked. The browser has no event for it.
const BUFFER_CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// Bytes returned by one read, so that JavaScript gets chunks of moderate size.
const MAX_READ: usize = 64 * 1024;

/// What a driver reports to its owner.
pub(crate) enum DriverEvent {
    /// The WebSocket is open, and the login begins.
    Opened,
    /// An event of the agent that concerns no stream.
    Agent(AgentEvent),
    /// The peer opened a stream.
    Incoming(StreamId, Box<StreamHeader>),
}

struct State {
    agent: Agent,
    socket: Option<Socket>,
    timer: Option<(Instant, Timer)>,
    /// Armed while the browser's send buffer is full.
    buffer_check: Option<Timer>,
    wakers: Wakers,
    events: VecDeque<DriverEvent>,
}

/// Receives the events.
type Owner = Rc<dyn Fn(DriverEvent)>;

struct Shared {
    state: RefCell<State>,
    /// Whether the loop runs.
    is_running: Cell<bool>,
    /// Runs the loop.
    microtask: Microtask,
    /// Runs the loop, too.
    on_timer: TimerCallback,
    owner: RefCell<Option<Owner>>,
    /// Gives the WebSocket for a URL.
    open_socket: Function,
}

/// A handle of an agent and the loop that drives it.
#[derive(Clone)]
pub(crate) struct Driver(Rc<Shared>);

impl Driver {
    /// A driver of `agent`, which dials by `open_socket`: `(url) => WebSocket`. Nothing happens before [`Driver::start`].
    pub(crate) fn new(agent: Agent, open_socket: Function) -> Self {
        Self(Rc::new_cyclic(|shared: &Weak<Shared>| {
            let (weak, weak_of_timer) = (Weak::clone(shared), Weak::clone(shared));
            let run = move || {
                if let Some(shared) = weak.upgrade() {
                    Driver(shared).run();
                }
            };
            let on_timer = move || {
                if let Some(shared) = weak_of_timer.upgrade() {
                    // The run compares deadlines with the clock, and arms the timer again for those that have not passed.
                    shared.state.borrow_mut().timer = None;
                    Driver(shared).run();
                }
            };
            Shared {
                state: RefCell::new(State {
                    agent,
                    socket: None,
                    timer: None,
                    buffer_check: None,
                    wakers: Wakers::default(),
                    events: VecDeque::new(),
                }),
                is_running: Cell::new(false),
                microtask: Microtask::new(run),
                on_timer: TimerCallback::new(on_timer),
                owner: RefCell::new(None),
                open_socket,
            }
        }))
    }

    /// Starts the loop; `owner` is called for each event, not inside this call.
    pub(crate) fn start(&self, owner: impl Fn(DriverEvent) + 'static) {
        *self.0.owner.borrow_mut() = Some(Rc::new(owner));
        self.0.microtask.queue();
    }

    /// Drops the owner and stops its events. Frames that the agent has queued are still sent.
    pub(crate) fn detach_owner(&self) {
        *self.0.owner.borrow_mut() = None;
    }

    /// One command to the agent. A run of the loop follows on the microtask queue, not inside this call.
    pub(crate) fn with<R>(&self, command: impl FnOnce(&mut Agent, Instant) -> R) -> R {
        let result = command(&mut self.0.state.borrow_mut().agent, clock::now());
        self.0.microtask.queue();
        result
    }

    /// The next bytes of a stream. After [`Read::Empty`] its waker is called when there is more.
    ///
    /// # Errors
    /// The stream was reset, or its link lost.
    pub(crate) fn read(&self, id: StreamId) -> Result<Read, StreamError> {
        let read = self.stream_unscheduled(id, |stream, now| stream.read(MAX_READ, now))?;
        if matches!(read, Read::Data(_)) {
            // The read may have queued a window update.
            self.0.microtask.queue();
        }
        Ok(read)
    }

    /// Whether a stream was reset, or its link lost.
    pub(crate) fn is_reset(&self, id: StreamId) -> bool {
        let result = self.stream_unscheduled(id, |stream, now| stream.write(&mut Bytes::new(), now));
        !matches!(result, Ok(_) | Err(StreamError::Finished))
    }

    /// Sets the function that is called when something happens to a stream, until [`Driver::remove`].
    pub(crate) fn set_waker(&self, id: StreamId, waker: Function) {
        self.0.state.borrow_mut().wakers.insert(id, waker);
    }

    /// One operation on a stream, followed by a run of the loop on the microtask queue.
    ///
    /// # Errors
    /// The operation's, or [`StreamError::Closed`].
    pub(crate) fn stream<R>(
        &self,
        id: StreamId,
        operation: impl FnOnce(&mut Stream<'_>, Instant) -> Result<R, StreamError>,
    ) -> Result<R, StreamError> {
        let result = self.stream_unscheduled(id, operation);
        self.0.microtask.queue();
        result
    }

    fn stream_unscheduled<R>(
        &self,
        id: StreamId,
        operation: impl FnOnce(&mut Stream<'_>, Instant) -> Result<R, StreamError>,
    ) -> Result<R, StreamError> {
        let mut state = self.0.state.borrow_mut();
        match state.agent.stream(id) {
            Ok(mut stream) => operation(&mut stream, clock::now()),
            Err(closed) => Err(StreamError::Closed(closed)),
        }
    }

    /// Forgets the waker of a stream whose handle is gone.
    pub(crate) fn remove(&self, id: StreamId) {
        self.0.state.borrow_mut().wakers.remove(id);
    }

    /// Runs the loop until nothing changes, and passes the events to the owner.
    fn run(&self) {
        if self.0.is_running.replace(true) {
            // Called by the owner during an event; the outer call runs the loop again after it.
            return;
        }
        loop {
            let (waker, event, owner) = {
                let mut state = self.0.state.borrow_mut();
                state.process(self);
                let waker = state.wakers.poll_woken();
                let event = if waker.is_none() { state.events.pop_front() } else { None };
                (waker, event, self.0.owner.borrow().clone())
            };
            match (waker, event, owner) {
                (Some(waker), ..) => {
                    // It settles promises, which cannot throw.
                    let _called = waker.call0(&JsValue::UNDEFINED);
                }
                (None, None, _) => break,
                (None, Some(event), Some(owner)) => owner(event),
                (None, Some(_), None) => {}
            }
        }
        self.0.is_running.set(false);
    }

    /// An event of the WebSocket of `attempt`.
    fn on_socket(&self, attempt: AttemptId, event: SocketEvent) {
        {
            let (mut state, now) = (self.0.state.borrow_mut(), clock::now());
            match event {
                SocketEvent::Opened => {
                    state.events.push_back(DriverEvent::Opened);
                    if !state.agent.handle_open(attempt, clock::wall(), now) {
                        state.socket = None;
                    }
                }
                SocketEvent::Message(message) => state.agent.handle_message_from(attempt, message, now),
                SocketEvent::Closed(close) => {
                    state.socket = None;
                    state.agent.handle_close_from(attempt, close, now);
                }
            }
        }
        self.run();
    }

    fn dial(&self, target: &DialTarget) -> Result<Socket, Close> {
        let (shared, attempt) = (Rc::downgrade(&self.0), target.attempt);
        Socket::dial(&self.0.open_socket, &target.relay, move |event| {
            if let Some(shared) = Weak::upgrade(&shared) {
                Driver(shared).on_socket(attempt, event);
            }
        })
    }

    /// Runs the loop after `delay`.
    fn run_after(&self, delay: Duration) -> Timer {
        Timer::after(delay, &self.0.on_timer)
    }
}

impl State {
    /// One run of the loop, without the owner's events.
    fn process(&mut self, driver: &Driver) {
        loop {
            let now = clock::now();
            self.read_events(driver, now);
            let sent = self.send(driver);
            let is_late = self.agent.poll_timeout().is_some_and(|deadline| now >= deadline);
            if is_late {
                self.agent.handle_timeout(now);
            }
            if !(sent || is_late) {
                break;
            }
        }
        self.arm_timer(driver);
    }

    fn read_events(&mut self, driver: &Driver, now: Instant) {
        while let Some(event) = self.agent.poll_event() {
            match Agent::split_event(event) {
                Ok(StreamEvent::Opened { id, header }) => {
                    self.events.push_back(DriverEvent::Incoming(id, header));
                }
                Ok(event) => self.wakers.wake(event.id()),
                Err(AgentEvent::Dial(target)) => {
                    // A dropped socket has no events, so that `self.socket` always belongs to the current attempt.
                    self.socket = None;
                    match driver.dial(&target) {
                        Ok(socket) => self.socket = Some(socket),
                        Err(close) => self.agent.handle_close_from(target.attempt, close, now),
                    }
                    self.events.push_back(DriverEvent::Agent(AgentEvent::Dial(target)));
                }
                Err(event) => {
                    if matches!(event, AgentEvent::Down { .. }) {
                        self.wakers.wake_all();
                    }
                    self.events.push_back(DriverEvent::Agent(event));
                }
            }
        }
    }

    /// Sends what the browser's buffer has room for. Returns whether anything was sent.
    fn send(&mut self, driver: &Driver) -> bool {
        let mut sent = false;
        loop {
            if self.socket.as_ref().is_some_and(|socket| socket.buffered() > MAX_BUFFERED) {
                self.buffer_check = Some(driver.run_after(BUFFER_CHECK_INTERVAL));
                return sent;
            }
            self.buffer_check = None;
            let Some(transmit) = self.agent.poll_transmit() else { return sent };
            sent = true;
            match (transmit, &self.socket) {
                (Transmit::Send(message), Some(socket)) => socket.send(&message),
                (Transmit::Close(close), Some(_)) => {
                    if let Some(socket) = self.socket.take() {
                        socket.close(&close);
                    }
                }
                // Messages of a link whose socket has closed.
                (_, None) => {}
            }
        }
    }

    fn arm_timer(&mut self, driver: &Driver) {
        let deadline = self.agent.poll_timeout();
        if self.timer.as_ref().map(|(armed, _)| *armed) != deadline {
            self.timer = deadline.map(|deadline| (deadline, driver.run_after(deadline - clock::now())));
        }
    }
}
