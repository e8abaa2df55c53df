//! The idle limit of upgraded and TCP connections: any byte in either direction counts, so whoever pings stays.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::{LocalConnection, splice};
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::timer::Timer;

/// Splices a stream to a visitor's connection until both have ended.
///
/// # Errors
/// One of them failed, or nothing passed for `limit` ([`io::ErrorKind::TimedOut`]).
pub(crate) async fn splice_until_idle(
    stream: TunnelStream,
    visitor: impl LocalConnection,
    limit: Duration,
    clock: Clock,
) -> io::Result<()> {
    let moved = AtomicU64::new(clock.now().as_micros());
    let splicing = pin!(splice(stream, visitor, |_, _, now| moved.store(now.as_micros(), Ordering::Relaxed)));
    let idle = pin!(async {
        loop {
            let until = Instant::from_micros(moved.load(Ordering::Relaxed)) + limit;
            if clock.now() >= until {
                return;
            }
            Timer::at(until).await;
        }
    });
    match select(splicing, idle).await {
        Either::Left((ended, _)) => ended,
        Either::Right(((), _)) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing passed for too long")),
    }
}
