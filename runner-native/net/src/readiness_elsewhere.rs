//! When sockets can be read and written again, as the reactor of `async-io` tells (systems other than Linux).

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use smol::Async;

/// One socket, as long as somebody wants to know of it. At first both reading and writing are worth a try.
#[derive(Debug)]
pub struct Readiness {
    handle: Arc<Async<TcpStream>>,
    is_dry: AtomicBool,
    is_full: AtomicBool,
}

impl Readiness {
    /// Knows of `handle`.
    ///
    /// # Errors
    /// None here.
    pub fn new(handle: &Arc<Async<TcpStream>>) -> io::Result<Self> {
        let (is_dry, is_full) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { handle: Arc::clone(handle), is_dry, is_full })
    }

    /// Ready when reading is worth a try.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_dry.load(Ordering::Relaxed) {
            ready!(self.handle.poll_readable(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when writing is worth a try.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_full.load(Ordering::Relaxed) {
            ready!(self.handle.poll_writable(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// To be said before a read: whatever is told from now on is news.
    pub fn about_to_read(&self) {
        self.is_dry.store(true, Ordering::Relaxed);
    }

    /// There was more than the read took.
    pub fn has_more(&self) {
        self.is_dry.store(false, Ordering::Relaxed);
    }

    /// To be said before a write that may find no room.
    pub fn about_to_write(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }

    /// The write found room, and there may be more of it.
    pub fn has_room(&self) {
        self.is_full.store(false, Ordering::Relaxed);
    }
}
