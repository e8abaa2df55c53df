//! What this process takes of the machine: memory and processor time.

use std::time::Duration;

use hvym_tunnel_core::time::Instant;

/// A measurement.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct ProcessUsage {
    /// Resident memory, MiB; 0 where the system does not say.
    pub memory_mb: f64,
    /// Processor time since the measurement before, percent of one core.
    pub cpu_percent: f64,
    /// Processor time since the start.
    pub cpu_time: Duration,
}

/// Measures this process now and then.
#[derive(Debug, Default)]
pub struct ProcessMeter {
    last: Option<(Instant, Duration)>,
    usage: ProcessUsage,
}

/// Two measurements that are closer than this say nothing of a share of time.
const MIN_SPAN: Duration = Duration::from_millis(200);

impl ProcessMeter {
    /// What the process takes.
    pub fn measure(&mut self, now: Instant) -> ProcessUsage {
        let cpu_time = cpu_time();
        if let Some((at, before)) = self.last {
            let passed = now.saturating_duration_since(at);
            if passed < MIN_SPAN {
                return self.usage;
            }
            let used = cpu_time.saturating_sub(before);
            self.usage.cpu_percent = 100.0 * used.as_secs_f64() / passed.as_secs_f64();
        }
        self.last = Some((now, cpu_time));
        self.usage = ProcessUsage { memory_mb: memory_mb(), cpu_time, ..self.usage };
        self.usage
    }
}

#[cfg(target_os = "linux")]
fn memory_mb() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0);
    (resident * rustix::param::page_size() as u64) as f64 / f64::from(1024 * 1024)
}

#[cfg(not(target_os = "linux"))]
fn memory_mb() -> f64 {
    0.0
}

#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
fn cpu_time() -> Duration {
    Duration::ZERO
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_memory_and_time() {
        let mut meter = ProcessMeter::default();
        let first = meter.measure(Instant::from_millis(0));
        assert!(first.memory_mb > 0.5 && first.cpu_time > Duration::ZERO, "{first:?}");
        let second = meter.measure(Instant::from_millis(1000));
        assert!(second.cpu_time >= first.cpu_time && second.cpu_percent >= 0.0);
        assert_eq!(meter.measure(Instant::from_millis(1199)), second);
    }
}
