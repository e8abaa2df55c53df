//! The clocks that the core is not allowed to read.

use std::time::SystemTime;

use hvym_tunnel_core::rng::Seed;
use hvym_tunnel_core::time::{Instant, Wall};

/// The monotonic clock of this machine. On Linux it goes on while the machine sleeps, so that a link that
/// died meanwhile is noticed at once.
#[derive(Copy, Clone, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The clock; all of them tell the same time.
    pub fn new() -> Self {
        Clock
    }

    /// Now, on the monotonic clock.
    #[cfg(target_os = "linux")]
    pub fn now(self) -> Instant {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let micros = u64::try_from(time.tv_nsec).unwrap_or(0) / 1000;
        Instant::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
    }

    /// Now, on the monotonic clock.
    #[cfg(not(target_os = "linux"))]
    pub fn now(self) -> Instant {
        use std::sync::LazyLock;
        static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        Instant::from_micros(u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// What the wall clock says, and when it said so.
    pub fn wall(self) -> Wall {
        Wall::from_system_time(SystemTime::now(), self.now())
    }
}

/// 32 bytes of the operating system's entropy.
///
/// # Panics
/// If the operating system has none, which nothing can make up for.
pub fn seed() -> Seed {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system gives random bytes");
    seed
}
