//! Whether one thread is enough for the work there is.

use std::time::{Duration, Instant};

/// How often a thread looks. Shorter, and a single burst would call for help.
const LOOK: Duration = Duration::from_millis(20);

/// After so long without a look, there was nothing to do, or a task did not yield, which is the monitor's business. The next
/// look begins anew: a process that wakes up now and then does not ask the kernel for its time.
const FORGET: Duration = Duration::from_millis(100);

/// The processor time of a thread, from the kernel: a thread that waits for a core needs no second thread.
pub(crate) struct CpuUsage {
    at: Instant,
    /// What it was then, if the kernel was asked.
    used: Option<Duration>,
}

impl CpuUsage {
    /// That of this thread, from now on.
    pub(crate) fn new() -> Self {
        Self { at: Instant::now(), used: None }
    }

    /// Whether the thread had hardly a pause since it looked last; `false` between two looks.
    pub(crate) fn is_saturated(&mut self) -> bool {
        let now = Instant::now();
        let passed = now - self.at;
        if passed < LOOK {
            return false;
        }
        let before = self.used.take();
        self.at = now;
        if passed >= FORGET {
            return false;
        }
        let used = used();
        self.used = Some(used);
        before.is_some_and(|before| is_saturated(used.saturating_sub(before), passed))
    }
}

/// Whether a thread that ran for `used` of the time had hardly a pause.
fn is_saturated(used: Duration, passed: Duration) -> bool {
    used * 10 >= passed * 9
}

/// Processor time of this thread.
#[cfg(target_os = "linux")]
fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// On systems without it, a thread counts as busy, and the others help.
#[cfg(not(target_os = "linux"))]
fn used() -> Duration {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_for_a_core_or_for_work_is_not_saturated() {
        let [little, much, all] = [50, 90, 100].map(Duration::from_millis);
        assert!(is_saturated(all, all) && is_saturated(much, all));
        assert!(!is_saturated(little, all) && !is_saturated(Duration::ZERO, all));
    }
}
