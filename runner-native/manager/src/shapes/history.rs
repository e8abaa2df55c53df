//! What happened over time, as the API says it.

use schemars::JsonSchema;
use serde::Serialize;

/// How far back, and so in which steps.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub enum HistoryRange {
    /// An hour, in minutes.
    #[serde(rename = "1h")]
    Hour,
    /// A day, in quarters of an hour.
    #[serde(rename = "24h")]
    Day,
    /// A week, in hours.
    #[serde(rename = "7d")]
    Week,
}

/// What happened in one step.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct HistoryPoint {
    /// When it began.
    pub at: String,
    /// Requests and connections of visitors.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Requests in a second, on average.
    pub requests_per_second: f64,
    /// Bytes from visitors.
    pub bytes_in: u64,
    /// Bytes to visitors.
    pub bytes_out: u64,
    /// Milliseconds within which half of the requests were answered; nothing if there was none.
    pub p50: Option<f64>,
    /// Milliseconds within which 95 of a hundred were.
    pub p95: Option<f64>,
    /// Milliseconds within which 99 were.
    pub p99: Option<f64>,
}

/// `GET /api/v1/history`
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct HistoryReport {
    /// How far back.
    pub range: HistoryRange,
    /// Length of one step, seconds.
    pub interval_seconds: u32,
    /// Every step, the oldest first. The last one is not over.
    pub points: Vec<HistoryPoint>,
    /// Now.
    pub timestamp: String,
}
