//! The sockets that a link driver has, and the closes that it waits for at the end. It reads and writes none of them.

use std::any::Any;
use std::collections::VecDeque;

use hvym_tunnel_core::message::Close;

use super::websocket::{self, CloseDone, Socket};

/// Closes that are awaited at the end: those of the links that a machine may have at once, and of one that was replaced.
const MAX_CLOSES: usize = 9;

/// What a socket keeps alive, such as its place among the connections that are limited.
pub type SocketGuard = Box<dyn Any + Send>;

/// A socket of the machine, by the name that the machine has for it.
pub(super) struct Attached<S> {
    pub(super) id: S,
    pub(super) socket: Socket,
    _guard: Option<SocketGuard>,
}

impl<S> Attached<S> {
    pub(super) fn new(id: S, socket: Socket, guard: Option<SocketGuard>) -> Self {
        Self { id, socket, _guard: guard }
    }
}

/// The sockets of one driver.
pub(super) struct Sockets<S> {
    open: Vec<Attached<S>>,
    /// The last closes that were sent.
    closes: VecDeque<CloseDone>,
}

impl<S: Copy + PartialEq> Sockets<S> {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), closes: VecDeque::new() }
    }

    pub(super) fn push(&mut self, attached: Attached<S>) {
        // Most drivers have one for as long as they live.
        self.open.reserve_exact(1);
        self.open.push(attached);
    }

    pub(super) fn append(&mut self, arriving: &mut Vec<Attached<S>>) {
        self.open.append(arriving);
    }

    /// Drops those that are not used any more.
    pub(super) fn retain(&mut self, is_used: impl Fn(S) -> bool) {
        self.open.retain(|attached| is_used(attached.id));
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Attached<S>> {
        self.open.iter_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The socket at this place, which must be there.
    pub(super) fn at(&mut self, at: usize) -> &mut Attached<S> {
        &mut self.open[at]
    }

    /// The name of the socket at this place.
    pub(super) fn id(&self, at: usize) -> Option<S> {
        self.open.get(at).map(|attached| attached.id)
    }

    pub(super) fn remove(&mut self, at: usize) -> Attached<S> {
        self.open.remove(at)
    }

    pub(super) fn take(&mut self, id: S) -> Option<Socket> {
        let at = self.open.iter().position(|attached| attached.id == id)?;
        Some(self.open.remove(at).socket)
    }

    /// Closes a socket that was removed.
    pub(super) fn close(&mut self, socket: Socket, close: Close) {
        if self.closes.len() == MAX_CLOSES {
            self.closes.pop_front();
        }
        self.closes.push_back(websocket::close(socket, close));
    }

    /// Waits until the closes are sent.
    pub(super) async fn closed(&mut self) {
        for close in self.closes.drain(..) {
            let _over = close.recv().await;
        }
    }
}
