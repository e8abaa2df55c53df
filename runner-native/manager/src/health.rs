//! What is known of one connection by the checks of it, and when the next check comes.
//!
//! Reads no clock and checks nothing itself.

use std::time::Duration;

use hvym_tunnel_core::time::Instant;
use schemars::JsonSchema;
use serde::Serialize;

use crate::histogram::Histogram;
use crate::rolling::Rolling;

/// How long latencies count for percentiles: two of these at most.
const LATENCY_SPAN: Duration = Duration::from_secs(5 * 60);

/// When connections are checked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CheckTiming {
    /// Between two checks of a connection that is well, or has failed for good.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// How many checks are made soon after the first that failed.
    pub max_retries: u32,
    /// Between those.
    pub retry_delay: Duration,
}

impl Default for CheckTiming {
    /// Those of the Tunnel Manager.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            max_retries: 5,
            retry_delay: Duration::from_secs(2),
        }
    }
}

/// What the checks of a connection say.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// It was not checked yet.
    Unknown,
    /// The last check succeeded.
    Connected,
    /// The last check failed, and more come soon.
    Retrying,
    /// All retries failed.
    Failed,
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    /// How long the answer took.
    pub latency: Duration,
    /// What the service says of its version.
    pub version: Option<String>,
    /// The models that it serves.
    pub models: Vec<String>,
}

/// What a check changed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckChange {
    /// Whether it is connected, why not, or its version.
    pub status: bool,
    /// The list of its models.
    pub models: bool,
}

/// The checks of one connection.
#[derive(Clone, Debug)]
pub struct ConnectionHealth {
    state: CheckState,
    last: CheckReport,
    error: Option<String>,
    failures: u32,
    checked_at: Option<Instant>,
    next_check: Instant,
    latencies: Rolling<Histogram>,
}

impl ConnectionHealth {
    /// It is to be checked now.
    pub fn new(now: Instant) -> Self {
        Self {
            state: CheckState::Unknown,
            last: CheckReport::default(),
            error: None,
            failures: 0,
            checked_at: None,
            next_check: now,
            latencies: Rolling::new(LATENCY_SPAN, now),
        }
    }

    /// When the next check comes.
    pub fn next_check(&self) -> Instant {
        self.next_check
    }

    /// A check is wanted at `now`.
    pub fn check_at(&mut self, now: Instant) {
        self.next_check = self.next_check.min(now);
    }

    /// A check ended: with what it found, or why it failed.
    pub fn handle_check(
        &mut self,
        outcome: Result<CheckReport, String>,
        timing: &CheckTiming,
        now: Instant,
    ) -> CheckChange {
        let before = (self.is_connected(), self.error.clone(), self.last.version.clone());
        let was_unknown = self.checked_at.is_none();
        let mut models_changed = false;
        self.checked_at = Some(now);
        match outcome {
            Ok(report) => {
                models_changed = report.models != self.last.models;
                self.latencies.current(now).record(report.latency);
                (self.state, self.failures, self.error) = (CheckState::Connected, 0, None);
                self.last = report;
                self.next_check = now + timing.interval;
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let is_final = self.failures > timing.max_retries;
                self.state = if is_final { CheckState::Failed } else { CheckState::Retrying };
                self.error = Some(error);
                let delay = if is_final { timing.interval } else { timing.retry_delay };
                self.next_check = now + delay.min(timing.interval);
            }
        }
        let after = (self.is_connected(), self.error.clone(), self.last.version.clone());
        CheckChange { status: was_unknown || before != after, models: models_changed }
    }

    /// What the checks say.
    pub fn state(&self) -> CheckState {
        self.state
    }

    /// Whether the last check succeeded.
    pub fn is_connected(&self) -> bool {
        self.state == CheckState::Connected
    }

    /// The last check that succeeded.
    pub fn last(&self) -> &CheckReport {
        &self.last
    }

    /// How long the last check took, if it succeeded.
    pub fn latency(&self) -> Duration {
        if self.is_connected() { self.last.latency } else { Duration::ZERO }
    }

    /// Why the last check failed.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Checks in a row that failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the last check ended.
    pub fn checked_at(&self) -> Option<Instant> {
        self.checked_at
    }

    /// How long checks took lately.
    pub fn latencies(&mut self, now: Instant) -> [&Histogram; 2] {
        self.latencies.generations(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: CheckTiming = CheckTiming {
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(30),
        max_retries: 2,
        retry_delay: Duration::from_secs(2),
    };

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn found(models: &[&str]) -> Result<CheckReport, String> {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        Ok(CheckReport { latency: Duration::from_millis(3), version: Some("0.9.0".to_owned()), models })
    }

    fn refused() -> Result<CheckReport, String> {
        Err("nothing listens".to_owned())
    }

    #[test]
    fn a_connection_has_failed_when_all_retries_have() {
        let mut health = ConnectionHealth::new(at(0));
        assert_eq!((health.state(), health.next_check()), (CheckState::Unknown, at(0)));
        let changed = health.handle_check(found(&[]), &TIMING, at(0));
        assert_eq!((health.state(), health.next_check()), (CheckState::Connected, at(30)));
        assert_eq!(changed, CheckChange { status: true, models: false });
        for (second, state, next) in
            [(30, CheckState::Retrying, 32), (32, CheckState::Retrying, 34), (34, CheckState::Failed, 64)]
        {
            let changed = health.handle_check(refused(), &TIMING, at(second));
            assert_eq!((health.state(), health.next_check()), (state, at(next)), "{second}");
            assert_eq!(changed.status, second == 30);
        }
        assert_eq!((health.latency(), health.failures()), (Duration::ZERO, 3));
        assert!(health.handle_check(found(&[]), &TIMING, at(64)).status);
        assert_eq!((health.state(), health.failures(), health.error()), (CheckState::Connected, 0, None));
    }

    #[test]
    fn without_retries_the_first_failure_is_the_last() {
        let timing = CheckTiming { max_retries: 0, ..TIMING };
        let mut health = ConnectionHealth::new(at(0));
        health.handle_check(refused(), &timing, at(0));
        assert_eq!((health.state(), health.next_check()), (CheckState::Failed, at(30)));
    }

    #[test]
    fn a_retry_comes_no_later_than_the_next_check_would() {
        let timing = CheckTiming { retry_delay: Duration::from_secs(90), ..TIMING };
        let mut health = ConnectionHealth::new(at(0));
        health.handle_check(refused(), &timing, at(0));
        assert_eq!(health.next_check(), at(30));
    }

    #[test]
    fn models_that_come_and_go_are_a_change_and_those_of_a_lost_service_stay_known() {
        let mut health = ConnectionHealth::new(at(0));
        assert!(health.handle_check(found(&["llama2:latest"]), &TIMING, at(0)).models);
        assert_eq!(health.handle_check(found(&["llama2:latest"]), &TIMING, at(30)), CheckChange::default());
        assert!(!health.handle_check(refused(), &TIMING, at(60)).models);
        assert_eq!(
            health.handle_check(found(&[]), &TIMING, at(62)),
            CheckChange { status: true, models: true }
        );
    }

    #[test]
    fn a_check_that_is_asked_for_comes_at_once() {
        let mut health = ConnectionHealth::new(at(0));
        health.handle_check(found(&[]), &TIMING, at(0));
        health.check_at(at(7));
        assert_eq!(health.next_check(), at(7));
        health.check_at(at(9));
        assert_eq!(health.next_check(), at(7));
    }
}
