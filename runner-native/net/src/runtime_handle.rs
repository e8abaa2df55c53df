//! The reference by which tasks and other threads use a runtime, and which runtime a thread is inside of.

use std::cell::RefCell;
use std::future::Future;
use std::sync::{Arc, Weak};

use async_executor::Executor;

use super::reactor::Reactor;

pub use async_executor::Task;

thread_local! {
    static CURRENT: RefCell<Option<RuntimeHandle>> = const { RefCell::new(None) };
}

/// A reference to a [`Runtime`](super::runtime::Runtime), which does not keep it running.
#[derive(Clone, Debug)]
pub struct RuntimeHandle {
    executor: Weak<Executor<'static>>,
    pub(crate) reactor: Arc<Reactor>,
}

impl RuntimeHandle {
    pub(crate) fn new(executor: &Arc<Executor<'static>>, reactor: Arc<Reactor>) -> Self {
        Self { executor: Arc::downgrade(executor), reactor }
    }

    /// The runtime of this thread.
    ///
    /// # Panics
    /// On a thread that is not inside one.
    pub fn current() -> Self {
        Self::with_current(Self::clone)
    }

    /// The runtime of this thread, if it is inside one.
    pub fn try_current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs `future` beside everything else. A dropped [`Task`] is cancelled, a detached one goes on; a panic ends it alone.
    /// After the shutdown nothing runs any more: the future is dropped at once, and awaiting its task panics.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Task<T> {
        match self.executor.upgrade() {
            Some(executor) => executor.spawn(future),
            None => Executor::new().spawn(future),
        }
    }

    /// Makes it this thread's runtime until the guard is dropped.
    pub fn enter(&self) -> Entered {
        Entered { before: CURRENT.replace(Some(self.clone())) }
    }

    pub(crate) fn with_current<R>(look: impl FnOnce(&Self) -> R) -> R {
        CURRENT.with_borrow(|current| {
            look(
                current
                    .as_ref()
                    .expect("the thread is inside a Runtime: use block_on or RuntimeHandle::enter"),
            )
        })
    }
}

/// See [`RuntimeHandle::enter`].
#[derive(Debug)]
#[must_use = "the thread leaves the runtime when this is dropped"]
pub struct Entered {
    before: Option<RuntimeHandle>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = CURRENT.replace(self.before.take());
        // Outside the borrow: it may be the last reference to the reactor.
        drop(left);
    }
}

/// Runs `future` on the runtime of this thread; see [`RuntimeHandle::spawn`].
///
/// # Panics
/// On a thread that is not inside a runtime.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    RuntimeHandle::with_current(|current| current.spawn(future))
}
