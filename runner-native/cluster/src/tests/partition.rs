//! Relays that lose the store, each other, or both, stand still and come back: a service is not answered by two of them for longer than it
//! takes to notice, and everything agrees again when the network is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

use super::{Relay, Store, owner, record};
use crate::directory::{ClusterEvent, LEASE, SYNC_INTERVAL};
use crate::record::NodeId;
use crate::sync::SyncRequest;

const NAMES: [&str; 3] = ["a", "b", "c"];
const SERVICES: [&str; 2] = ["web", "api"];
const STEP: Duration = Duration::from_millis(50);
/// When a relay counts a silent link as lost.
const SILENCE: Duration = Duration::from_secs(3);
/// How long an exchange takes that gets no answer.
const LATE: Duration = Duration::from_millis(1600);
/// How long two may answer for one service: the lease of the one that is cut off, and what others need to notice.
const OVERLAP: Duration = LEASE.saturating_add(SYNC_INTERVAL);

/// One relay and what it sees of the network.
struct Node {
    relay: Relay,
    /// Its services, with the running programs that have them.
    serves: BTreeMap<&'static str, String>,
    reaches_store: bool,
    is_isolated: bool,
    stands_still: bool,
    /// The request that gets no answer, and when that is noticed.
    unanswered: Option<(SyncRequest, Instant)>,
    /// When each of the others was heard of, and whether it dialled this one then.
    heard: BTreeMap<usize, (Instant, bool)>,
}

struct World {
    nodes: Vec<Node>,
    store: Store,
    now: Instant,
    programs: usize,
    /// Since when a service has had more than one that answers for it.
    doubled: BTreeMap<&'static str, Instant>,
}

impl World {
    fn new() -> Self {
        let node = |name: &&str| Node {
            relay: Relay::new(name),
            serves: BTreeMap::new(),
            reaches_store: true,
            is_isolated: false,
            stands_still: false,
            unanswered: None,
            heard: BTreeMap::new(),
        };
        let nodes = NAMES.iter().map(node).collect();
        Self { nodes, store: Store::default(), now: Instant::ZERO, programs: 0, doubled: BTreeMap::new() }
    }

    fn log_in(&mut self, at: usize, service: &'static str) {
        self.programs += 1;
        self.nodes[at].serves.insert(service, self.programs.to_string());
        self.nodes[at].publish();
    }

    fn answers(&self, at: usize, service: &str) -> bool {
        let node = &self.nodes[at];
        !node.stands_still && node.serves.contains_key(service) && !node.relay.directory.is_fenced(self.now)
    }

    fn run(&mut self, length: Duration) {
        let until = self.now + length;
        while self.now < until {
            self.now = self.now + STEP;
            (0..self.nodes.len()).for_each(|at| self.step(at));
            self.check();
        }
    }

    fn step(&mut self, at: usize) {
        let now = self.now;
        if self.nodes[at].stands_still {
            return;
        }
        let unlinked = self.unlinked(at);
        let node = &mut self.nodes[at];
        node.relay.directory.handle_unlinked(&unlinked, now);
        if node.unanswered.as_ref().is_some_and(|(_, until)| now >= *until) {
            node.unanswered = None;
            node.relay.directory.handle_failure("no route", now);
        } else if node.unanswered.is_none()
            && let Some(request) = node.relay.directory.poll_request(now)
        {
            match node.reaches_store {
                true => {
                    let reply = self.store.sync(&request, now);
                    node.relay.directory.handle_reply(reply, now);
                }
                false => node.unanswered = Some((request, now + LATE)),
            }
        }
        node.drain();
    }

    /// Those of the others that this one knows and has no link with.
    fn unlinked(&mut self, at: usize) -> BTreeSet<NodeId> {
        let mut unlinked = BTreeSet::new();
        for (other, name) in NAMES.iter().enumerate().filter(|(other, _)| *other != at) {
            let is_cut = self.nodes[at].is_isolated || self.nodes[other].is_isolated;
            if !is_cut && !self.nodes[other].stands_still {
                let dials = self.nodes[other].knows(NAMES[at]);
                self.nodes[at].heard.insert(other, (self.now, dials));
            }
            let heard = self.nodes[at].heard.get(&other);
            let is_linked = heard.is_some_and(|(when, dials)| *dials && self.now - *when < SILENCE);
            if self.nodes[at].knows(name) && !is_linked {
                unlinked.insert(NodeId::new(*name));
            }
        }
        unlinked
    }

    fn check(&mut self) {
        for service in SERVICES {
            let answering = (0..self.nodes.len()).filter(|at| self.answers(*at, service)).count();
            match answering {
                0 | 1 => drop(self.doubled.remove(service)),
                _ => {
                    let since = *self.doubled.entry(service).or_insert(self.now);
                    assert!(self.now - since <= OVERLAP, "{service} has two owners: {:?}", self.told());
                }
            }
        }
    }

    fn told(&self) -> Vec<(&str, Vec<&str>, bool)> {
        let node = |(at, name): (usize, &&'static str)| {
            let node = &self.nodes[at];
            (*name, node.serves.keys().copied().collect(), node.relay.directory.is_fenced(self.now))
        };
        NAMES.iter().enumerate().map(node).collect()
    }

    fn heal(&mut self) {
        for node in &mut self.nodes {
            (node.reaches_store, node.is_isolated, node.stands_still) = (true, false, false);
        }
    }
}

impl Node {
    fn publish(&mut self) {
        let services = self.serves.iter().map(|(name, instance)| ((*name).to_owned(), record(instance)));
        self.relay.directory.set_own(&owner(), services.collect());
    }

    fn knows(&self, name: &str) -> bool {
        self.relay.relays.iter().any(|known| known == name)
    }

    /// Programs whose services others have are told so, and end.
    fn drain(&mut self) {
        while let Some(event) = self.relay.directory.poll_event() {
            match event {
                ClusterEvent::RelayFound { node, .. } => self.relay.relays.push(node.to_string()),
                ClusterEvent::RelayLost { node } => self.relay.relays.retain(|known| known != node.as_str()),
                ClusterEvent::Serves { key, .. } => {
                    self.serves.retain(|service, _| *service != key.service);
                    self.publish();
                }
                _ => {}
            }
        }
    }
}

/// A number below `end`.
fn below(rng: &mut Rng, end: u64) -> usize {
    usize::try_from(rng.next_u64() % end).expect("a small number")
}

#[test]
fn a_relay_that_is_cut_off_answers_no_longer_than_its_lease_and_says_so() {
    let mut world = World::new();
    world.log_in(0, "web");
    world.run(Duration::from_secs(2));
    (world.nodes[0].reaches_store, world.nodes[0].is_isolated) = (false, true);
    world.log_in(1, "web");
    world.run(LEASE - SYNC_INTERVAL - STEP);
    assert!(world.answers(0, "web"), "nobody knows yet");
    world.run(SYNC_INTERVAL + 2 * STEP);
    assert!(!world.answers(0, "web") && world.answers(1, "web"));
    // A link alone does not say what others have taken.
    world.nodes[0].is_isolated = false;
    world.run(2 * LEASE);
    assert!(!world.answers(0, "web") && world.answers(1, "web"));
    world.heal();
    world.run(Duration::from_secs(5));
    assert!(world.answers(1, "web") && !world.nodes[0].serves.contains_key("web"));
    assert!(!world.nodes[0].relay.directory.is_fenced(world.now));
}

#[test]
fn relays_that_are_linked_go_on_without_the_store_and_what_logs_in_meanwhile_is_agreed_on_after_it() {
    let mut world = World::new();
    world.log_in(0, "web");
    world.run(Duration::from_secs(2));
    world.nodes.iter_mut().for_each(|node| node.reaches_store = false);
    world.run(10 * LEASE);
    assert!(world.answers(0, "web"));
    world.log_in(1, "api");
    assert!(world.answers(1, "api"));
    // One of them ends: the others cannot know that it does.
    world.nodes[2].stands_still = true;
    world.run(SILENCE + STEP);
    assert!(!world.answers(0, "web") && !world.answers(1, "api"));
    world.heal();
    world.run(2 * LEASE);
    assert!(world.answers(0, "web") && world.answers(1, "api"));
}

#[test]
fn a_program_that_comes_to_a_relay_which_is_cut_off_does_not_serve_beside_the_one_that_has_the_service() {
    let mut world = World::new();
    world.log_in(1, "web");
    world.run(Duration::from_secs(2));
    (world.nodes[0].reaches_store, world.nodes[0].is_isolated) = (false, true);
    world.run(2 * LEASE);
    world.log_in(0, "web");
    assert!(!world.answers(0, "web") && world.answers(1, "web"));
    world.heal();
    world.run(2 * LEASE);
    let answering = [0, 1, 2].map(|at| world.answers(at, "web"));
    assert_eq!(answering, [false, true, false], "{:?}", world.told());
}

#[test]
fn whatever_happens_to_network_and_relays_no_service_has_two_owners_for_long_and_it_heals() {
    for seed in 0..150_u64 {
        let mut rng = Rng::new([seed, 0, 0, 0].map(u64::to_le_bytes).concat().try_into().expect("32 bytes"));
        let mut world = World::new();
        println!("seed {seed}");
        // A relay that never had the store knows of nobody with whom it could disagree.
        world.run(LEASE);
        for _ in 0..40 {
            let (at, what) = (below(&mut rng, 3), below(&mut rng, 8));
            println!("{:?}: {what} at {}", world.now, NAMES[at]);
            match what {
                0 => (world.nodes[at].reaches_store, world.nodes[at].is_isolated) = (false, true),
                1 => world.nodes[at].is_isolated = true,
                2 => world.nodes[at].stands_still = true,
                3 => world.heal(),
                4 => world.nodes[at].reaches_store = false,
                _ if !world.nodes[at].stands_still => world.log_in(at, SERVICES[below(&mut rng, 2)]),
                _ => {}
            }
            // A store that is away for all decides nothing.
            if world.nodes.iter().all(|node| !node.reaches_store) {
                world.nodes[at].reaches_store = true;
            }
            let length = STEP * u32::try_from(below(&mut rng, 120)).expect("a small number");
            world.run(length);
        }
        world.heal();
        world.run(4 * LEASE);
        for service in SERVICES {
            let has = |at: &usize| world.nodes[*at].serves.contains_key(service);
            let has: Vec<&str> = (0..3).filter(has).map(|at| NAMES[at]).collect();
            assert!(has.len() <= 1 && has.first().copied() == world.store.holder(service), "{has:?}");
            let fenced = world.nodes.iter().any(|node| node.relay.directory.is_fenced(world.now));
            assert!(!fenced, "{:?}", world.told());
        }
    }
}

#[test]
fn a_link_that_is_back_before_the_lease_ends_has_a_relay_go_on_and_one_that_is_back_then_does_not() {
    for (early, is_fenced) in [(Duration::from_millis(1), false), (Duration::ZERO, true)] {
        let (mut store, mut a, mut b, _, mut now) = super::three();
        super::run(&mut [&mut a, &mut b], &mut store, &mut now, Duration::from_secs(1));
        now = now + SYNC_INTERVAL;
        assert!(a.directory.poll_request(now).is_some());
        a.directory.handle_unlinked(&BTreeSet::from([NodeId::new("b")]), now);
        a.directory.handle_failure("no route", now);
        assert!(!a.directory.is_fenced(now));
        let end = a.directory.lease_until().expect("one is not linked");
        now = Instant::ZERO + ((end - Instant::ZERO) - early);
        a.directory.handle_unlinked(&BTreeSet::new(), now);
        assert_eq!(a.directory.is_fenced(end), is_fenced);
    }
}

#[test]
fn a_relay_that_was_cut_off_serves_again_when_it_has_claimed_what_nobody_took() {
    let (mut store, mut a, mut b, _, mut now) = super::three();
    a.serve(&[("web", "1"), ("api", "1")]);
    super::run(&mut [&mut a, &mut b], &mut store, &mut now, Duration::from_secs(1));
    a.directory.handle_unlinked(&BTreeSet::from([NodeId::new("b")]), now);
    now = now + SYNC_INTERVAL;
    assert!(a.directory.poll_request(now).is_some());
    a.directory.handle_failure("no route", now);
    b.serve(&[("web", "2")]);
    super::run(&mut [&mut b], &mut store, &mut now, 2 * LEASE);
    a.directory.handle_unlinked(&BTreeSet::new(), now);
    let events: Vec<ClusterEvent> = std::iter::from_fn(|| a.directory.poll_event()).collect();
    assert!(events.contains(&ClusterEvent::CutOff) && a.directory.is_fenced(now), "{events:?}");
    a.exchange(&mut store, now);
    assert!(a.directory.is_fenced(now) && a.told("web") == Some("b"), "the other one may be taken as well");
    assert_eq!(store.holder("api"), None);
    a.exchange(&mut store, now);
    assert!(!a.directory.is_fenced(now) && store.holder("api") == Some("a"));
}

#[test]
fn the_store_is_asked_at_once_when_another_relay_has_changed_something_unless_it_does_not_answer() {
    let (mut store, mut a, _, _, now) = super::three();
    a.exchange(&mut store, now);
    assert_eq!(a.directory.poll_request(now), None);
    a.directory.handle_news(now);
    assert!(a.directory.poll_request(now).is_some());
    a.directory.handle_failure("no route", now);
    a.directory.handle_news(now);
    assert_eq!(a.directory.poll_request(now), None, "it is left alone for a moment");
}
