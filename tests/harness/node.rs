//! Our multiplexer on any byte stream, with streams that read and write like sockets: one end of a test against
//! another implementation.
//!
//! Its clock is the real one plus what a test adds, so that minutes pass at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hvym_tunnel_core::mux::{
    Mux, MuxConfig, MuxEnd, MuxError, MuxEvent, MuxStats, OpenError, Read, ResetReason, Role, StreamError,
    StreamId,
};
use hvym_tunnel_core::time::Instant;
use smol::io::{AsyncRead, AsyncWrite};

/// What one read from the transport takes at most.
const READ_BYTES: usize = 64 * 1024;

/// How many steps go by between two checks of the counters, which take long with many streams.
const CHECK_INTERVAL: u64 = 61;

// Fields: what the session is, and who waits for which part of it.
struct State {
    mux: Mux,
    started: std::time::Instant,
    skipped: Duration,
    reading: bool,
    incoming: VecDeque<StreamId>,
    resets: BTreeMap<StreamId, ResetReason>,
    remote_left: bool,
    end: Option<MuxEnd>,
    driver: Option<Waker>,
    streams: BTreeMap<StreamId, Vec<Waker>>,
    openers: Vec<Waker>,
    watchers: Vec<Waker>,
    steps: u64,
}

impl State {
    fn now(&self) -> Instant {
        let elapsed = self.started.elapsed() + self.skipped;
        Instant::from_micros(u64::try_from(elapsed.as_micros()).expect("a test is shorter than an aeon"))
    }

    /// Takes all events and wakes whom they concern, and the driver.
    fn settle(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_INTERVAL) {
            self.mux.check_invariants().expect("the counters match the streams");
        }
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Incoming(id) => self.incoming.push_back(id),
                MuxEvent::Readable(id) | MuxEvent::Writable(id) => self.wake_stream(id),
                MuxEvent::Reset(id, reason) => {
                    self.resets.insert(id, reason);
                    self.wake_stream(id);
                }
                MuxEvent::RemoteGoAway(_) => {
                    self.remote_left = true;
                    self.openers.drain(..).for_each(Waker::wake);
                }
                MuxEvent::Ended(end) => {
                    self.end = Some(end);
                    std::mem::take(&mut self.streams).into_values().flatten().for_each(Waker::wake);
                    self.openers.drain(..).for_each(Waker::wake);
                }
                MuxEvent::OpenReady => self.openers.drain(..).for_each(Waker::wake),
                _ => {}
            }
        }
        self.watchers.drain(..).for_each(Waker::wake);
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn wake_stream(&mut self, id: StreamId) {
        self.streams.remove(&id).into_iter().flatten().for_each(Waker::wake);
    }
}

/// A session of ours. Clones are the same session.
#[derive(Clone)]
pub struct Node(Rc<RefCell<State>>);

impl Node {
    /// A session, and the future that moves its bytes over `io` until it ends.
    pub fn new(
        role: Role,
        config: MuxConfig,
        io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) -> (Self, impl Future<Output = MuxEnd>) {
        let node = Node(Rc::new(RefCell::new(State {
            mux: Mux::new(role, config, 1, [7; 32], Instant::ZERO),
            started: std::time::Instant::now(),
            skipped: Duration::ZERO,
            reading: true,
            incoming: VecDeque::new(),
            resets: BTreeMap::new(),
            remote_left: false,
            end: None,
            driver: None,
            streams: BTreeMap::new(),
            openers: Vec::new(),
            watchers: Vec::new(),
            steps: 0,
        })));
        let driver = drive(node.clone(), io);
        (node, driver)
    }

    /// One step of the session itself.
    pub fn with<R>(&self, step: impl FnOnce(&mut Mux, Instant) -> R) -> R {
        let mut state = self.0.borrow_mut();
        let now = state.now();
        let result = step(&mut state.mux, now);
        state.settle();
        result
    }

    /// Makes `time` pass at once.
    pub fn skip(&self, time: Duration) {
        let mut state = self.0.borrow_mut();
        state.skipped += time;
        state.settle();
    }

    /// Stops or resumes reading from the transport.
    pub fn set_reading(&self, reading: bool) {
        let mut state = self.0.borrow_mut();
        state.reading = reading;
        state.settle();
    }

    /// A look inside.
    pub fn stats(&self) -> MuxStats {
        self.0.borrow().mux.stats()
    }

    /// How the session ended, if it did.
    pub fn end(&self) -> Option<MuxEnd> {
        self.0.borrow().end
    }

    /// Opens a stream at once or says why not.
    pub fn try_open(&self) -> Result<NodeStream, OpenError> {
        self.with(|mux, now| mux.open(now)).map(|id| NodeStream::new(self.clone(), id))
    }

    /// Opens a stream as soon as that is possible.
    pub async fn open(&self) -> Result<NodeStream, OpenError> {
        poll_fn(|cx| match self.try_open() {
            Err(OpenError::AckBacklog | OpenError::TooMany) => {
                self.0.borrow_mut().openers.push(cx.waker().clone());
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        })
        .await
    }

    /// The next stream of the peer, `None` at the end of the session.
    pub async fn accept(&self) -> Option<NodeStream> {
        let id = self
            .until(|node| {
                let mut state = node.0.borrow_mut();
                state.incoming.pop_front().map(Some).or(state.end.map(|_| None))
            })
            .await?;
        // It may have been reset since; then its first use says so.
        let _ = self.with(|mux, now| mux.accept(id, now));
        Some(NodeStream::new(self.clone(), id))
    }

    /// Waits for the peer's `GoAway(0)`.
    pub async fn remote_left(&self) {
        self.until(|node| node.0.borrow().remote_left.then_some(())).await;
    }

    /// Waits until looking at the session gives `Some`. It is looked at after every step.
    pub async fn until<R>(&self, mut done: impl FnMut(&Node) -> Option<R>) -> R {
        poll_fn(|cx| match done(self) {
            Some(result) => Poll::Ready(result),
            None => {
                self.0.borrow_mut().watchers.push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// A stream of a [`Node`]. Dropping it before both halves have ended resets it.
pub struct NodeStream {
    node: Node,
    id: StreamId,
    finished: bool,
    ended: bool,
}

impl NodeStream {
    fn new(node: Node, id: StreamId) -> Self {
        Self { node, id, finished: false, ended: false }
    }

    /// Its id.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// One operation, its errors as those of a socket.
    fn operate<R>(
        &self,
        operation: impl FnOnce(hvym_tunnel_core::mux::Stream<'_>, Instant) -> Result<R, StreamError>,
    ) -> io::Result<R> {
        let result = self.node.with(|mux, now| operation(mux.stream(self.id)?, now));
        result.map_err(|error| match error {
            StreamError::Closed(_) => match self.node.0.borrow().resets.get(&self.id) {
                Some(reason) => io::Error::new(io::ErrorKind::ConnectionReset, *reason),
                None => io::Error::new(io::ErrorKind::NotConnected, error),
            },
            StreamError::Reset(reason) => io::Error::new(io::ErrorKind::ConnectionReset, reason),
            StreamError::Finished => io::Error::new(io::ErrorKind::BrokenPipe, error),
            _ => io::Error::new(io::ErrorKind::ConnectionAborted, error),
        })
    }

    fn wait<R>(&self, cx: &mut Context<'_>) -> Poll<R> {
        self.node.0.borrow_mut().streams.entry(self.id).or_default().push(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncRead for NodeStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        match self.operate(|mut stream, now| stream.read(buf.len(), now))? {
            Read::Data(data) => {
                buf[..data.len()].copy_from_slice(&data);
                Poll::Ready(Ok(data.len()))
            }
            Read::Empty => self.wait(cx),
            Read::Finished => {
                self.ended = true;
                Poll::Ready(Ok(0))
            }
        }
    }
}

impl AsyncWrite for NodeStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.operate(|mut stream, now| {
            // One byte too many is what makes it tell when there is room.
            let n = buf.len().min(stream.writable().max(1));
            stream.write(&mut Bytes::copy_from_slice(&buf[..n]), now)
        })?;
        match written {
            0 if !buf.is_empty() => self.wait(cx),
            n => Poll::Ready(Ok(n)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.operate(|mut stream, now| stream.finish(now))?;
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for NodeStream {
    fn drop(&mut self) {
        if !(self.finished && self.ended) {
            // Gone already is as good.
            let _ = self.operate(|mut stream, now| {
                stream.reset(0, now);
                Ok(())
            });
        }
    }
}

/// Moves bytes between a session and its transport; reading never waits for writing.
async fn drive(node: Node, mut io: impl AsyncRead + AsyncWrite + Unpin) -> MuxEnd {
    let mut buf = vec![0; READ_BYTES];
    let mut unsent = Bytes::new();
    let mut timer = smol::Timer::never();
    poll_fn(|cx| {
        // Its own steps must not wake it.
        node.0.borrow_mut().driver = None;
        loop {
            let out = push(&node, &mut io, &mut unsent, cx);
            let moved_in = pull(&node, &mut io, &mut buf, cx);
            let mut state = node.0.borrow_mut();
            if let Some(end) = state.end
                && out == Out::Idle
            {
                return Poll::Ready(end);
            }
            if out == Out::Moved || moved_in {
                continue;
            }
            state.driver = Some(cx.waker().clone());
            let now = state.now();
            let Some(due) = state.mux.poll_timeout() else { return Poll::Pending };
            timer.set_after(due - now);
            if due > now && Pin::new(&mut timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = now.max(due);
            // What it returns is told by an event too.
            let _ = state.mux.handle_timeout(now);
            state.settle();
        }
    })
    .await
}

#[derive(PartialEq)]
enum Out {
    Moved,
    Blocked,
    Idle,
}

fn push(node: &Node, io: &mut (impl AsyncWrite + Unpin), unsent: &mut Bytes, cx: &mut Context<'_>) -> Out {
    if unsent.is_empty() {
        match node.with(|mux, _| mux.poll_transmit()) {
            Some(batch) => *unsent = batch,
            None => return Out::Idle,
        }
    }
    match Pin::new(io).poll_write(cx, unsent) {
        Poll::Ready(Ok(n)) => {
            unsent.advance(n);
            Out::Moved
        }
        Poll::Ready(Err(_)) => {
            unsent.clear();
            lose(node);
            Out::Idle
        }
        Poll::Pending => Out::Blocked,
    }
}

fn pull(node: &Node, io: &mut (impl AsyncRead + Unpin), buf: &mut [u8], cx: &mut Context<'_>) -> bool {
    if !node.0.borrow().reading || node.end().is_some() {
        return false;
    }
    match Pin::new(io).poll_read(cx, buf) {
        Poll::Ready(Ok(0) | Err(_)) => {
            lose(node);
            true
        }
        Poll::Ready(Ok(n)) => {
            let data = Bytes::copy_from_slice(&buf[..n]);
            // What it returns is told by an event too.
            let _ = node.with(|mux, now| mux.handle_data(data, now));
            true
        }
        Poll::Pending => false,
    }
}

fn lose(node: &Node) {
    node.with(|mux, now| mux.abort(MuxError::Lost, now));
}
