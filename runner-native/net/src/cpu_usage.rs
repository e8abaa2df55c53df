//! Whether one thread is enough for the work there is, and whether a second one is worth what it costs.

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
        let used = thread_time();
        self.used = Some(used);
        before.is_some_and(|before| is_saturated(used.saturating_sub(before), passed))
    }
}

/// Whether a thread that ran for `used` of the time had hardly a pause.
fn is_saturated(used: Duration, passed: Duration) -> bool {
    used * 10 >= passed * 9
}

/// A time in which several threads share the work of a process.
pub(crate) struct HelpPeriod {
    begun: Instant,
    used: Option<Duration>,
}

/// What became of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum HelpVerdict {
    /// The threads ran at the same time.
    Worth,
    /// They took turns, which one thread does for less: the work came in pieces that depend on each other, or no core
    /// was free.
    NotWorth,
    /// The system does not say.
    Unknown,
}

impl HelpPeriod {
    /// It begins now.
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), used: process_time() }
    }

    /// How much of `duration` is left.
    pub(crate) fn left(&self, duration: Duration) -> Duration {
        duration.saturating_sub(self.begun.elapsed())
    }

    /// Whether it paid that `helpers` threads helped the leader.
    pub(crate) fn verdict(&self, helpers: usize) -> HelpVerdict {
        match (self.used, process_time()) {
            (Some(before), Some(after)) => {
                verdict(after.saturating_sub(before), self.begun.elapsed(), helpers)
            }
            _ => HelpVerdict::Unknown,
        }
    }
}

/// Each helper has to add a quarter of a core to what a saturated leader uses.
fn verdict(used: Duration, passed: Duration, helpers: usize) -> HelpVerdict {
    let wanted = u32::try_from(helpers).unwrap_or(u32::MAX).saturating_add(4);
    if used * 4 >= passed * wanted { HelpVerdict::Worth } else { HelpVerdict::NotWorth }
}

/// Processor time of this thread.
#[cfg(target_os = "linux")]
fn thread_time() -> Duration {
    clock_time(rustix::time::ClockId::ThreadCPUTime)
}

/// Processor time of all threads together.
#[cfg(target_os = "linux")]
fn process_time() -> Option<Duration> {
    Some(clock_time(rustix::time::ClockId::ProcessCPUTime))
}

#[cfg(target_os = "linux")]
fn clock_time(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// On systems without it, a thread counts as busy, and the others help.
#[cfg(not(target_os = "linux"))]
fn thread_time() -> Duration {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn process_time() -> Option<Duration> {
    None
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

    #[test]
    fn a_look_right_after_the_last_one_says_nothing() {
        assert!(!CpuUsage::new().is_saturated());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_counts_the_time_of_a_thread_and_of_its_process() {
        let (thread, process) = (thread_time(), process_time().expect("Linux says it"));
        while thread_time() == thread {}
        assert!(process_time().expect("Linux says it") > process);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_period_lasts_and_is_not_worth_more_threads_than_there_are_cores() {
        let period = HelpPeriod::new();
        assert!(period.left(Duration::from_secs(3600)) > Duration::from_secs(3000));
        assert_eq!(period.left(Duration::ZERO), Duration::ZERO);
        assert_eq!(period.verdict(usize::MAX), HelpVerdict::NotWorth);
    }

    #[test]
    fn help_is_worth_it_if_each_helper_adds_a_quarter_of_a_core() {
        let passed = Duration::from_millis(100);
        let used = Duration::from_millis;
        assert_eq!(verdict(used(125), passed, 1), HelpVerdict::Worth);
        assert_eq!(verdict(used(124), passed, 1), HelpVerdict::NotWorth);
        assert_eq!(verdict(used(150), passed, 2), HelpVerdict::Worth);
        assert_eq!(verdict(used(149), passed, 2), HelpVerdict::NotWorth);
    }
}
