//! One socket on systems other than Linux, by the reactor of `async-io`. That reactor has a thread of its own for the whole
//! process, which stays when a runtime ends.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use smol::Async;

#[cfg(unix)]
use std::os::fd::{AsFd as AsSource, OwnedFd as OwnedSource};
#[cfg(windows)]
use std::os::windows::io::{AsSocket as AsSource, OwnedSocket as OwnedSource};

/// One socket. At first both reading and writing are worth a try.
#[derive(Debug)]
pub(crate) struct Registration {
    source: Async<OwnedSource>,
    is_drained: AtomicBool,
    is_full: AtomicBool,
}

impl Registration {
    /// Registers a second descriptor of `socket`.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub(crate) fn new(socket: impl AsSource) -> io::Result<Self> {
        Self::with(socket, false)
    }

    /// Registers `socket`, whose connect goes on: it can be written once that is done.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub(crate) fn connecting(socket: impl AsSource) -> io::Result<Self> {
        Self::with(socket, true)
    }

    fn with(socket: impl AsSource, is_waiting: bool) -> io::Result<Self> {
        #[cfg(unix)]
        let source = socket.as_fd().try_clone_to_owned()?;
        #[cfg(windows)]
        let source = socket.as_socket().try_clone_to_owned()?;
        let (is_drained, is_full) = (AtomicBool::new(is_waiting), AtomicBool::new(is_waiting));
        Ok(Self { source: Async::new(source)?, is_drained, is_full })
    }

    /// Ready when reading is worth a try.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_drained.load(Ordering::Relaxed) {
            ready!(self.source.poll_readable(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when writing is worth a try.
    pub(crate) fn poll_writable(&self, _socket: impl AsSource, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_full.load(Ordering::Relaxed) {
            ready!(self.source.poll_writable(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Never ready: that reactor does not tell.
    pub(crate) fn poll_broken(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Call it before a read: what the system reports from now on is new.
    pub(crate) fn about_to_read(&self) {
        self.is_drained.store(true, Ordering::Relaxed);
    }

    /// There was more than the read took.
    pub(crate) fn has_more(&self) {
        self.is_drained.store(false, Ordering::Relaxed);
    }

    /// Call it before a write that may find no room.
    pub(crate) fn about_to_write(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }

    /// The write found room, and there may be more of it.
    pub(crate) fn has_room(&self) {
        self.is_full.store(false, Ordering::Relaxed);
    }
}
