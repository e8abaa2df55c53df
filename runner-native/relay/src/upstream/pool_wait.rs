//! A request's place in the queue of a link that is full.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use hvym_proxy::pool::{Grant, OpenRefusal, VisitorId, WaitId};

use super::pool::{Pool, PooledConn};

/// The place. Dropped, it is left, and what was granted goes to the next.
pub(crate) struct PoolWaiter {
    pool: Arc<Pool>,
    id: WaitId,
    visitor: VisitorId,
}

impl PoolWaiter {
    /// The last place, for a connection to `service`, or a stream; without a service for a stream alone. `None`: too many
    /// wait. `refusal`: why no stream could be opened, if that was tried.
    pub(crate) fn join(
        pool: &Arc<Pool>,
        service: Option<&str>,
        visitor: VisitorId,
        refusal: Option<OpenRefusal>,
    ) -> Option<Self> {
        let id = pool.enqueue(service, visitor, refusal)?;
        Some(Self { pool: Arc::clone(pool), id, visitor })
    }

    /// What the request gets. After [`Grant::Stream`] it tries to open one: if it can, it drops this, else it calls
    /// [`Self::handle_no_stream`] and waits again.
    pub(crate) async fn granted(&mut self) -> Grant<PooledConn> {
        let grant = poll_fn(|cx| {
            self.pool.with(|state| match state.conns.take_grant(self.id) {
                Some(grant) => Poll::Ready(grant),
                None => {
                    state.wakers.insert(self.id, cx.waker().clone());
                    Poll::Pending
                }
            })
        });
        match grant.await {
            Grant::Conn(idle) => Grant::Conn(PooledConn::new(idle, self.visitor)),
            Grant::Stream => Grant::Stream,
            Grant::TimedOut => Grant::TimedOut,
        }
    }

    /// No stream was free.
    pub(crate) fn handle_no_stream(&mut self, refusal: OpenRefusal) {
        self.pool.with(|state| state.conns.handle_no_stream(self.id, refusal));
    }
}

impl Drop for PoolWaiter {
    fn drop(&mut self) {
        self.pool.cancel(self.id);
    }
}
