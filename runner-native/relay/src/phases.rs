//! How a relay ends: gates that let nobody in any more and know when everybody is out, and a latch that tells all at once.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use smol::channel::{Receiver, Sender, bounded};

/// Lets work in until it is closed, and can then be waited on until all of it is done.
pub(super) struct Gate {
    /// Gone once the gate is closed.
    open: Mutex<Option<Sender<Infallible>>>,
    /// Ends when the last pass is dropped.
    passes: Receiver<Infallible>,
}

/// One piece of work that a [`Gate`] let in; dropped when it is done.
#[derive(Clone)]
pub(super) struct Pass {
    _held: Sender<Infallible>,
}

impl Gate {
    /// An open gate.
    pub(super) fn new() -> Self {
        let (sender, passes) = bounded(1);
        Self { open: Mutex::new(Some(sender)), passes }
    }

    /// A pass, while the gate is open.
    pub(super) fn enter(&self) -> Option<Pass> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clone().map(|held| Pass { _held: held })
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until the gate is closed and every pass is gone.
    pub(super) async fn empty(&self) {
        // Nothing can be sent, so this is the moment the last sender goes.
        let _gone = self.passes.recv().await;
    }
}

/// Something that happens once, and that any number of tasks may wait for, before or after.
pub(super) struct Latch {
    sender: Sender<Infallible>,
    receiver: Receiver<Infallible>,
}

impl Latch {
    /// It has not happened.
    pub(super) fn new() -> Self {
        let (sender, receiver) = bounded(1);
        Self { sender, receiver }
    }

    /// It happened.
    pub(super) fn set(&self) {
        self.sender.close();
    }

    /// Waits until it has happened.
    pub(super) async fn wait(&self) {
        let _closed = self.receiver.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_gate_is_empty_when_it_is_closed_and_every_pass_is_gone() {
        let gate = Gate::new();
        let pass = gate.enter().expect("an open gate");
        gate.close();
        assert!(gate.enter().is_none());
        assert!(gate.empty().now_or_never().is_none());
        drop(pass.clone());
        assert!(gate.empty().now_or_never().is_none());
        drop(pass);
        assert!(gate.empty().now_or_never().is_some());
    }

    #[test]
    fn a_latch_tells_those_who_come_late_too() {
        let latch = Latch::new();
        assert!(latch.wait().now_or_never().is_none());
        latch.set();
        assert!(latch.wait().now_or_never().is_some());
        assert!(latch.wait().now_or_never().is_some());
    }
}
