//! Which conditions a person should be told of: each is raised once, after it held for two checks, and is cleared when it is well
//! below its limit again.
//!
//! Reads no clock, and tells nobody: what is to be told comes out of [`AlertBook::poll_event`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hvym_tunnel_state::UnixMillis;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::quality::Quality;

/// Checks in a row after which a condition is told: one may be a coincidence.
const RAISE_AFTER: u32 = 2;
/// Further checks after which an alert that nobody acknowledged is escalated.
const ESCALATE_AFTER: u32 = 3;
/// A value clears its alert at this share of the limit, so that one that hovers around it is told once.
const CLEAR_SHARE: f64 = 0.8;
/// Cleared alerts that are remembered: some days of a bad line.
const MAX_HISTORY: usize = 200;
/// Alerts that are active at once; beyond it conditions are counted, and not told. Each connection has five conditions.
const MAX_ACTIVE: usize = 1000;

/// Limits beyond which somebody is told.
#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertLimits {
    /// Milliseconds that a check may take.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 1, max = u32::MAX))]
    pub max_latency_ms: u32,
    /// Requests of a hundred that may fail.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 100))]
    pub max_error_rate: f64,
    /// Checks in a row that may fail.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 1, max = u32::MAX))]
    pub max_consecutive_failures: u32,
    /// Memory of the process, MiB.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 1, max = u32::MAX))]
    pub max_memory_mb: u32,
    /// Processor time of the process, percent of one core.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_cpu_percent: f64,
}

/// A whole number, also written as `100.0`: some languages have no other numbers, and a JSON schema takes it for an integer.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = f64::deserialize(deserializer)?;
    let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    is_whole.then_some(number as u32).ok_or_else(|| D::Error::custom("a whole number is needed"))
}

impl Default for AlertLimits {
    /// Those of the Tunnel Manager.
    fn default() -> Self {
        Self {
            max_latency_ms: 5000,
            max_error_rate: 10.0,
            max_consecutive_failures: 5,
            max_memory_mb: 100,
            max_cpu_percent: 80.0,
        }
    }
}

/// Limits that would tell always, or never.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum AlertLimitsError {
    /// Everything would be over it.
    #[error("{0} must be more than 0")]
    Zero(&'static str),
    /// A share is of a hundred.
    #[error("maxErrorRate is a percentage, 100 at most")]
    Percent,
}

impl AlertLimits {
    /// Whether they can be kept and exceeded.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(&self) -> Result<(), AlertLimitsError> {
        let positive = [
            ("maxLatencyMs", self.max_latency_ms > 0),
            ("maxErrorRate", self.max_error_rate > 0.0),
            ("maxConsecutiveFailures", self.max_consecutive_failures > 0),
            ("maxMemoryMb", self.max_memory_mb > 0),
            ("maxCpuPercent", self.max_cpu_percent > 0.0),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, is_positive)| !is_positive) {
            return Err(AlertLimitsError::Zero(name));
        }
        if self.max_error_rate > 100.0 { Err(AlertLimitsError::Percent) } else { Ok(()) }
    }
}

/// What an alert is about.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A connection is lost.
    Disconnected,
    /// A check takes too long.
    Latency,
    /// Too many requests fail.
    ErrorRate,
    /// A connection is poor, or worse.
    Quality,
    /// Too many checks in a row failed.
    Failures,
    /// The process takes too much memory or processor time.
    Resources,
}

/// What a check said of one connection.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Reading {
    /// Whether it is there.
    pub connected: bool,
    /// How long the check took.
    pub latency: Duration,
    /// Failed requests of a hundred.
    pub error_percent: f64,
    /// How good it is.
    pub quality: Quality,
    /// Failed checks in a row.
    pub failures: u32,
}

/// One alert.
#[derive(Clone, PartialEq, Debug)]
pub struct Alert {
    /// Unique among those of one book.
    pub id: u64,
    /// What it is about.
    pub kind: AlertKind,
    /// The connection, or `memory` or `cpu`.
    pub subject: String,
    /// What is wrong, for a person.
    pub message: String,
    /// When it was raised.
    pub raised_at: UnixMillis,
    /// When it was over.
    pub cleared_at: Option<UnixMillis>,
    /// Whether a person knows of it.
    pub acknowledged: bool,
    /// Whether it lasted so long that something was tried.
    pub escalated: bool,
}

/// What is to be told.
#[derive(Clone, PartialEq, Debug)]
pub enum AlertEvent {
    /// A condition holds.
    Raised(Alert),
    /// It still holds, and nobody acknowledged it: something should be tried. Once for each alert.
    Escalated(Alert),
    /// A person knows of it.
    Acknowledged(Alert),
    /// It is over.
    Cleared(Alert),
}

impl AlertEvent {
    /// The alert as it is now.
    pub fn alert(&self) -> &Alert {
        match self {
            AlertEvent::Raised(alert)
            | AlertEvent::Escalated(alert)
            | AlertEvent::Acknowledged(alert)
            | AlertEvent::Cleared(alert) => alert,
        }
    }
}

/// One condition of one subject at one check.
struct Sample {
    kind: AlertKind,
    /// `Some(true)`: over the limit, `Some(false)`: well below it.
    is_over: Option<bool>,
    message: String,
}

#[derive(Default)]
struct Condition {
    /// Checks in a row that were over the limit.
    held: u32,
    /// Checks since the alert was raised.
    lasted: u32,
    alert: Option<Alert>,
}

/// All alerts, active and past.
pub struct AlertBook {
    limits: AlertLimits,
    conditions: BTreeMap<(String, AlertKind), Condition>,
    active: usize,
    history: VecDeque<Alert>,
    next_id: u64,
    events: VecDeque<AlertEvent>,
}

impl AlertBook {
    /// No alerts yet.
    pub fn new(limits: AlertLimits) -> Self {
        let (conditions, history, events) = Default::default();
        Self { limits, conditions, active: 0, history, next_id: 1, events }
    }

    /// The limits.
    pub fn limits(&self) -> AlertLimits {
        self.limits
    }

    /// Other limits, from the next check on.
    pub fn set_limits(&mut self, limits: AlertLimits) {
        self.limits = limits;
    }

    /// A connection was checked.
    pub fn handle_check(&mut self, subject: &str, reading: &Reading, now: UnixMillis) {
        for sample in samples(&self.limits, reading) {
            self.handle_sample(subject, sample, now);
        }
    }

    /// The process was measured: its memory in MiB, and its processor time in percent of one core.
    pub fn handle_resources(&mut self, memory_mb: f64, cpu_percent: f64, now: UnixMillis) {
        let limits = self.limits;
        let memory = level(memory_mb, f64::from(limits.max_memory_mb));
        let message = format!("the process takes {memory_mb:.0} MiB, more than {}", limits.max_memory_mb);
        self.handle_sample("memory", Sample { kind: AlertKind::Resources, is_over: memory, message }, now);
        let cpu = level(cpu_percent, limits.max_cpu_percent);
        let message =
            format!("the process takes {cpu_percent:.0} % of a core, more than {}", limits.max_cpu_percent);
        self.handle_sample("cpu", Sample { kind: AlertKind::Resources, is_over: cpu, message }, now);
    }

    /// Takes over the alerts of an earlier process, in the order of their numbers. Those that held go on to hold until a check says
    /// otherwise.
    pub fn restore(&mut self, alerts: impl IntoIterator<Item = Alert>) {
        for alert in alerts {
            self.next_id = self.next_id.max(alert.id.saturating_add(1));
            if alert.cleared_at.is_some() {
                self.remember(alert);
            } else if self.active < MAX_ACTIVE {
                let condition = Condition { held: RAISE_AFTER, lasted: 0, alert: Some(alert.clone()) };
                let before = self.conditions.insert((alert.subject, alert.kind), condition);
                self.active += usize::from(before.is_none());
            }
        }
    }

    /// A connection is no more, or nobody wants it: its alerts are over.
    pub fn remove_subject(&mut self, subject: &str, now: UnixMillis) {
        self.retain_subjects(|known| known != subject, now);
    }

    /// There are no other connections than these: the alerts of others are over. Those of the process itself stay.
    pub fn retain_subjects(&mut self, is_known: impl Fn(&str) -> bool, now: UnixMillis) {
        let is_gone =
            |(subject, kind): &&(String, AlertKind)| *kind != AlertKind::Resources && !is_known(subject);
        let keys: Vec<_> = self.conditions.keys().filter(is_gone).cloned().collect();
        for key in keys {
            if let Some(alert) = self.conditions.remove(&key).and_then(|condition| condition.alert) {
                self.clear(alert, now);
            }
        }
    }

    /// A person knows of an active alert, which is not escalated then. `false` if there is none of this number.
    pub fn acknowledge(&mut self, id: u64) -> bool {
        let mut alerts = self.conditions.values_mut().filter_map(|condition| condition.alert.as_mut());
        let Some(alert) = alerts.find(|alert| alert.id == id) else { return false };
        if !alert.acknowledged {
            alert.acknowledged = true;
            self.events.push_back(AlertEvent::Acknowledged(alert.clone()));
        }
        true
    }

    /// Forgets the alerts that are over; returns how many there were.
    pub fn clear_history(&mut self) -> usize {
        std::mem::take(&mut self.history).len()
    }

    /// The alerts that hold.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.conditions.values().filter_map(|condition| condition.alert.as_ref())
    }

    /// The alerts that are over, the latest first.
    pub fn history(&self) -> impl Iterator<Item = &Alert> {
        self.history.iter().rev()
    }

    /// What is to be told next.
    pub fn poll_event(&mut self) -> Option<AlertEvent> {
        self.events.pop_front()
    }

    fn handle_sample(&mut self, subject: &str, sample: Sample, now: UnixMillis) {
        let Sample { kind, is_over, message } = sample;
        let key = (subject.to_owned(), kind);
        match is_over {
            Some(true) => {
                let has_room = self.active < MAX_ACTIVE;
                let condition = self.conditions.entry(key).or_default();
                condition.held = condition.held.saturating_add(1);
                match &mut condition.alert {
                    Some(alert) => {
                        condition.lasted = condition.lasted.saturating_add(1);
                        if condition.lasted >= ESCALATE_AFTER && !alert.acknowledged && !alert.escalated {
                            alert.escalated = true;
                            self.events.push_back(AlertEvent::Escalated(alert.clone()));
                        }
                    }
                    None if condition.held >= RAISE_AFTER && has_room => {
                        let alert = Alert {
                            id: self.next_id,
                            kind,
                            subject: subject.to_owned(),
                            message,
                            raised_at: now,
                            cleared_at: None,
                            acknowledged: false,
                            escalated: false,
                        };
                        self.next_id += 1;
                        self.active += 1;
                        condition.alert = Some(alert.clone());
                        self.events.push_back(AlertEvent::Raised(alert));
                    }
                    None => {}
                }
            }
            Some(false) => {
                if let Some(alert) = self.conditions.remove(&key).and_then(|condition| condition.alert) {
                    self.clear(alert, now);
                }
            }
            None => {
                if let Some(condition) = self.conditions.get_mut(&key).filter(|known| known.alert.is_none()) {
                    condition.held = 0;
                }
            }
        }
    }

    fn clear(&mut self, alert: Alert, now: UnixMillis) {
        self.active -= 1;
        let alert = Alert { cleared_at: Some(now), ..alert };
        self.remember(alert.clone());
        self.events.push_back(AlertEvent::Cleared(alert));
    }

    fn remember(&mut self, alert: Alert) {
        if self.history.len() == MAX_HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(alert);
    }
}

/// Over the limit, well below it, or between.
fn level(value: f64, limit: f64) -> Option<bool> {
    match value {
        value if value > limit => Some(true),
        value if value <= limit * CLEAR_SHARE => Some(false),
        _ => None,
    }
}

/// What a check of a connection says of each of its conditions. Of one that is lost, nothing but that is said.
fn samples(limits: &AlertLimits, reading: &Reading) -> [Sample; 5] {
    let Reading { connected, latency, error_percent, quality, failures } = *reading;
    let millis = latency.as_millis();
    let if_connected = |is_over: Option<bool>| is_over.filter(|_| connected);
    let sample = |kind, is_over, message| Sample { kind, is_over, message };
    [
        sample(AlertKind::Disconnected, Some(!connected), "it is not connected".to_owned()),
        sample(
            AlertKind::Failures,
            match failures {
                0 => Some(false),
                _ => (failures >= limits.max_consecutive_failures).then_some(true),
            },
            format!("{failures} checks in a row failed"),
        ),
        sample(
            AlertKind::Latency,
            if_connected(level(millis as f64, f64::from(limits.max_latency_ms))),
            format!("a check took {millis} ms, more than {}", limits.max_latency_ms),
        ),
        sample(
            AlertKind::ErrorRate,
            if_connected(level(error_percent, limits.max_error_rate)),
            format!("{error_percent:.0} % of the requests failed, more than {} %", limits.max_error_rate),
        ),
        sample(
            AlertKind::Quality,
            if_connected(Some(quality >= Quality::Poor)),
            format!("the connection is {quality:?}").to_lowercase(),
        ),
    ]
}

#[cfg(test)]
mod tests;
