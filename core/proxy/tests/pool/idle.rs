//! Who gets which idle connection to a service, and when idle ones are closed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hvym_proxy::pool::{ConnId, ConnPool, Returned, VisitorId};
use hvym_proxy::{Choice, ConnHistory, Reuse, names_connection_login};

use super::{ALICE, BOB, LOGGED_IN, POSTED, SAFE, at, closed, pool, returned};

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
fn a_connection_that_carried_more_than_safe_requests_is_shared_only_where_all_are() {
    for (reuse, expected) in
        [(Reuse::Never, [false; 3]), (Reuse::Safe, [true, false, false]), (Reuse::Always, [true; 3])]
    {
        assert_eq!([SAFE, POSTED, LOGGED_IN].map(|history| reuse.may_share(&history)), expected, "{reuse:?}");
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
fn only_idle_connections_are_limited_and_the_oldest_goes_unless_all_were_just_used() {
    let mut pool = pool(|config| (config.max_idle, config.just_used) = (2, Duration::from_secs(1)));
    let put = |pool: &mut _, conn: u32, millis| {
        ConnPool::put(pool, returned(conn, VisitorId(conn.into()), POSTED), at(millis)).is_some()
    };
    assert!(put(&mut pool, 1, 0) && put(&mut pool, 2, 500));
    assert!(closed(&mut pool).is_empty());
    assert!(!put(&mut pool, 3, 1000), "all were used within a second");
    assert_eq!(closed(&mut pool), [3]);
    assert!(put(&mut pool, 3, 1001));
    assert_eq!(closed(&mut pool), [1]);
    assert!(put(&mut pool, 4, 1501));
    assert_eq!(closed(&mut pool), [2]);
    // Another service has its own limit, and a connection in use has none.
    pool.put(Returned { service: Arc::from("other"), ..returned(5, ALICE, SAFE) }, at(1501));
    assert!(closed(&mut pool).is_empty());
    assert_eq!(pool.take("web", VisitorId(4), Choice::Any, at(1502)), Some(4));
    pool.put(returned(6, ALICE, SAFE), at(1502));
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
fn ids_of_idle_connections_are_never_used_twice() {
    let mut pool = pool(|config| config.max_idle = 1);
    let put = |conn: u32| pool.put(returned(conn, ALICE, SAFE), at(2000 * u64::from(conn)));
    let ids: BTreeSet<ConnId> = (0..5).filter_map(put).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn idle_connections_of_several_services_expire_each_in_its_time() {
    let mut pool = pool(|config| config.idle_limit = Duration::from_secs(30));
    for (conn, service, second) in [(1, "a", 0), (2, "b", 5), (3, "c", 10)] {
        pool.put(Returned { service: Arc::from(service), ..returned(conn, ALICE, SAFE) }, at(second * 1000));
    }
    for (conn, second) in [(1, 30), (2, 35), (3, 40)] {
        assert_eq!(pool.poll_timeout(), Some(at(second * 1000)));
        pool.handle_timeout(at(second * 1000));
        assert_eq!(closed(&mut pool), [conn]);
    }
    assert_eq!(pool.poll_timeout(), None);
}
