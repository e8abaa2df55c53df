//! The registration of one socket with a runtime: its readiness, and the tasks that wait for it (Linux).

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::poller::{BROKEN, ENDED, READABLE, Readiness, WRITABLE};
use super::reactor::Reactor;
use super::runtime_handle::RuntimeHandle;

/// One socket, registered with the runtime that this was made in. At first both reading and writing are worth a try.
#[derive(Debug)]
pub(crate) struct Registration {
    readiness: Arc<Readiness>,
    key: u64,
    reactor: Arc<Reactor>,
    /// Whether the kernel reports on writing too: most sockets never fill up.
    reports_writable: AtomicBool,
}

impl Registration {
    /// Registers `socket`, which must outlive this.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn new(socket: impl AsFd) -> io::Result<Self> {
        Self::with(socket, READABLE | WRITABLE)
    }

    /// Registers `socket`, whose connect goes on: it can be written once that is done.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn connecting(socket: impl AsFd) -> io::Result<Self> {
        Self::with(socket, 0)
    }

    fn with(socket: impl AsFd, bits: u8) -> io::Result<Self> {
        let reactor = RuntimeHandle::with_current(|current| Arc::clone(&current.reactor));
        let (readiness, key) = reactor.poller.register(socket, bits)?;
        Ok(Self { readiness, key, reactor, reports_writable: AtomicBool::new(bits & WRITABLE == 0) })
    }

    /// Ready when reading is worth a try. Only the last task that asked is woken.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(&self.readiness.reader, READABLE | ENDED, cx)
    }

    /// Ready when writing to `socket`, which is the registered one, is worth a try. Only the last task that asked is woken.
    pub(crate) fn poll_writable(&self, socket: impl AsFd, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.poll(&self.readiness.writer, WRITABLE, cx);
        if polled.is_pending() && !self.reports_writable.swap(true, Ordering::Relaxed) {
            self.reactor.poller.watch_writable(socket, self.key)?;
        }
        polled
    }

    /// Ready when the connection broke, for who does not read at the moment. Only the last task that asked for this or for
    /// reading is woken.
    pub(crate) fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(&self.readiness.reader, BROKEN, cx).map(drop)
    }

    fn poll(&self, waker: &AtomicWaker, bits: u8, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_set = || self.readiness.bits.load(Ordering::Acquire) & bits != 0;
        if is_set() {
            return Poll::Ready(Ok(()));
        }
        waker.register(cx.waker());
        // A change before the waker was registered woke no task.
        if is_set() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Call it before a read: what the kernel reports from now on is new.
    pub(crate) fn about_to_read(&self) {
        self.readiness.bits.fetch_and(!READABLE, Ordering::AcqRel);
    }

    /// There was more than the read took.
    pub(crate) fn has_more(&self) {
        self.readiness.bits.fetch_or(READABLE, Ordering::AcqRel);
    }

    /// Call it before a write that may find no room.
    pub(crate) fn about_to_write(&self) {
        self.readiness.bits.fetch_and(!WRITABLE, Ordering::AcqRel);
    }

    /// The write found room, and there may be more of it.
    pub(crate) fn has_room(&self) {
        self.readiness.bits.fetch_or(WRITABLE, Ordering::AcqRel);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.reactor.poller.unregister(self.key);
    }
}
