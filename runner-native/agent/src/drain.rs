//! Which streams are still running, and the wish that they come to an end.
//!
//! Knows nothing of what a stream carries: each decides itself when it is between two requests.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::io::{AsyncRead, AsyncWrite};
use futures_util::task::AtomicWaker;
use smol::channel::{Receiver, Sender, bounded};

/// Counts what runs, and asks it to finish.
pub(crate) struct Drain {
    /// Closing the channel is the wish; nothing is ever sent.
    wish: Sender<Infallible>,
    wished: Receiver<Infallible>,
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
pub(crate) struct Ticket {
    wished: Pin<Box<Receiver<Infallible>>>,
    activity: Arc<Activity>,
}

/// Whether one stream is between two requests, as whoever watches it says.
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
    /// Nothing runs, nobody is asked to finish.
    pub(crate) fn new() -> Self {
        let (wish, wished) = bounded(1);
        Self { wish, wished, running: Arc::default() }
    }

    /// One more stream runs, until the ticket is dropped.
    pub(crate) fn ticket(&self) -> Ticket {
        self.running.count.fetch_add(1, Ordering::Relaxed);
        let activity = Activity { idle: AtomicBool::new(false), running: Arc::clone(&self.running) };
        Ticket { wished: Box::pin(self.wished.clone()), activity: Arc::new(activity) }
    }

    /// Asks all streams, those to come included, to finish.
    pub(crate) fn begin(&self) {
        self.wish.close();
    }

    /// Waits until somebody asks to finish.
    pub(crate) async fn begun(&self) {
        let _closed = self.wished.recv().await;
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

impl Ticket {
    /// What whoever watches the stream tells of it.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Whether the stream is asked to finish; if not, the task is woken when it is.
    pub(crate) fn is_asked_to_finish(&mut self, cx: &mut Context<'_>) -> bool {
        self.wished.as_mut().poll_next(cx).is_ready()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.activity.set_idle(false);
        let running = &self.activity.running;
        if running.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            running.waiting.wake();
        }
    }
}

/// A local connection that says goodbye when it is asked to finish and its stream is between two requests: the
/// tunnel then ends in good order, after everything that was still on the way.
pub(crate) struct Finishing<L> {
    local: L,
    ticket: Ticket,
}

impl<L> Finishing<L> {
    /// Lets `local` finish whenever its stream is between two requests.
    pub(crate) fn new(local: L, ticket: Ticket) -> Self {
        Self { local, ticket }
    }
}

impl<L: AsyncRead + Unpin> AsyncRead for Finishing<L> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.local).poll_read(cx, buf);
        let over = match &read {
            Poll::Pending => self.ticket.is_asked_to_finish(cx),
            // Closing before the whole question was read is a reset (RFC 9112 section 9.6), and yet a whole answer.
            Poll::Ready(Err(error)) => error.kind() == io::ErrorKind::ConnectionReset,
            Poll::Ready(Ok(_)) => false,
        };
        if over && self.ticket.activity.is_idle() {
            return Poll::Ready(Ok(0));
        }
        read
    }
}

impl<L: AsyncWrite + Unpin> AsyncWrite for Finishing<L> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.local).poll_write(cx, buf)
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
    fn a_ticket_hears_the_wish_whether_it_came_before_or_after() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let drain = Drain::new();
        let mut early = drain.ticket();
        assert!(!early.is_asked_to_finish(&mut cx));
        drain.begin();
        assert!(early.is_asked_to_finish(&mut cx));
        assert!(drain.ticket().is_asked_to_finish(&mut cx));
    }

    #[test]
    fn the_drain_is_idle_when_the_last_ticket_is_gone() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let drain = Drain::new();
        let (one, two) = (drain.ticket(), drain.ticket());
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
