//! Limits on how long something may take.

use std::future::Future;
use std::time::Duration;

use futures_util::future::{self, Either};

use super::coarse_timer::CoarseTimer;

/// What `work` came to, if it was done within `limit`, or a quarter of a second more.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match future::select(std::pin::pin!(work), CoarseTimer::after(limit)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
