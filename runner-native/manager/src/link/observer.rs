//! What is known of one link by the events of its agent.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use hvym_tunnel_agent::AgentEvent;
use hvym_tunnel_agent::event::RequestRecord;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::Direction;
use hvym_tunnel_net::observer::{Observer, Piece};
use hvym_tunnel_state::StoredRequest;

use super::follower::Follower;
use crate::context::LinkContext;
use crate::histogram::Histogram;
use crate::shapes::RequestReport;
use crate::timestamp;
use crate::traffic::{ByteCounts, ServiceTraffic, TrafficTotals};

/// What became of the link lately.
#[derive(Clone, Debug)]
pub(crate) struct LinkActivity {
    /// Since when it is connected, or is not.
    pub(crate) since: Instant,
    /// Attempts since it was lost.
    pub(crate) attempts: u32,
    /// When the next one comes.
    pub(crate) retry_at: Option<Instant>,
    /// The last ping.
    pub(crate) round_trip: Option<Duration>,
    /// All of them.
    pub(crate) round_trips: Histogram,
    /// Why the last attempt failed, or the link ended.
    pub(crate) last_error: Option<String>,
    /// How often it was connected again.
    pub(crate) reconnects: u64,
}

/// Observes the agent of one link.
pub(crate) struct LinkObserver {
    link: String,
    /// Sees the same events.
    further: Option<Arc<dyn Observer<AgentEvent>>>,
    followers: RwLock<Vec<Arc<Follower>>>,
    context: LinkContext,
    clock: Clock,
    activity: Mutex<LinkActivity>,
    traffic: Mutex<BTreeMap<String, ServiceTraffic>>,
    bytes: RwLock<BTreeMap<String, Arc<ByteCounts>>>,
}

impl LinkObserver {
    pub(super) fn new(
        link: String,
        further: Option<Arc<dyn Observer<AgentEvent>>>,
        context: LinkContext,
    ) -> Self {
        let clock = Clock::new();
        let activity = LinkActivity {
            since: clock.now(),
            attempts: 0,
            retry_at: None,
            round_trip: None,
            round_trips: Histogram::default(),
            last_error: None,
            reconnects: 0,
        };
        let (followers, traffic, bytes) = Default::default();
        Self { link, further, followers, context, clock, activity: Mutex::new(activity), traffic, bytes }
    }

    /// Tells somebody of some services from now on.
    pub(crate) fn follow(&self, follower: Arc<Follower>) {
        self.followers.write().unwrap_or_else(PoisonError::into_inner).push(follower);
    }

    /// Tells him no more.
    pub(crate) fn unfollow(&self, follower: &Arc<Follower>) {
        let mut followers = self.followers.write().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|known| !Arc::ptr_eq(known, follower));
    }

    /// Tells those whom `other` has told, which tells them no more.
    pub(crate) fn take_followers(&self, other: &Self) {
        let taken = std::mem::take(&mut *other.followers.write().unwrap_or_else(PoisonError::into_inner));
        self.followers.write().unwrap_or_else(PoisonError::into_inner).extend(taken);
    }

    /// What became of the link lately.
    pub(crate) fn activity(&self) -> LinkActivity {
        self.lock().clone()
    }

    /// Whether an attempt failed since it was connected last.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().attempts > 0
    }

    /// Looks at what passed through each service.
    pub(crate) fn with_traffic<R>(&self, look: impl FnOnce(&mut BTreeMap<String, ServiceTraffic>) -> R) -> R {
        look(&mut self.traffic.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes received and sent by one service.
    pub(crate) fn bytes(&self, service: &str) -> (u64, u64) {
        let counts = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        counts.get(service).map_or((0, 0), |counts| counts.totals())
    }

    /// Everything together.
    pub(crate) fn totals(&self) -> TrafficTotals {
        let requests = self.with_traffic(|traffic| traffic.values().map(|service| service.requests).sum());
        let counts = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        let add = |(received, sent), (more, out)| (received + more, sent + out);
        let (received, sent) = counts.values().map(|counts| counts.totals()).fold((0, 0), add);
        TrafficTotals { requests, received, sent }
    }

    /// The agent starts.
    pub(super) fn begin(&self) {
        let mut activity = self.lock();
        activity.since = self.clock.now();
        (activity.attempts, activity.retry_at, activity.last_error) = (0, None, None);
    }

    /// The agent has ended, for a reason or because it was asked to.
    pub(super) fn end(&self, error: Option<String>) {
        let mut activity = self.lock();
        activity.since = self.clock.now();
        (activity.retry_at, activity.round_trip, activity.last_error) = (None, None, error);
        drop(activity);
        self.context.notify();
    }

    /// A service is gone.
    pub(super) fn forget_service(&self, name: &str) {
        self.with_traffic(|traffic| traffic.remove(name));
        self.bytes.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, LinkActivity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self, service: &str) -> Arc<ByteCounts> {
        if let Some(counts) = self.bytes.read().unwrap_or_else(PoisonError::into_inner).get(service) {
            return Arc::clone(counts);
        }
        let mut all = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(service.to_owned()).or_default())
    }

    /// Counts what happened to a service, and says whether it failed.
    fn record(&self, service: &str, record: impl FnOnce(&mut ServiceTraffic, Instant) -> bool) -> bool {
        let now = self.clock.now();
        self.with_traffic(|traffic| match traffic.get_mut(service) {
            Some(known) => record(known, now),
            None => {
                let new = traffic.entry(service.to_owned()).or_insert_with(|| ServiceTraffic::new(now));
                record(new, now)
            }
        })
    }

    fn request(&self, record: &RequestRecord) {
        let is_failed = self.record(&record.service, |traffic, now| traffic.handle_request(record, now));
        let (at, path) = (timestamp::unix_now(), record.target.split('?').next().unwrap_or_default());
        self.context.history().record(Some(record.duration), is_failed, at);
        self.context.journal.add_request(|| StoredRequest {
            at,
            link: self.link.clone(),
            service: record.service.to_string(),
            method: record.method.to_string(),
            path: path.to_owned(),
            status: record.status,
            duration_us: i64::try_from(record.duration.as_micros()).unwrap_or(i64::MAX),
            bytes: record.response_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        });
        self.context.feed.request(RequestReport {
            timestamp: timestamp::at_unix(at),
            link: self.link.clone(),
            service: record.service.to_string(),
            method: record.method.to_string(),
            path: path.to_owned(),
            status: record.status,
            duration_ms: record.duration.as_secs_f64() * 1000.0,
            bytes: record.response_bytes,
        });
    }

    fn connected(&self, is_again: bool) {
        let mut activity = self.lock();
        activity.since = self.clock.now();
        activity.reconnects += u64::from(is_again);
        (activity.attempts, activity.retry_at, activity.last_error) = (0, None, None);
    }

    fn disconnected(&self, reason: String, retry_in: Duration, attempt: u32) {
        let (mut activity, now) = (self.lock(), self.clock.now());
        if activity.attempts == 0 {
            activity.since = now;
        }
        (activity.attempts, activity.retry_at) = (attempt, Some(now + retry_in));
        (activity.round_trip, activity.last_error) = (None, Some(reason));
    }
}

impl Observer<AgentEvent> for LinkObserver {
    fn handle_event(&self, event: &AgentEvent) {
        if let Some(further) = &self.further {
            further.handle_event(event);
        }
        for follower in self.followers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            follower.handle_event(event);
        }
        match event {
            AgentEvent::Request(record) => return self.request(record),
            AgentEvent::Connection(record) => {
                let is_failed =
                    self.record(&record.service, |traffic, now| traffic.handle_connection(record, now));
                return self.context.history().record(None, is_failed, timestamp::unix_now());
            }
            AgentEvent::Latency(round_trip) => {
                let mut activity = self.lock();
                activity.round_trips.record(*round_trip);
                activity.round_trip = Some(*round_trip);
                return;
            }
            AgentEvent::Online { .. } => self.connected(false),
            AgentEvent::Reconnected { .. } => self.connected(true),
            AgentEvent::Disconnected { reason, retry_in, attempt, .. } => {
                self.disconnected(reason.to_string(), *retry_in, *attempt);
            }
            AgentEvent::ServiceRefused { service, message, .. } => {
                self.lock().last_error = Some(format!("the relay does not take {service}: {message}"));
            }
            _ => {}
        }
        self.context.notify();
    }

    fn wants_bytes(&self) -> bool {
        true
    }

    fn handle_bytes(&self, piece: &Piece<'_>) {
        let counts = self.counts(&piece.stream.service);
        let length = piece.bytes.map_or(0, |bytes| bytes.len() as u64);
        match piece.direction {
            Direction::ToLocal => counts.received.fetch_add(length, Ordering::Relaxed),
            Direction::ToTunnel => counts.sent.fetch_add(length, Ordering::Relaxed),
        };
        if let Some(further) = self.further.as_ref().filter(|further| further.wants_bytes()) {
            further.handle_bytes(piece);
        }
    }
}
