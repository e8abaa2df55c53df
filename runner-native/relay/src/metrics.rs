//! How many requests passed, and what became of them: for the whole relay, and for each session.
//!
//! Plain counters, added to without a lock. Nobody decides anything by them: whoever reads them while a request ends
//! may see it half counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::StatusCode;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::time::{Instant, UnixTime};
use hvym_tunnel_pages::Page;

use hvym_tunnel_net::clock::Clock;

/// What is kept of the version that a program says it is. Real ones have a dozen characters.
const MAX_VERSION_CHARACTERS: usize = 64;

/// Requests, by what became of them.
#[derive(Default)]
pub(super) struct Metrics {
    asked: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
    /// Agents that were let in.
    joined: AtomicU64,
    /// Of those that were answered, microseconds from the question to the answer's head.
    waited: AtomicU64,
}

/// What a [`Metrics`] said at one moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct RequestCounts {
    /// Requests that were passed on, or meant to be.
    pub(super) total: u64,
    /// Those whose answer has begun.
    pub(super) successful: u64,
    /// Those without an answer of their service: it failed, its agent left, or the visitor did.
    pub(super) failed: u64,
    /// Those among the failed whose service took too long.
    pub(super) timeout: u64,
    /// Those that wait for their answer.
    pub(super) pending: u64,
    /// From question to answer, microseconds, on average.
    pub(super) average_micros: u64,
}

impl Metrics {
    /// What it says now.
    pub(super) fn counts(&self) -> RequestCounts {
        let [total, successful, failed, timeout, waited] =
            [&self.asked, &self.answered, &self.failed, &self.late, &self.waited]
                .map(|counter| counter.load(Ordering::Relaxed));
        let pending = total.saturating_sub(successful + failed);
        let average_micros = waited.checked_div(successful).unwrap_or(0);
        RequestCounts { total, successful, failed, timeout, pending, average_micros }
    }

    /// Somebody was let in.
    pub(super) fn join(&self) {
        Metrics::add(&self.joined, 1);
    }

    /// How many were let in, gone or not.
    pub(super) fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// What is known of one session beside its streams.
#[derive(Default)]
pub(super) struct Record {
    /// Its visitors' requests.
    pub(super) metrics: Metrics,
    /// Since it was let in.
    pub(super) joined: OnceLock<Joined>,
}

/// How somebody came in.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// Who.
    pub(super) owner: Owner,
    /// When.
    pub(super) at: SystemTime,
    /// Until when the token was good that let them in, if it says so.
    pub(super) expires_at: Option<UnixTime>,
    /// Which version their program says it is.
    pub(super) version: Option<String>,
}

impl Joined {
    /// Somebody who comes in at this moment.
    pub(super) fn now(owner: Owner, expires_at: Option<UnixTime>, version: Option<String>) -> Self {
        let version = version.filter(|version| !version.is_empty());
        let version = version.map(|version| version.chars().take(MAX_VERSION_CHARACTERS).collect());
        Self { owner, at: SystemTime::now(), expires_at, version }
    }
}

/// One request on its way. Dropped without an answer, it failed.
pub(super) struct AskedRequest<'a> {
    all: &'a Metrics,
    own: Arc<Record>,
    clock: Clock,
    begun: Instant,
    outcome: Outcome,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed,
    Late,
}

impl<'a> AskedRequest<'a> {
    /// Begins now, in both counts.
    pub(super) fn new(all: &'a Metrics, own: &Arc<Record>, clock: Clock) -> Self {
        [all, &own.metrics].into_iter().for_each(|metrics| Metrics::add(&metrics.asked, 1));
        Self { all, own: Arc::clone(own), clock, begun: clock.now(), outcome: Outcome::Failed }
    }

    /// Ends with `answer`, which is given back; `status` says which one it has. A 504 tells of lateness, whoever on the
    /// way to the service says it.
    pub(super) fn with<T>(
        mut self,
        answer: Result<T, Page>,
        status: impl FnOnce(&T) -> StatusCode,
    ) -> Result<T, Page> {
        self.outcome = match answer.as_ref().map(status) {
            Ok(StatusCode::GATEWAY_TIMEOUT) => Outcome::Late,
            Ok(_) => Outcome::Answered,
            Err(page) if page.status == StatusCode::GATEWAY_TIMEOUT => Outcome::Late,
            Err(_) => Outcome::Failed,
        };
        answer
    }
}

impl Drop for AskedRequest<'_> {
    fn drop(&mut self) {
        let waited = self.clock.now() - self.begun;
        for metrics in [self.all, &self.own.metrics] {
            match self.outcome {
                Outcome::Answered => {
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
        let begin = || AskedRequest::new(&all, &own, clock);
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
        }
        drop(waiting);
        assert_eq!(all.counts().pending, 0);
    }
}
