//! Who gets which connection to a service, when idle ones are closed, and in which order requests wait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hvym_proxy::pool::{ConnId, ConnPool, Grant, OpenRefusal, PoolConfig, Returned, VisitorId, WaitId};
use hvym_proxy::{Choice, ConnHistory, Reuse, names_connection_login};
use hvym_yamux::Instant;
use proptest::prelude::*;

const ALICE: VisitorId = VisitorId(1);
const BOB: VisitorId = VisitorId(2);
const SAFE: ConnHistory =
    ConnHistory { requests: 1, has_unsafe_request: false, has_connection_login: false, keep_alive: None };
const POSTED: ConnHistory = ConnHistory { has_unsafe_request: true, ..SAFE };
const LOGGED_IN: ConnHistory = ConnHistory { has_connection_login: true, ..SAFE };

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn pool(change: impl FnOnce(&mut PoolConfig)) -> ConnPool<u32> {
    let mut config = PoolConfig::DEFAULT;
    change(&mut config);
    ConnPool::new(config)
}

fn returned(conn: u32, visitor: VisitorId, history: ConnHistory) -> Returned<u32> {
    Returned { conn, service: Arc::from("web"), visitor, history }
}

fn closed(pool: &mut ConnPool<u32>) -> Vec<u32> {
    std::iter::from_fn(|| pool.poll_closed()).collect()
}

fn granted(pool: &mut ConnPool<u32>) -> Vec<WaitId> {
    std::iter::from_fn(|| pool.poll_granted()).collect()
}

#[test]
fn what_others_may_take_depends_on_what_a_connection_carried() {
    let table = [
        (Reuse::Never, SAFE, false),
        (Reuse::Safe, SAFE, true),
        (Reuse::Safe, POSTED, false),
        (Reuse::Safe, LOGGED_IN, false),
        (Reuse::Always, POSTED, true),
        (Reuse::Always, LOGGED_IN, true),
    ];
    for (reuse, history, is_shared) in table {
        let mut pool = pool(|config| config.reuse = reuse);
        pool.put(returned(7, ALICE, history), at(0));
        let got = pool.take("web", BOB, Choice::Any, at(100));
        assert_eq!(got, is_shared.then_some(7), "{reuse:?} {history:?}");
        if !is_shared {
            assert_eq!(pool.take("web", ALICE, Choice::Any, at(1)), Some(7), "its own");
        }
    }
}

#[test]
fn a_login_of_the_connection_is_recognised_in_all_spellings() {
    for value in ["NTLM", "Negotiate YII=", "ntlm TlRM", "Basic realm=\"a\", Negotiate", "Basic,NTLM"] {
        assert!(names_connection_login(value.as_bytes()), "{value}");
    }
    for value in ["Basic bnRsbQ==", "Bearer negotiated", "Digest realm=\"x\"", ""] {
        assert!(!names_connection_login(value.as_bytes()), "{value}");
    }
}

#[test]
fn a_visitor_gets_its_own_connection_before_one_that_others_used_later() {
    let mut pool = pool(|_| ());
    pool.put(returned(1, ALICE, SAFE), at(0));
    pool.put(returned(2, BOB, SAFE), at(1));
    pool.put(returned(3, BOB, SAFE), at(2));
    assert_eq!(pool.take("web", ALICE, Choice::Any, at(200)), Some(1));
    assert_eq!(pool.take("web", ALICE, Choice::Any, at(200)), Some(3), "the one that was used last");
    assert_eq!(pool.take("other", ALICE, Choice::Any, at(200)), None);
    assert_eq!(pool.take("web", ALICE, Choice::Fresh, at(200)), None);
    assert_eq!(pool.take("web", ALICE, Choice::Any, at(200)), Some(2));
    assert_eq!(pool.take("web", ALICE, Choice::Any, at(200)), None);
}

#[test]
fn what_cannot_be_retried_goes_over_connections_that_were_just_used() {
    for (millis, fits) in [(999, true), (1000, true), (1001, false)] {
        let mut pool = pool(|_| ());
        pool.put(returned(1, ALICE, SAFE), at(0));
        let got = pool.take("web", ALICE, Choice::JustUsed, at(millis));
        assert_eq!(got.is_some(), fits, "{millis} ms");
        assert_eq!(pool.take("web", ALICE, Choice::Any, at(millis)).is_some(), !fits);
    }
}

#[test]
fn others_take_a_connection_once_it_was_quiet_for_a_moment() {
    for (reuse, millis, fits) in [
        (Reuse::Safe, 99, false),
        (Reuse::Safe, 100, true),
        (Reuse::Safe, 101, true),
        (Reuse::Always, 0, true),
    ] {
        let mut pool = pool(|config| config.reuse = reuse);
        pool.put(returned(1, ALICE, SAFE), at(0));
        assert_eq!(pool.take("web", BOB, Choice::Any, at(millis)).is_some(), fits, "{reuse:?} {millis} ms");
    }
    let mut pool = pool(|_| ());
    pool.put(returned(1, ALICE, SAFE), at(0));
    assert_eq!(pool.take("web", ALICE, Choice::Any, at(0)), Some(1), "its own visitor need not wait");
}

#[test]
fn visitors_share_no_connections_to_a_service_that_said_something_unasked() {
    for (reuse, shares) in [(Reuse::Safe, false), (Reuse::Always, true)] {
        let mut pool = pool(|config| config.reuse = reuse);
        let spoken = pool.put(returned(1, ALICE, SAFE), at(0)).expect("it is idle");
        pool.put(returned(2, ALICE, SAFE), at(0));
        pool.put(returned(3, BOB, SAFE), at(0));
        pool.put(Returned { service: Arc::from("other"), ..returned(4, ALICE, SAFE) }, at(0));
        pool.handle_visitor_end(BOB);
        pool.handle_unasked("web");
        assert_eq!(pool.remove("web", spoken), Some(1));
        assert_eq!(closed(&mut pool), if shares { vec![] } else { vec![3] }, "its visitor is gone");
        let carol = VisitorId(9);
        assert_eq!(pool.take("web", carol, Choice::Any, at(200)), shares.then_some(3));
        assert_eq!(pool.take("web", ALICE, Choice::Any, at(200)), Some(2), "her own is as good as before");
        pool.put(returned(2, ALICE, SAFE), at(200));
        assert_eq!(pool.take("web", carol, Choice::Any, at(20_000)).is_some(), shares, "nor later");
        assert_eq!(pool.take("other", carol, Choice::Any, at(200)), Some(4), "another service");
        // Another program behind the same name is not the one that spoke.
        pool.handle_service_end("web");
        closed(&mut pool);
        pool.put(returned(5, ALICE, SAFE), at(300));
        assert_eq!(pool.take("web", carol, Choice::Any, at(400)), Some(5));
    }
}

#[test]
fn the_end_of_a_visitor_leaves_only_what_others_may_take() {
    let mut pool = pool(|_| ());
    pool.put(returned(1, ALICE, SAFE), at(0));
    pool.put(returned(2, ALICE, POSTED), at(0));
    pool.put(returned(3, BOB, POSTED), at(0));
    pool.handle_visitor_end(ALICE);
    assert_eq!(closed(&mut pool), [2]);
    assert_eq!(pool.take("web", BOB, Choice::Any, at(100)), Some(3));
    assert_eq!(pool.take("web", BOB, Choice::Any, at(100)), Some(1));
}

#[test]
fn connections_are_kept_as_long_as_the_service_says_and_never_longer_than_the_limit() {
    let kept = |seconds| ConnHistory { keep_alive: Some(Duration::from_secs(seconds)), ..SAFE };
    for (history, expires) in [(SAFE, 30_000), (kept(5), 4_000), (kept(31), 30_000), (kept(90), 30_000)] {
        let mut pool = pool(|_| ());
        pool.put(returned(1, ALICE, history), at(0));
        assert_eq!(pool.poll_timeout(), Some(at(expires)));
        pool.handle_timeout(at(expires - 1));
        assert!(closed(&mut pool).is_empty());
        assert_eq!(pool.take("web", ALICE, Choice::Any, at(expires)), None, "it may be closing");
        pool.handle_timeout(at(expires));
        assert_eq!((closed(&mut pool), pool.poll_timeout()), (vec![1], None));
    }
    for short in [0, 1] {
        let mut pool = pool(|_| ());
        assert_eq!(pool.put(returned(1, ALICE, kept(short)), at(0)), None, "it would be closing at once");
        assert_eq!(closed(&mut pool), [1]);
    }
}

#[test]
fn only_idle_connections_are_limited_and_the_oldest_goes() {
    let mut pool = pool(|config| config.max_idle = 2);
    for conn in 1..=4 {
        pool.put(returned(conn, VisitorId(conn.into()), POSTED), at(0));
        let gone = if conn > 2 { vec![conn - 2] } else { vec![] };
        assert_eq!(closed(&mut pool), gone);
    }
    // Another service has its own limit, and a connection in use has none.
    pool.put(Returned { service: Arc::from("other"), ..returned(5, ALICE, SAFE) }, at(0));
    assert!(closed(&mut pool).is_empty());
    assert_eq!(pool.take("web", VisitorId(4), Choice::Any, at(1)), Some(4));
    pool.put(returned(6, ALICE, SAFE), at(1));
    assert!(closed(&mut pool).is_empty());
}

#[test]
fn a_connection_that_its_service_closed_is_gone_and_a_new_service_gets_none_of_the_old() {
    let mut pool = pool(|_| ());
    let first = pool.put(returned(1, ALICE, SAFE), at(0)).expect("it is idle");
    pool.put(returned(2, ALICE, SAFE), at(0));
    assert_eq!(pool.get_mut("web", first), Some(&mut 1));
    assert_eq!((pool.remove("web", first), pool.remove("web", first)), (Some(1), None));
    assert_eq!(pool.get_mut("web", first), None);
    pool.handle_service_end("web");
    assert_eq!(closed(&mut pool), [2]);
    assert_eq!(pool.take("web", ALICE, Choice::Any, at(1)), None);
}

#[test]
fn requests_wait_in_order_and_each_stream_that_becomes_free_serves_the_first() {
    let mut pool = pool(|_| ());
    assert!(!pool.must_wait());
    let ids: Vec<WaitId> = (0..3).filter_map(|_| pool.wait(None, ALICE, at(0))).collect();
    assert!(pool.must_wait());
    pool.handle_room();
    assert_eq!((granted(&mut pool), pool.take_grant(ids[1])), (vec![ids[0]], None));
    assert_eq!((pool.take_grant(ids[0]), pool.take_grant(ids[0])), (Some(Grant::Stream), None));
    // It was somebody else's, so the first stays the first.
    pool.handle_no_stream(ids[0], OpenRefusal::Full);
    assert!(granted(&mut pool).is_empty());
    pool.handle_room();
    assert_eq!((granted(&mut pool), pool.take_grant(ids[0])), (vec![ids[0]], Some(Grant::Stream)));
    // Where one was free there may be more, until somebody finds none.
    pool.cancel(ids[0], at(1));
    assert_eq!((granted(&mut pool), pool.take_grant(ids[1])), (vec![ids[1], ids[2]], Some(Grant::Stream)));
    pool.handle_no_stream(ids[2], OpenRefusal::Full);
    assert_eq!((granted(&mut pool), pool.take_grant(ids[2])), (vec![], None));
    // The stream that became free meanwhile is not forgotten.
    pool.handle_room();
    pool.handle_no_stream(ids[1], OpenRefusal::Full);
    assert_eq!((granted(&mut pool), pool.take_grant(ids[1])), (vec![ids[1]], Some(Grant::Stream)));
    // Nor the one of a request that went away.
    pool.cancel(ids[1], at(1));
    assert_eq!((granted(&mut pool), pool.take_grant(ids[2])), (vec![ids[2]], Some(Grant::Stream)));
    pool.cancel(ids[2], at(1));
    assert!(!pool.must_wait() && granted(&mut pool).is_empty());
}

#[test]
fn more_and_more_of_those_who_wait_are_told_as_long_as_they_find_streams() {
    let mut pool = pool(|_| ());
    let ids: Vec<WaitId> = (0..500).filter_map(|_| pool.wait(None, ALICE, at(0))).collect();
    pool.handle_room();
    let (mut told, mut turns) = (granted(&mut pool), Vec::new());
    let mut served = 0;
    while !told.is_empty() {
        assert_eq!(told[..], ids[served..served + told.len()], "in their order");
        served += told.len();
        turns.push(told.len());
        told.drain(..).for_each(|id| pool.cancel(id, at(1)));
        told = granted(&mut pool);
    }
    assert_eq!((served, turns.iter().max()), (500, Some(&64)));
    // Nobody is left, and the next ones begin where these were.
    let [first, second, third] = [(); 3].map(|()| pool.wait(None, ALICE, at(2)).expect("room"));
    pool.handle_room();
    assert_eq!(granted(&mut pool), [first, second, third]);
    for id in [first, second, third] {
        pool.handle_no_stream(id, OpenRefusal::Unacknowledged);
    }
    pool.handle_room();
    assert_eq!(granted(&mut pool), [first], "one is enough to find out");
}

#[test]
fn a_connection_that_comes_back_goes_to_the_first_who_may_have_it_and_else_frees_its_stream() {
    let web = || Some(Arc::from("web"));
    for (reuse, takes_any) in [(Reuse::Safe, false), (Reuse::Always, true)] {
        let mut pool = pool(|config| config.reuse = reuse);
        pool.handle_refusal(OpenRefusal::Full);
        let ids = [(None, BOB), (web(), BOB), (web(), ALICE)]
            .map(|(service, who)| pool.wait(service, who, at(0)).expect("room"));
        let [stream, bob, alice] = ids;
        // Others cannot wait for it to be quiet, and its own visitor need not.
        let first = if takes_any { bob } else { alice };
        assert_eq!(pool.put(returned(1, ALICE, SAFE), at(1)), None);
        assert_eq!((granted(&mut pool), pool.take_grant(first)), (vec![first], Some(Grant::Conn(1))));
        let other = if takes_any { alice } else { bob };
        assert_eq!(pool.put(returned(2, VisitorId(9), SAFE), at(2)), None);
        let expected = if takes_any { (vec![other], vec![]) } else { (vec![], vec![2]) };
        assert_eq!((granted(&mut pool), closed(&mut pool)), expected);
        // Whoever goes away passes it on; the last one wants a stream alone.
        pool.cancel(other, at(4));
        let expected = if takes_any { vec![2] } else { vec![] };
        assert_eq!((granted(&mut pool), closed(&mut pool)), (vec![], expected));
        pool.cancel(stream, at(4));
        assert!(!pool.must_wait());
    }
}

#[test]
fn whoever_begins_to_wait_closes_the_connection_that_is_idle_for_longest() {
    let mut pool = pool(|_| ());
    pool.put(returned(1, ALICE, SAFE), at(0));
    pool.put(Returned { service: Arc::from("other"), ..returned(2, ALICE, SAFE) }, at(1));
    pool.handle_refusal(OpenRefusal::Full);
    for gone in [vec![1], vec![2], vec![]] {
        pool.wait(None, BOB, at(2));
        assert_eq!(closed(&mut pool), gone);
    }
}

#[test]
fn no_connection_is_closed_for_those_who_wait_until_streams_are_acknowledged() {
    let mut pool = pool(|_| ());
    pool.put(returned(1, ALICE, SAFE), at(0));
    pool.handle_refusal(OpenRefusal::Unacknowledged);
    let bob = pool.wait(Some(Arc::from("web")), BOB, at(1)).expect("room");
    assert!(pool.put(returned(2, ALICE, SAFE), at(2)).is_some(), "it is idle");
    assert!(closed(&mut pool).is_empty() && granted(&mut pool).is_empty());
    // His own would do.
    assert_eq!(pool.put(returned(3, BOB, POSTED), at(3)), None);
    assert_eq!((granted(&mut pool), pool.take_grant(bob)), (vec![bob], Some(Grant::Conn(3))));
    // The last refusal counts: meanwhile the link may have become full.
    let bob = pool.wait(None, BOB, at(4)).expect("room");
    pool.handle_room();
    assert_eq!((granted(&mut pool), pool.take_grant(bob)), (vec![bob], Some(Grant::Stream)));
    pool.handle_no_stream(bob, OpenRefusal::Full);
    assert_eq!(pool.put(returned(4, ALICE, SAFE), at(5)), None);
    assert_eq!(closed(&mut pool), [4]);
}

#[test]
fn a_request_waits_for_so_long_and_so_many_wait() {
    let mut pool = pool(|config| config.max_waiting = 2);
    let first = pool.wait(None, ALICE, at(0)).expect("room");
    let second = pool.wait(None, ALICE, at(5)).expect("room");
    assert_eq!(pool.wait(None, BOB, at(6)), None, "one more is told at once");
    assert_eq!(pool.poll_timeout(), Some(at(10_000)));
    pool.handle_timeout(at(9_999));
    assert!(granted(&mut pool).is_empty());
    pool.handle_timeout(at(10_000));
    assert_eq!((granted(&mut pool), pool.take_grant(first)), (vec![first], Some(Grant::TimedOut)));
    assert!(pool.wait(None, BOB, at(10_000)).is_some(), "there is room again");
    // Its turn came in time, so it may try, and only then is it too late.
    pool.handle_room();
    assert_eq!((granted(&mut pool), pool.take_grant(second)), (vec![second], Some(Grant::Stream)));
    pool.handle_timeout(at(10_005));
    assert_eq!(pool.take_grant(second), None);
    pool.handle_no_stream(second, OpenRefusal::Full);
    pool.handle_timeout(at(10_005));
    assert_eq!((granted(&mut pool), pool.take_grant(second)), (vec![second], Some(Grant::TimedOut)));
}

/// One thing that happens to a pool.
#[derive(Clone, Debug)]
enum Op {
    Take(u64),
    Put { conn: usize, is_safe: bool },
    Wait(u64),
    Refuse(bool),
    Cancel(usize),
    Leave(u64),
    Room,
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..4_u64).prop_map(Op::Take),
        (0..8_usize, any::<bool>()).prop_map(|(conn, is_safe)| Op::Put { conn, is_safe }),
        (0..4_u64).prop_map(Op::Wait),
        any::<bool>().prop_map(Op::Refuse),
        (0..8_usize).prop_map(Op::Cancel),
        (0..4_u64).prop_map(Op::Leave),
        Just(Op::Room),
        (0..20_000_u64).prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 1..120)
}

/// Connections in use, with who uses them and whether they may go to others; requests that wait.
#[derive(Default)]
struct Model {
    used: Vec<(u32, u64, bool)>,
    waits: Vec<(WaitId, u64)>,
    /// Who last used an idle connection, and whether others may.
    idle: std::collections::BTreeMap<u32, (u64, bool)>,
    next: u32,
}

impl Model {
    fn got(&mut self, conn: u32, who: u64) {
        let (last, is_safe) = self.idle.remove(&conn).expect("an idle connection, and only once");
        assert!(last == who || is_safe, "{who} got connection {conn} of {last}");
        self.used.push((conn, who, is_safe));
    }

    fn step(&mut self, pool: &mut ConnPool<u32>, op: Op, now: &mut Instant) {
        match op {
            Op::Take(who) => match pool.take("web", VisitorId(who), Choice::Any, *now) {
                Some(conn) => self.got(conn, who),
                None => {
                    self.next += 1;
                    self.used.push((self.next, who, true));
                }
            },
            Op::Put { conn, is_safe } if !self.used.is_empty() => {
                let (conn, who, was_safe) = self.used.swap_remove(conn % self.used.len());
                let history = ConnHistory { has_unsafe_request: !(is_safe && was_safe), ..SAFE };
                self.idle.insert(conn, (who, is_safe && was_safe));
                pool.put(returned(conn, VisitorId(who), history), *now);
            }
            Op::Wait(who) => {
                let id = pool.wait(Some(Arc::from("web")), VisitorId(who), *now);
                self.waits.extend(id.map(|id| (id, who)));
            }
            Op::Cancel(at) if !self.waits.is_empty() => {
                let (id, _) = self.waits.swap_remove(at % self.waits.len());
                pool.cancel(id, *now);
            }
            Op::Refuse(true) => pool.handle_refusal(OpenRefusal::Full),
            Op::Refuse(false) => pool.handle_refusal(OpenRefusal::Unacknowledged),
            Op::Leave(who) => pool.handle_visitor_end(VisitorId(who)),
            Op::Room => pool.handle_room(),
            Op::Pass(millis) => {
                *now = *now + Duration::from_millis(millis);
                pool.handle_timeout(*now);
            }
            Op::Put { .. } | Op::Cancel(_) => {}
        }
    }

    fn settle(&mut self, pool: &mut ConnPool<u32>) {
        while let Some(id) = pool.poll_granted() {
            let Some(at) = self.waits.iter().position(|(known, _)| *known == id) else { continue };
            match pool.take_grant(id) {
                Some(Grant::Conn(conn)) => {
                    let (_, who) = self.waits.swap_remove(at);
                    self.got(conn, who);
                }
                Some(Grant::TimedOut) => drop(self.waits.swap_remove(at)),
                Some(Grant::Stream) => pool.handle_no_stream(id, OpenRefusal::Full),
                None => {}
            }
        }
        while let Some(conn) = pool.poll_closed() {
            self.idle.remove(&conn).expect("an idle connection, and only once");
        }
    }
}

proptest! {
    #[test]
    fn no_connection_is_lost_and_none_goes_to_whom_it_must_not(ops in ops()) {
        let mut pool = pool(|config| (config.max_idle, config.max_waiting) = (3, 4));
        let (mut model, mut now) = (Model::default(), Instant::ZERO);
        for op in ops {
            model.step(&mut pool, op, &mut now);
            model.settle(&mut pool);
            prop_assert!(model.idle.len() <= 3 && model.waits.len() <= 4);
        }
        // Nothing is idle beyond its time, and nobody waits beyond it.
        pool.handle_timeout(now + Duration::from_secs(60));
        model.settle(&mut pool);
        prop_assert!(model.idle.is_empty() && model.waits.is_empty());
        prop_assert_eq!(pool.poll_timeout(), None);
    }
}

#[test]
fn ids_of_idle_connections_are_never_used_twice() {
    let mut pool = pool(|config| config.max_idle = 1);
    let ids: BTreeSet<ConnId> =
        (0..5).filter_map(|conn| pool.put(returned(conn, ALICE, SAFE), at(0))).collect();
    assert_eq!(ids.len(), 5);
}
