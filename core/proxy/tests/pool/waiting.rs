//! In which order requests wait for a stream or a connection, and for how long.

use std::sync::Arc;

use hvym_proxy::Reuse;
use hvym_proxy::pool::{Grant, OpenRefusal, Returned, VisitorId, WaitId};

use super::{ALICE, BOB, POSTED, SAFE, at, closed, granted, pool, returned};

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
    assert_eq!((served, &turns[..2], turns.iter().max()), (500, &[1, 2][..], Some(&64)));
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

#[test]
fn while_the_link_was_never_full_what_comes_back_is_kept_for_later() {
    let mut pool = pool(|_| ());
    pool.put(returned(1, ALICE, POSTED), at(0));
    pool.wait(Some(Arc::from("web")), BOB, at(0)).expect("room");
    assert!(pool.put(returned(2, ALICE, POSTED), at(1)).is_some(), "it is idle");
    assert_eq!(closed(&mut pool), Vec::<u32>::new());
}

#[test]
fn whoever_was_told_of_a_stream_and_found_none_still_gets_its_own_connection() {
    let mut pool = pool(|_| ());
    pool.handle_refusal(OpenRefusal::Full);
    let alice = pool.wait(Some(Arc::from("web")), ALICE, at(0)).expect("room");
    pool.handle_room();
    assert_eq!((granted(&mut pool), pool.take_grant(alice)), (vec![alice], Some(Grant::Stream)));
    pool.handle_no_stream(alice, OpenRefusal::Full);
    assert_eq!(pool.put(returned(1, ALICE, POSTED), at(1)), None);
    assert_eq!((granted(&mut pool), pool.take_grant(alice)), (vec![alice], Some(Grant::Conn(1))));
}
