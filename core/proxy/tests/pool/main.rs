//! The pool of connections to services. Here is what its tests share.

mod idle;
mod model;
mod waiting;

use std::sync::Arc;

use hvym_proxy::ConnHistory;
use hvym_proxy::pool::{ConnPool, PoolConfig, Returned, VisitorId, WaitId};
use hvym_yamux::Instant;

pub(crate) const ALICE: VisitorId = VisitorId(1);
pub(crate) const BOB: VisitorId = VisitorId(2);
pub(crate) const SAFE: ConnHistory =
    ConnHistory { requests: 1, has_unsafe_request: false, has_connection_login: false, keep_alive: None };
pub(crate) const POSTED: ConnHistory = ConnHistory { has_unsafe_request: true, ..SAFE };
pub(crate) const LOGGED_IN: ConnHistory = ConnHistory { has_connection_login: true, ..SAFE };

pub(crate) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn pool(change: impl FnOnce(&mut PoolConfig)) -> ConnPool<u32> {
    let mut config = PoolConfig::DEFAULT;
    change(&mut config);
    ConnPool::new(config)
}

pub(crate) fn returned(conn: u32, visitor: VisitorId, history: ConnHistory) -> Returned<u32> {
    Returned { conn, service: Arc::from("web"), visitor, history }
}

pub(crate) fn closed(pool: &mut ConnPool<u32>) -> Vec<u32> {
    std::iter::from_fn(|| pool.poll_closed()).collect()
}

pub(crate) fn granted(pool: &mut ConnPool<u32>) -> Vec<WaitId> {
    std::iter::from_fn(|| pool.poll_granted()).collect()
}
