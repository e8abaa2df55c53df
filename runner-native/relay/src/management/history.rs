//! Samples a relay's counters for its history, and reports what came of them.

use std::sync::Arc;
use std::time::SystemTime;

use hvym_tunnel_net::link_driver::ByteCounters;
use hvym_tunnel_net::timer::Timer;

use super::reports::{self, seconds};
use super::shapes::{HistoryPoint, HistoryReport};
use crate::relay_state::RelayState;
use crate::traffic_history::{INTERVAL, Sample, TrafficPoint};

/// Samples the counters after each interval, until it is dropped.
pub(crate) async fn sample_regularly(state: Arc<RelayState>) {
    loop {
        Timer::after(INTERVAL).await;
        state.history.record(SystemTime::now(), sample(&state));
    }
}

fn sample(state: &RelayState) -> Sample {
    let mut live = ByteCounters::default();
    for session in state.sessions.all() {
        let carried = session.session.counters();
        live.read += carried.read;
        live.written += carried.written;
    }
    let (carried, status) = (state.totals.carried(live), reports::status(state));
    Sample {
        agents: status.agents,
        connections: status.connections,
        requests: status.requests,
        failed: status.failed_requests,
        refused: state.totals.refusals().values().sum(),
        bytes_in: carried.written,
        bytes_out: carried.read,
    }
}

/// The last hour.
pub(super) fn report(state: &RelayState) -> HistoryReport {
    let point = |TrafficPoint { at, grown }: &TrafficPoint| HistoryPoint {
        at: seconds(*at),
        agents: grown.agents,
        connections: grown.connections,
        requests: grown.requests,
        failed_requests: grown.failed,
        refused_logins: grown.refused,
        bytes_in: grown.bytes_in,
        bytes_out: grown.bytes_out,
    };
    HistoryReport {
        interval_seconds: INTERVAL.as_secs(),
        points: state.history.lock().iter().map(point).collect(),
    }
}
