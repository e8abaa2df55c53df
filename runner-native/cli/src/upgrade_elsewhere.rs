//! The next process of a relay, on systems where none takes the listeners of another: it is started by whoever runs it.

use std::io;
use std::net::TcpListener;

use hvym_tunnel_relay::{InheritedListener, ListenerRole};

/// The process before this one, which there never is.
pub(crate) enum Predecessor {}

impl Predecessor {
    /// `None`.
    pub(crate) fn find() -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(crate) fn was_passed(&self, _role: ListenerRole) -> bool {
        match *self {}
    }

    pub(crate) fn listeners(&self) -> io::Result<Vec<InheritedListener>> {
        match *self {}
    }

    pub(crate) fn release(self) -> io::Result<()> {
        match self {}
    }
}

/// The program of this process.
pub(crate) struct Successor;

impl Successor {
    pub(crate) fn of_this_process(_passed: impl Iterator<Item = ListenerRole>) -> io::Result<Self> {
        Ok(Self)
    }

    /// Starts nothing.
    pub(crate) fn start(&self, _listeners: Vec<(ListenerRole, TcpListener)>) -> io::Result<u32> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
