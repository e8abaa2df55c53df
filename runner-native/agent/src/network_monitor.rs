//! Detects that the machine slept, or that its route to the internet changed: the link may be dead without a sign.
//!
//! It only detects. A false alarm costs one ping, or one dial that comes early.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant as Awake, SystemTime};

use hvym_tunnel_core::time::Instant;

use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::host_events::HostEvents;
use hvym_tunnel_net::timer::Timer;

/// The least time between two looks. Shorter notices sooner, and wakes the process more often: a change of networks is a
/// dozen events in a row, and where the system reports none, this is how often we look.
const INTERVAL: Duration = Duration::from_secs(2);
/// How much more time than this process lived through must have passed before the machine counts as having slept. A busy
/// machine is late by less.
const SLACK: Duration = Duration::from_secs(3);
/// Addresses on the other side of any default route; they are reserved (RFC 5737, RFC 3849) and nothing is sent to them.
const REMOTE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The source address of the default route, for either family.
type Routes = [Option<IpAddr>; REMOTE.len()];

/// What changed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// More time passed than this process lived through.
    Slept,
    /// The default route has another source address.
    Network,
}

/// Compares clocks and routes with their last sample.
pub(crate) struct NetworkMonitor {
    clock: Clock,
    last: Sample,
    source: Source,
    /// Something happened since the last sample.
    is_due: bool,
}

/// What says when to look.
enum Source {
    /// Not known before the first wait, which is inside a runtime.
    Unknown,
    /// The system.
    Events(HostEvents),
    /// The time, where the system says nothing.
    Interval,
}

/// Clocks and routes at one moment.
#[derive(Copy, Clone)]
struct Sample {
    awake: Awake,
    monotonic: Instant,
    wall: SystemTime,
    routes: Routes,
}

impl NetworkMonitor {
    /// Takes the first sample.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, last: Sample::now(clock), source: Source::Unknown, is_due: false }
    }

    /// Waits until something has changed. Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self) -> Change {
        loop {
            self.due().await;
            let now = Sample::now(self.clock);
            let before = std::mem::replace(&mut self.last, now);
            self.is_due = false;
            let most = match self.source {
                Source::Events(_) => now.awake - before.awake,
                _ => INTERVAL,
            };
            if now.elapsed_since(&before) > most + SLACK {
                return Change::Slept;
            }
            if is_new_route(before.routes, now.routes) {
                return Change::Network;
            }
        }
    }

    /// Waits until it is time to look.
    async fn due(&mut self) {
        if let Source::Unknown = self.source {
            self.source = HostEvents::new().map_or(Source::Interval, Source::Events);
        }
        if let Source::Events(events) = &mut self.source
            && !self.is_due
        {
            events.next().await;
            self.is_due = true;
        }
        Timer::after(INTERVAL.saturating_sub(self.last.awake.elapsed())).await;
    }
}

impl Sample {
    fn now(clock: Clock) -> Self {
        Self { awake: Awake::now(), monotonic: clock.now(), wall: SystemTime::now(), routes: routes() }
    }

    /// By the clock that counted most. Which of them go on during sleep differs between systems; a paused virtual
    /// machine shows only on the wall clock.
    fn elapsed_since(&self, before: &Sample) -> Duration {
        let wall = self.wall.duration_since(before.wall).unwrap_or_default();
        (self.awake - before.awake).max(self.monotonic - before.monotonic).max(wall)
    }
}

/// A lost route is no change: there is nothing to dial through yet.
fn is_new_route(before: Routes, now: Routes) -> bool {
    before.iter().zip(now).any(|(before, now)| now.is_some() && *before != now)
}

fn routes() -> Routes {
    REMOTE.map(|remote| {
        let any = match remote {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        // For UDP this asks the routing table and sends nothing.
        socket.connect((remote, 9)).ok()?;
        socket.local_addr().ok().map(|local| local.ip())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 2)));
    const CAFE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)));

    #[test]
    fn another_route_is_a_change_and_a_lost_route_is_not() {
        assert!(is_new_route([HOME, None], [CAFE, None]));
        assert!(is_new_route([None, None], [CAFE, None]));
        assert!(!is_new_route([HOME, None], [None, None]));
        assert!(!is_new_route([HOME, None], [HOME, None]));
    }

    #[test]
    fn the_clock_that_counted_most_says_how_long_it_was() {
        let before = Sample::now(Clock::new());
        let hour = Duration::from_secs(3600);
        assert!(Sample { wall: before.wall + hour, ..before }.elapsed_since(&before) >= hour);
        assert!(Sample { monotonic: before.monotonic + hour, ..before }.elapsed_since(&before) >= hour);
        assert!(Sample { wall: before.wall - hour, ..before }.elapsed_since(&before) < INTERVAL);
    }
}
