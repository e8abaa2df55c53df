//! Several relays and a store without I/O: what they agree on whatever happens to any of them.

mod partition;

use std::collections::BTreeMap;
use std::time::Duration;

use hvym_tunnel_core::dialect::{OnConflict, Proto};
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use crate::directory::{ClusterDirectory, ClusterEvent, LEASE, SYNC_INTERVAL};
use crate::record::{NodeId, RelayRecord, ServiceKey, ServiceRecord};
use crate::sync::{ServiceChange, SyncReply, SyncRequest};

type Held = (u64, NodeId, ServiceRecord);

/// What the script of the store does, in memory.
#[derive(Default)]
struct Store {
    epoch: u64,
    alive: BTreeMap<NodeId, (RelayRecord, Instant)>,
    services: BTreeMap<ServiceKey, Held>,
    gone: BTreeMap<ServiceKey, u64>,
}

impl Store {
    fn remove(&mut self, key: &ServiceKey) {
        self.epoch += 1;
        self.services.remove(key);
        self.gone.insert(key.clone(), self.epoch);
    }

    fn sync(&mut self, request: &SyncRequest, now: Instant) -> SyncReply {
        let SyncRequest { node, seen, .. } = request;
        self.epoch = self.epoch.max(*seen);
        let is_new = self.alive.get(node).is_none_or(|(_, until)| *until <= now);
        self.alive.retain(|_, (_, until)| *until > now);
        let over: Vec<ServiceKey> = self
            .services
            .iter()
            .filter(|(_, held)| !self.alive.contains_key(&held.1))
            .map(|(key, _)| key.clone())
            .collect();
        over.iter().for_each(|key| self.remove(key));
        self.alive.insert(node.clone(), (request.about.clone(), now + request.lease));
        let mut claims = Vec::new();
        for claim in &request.claims {
            let other = self.services.get(&claim.key).is_some_and(|held| held.1 != *node);
            if other && !claim.takes_over {
                claims.push(0);
                continue;
            }
            self.epoch += 1;
            self.gone.remove(&claim.key);
            self.services.insert(claim.key.clone(), (self.epoch, node.clone(), claim.record.clone()));
            claims.push(self.epoch);
        }
        for release in &request.releases {
            if self.services.get(&release.key).is_some_and(|held| held.1 == *node && held.0 == release.epoch)
            {
                self.remove(&release.key);
            }
        }
        let since = if request.wants_all { 0 } else { *seen };
        let live = self.services.iter().filter(|(_, held)| held.0 > since).map(|(key, held)| ServiceChange {
            key: key.clone(),
            holder: Some((held.1.clone(), held.0, held.2.clone())),
        });
        let gone = self.gone.iter().filter(|(_, at)| **at > since && !request.wants_all);
        let gone = gone.map(|(key, _)| ServiceChange { key: key.clone(), holder: None });
        SyncReply {
            epoch: self.epoch,
            is_new,
            is_complete: request.wants_all,
            relays: self.alive.iter().map(|(node, (about, _))| (node.clone(), about.clone())).collect(),
            changes: live.chain(gone).collect(),
            claims,
        }
    }

    fn holder(&self, service: &str) -> Option<&str> {
        self.services.get(&key(service)).map(|held| held.1.as_str())
    }
}

/// A relay: its directory, and what it was told that others serve.
struct Relay {
    directory: ClusterDirectory,
    told: BTreeMap<String, String>,
    relays: Vec<String>,
    store: Vec<bool>,
}

fn owner() -> Owner {
    Address::from_public_key([9; 32]).into()
}

fn key(service: &str) -> ServiceKey {
    ServiceKey { owner: owner(), service: service.to_owned() }
}

fn record(instance: &str) -> ServiceRecord {
    ServiceRecord {
        instance: Some(instance.to_owned()),
        proto: Proto::Http,
        is_public: true,
        on_conflict: OnConflict::Takeover,
    }
}

impl Relay {
    fn new(name: &str) -> Self {
        let about =
            RelayRecord { url: format!("wss://{name}/connect"), address: Address::from_public_key([1; 32]) };
        let directory = ClusterDirectory::new(NodeId::new(name), about, Instant::ZERO);
        Self { directory, told: BTreeMap::new(), relays: Vec::new(), store: Vec::new() }
    }

    fn serve(&mut self, services: &[(&str, &str)]) {
        let services = services.iter().map(|(name, instance)| ((*name).to_owned(), record(instance)));
        self.directory.set_own(&owner(), services.collect());
    }

    fn exchange(&mut self, store: &mut Store, now: Instant) {
        if let Some(request) = self.directory.poll_request(now) {
            let reply = store.sync(&request, now);
            self.directory.handle_reply(reply, now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.directory.poll_event() {
            match event {
                ClusterEvent::RelayFound { node, .. } => self.relays.push(node.to_string()),
                ClusterEvent::RelayLost { node } => self.relays.retain(|known| known != node.as_str()),
                ClusterEvent::Serves { key, node, .. } => {
                    let before = self.told.insert(key.service, node.to_string());
                    assert!(before.is_none_or(|before| before == node.as_str()), "two serve one service");
                }
                ClusterEvent::Withdrawn { key, node } => {
                    assert_eq!(self.told.remove(&key.service).as_deref(), Some(node.as_str()));
                }
                ClusterEvent::StoreLost(_) => self.store.push(false),
                ClusterEvent::CutOff => panic!("relays of these tests are linked"),
                ClusterEvent::StoreBack => self.store.push(true),
            }
        }
    }

    fn told(&self, service: &str) -> Option<&str> {
        self.told.get(service).map(String::as_str)
    }
}

/// Lets `relays` exchange with the store for a while.
fn run(relays: &mut [&mut Relay], store: &mut Store, now: &mut Instant, length: Duration) {
    let until = *now + length;
    while *now < until {
        *now = *now + SYNC_INTERVAL / 4;
        for relay in relays.iter_mut() {
            relay.exchange(store, *now);
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn three() -> (Store, Relay, Relay, Relay, Instant) {
    (Store::default(), Relay::new("a"), Relay::new("b"), Relay::new("c"), Instant::ZERO)
}

#[test]
fn what_one_relay_serves_the_others_are_told_and_no_longer_when_it_ends() {
    let (mut store, mut a, mut b, mut c, mut now) = three();
    a.serve(&[("web", "1"), ("api", "1")]);
    run(&mut [&mut a, &mut b, &mut c], &mut store, &mut now, SECOND);
    assert_eq!((a.told("web"), b.told("web"), c.told("api")), (None, Some("a"), Some("a")));
    assert_eq!((b.relays.len(), c.relays.len()), (2, 2));
    a.serve(&[("api", "1")]);
    run(&mut [&mut a, &mut b, &mut c], &mut store, &mut now, SECOND);
    assert_eq!((b.told("web"), c.told("web"), b.told("api")), (None, None, Some("a")));
}

#[test]
fn a_relay_that_ends_without_a_word_is_gone_within_five_seconds_with_all_that_it_served() {
    let (mut store, mut a, mut b, _, mut now) = three();
    a.serve(&[("web", "1")]);
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    let killed = now;
    while b.told("web").is_some() {
        run(&mut [&mut b], &mut store, &mut now, SYNC_INTERVAL);
    }
    assert!(now - killed >= LEASE - SYNC_INTERVAL && now - killed < 5 * SECOND, "{:?}", now - killed);
    assert!(b.relays.is_empty());
}

#[test]
fn the_newer_login_has_the_service_and_the_older_relay_is_told() {
    let (mut store, mut a, mut b, mut c, mut now) = three();
    a.serve(&[("web", "1")]);
    run(&mut [&mut a, &mut b, &mut c], &mut store, &mut now, SECOND);
    b.serve(&[("web", "2")]);
    run(&mut [&mut a, &mut b, &mut c], &mut store, &mut now, SECOND);
    assert_eq!(
        (store.holder("web"), a.told("web"), b.told("web"), c.told("web")),
        (Some("b"), Some("b"), None, Some("b"))
    );
    // The older one still has its session for a moment, and claims nothing by it.
    run(&mut [&mut a, &mut b, &mut c], &mut store, &mut now, SECOND);
    assert_eq!(store.holder("web"), Some("b"));
    b.serve(&[]);
    run(&mut [&mut a, &mut b, &mut c], &mut store, &mut now, SECOND);
    assert_eq!((store.holder("web"), c.told("web")), (Some("a"), Some("a")), "it is free again");
}

#[test]
fn one_that_lets_others_go_first_takes_nothing_from_another_relay() {
    let (mut store, mut a, mut b, _, mut now) = three();
    a.serve(&[("web", "1")]);
    run(&mut [&mut a], &mut store, &mut now, SECOND);
    let modest = ServiceRecord { on_conflict: OnConflict::Reject, ..record("2") };
    b.directory.set_own(&owner(), vec![("web".to_owned(), modest)]);
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    assert_eq!((store.holder("web"), b.told("web")), (Some("a"), Some("a")));
}

#[test]
fn a_relay_that_stood_still_serves_nothing_until_it_knows_what_was_taken_meanwhile() {
    let (mut store, mut a, mut b, _, mut now) = three();
    a.serve(&[("web", "1"), ("api", "1")]);
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    assert!(!a.directory.is_fenced(now));
    // It stands still; its agent logs in at the other one, with one service of two.
    run(&mut [&mut b], &mut store, &mut now, SECOND);
    b.serve(&[("web", "1")]);
    run(&mut [&mut b], &mut store, &mut now, 5 * SECOND);
    assert_eq!(store.holder("web"), Some("b"));
    assert!(a.directory.is_fenced(now));
    // It asks at once, and serves nothing before it was told what is still its own.
    for exchanges in 0.. {
        a.exchange(&mut store, now);
        if !a.directory.is_fenced(now) {
            break;
        }
        assert!(exchanges < 5, "it asks on and on");
    }
    assert_eq!((a.told("web"), store.holder("api")), (Some("b"), Some("a")));
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    assert_eq!((a.told("web"), store.holder("web"), store.holder("api")), (Some("b"), Some("b"), Some("a")));
    assert_eq!((b.told("web"), b.told("api")), (None, Some("a")));
}

#[test]
fn a_request_that_failed_because_the_relay_stood_still_does_not_have_it_serve_again() {
    let (mut store, mut a, mut b, _, mut now) = three();
    a.serve(&[("web", "1")]);
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    now = now + SYNC_INTERVAL;
    assert!(a.directory.poll_request(now).is_some());
    b.serve(&[("web", "2")]);
    run(&mut [&mut b], &mut store, &mut now, 5 * SECOND);
    a.directory.handle_failure("interrupted", now);
    assert!(a.directory.is_fenced(now));
    // The next one is of its own time: without an answer the relay goes on with what it has.
    assert!(a.directory.poll_request(now).is_some());
    a.directory.handle_failure("refused", now);
    assert!(!a.directory.is_fenced(now));
    run(&mut [&mut a, &mut b], &mut store, &mut now, 2 * SECOND);
    assert_eq!((a.told("web"), a.store.as_slice()), (Some("b"), &[false, true][..]));
}

#[test]
fn what_was_about_to_be_claimed_before_a_pause_takes_nothing_away_after_it() {
    let (mut store, mut a, mut b, _, mut now) = three();
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    a.serve(&[("web", "1")]);
    b.serve(&[("web", "1")]);
    run(&mut [&mut b], &mut store, &mut now, 5 * SECOND);
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    assert_eq!((store.holder("web"), a.told("web"), b.told("web")), (Some("b"), Some("b"), None));
}

#[test]
fn without_the_store_everything_stays_and_is_registered_again_when_it_is_back_empty() {
    let (mut store, mut a, mut b, _, mut now) = three();
    a.serve(&[("web", "1")]);
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    let epoch = store.epoch;
    for _ in 0..100 {
        now = now + SYNC_INTERVAL;
        for relay in [&mut a, &mut b] {
            if relay.directory.poll_request(now).is_some() {
                relay.directory.handle_failure("refused", now);
            }
            relay.drain();
            assert!(!relay.directory.is_fenced(now) || relay.store.is_empty());
        }
    }
    assert_eq!(
        (a.store.as_slice(), b.store.as_slice(), b.told("web")),
        (&[false][..], &[false][..], Some("a"))
    );
    b.serve(&[("api", "2")]);
    store = Store::default();
    // The other one registers again later, and is not taken for gone meanwhile.
    run(&mut [&mut b], &mut store, &mut now, 2 * SECOND);
    assert_eq!((b.told("web"), b.relays.as_slice()), (Some("a"), &["a".to_owned()][..]));
    run(&mut [&mut a, &mut b], &mut store, &mut now, 4 * SECOND);
    assert_eq!((a.store.as_slice(), b.store.as_slice()), (&[false, true][..], &[false, true][..]));
    assert_eq!((b.told("web"), a.told("api")), (Some("a"), Some("b")));
    assert!(store.epoch > epoch, "epochs go on from where they were");
}

#[test]
fn a_login_during_a_partition_wins_over_the_relay_that_had_the_service_before() {
    for first in [true, false] {
        let (mut store, mut a, mut b, _, mut now) = three();
        a.serve(&[("web", "1")]);
        run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
        for _ in 0..20 {
            now = now + SYNC_INTERVAL;
            for relay in [&mut a, &mut b] {
                if relay.directory.poll_request(now).is_some() {
                    relay.directory.handle_failure("no route", now);
                }
                relay.drain();
            }
        }
        b.serve(&[("web", "2")]);
        run(&mut [if first { &mut a } else { &mut b }], &mut store, &mut now, 2 * SECOND);
        run(&mut [&mut a, &mut b], &mut store, &mut now, 2 * SECOND);
        assert_eq!(
            (store.holder("web"), a.told("web"), b.told("web")),
            (Some("b"), Some("b"), None),
            "{first}"
        );
    }
}

#[test]
fn a_service_that_is_withdrawn_while_its_claim_is_under_way_is_released() {
    let (mut store, mut a, mut b, _, mut now) = three();
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    a.serve(&[("web", "1")]);
    let request = a.directory.poll_request(now).expect("a claim");
    assert_eq!(a.directory.poll_request(now), None, "one at a time");
    a.serve(&[]);
    let reply = store.sync(&request, now);
    a.directory.handle_reply(reply, now);
    assert_eq!(store.holder("web"), Some("a"));
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    assert_eq!((store.holder("web"), b.told("web")), (None, None));
}

#[test]
fn what_was_taken_and_given_up_between_two_exchanges_is_claimed_again() {
    let (mut store, mut a, mut b, _, mut now) = three();
    a.serve(&[("web", "1")]);
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    b.serve(&[("web", "2")]);
    b.exchange(&mut store, now);
    b.serve(&[]);
    b.exchange(&mut store, now);
    assert_eq!(store.holder("web"), None);
    run(&mut [&mut a, &mut b], &mut store, &mut now, SECOND);
    assert_eq!((store.holder("web"), b.told("web")), (Some("a"), Some("a")));
}
