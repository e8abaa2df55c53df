//! Counts the streams that run, and asks them to finish between two requests.
//!
//! Knows nothing of what a stream carries: each decides itself when it is between two requests.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use futures_util::io::AsyncWrite;
use futures_util::task::AtomicWaker;
use hvym_tunnel_net::copy::LocalConnection;
use smol::channel::{Receiver, Sender, bounded};

/// Counts what runs, and asks it to finish. Several may share one count: see [`Drain::child`].
pub(crate) struct Drain {
    /// Closing the channel is the signal; nothing is ever sent.
    signal: Sender<Infallible>,
    signalled: Receiver<Infallible>,
    running: Arc<Running>,
}

#[derive(Default)]
struct Running {
    count: AtomicUsize,
    /// How many of them are between two requests.
    idle: AtomicUsize,
    waiting: AtomicWaker,
}

/// Held by a stream for as long as it runs.
pub(crate) struct DrainGuard {
    signalled: Pin<Box<Receiver<Infallible>>>,
    /// Who is woken by the signal. A task asks each time it runs, and is entered once.
    waker: Option<Waker>,
    activity: Arc<Activity>,
}

/// Whether one stream is between two requests, as its observer reports.
pub(crate) struct Activity {
    idle: AtomicBool,
    running: Arc<Running>,
}

impl Activity {
    /// Notes whether the stream is between two requests.
    pub(crate) fn set_idle(&self, idle: bool) {
        if self.idle.swap(idle, Ordering::AcqRel) == idle {
            return;
        }
        if idle {
            self.running.idle.fetch_add(1, Ordering::AcqRel);
        } else {
            self.running.idle.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire)
    }
}

impl Drain {
    /// Nothing runs, nothing is asked to finish.
    pub(crate) fn new() -> Self {
        Self::with_count(Arc::default())
    }

    /// Another one with a signal of its own, whose streams are counted here too.
    pub(crate) fn child(&self) -> Self {
        Self::with_count(Arc::clone(&self.running))
    }

    fn with_count(running: Arc<Running>) -> Self {
        let (signal, signalled) = bounded(1);
        Self { signal, signalled, running }
    }

    /// One more stream runs, until the guard is dropped.
    pub(crate) fn guard(&self) -> DrainGuard {
        self.running.count.fetch_add(1, Ordering::Relaxed);
        let activity = Activity { idle: AtomicBool::new(false), running: Arc::clone(&self.running) };
        DrainGuard { signalled: Box::pin(self.signalled.clone()), waker: None, activity: Arc::new(activity) }
    }

    /// Asks all streams to finish, those to come included.
    pub(crate) fn begin(&self) {
        self.signal.close();
    }

    /// Waits for [`Drain::begin`].
    pub(crate) async fn begun(&self) {
        let _closed = self.signalled.recv().await;
    }

    /// How many streams run.
    pub(crate) fn running(&self) -> usize {
        self.running.count.load(Ordering::Acquire)
    }

    /// How many streams run and are not between two requests.
    pub(crate) fn busy(&self) -> usize {
        self.running().saturating_sub(self.running.idle.load(Ordering::Acquire))
    }

    /// Waits until none runs. One task at a time may wait.
    pub(crate) async fn idle(&self) {
        poll_fn(|cx| {
            self.running.waiting.register(cx.waker());
            if self.running() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl DrainGuard {
    /// What the stream's observer reports to.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Whether the stream is asked to finish; if not, the task is woken when it is.
    pub(crate) fn is_asked_to_finish(&mut self, cx: &mut Context<'_>) -> bool {
        if self.signalled.is_closed() {
            return true;
        }
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return false;
        }
        self.waker = Some(cx.waker().clone());
        self.signalled.as_mut().poll_next(cx).is_ready()
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        self.activity.set_idle(false);
        let running = &self.activity.running;
        if running.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            running.waiting.wake();
        }
    }
}

/// A local connection that reads as ended when it is asked to finish and its stream is between two requests, so that the
/// stream ends in good order after everything that was still queued.
pub(crate) struct Finishing<L> {
    local: L,
    guard: DrainGuard,
}

impl<L> Finishing<L> {
    /// Ends `local` at the drain signal, once its stream is between two requests.
    pub(crate) fn new(local: L, guard: DrainGuard) -> Self {
        Self { local, guard }
    }

    /// What was read, or the end.
    fn or_end(&mut self, cx: &mut Context<'_>, read: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let over = match &read {
            Poll::Pending => self.guard.is_asked_to_finish(cx),
            // Closing before the whole question was read is a reset (RFC 9112 section 9.6), and yet a whole answer.
            Poll::Ready(Err(error)) => error.kind() == io::ErrorKind::ConnectionReset,
            Poll::Ready(Ok(_)) => false,
        };
        if over && self.guard.activity.is_idle() {
            return Poll::Ready(Ok(0));
        }
        read
    }
}

impl<L: LocalConnection> LocalConnection for Finishing<L> {
    fn poll_broken_off(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.local.poll_broken_off(cx)
    }

    fn poll_read_spare(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let read = self.local.poll_read_spare(cx, buf);
        self.or_end(cx, read)
    }
}

impl<L: AsyncWrite + Unpin> AsyncWrite for Finishing<L> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.local).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.local).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.local).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.local).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_sees_the_signal_whether_it_came_before_or_after() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let drain = Drain::new();
        let mut early = drain.guard();
        assert!(!early.is_asked_to_finish(&mut cx));
        drain.begin();
        assert!(early.is_asked_to_finish(&mut cx));
        assert!(drain.guard().is_asked_to_finish(&mut cx));
    }

    #[test]
    fn a_task_that_asks_again_and_again_is_woken_by_the_signal() {
        struct Woken(AtomicUsize);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let [first, second] = [0, 0].map(|count| Arc::new(Woken(AtomicUsize::new(count))));
        let (drain, mut asks) = (Drain::new(), Vec::new());
        let mut guard = drain.guard();
        for woken in [&first, &first, &second, &second] {
            let waker = Waker::from(Arc::clone(woken));
            asks.push(guard.is_asked_to_finish(&mut Context::from_waker(&waker)));
        }
        assert_eq!(asks, [false; 4]);
        drain.begin();
        // The last one that asked, as for every future.
        assert_eq!(second.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_child_has_its_own_signal_and_counts_with_its_parent() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let drain = Drain::new();
        let (one, other) = (drain.child(), drain.child());
        let (mut of_one, mut of_other) = (one.guard(), other.guard());
        one.begin();
        assert!(of_one.is_asked_to_finish(&mut cx) && !of_other.is_asked_to_finish(&mut cx));
        assert_eq!(drain.running(), 2);
    }

    #[test]
    fn a_connection_ends_where_it_is_asked_to_or_was_reset_between_two_requests_alone() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut read = |reads: fn() -> Poll<io::Result<usize>>, is_asked: bool, is_idle: bool| {
            let drain = Drain::new();
            let guard = drain.guard();
            guard.activity().set_idle(is_idle);
            if is_asked {
                drain.begin();
            }
            Finishing::new((), guard).or_end(&mut cx, reads()).map(|read| read.map_err(|error| error.kind()))
        };
        let nothing = || Poll::Pending;
        let reset = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let other = || Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        let (end, broken) = (Poll::Ready(Ok(0)), Poll::Ready(Err(io::ErrorKind::ConnectionReset)));
        assert_eq!([read(nothing, true, true), read(nothing, true, false)], [end, Poll::Pending]);
        assert_eq!(read(nothing, false, true), Poll::Pending);
        assert_eq!([read(reset, false, true), read(reset, true, false)], [end, broken]);
        assert_eq!(read(other, true, true), Poll::Ready(Err(io::ErrorKind::TimedOut)));
        assert_eq!(read(|| Poll::Ready(Ok(7)), true, true), Poll::Ready(Ok(7)));
    }

    #[test]
    fn the_drain_is_idle_when_the_last_guard_is_gone() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let drain = Drain::new();
        let (one, two) = (drain.guard(), drain.guard());
        let mut idle = std::pin::pin!(drain.idle());
        assert!(idle.as_mut().poll(&mut cx).is_pending());
        drop(one);
        assert_eq!((drain.running(), drain.busy()), (1, 1));
        two.activity().set_idle(true);
        assert_eq!((drain.running(), drain.busy()), (1, 0));
        drop(two);
        assert!(idle.as_mut().poll(&mut cx).is_ready());
        assert_eq!((drain.running(), drain.busy()), (0, 0));
    }
}
