//! The loop that drives an agent, as callbacks: the same four lanes as everywhere, and nothing of the protocol.
//!
//! 1. While the browser takes more, `poll_transmit`.
//! 2. Whatever the WebSocket tells goes in at once.
//! 3. When the clock has passed `poll_timeout`, `handle_timeout`.
//! 4. Commands, through [`Driver::with`], run the loop again.
//!
//! JavaScript is only ever called when nothing here is borrowed, because it may call back.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::{Agent, AgentEvent, AttemptId, Target};
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_core::link::{Stream, StreamEvent, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Transmit};
use hvym_tunnel_core::mux::{Read, StreamError, StreamId};
use hvym_tunnel_core::time::Instant;

use crate::clock::{self, Timer};
use crate::socket::{Socket, Told};
use crate::task;

/// Bytes that may wait inside the browser. Enough for a second of a good line, so that a page in the background,
/// whose timers fire once a second, is not slowed down; what waits there can no longer be taken back.
const MAX_BUFFERED: u32 = 1024 * 1024;
/// How soon to look whether the browser takes more. There is no event for it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Handed over by one read, so that a reader in JavaScript gets pieces it can hold.
const MAX_READ: usize = 64 * 1024;

/// What the owner of a driver must see.
pub(crate) enum Happened {
    /// The WebSocket is open, and the login begins.
    Opened,
    /// An event that is not about a stream.
    Event(AgentEvent),
    /// Somebody opened a stream.
    Incoming(StreamId, StreamHeader),
}

/// Who waits for a stream.
#[derive(Default)]
struct Waiting {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Waits for the stream to be torn down.
    watcher: Option<Waker>,
}

impl Waiting {
    fn wake_all(&mut self) {
        [self.reader.take(), self.writer.take(), self.watcher.take()]
            .into_iter()
            .flatten()
            .for_each(Waker::wake);
    }
}

struct State {
    agent: Agent,
    socket: Option<Socket>,
    timer: Option<(Instant, Timer)>,
    /// Set while the browser's buffer is full.
    look_again: Option<Timer>,
    /// A few dozen at most, so that a list is found through as fast as a tree, in a tenth of the code.
    waiting: Vec<(StreamId, Waiting)>,
    happened: VecDeque<Happened>,
}

/// Whoever is told what happens.
type Owner = Rc<dyn Fn(Happened)>;

struct Shared {
    state: RefCell<State>,
    /// Whether the loop runs, or will run before control returns to the browser.
    is_running: Cell<bool>,
    is_due: Cell<bool>,
    owner: RefCell<Option<Owner>>,
}

/// An agent that is driven.
#[derive(Clone)]
pub(crate) struct Driver(Rc<Shared>);

impl Driver {
    /// Takes `agent` in. Nothing moves before [`Driver::start`].
    pub(crate) fn new(agent: Agent) -> Self {
        Self(Rc::new(Shared {
            state: RefCell::new(State {
                agent,
                socket: None,
                timer: None,
                look_again: None,
                waiting: Vec::new(),
                happened: VecDeque::new(),
            }),
            is_running: Cell::new(false),
            is_due: Cell::new(false),
            owner: RefCell::new(None),
        }))
    }

    /// Begins, and tells `owner` from now on.
    pub(crate) fn start(&self, owner: impl Fn(Happened) + 'static) {
        *self.0.owner.borrow_mut() = Some(Rc::new(owner));
        self.soon();
    }

    /// Forgets the owner, and with it what the owner holds. The agent's last words still leave.
    pub(crate) fn abandon(&self) {
        *self.0.owner.borrow_mut() = None;
    }

    /// One command. What it causes happens before control returns to the browser, and not inside this call.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Agent, Instant) -> R) -> R {
        let result = act(&mut self.0.state.borrow_mut().agent, clock::now());
        self.soon();
        result
    }

    /// The next bytes of a stream, or `None` at its end.
    pub(crate) fn poll_read(
        &self,
        id: StreamId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        match self.at(id, |stream, now| stream.read(MAX_READ, now)) {
            Ok(Read::Data(data)) => {
                // Reading may have made credit that the other side waits for.
                self.soon();
                Poll::Ready(Ok(Some(data)))
            }
            Ok(Read::Finished) => Poll::Ready(Ok(None)),
            Ok(Read::Empty) => {
                self.wait(id).reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Takes from `data` until nothing is left.
    pub(crate) fn poll_write(
        &self,
        id: StreamId,
        data: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let written = self.stream(id, |stream, now| stream.write(data, now));
        match written {
            Err(error) => Poll::Ready(Err(error)),
            Ok(_) if data.is_empty() => Poll::Ready(Ok(())),
            Ok(_) => {
                self.wait(id).writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Ready when the stream is torn down, or its link lost.
    pub(crate) fn poll_torn(&self, id: StreamId, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_torn(id) {
            return Poll::Ready(());
        }
        self.wait(id).watcher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether a stream is torn down, or its link lost.
    pub(crate) fn is_torn(&self, id: StreamId) -> bool {
        let alive = self.at(id, |stream, now| stream.write(&mut Bytes::new(), now));
        !matches!(alive, Ok(_) | Err(StreamError::Finished))
    }

    /// One operation on a stream. What it causes leaves when the code that runs now is done.
    ///
    /// # Errors
    /// As the operation, or that the stream is over.
    pub(crate) fn stream<R>(
        &self,
        id: StreamId,
        act: impl FnOnce(&mut Stream<'_>, Instant) -> Result<R, StreamError>,
    ) -> Result<R, StreamError> {
        let result = self.at(id, act);
        self.soon();
        result
    }

    fn at<R>(
        &self,
        id: StreamId,
        act: impl FnOnce(&mut Stream<'_>, Instant) -> Result<R, StreamError>,
    ) -> Result<R, StreamError> {
        let mut state = self.0.state.borrow_mut();
        match state.agent.stream(id) {
            Ok(mut stream) => act(&mut stream, clock::now()),
            Err(closed) => Err(StreamError::Closed(closed)),
        }
    }

    /// Tears a stream down. Who waits for it learns of it, as of a reset from the other side.
    pub(crate) fn reset(&self, id: StreamId, code: u32) {
        // One that is over already needs no end.
        let _over = self.stream(id, |stream, now| {
            stream.reset(code, now);
            Ok(())
        });
        if let Some((_, waiting)) =
            self.0.state.borrow_mut().waiting.iter_mut().find(|(known, _)| *known == id)
        {
            waiting.wake_all();
        }
    }

    /// Nobody waits for this stream any more.
    pub(crate) fn forget(&self, id: StreamId) {
        self.0.state.borrow_mut().waiting.retain(|(waiting, _)| *waiting != id);
        self.soon();
    }

    fn wait(&self, id: StreamId) -> RefMut<'_, Waiting> {
        RefMut::map(self.0.state.borrow_mut(), |state| {
            let waiting = &mut state.waiting;
            let at = waiting.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                waiting.push((id, Waiting::default()));
                waiting.len() - 1
            });
            &mut waiting[at].1
        })
    }

    /// Runs the loop when the code that runs now is done: what many calls write leaves together.
    fn soon(&self) {
        if !self.0.is_due.replace(true) {
            let driver = self.clone();
            task::spawn(async move { driver.run() });
        }
    }

    /// Runs the loop until there is nothing to do, then tells the owner what happened.
    fn run(&self) {
        self.0.is_due.set(false);
        if self.0.is_running.replace(true) {
            // The owner is being told; whoever tells it looks again.
            return;
        }
        loop {
            let (happened, owner) = {
                let mut state = self.0.state.borrow_mut();
                state.turn(self);
                (state.happened.pop_front(), self.0.owner.borrow().clone())
            };
            match (happened, owner) {
                (None, _) => break,
                (Some(happened), Some(owner)) => owner(happened),
                (Some(_), None) => {}
            }
        }
        self.0.is_running.set(false);
    }

    /// The WebSocket of `attempt` has news.
    fn hear(&self, attempt: AttemptId, told: Told) {
        {
            let (mut state, now) = (self.0.state.borrow_mut(), clock::now());
            match told {
                Told::Opened => {
                    state.happened.push_back(Happened::Opened);
                    if !state.agent.handle_open(attempt, clock::wall(), now) {
                        state.socket = None;
                    }
                }
                Told::Message(message) => state.agent.handle_message_from(attempt, message, now),
                Told::Closed(close) => {
                    state.socket = None;
                    state.agent.handle_close_from(attempt, close, now);
                }
            }
        }
        self.run();
    }

    fn dial(&self, target: &Target) -> Result<Socket, Close> {
        let (shared, attempt) = (Rc::downgrade(&self.0), target.attempt);
        Socket::dial(&target.relay, move |told| {
            if let Some(shared) = Weak::upgrade(&shared) {
                Driver(shared).hear(attempt, told);
            }
        })
    }

    /// Calls the loop after `delay`.
    fn after(&self, delay: Duration) -> Timer {
        let shared = Rc::downgrade(&self.0);
        Timer::after(delay, move || {
            if let Some(shared) = Weak::upgrade(&shared) {
                // The clock, not the timer, says what has expired; what has not is waited for again.
                shared.state.borrow_mut().timer = None;
                Driver(shared).run();
            }
        })
    }
}

impl State {
    /// Everything that can be done now.
    fn turn(&mut self, driver: &Driver) {
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
        self.set_timer(driver);
    }

    fn read_events(&mut self, driver: &Driver, now: Instant) {
        while let Some(event) = self.agent.poll_event() {
            match Agent::split_event(event) {
                Ok(StreamEvent::Opened { id, header: opening }) => {
                    self.happened.push_back(Happened::Incoming(id, opening));
                }
                Ok(event) => self.wake(&event),
                Err(AgentEvent::Dial(target)) => {
                    // A socket that is dropped has no news any more, so `self.socket` is always that of the attempt.
                    self.socket = None;
                    match driver.dial(&target) {
                        Ok(socket) => self.socket = Some(socket),
                        Err(close) => self.agent.handle_close_from(target.attempt, close, now),
                    }
                    self.happened.push_back(Happened::Event(AgentEvent::Dial(target)));
                }
                Err(event) => {
                    if matches!(event, AgentEvent::Down { .. }) {
                        self.wake_all();
                    }
                    self.happened.push_back(Happened::Event(event));
                }
            }
        }
    }

    fn wake(&mut self, event: &StreamEvent) {
        let id = event.id();
        let Some((_, waiting)) = self.waiting.iter_mut().find(|(known, _)| *known == id) else { return };
        match event {
            StreamEvent::Reset(..) => waiting.wake_all(),
            StreamEvent::Readable(_) => waiting.reader.take().into_iter().for_each(Waker::wake),
            StreamEvent::Writable(_) => waiting.writer.take().into_iter().for_each(Waker::wake),
            StreamEvent::Opened { .. } => {}
        }
    }

    fn wake_all(&mut self) {
        self.waiting.iter_mut().for_each(|(_, waiting)| waiting.wake_all());
    }

    /// Hands over what the browser takes. Whether there was anything.
    fn send(&mut self, driver: &Driver) -> bool {
        let mut sent = false;
        loop {
            if self.socket.as_ref().is_some_and(|socket| socket.buffered() > MAX_BUFFERED) {
                self.look_again = Some(driver.after(LOOK_AGAIN));
                return sent;
            }
            self.look_again = None;
            let Some(transmit) = self.agent.poll_transmit() else { return sent };
            sent = true;
            match (transmit, &self.socket) {
                (Transmit::Send(message), Some(socket)) => socket.send(&message),
                (Transmit::Close(close), Some(_)) => {
                    if let Some(socket) = self.socket.take() {
                        socket.close(&close);
                    }
                }
                // What an agent still says after its socket is gone goes nowhere.
                (_, None) => {}
            }
        }
    }

    fn set_timer(&mut self, driver: &Driver) {
        let deadline = self.agent.poll_timeout();
        if self.timer.as_ref().map(|(armed, _)| *armed) != deadline {
            self.timer = deadline.map(|deadline| (deadline, driver.after(deadline - clock::now())));
        }
    }
}
