//! Counters of requests and their outcomes, for the whole relay and for each session.
//!
//! The counters are independent atomics: a reader may see a request that just ended in some of them only. Nothing is
//! decided by them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use http::StatusCode;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::time::{Instant, UnixTime};
use hvym_tunnel_pages::Page;

use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::exposition::HistogramSnapshot;
use hvym_tunnel_net::link_driver::ByteCounters;
use hvym_tunnel_registry::TunnelUsage;

use crate::latency::LatencyHistogram;
use crate::limits::agent_rates::AgentRate;
use crate::owner_logs::OwnerLogEntry;

/// Characters kept of the version that an agent sends. Real ones have a dozen.
const MAX_VERSION_CHARACTERS: usize = 64;
/// Classes of statuses, from 1xx to 5xx.
pub(super) const STATUS_CLASSES: usize = 5;

/// Requests by outcome.
#[derive(Default)]
pub(super) struct Metrics {
    asked: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
    /// Agents that were admitted.
    joined: AtomicU64,
    /// Microseconds from request to response head, summed over the answered requests.
    waited: AtomicU64,
    /// The same time of each, by its size.
    latency: LatencyHistogram,
    /// What visitors were answered, by the class of the status.
    classes: [AtomicU64; STATUS_CLASSES],
}

/// A snapshot of [`Metrics`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct RequestCounts {
    /// Requests that named a connected agent.
    pub(super) total: u64,
    /// Requests whose response head arrived.
    pub(super) successful: u64,
    /// Requests without a response: the service failed, or the agent or visitor disconnected.
    pub(super) failed: u64,
    /// Failed requests whose service exceeded the timeout.
    pub(super) timeout: u64,
    /// Requests that wait for their response head.
    pub(super) pending: u64,
    /// Mean time from request to response head, microseconds.
    pub(super) average_micros: u64,
}

impl Metrics {
    /// The counters now.
    pub(super) fn counts(&self) -> RequestCounts {
        let [total, successful, failed, timeout, waited] =
            [&self.asked, &self.answered, &self.failed, &self.late, &self.waited]
                .map(|counter| counter.load(Ordering::Relaxed));
        let pending = total.saturating_sub(successful + failed);
        let average_micros = waited.checked_div(successful).unwrap_or(0);
        RequestCounts { total, successful, failed, timeout, pending, average_micros }
    }

    /// From request to response head, by the time that it took.
    pub(super) fn latency(&self) -> HistogramSnapshot {
        self.latency.snapshot()
    }

    /// What visitors were answered, by the class of the status: the service's, or that of a page instead.
    pub(super) fn classes(&self) -> [u64; STATUS_CLASSES] {
        self.classes.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Counts an admitted agent.
    pub(super) fn join(&self) {
        Metrics::add(&self.joined, 1);
    }

    /// Agents admitted since the start.
    pub(super) fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// Metrics and login of one session.
#[derive(Default)]
pub(super) struct Record {
    /// The counters of its requests.
    pub(super) metrics: Metrics,
    /// Set when it is admitted.
    pub(super) joined: OnceLock<Joined>,
    /// How many requests of visitors its services and those of the identity's other sessions get, if its relay says so.
    pub(super) rate: OnceLock<Arc<AgentRate>>,
    /// What the registry of tunnels has counted of it.
    pub(super) counted: Mutex<TunnelUsage>,
    has_ended: AtomicBool,
}

impl Record {
    /// What it carried beyond what was counted before, which is counted then. `all` is what it carried since its start.
    pub(super) fn take_usage(&self, all: TunnelUsage) -> TunnelUsage {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *counted, all);
        TunnelUsage {
            requests: all.requests.saturating_sub(before.requests),
            bytes_in: all.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: all.bytes_out.saturating_sub(before.bytes_out),
            connected_at: None,
        }
    }

    /// What the session carried, when it ends; `None` the second time.
    pub(super) fn end(&self, carried: ByteCounters) -> Option<ByteCounters> {
        (!self.has_ended.swap(true, Ordering::AcqRel)).then_some(carried)
    }

    /// Whether one more request is within the rate of the agent.
    pub(super) fn takes_request(&self, now: Instant) -> bool {
        self.rate.get().is_none_or(|rate| rate.takes_request(now))
    }
}

/// The system that an agent is a program of.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum AgentSystem {
    /// This one.
    Native,
    /// HVYM.
    Hvym,
    /// Tunely.
    Tunely,
    /// CloudToLocalLLM.
    Cloud,
}

impl AgentSystem {
    /// Every system.
    pub(super) const ALL: [AgentSystem; 4] =
        [AgentSystem::Native, AgentSystem::Hvym, AgentSystem::Tunely, AgentSystem::Cloud];

    /// The system as a word, for programs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            AgentSystem::Native => "native",
            AgentSystem::Hvym => "hvym",
            AgentSystem::Tunely => "tunely",
            AgentSystem::Cloud => "cloudtolocalllm",
        }
    }
}

/// The login of an agent.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// Who.
    pub(super) owner: Owner,
    /// The system that its program is of.
    pub(super) system: AgentSystem,
    /// Its address, as a trusted proxy says it.
    pub(super) from: IpAddr,
    /// When.
    pub(super) at: SystemTime,
    /// When the token expires that it logged in with, if it does.
    pub(super) expires_at: Option<UnixTime>,
    /// The version that the program sent.
    pub(super) version: Option<String>,
}

impl Joined {
    /// A login at this moment.
    pub(super) fn now(
        owner: Owner,
        (system, from): (AgentSystem, IpAddr),
        expires_at: Option<UnixTime>,
        version: Option<String>,
    ) -> Self {
        let version = version.filter(|version| !version.is_empty());
        let version = version.map(|version| version.chars().take(MAX_VERSION_CHARACTERS).collect());
        Self { owner, system, from, at: SystemTime::now(), expires_at, version }
    }
}

/// Counts one request: as failed, unless [`Self::with`] sees a response before it is dropped.
pub(super) struct RequestRecord<'a> {
    all: &'a Metrics,
    own: Arc<Record>,
    clock: Clock,
    begun: Instant,
    outcome: Outcome,
    /// What the visitor is answered; `None` if it left before.
    status: Option<u16>,
    /// For the owner of the service.
    log: Option<Box<OwnerLogEntry<'a>>>,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed,
    Late,
}

impl<'a> RequestRecord<'a> {
    /// Begins a request, in the counters of the relay and of the session. While its session is awaited, there is none.
    pub(super) fn new(all: &'a Metrics, own: Option<&Arc<Record>>, clock: Clock) -> Self {
        let own = own.cloned().unwrap_or_default();
        [all, &own.metrics].into_iter().for_each(|metrics| Metrics::add(&metrics.asked, 1));
        Self { all, own, clock, begun: clock.now(), outcome: Outcome::Failed, status: None, log: None }
    }

    /// As it is, and its owner reads of it.
    pub(super) fn logged(mut self, log: Option<Box<OwnerLogEntry<'a>>>) -> Self {
        self.log = log;
        self
    }

    /// Ends with a response of the service.
    pub(super) fn answer(self, status: StatusCode) {
        self.note(Ok(status));
    }

    /// Ends with a page instead.
    pub(super) fn fail(self, page: &Page) {
        self.note(Err(page));
    }

    /// Ends with `answer`, which is returned; `status` reads its status. A 504 counts as a timeout, also if the
    /// service or a proxy before it sent it.
    pub(super) fn with<T>(
        self,
        answer: Result<T, Page>,
        status: impl FnOnce(&T) -> StatusCode,
    ) -> Result<T, Page> {
        self.note(answer.as_ref().map(status));
        answer
    }

    fn note(mut self, status: Result<StatusCode, &Page>) {
        self.status = Some(status.map_or_else(|page| page.status, |status| status.as_u16()));
        self.outcome = match status {
            Ok(StatusCode::GATEWAY_TIMEOUT) => Outcome::Late,
            Ok(_) => Outcome::Answered,
            Err(page) if page.status == StatusCode::GATEWAY_TIMEOUT => Outcome::Late,
            Err(_) => Outcome::Failed,
        };
        if let (Err(page), Some(log)) = (status, &mut self.log) {
            log.fail(&page.text);
        }
    }
}

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        let waited = self.clock.now() - self.begun;
        if let Some(log) = self.log.take() {
            log.end(self.status, waited);
        }
        let class = self.status.and_then(|status| usize::from(status / 100).checked_sub(1));
        for metrics in [self.all, &self.own.metrics] {
            if let Some(counter) = class.and_then(|class| metrics.classes.get(class)) {
                Metrics::add(counter, 1);
            }
            match self.outcome {
                Outcome::Answered => {
                    metrics.latency.record(waited);
                    Metrics::add(&metrics.waited, u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
                    Metrics::add(&metrics.answered, 1);
                }
                Outcome::Failed => Metrics::add(&metrics.failed, 1),
                Outcome::Late => {
                    Metrics::add(&metrics.late, 1);
                    Metrics::add(&metrics.failed, 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_ends_once_however_it_ends() {
        let (all, own, clock) = (Metrics::default(), Arc::new(Record::default()), Clock::new());
        let begin = || RequestRecord::new(&all, Some(&own), clock);
        let waiting = begin();
        let end = |answer: Result<StatusCode, Page>| begin().with(answer, |status| *status).is_ok();
        assert!(end(Ok(StatusCode::INTERNAL_SERVER_ERROR)) && end(Ok(StatusCode::GATEWAY_TIMEOUT)));
        assert!(!end(Err(Page::upstream_timeout())) && !end(Err(Page::agent_lost())));
        drop(begin());
        for metrics in [&all, &own.metrics] {
            let counts = RequestCounts { average_micros: 0, ..metrics.counts() };
            let expected = RequestCounts {
                total: 6,
                successful: 1,
                failed: 4,
                timeout: 2,
                pending: 1,
                average_micros: 0,
            };
            assert_eq!(counts, expected);
            assert_eq!((metrics.classes(), metrics.latency().count), ([0, 0, 0, 0, 4], 1));
        }
        drop(waiting);
        assert_eq!(all.counts().pending, 0);
    }
}
