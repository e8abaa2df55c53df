//! What is unread: the limits of a session and of a group of streams, and which stream goes when they are exceeded.

use std::time::Duration;

use hvym_yamux::{MuxEvent, ResetReason, StreamId};
use hvym_yamux_testing::rig::{Frame, RST, Rig, WINDOW, data};

const SECOND: Duration = Duration::from_secs(1);

/// An agent with `count` streams of group `group`, which hold `bytes` each; their ids on the wire begin at `first`.
fn grouped(rig: &mut Rig, group: u64, first: u32, count: u32, bytes: usize) -> Vec<StreamId> {
    (0..count)
        .map(|n| {
            let id = rig.accepted(first + 2 * n);
            rig.mux.stream(id).expect("it is live").set_group(group);
            rig.take(&data(0, first + 2 * n, &vec![1; bytes]));
            id
        })
        .collect()
}

fn evicted(rig: &mut Rig) -> Vec<StreamId> {
    let events = rig.events().into_iter();
    events
        .filter_map(|event| match event {
            MuxEvent::Reset(id, ResetReason::Budget) => Some(id),
            _ => None,
        })
        .collect()
}

#[test]
fn a_session_holds_its_limit_and_with_a_byte_more_the_stream_that_stood_still_longest_goes() {
    let mut rig = Rig::agent_but(|config| config.max_unread = 400_000);
    let still = grouped(&mut rig, 0, 2, 1, 150_000)[0];
    rig.pass(SECOND).unwrap();
    let larger = grouped(&mut rig, 0, 4, 1, 200_000)[0];
    let small = grouped(&mut rig, 0, 6, 1, 50_000)[0];
    assert_eq!((rig.mux.stats().unread, evicted(&mut rig)), (400_000, vec![]));
    rig.take(&data(0, 6, &[1]));
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 2, 0)]);
    assert_eq!(evicted(&mut rig), [still]);
    assert_eq!(rig.read_all(larger).0.len() + rig.read_all(small).0.len(), 250_001);
}

#[test]
fn an_owner_may_have_a_session_hold_less_and_the_streams_that_stand_still_go() {
    let mut rig = Rig::agent();
    let still = grouped(&mut rig, 0, 2, 2, 100_000);
    rig.pass(SECOND).unwrap();
    let later = grouped(&mut rig, 0, 6, 2, 100_000);
    rig.mux.shed_unread(0, rig.now);
    assert_eq!((rig.mux.stats().unread, evicted(&mut rig)), (400_000, vec![]));
    // Of equals the newest; a stream goes as a whole.
    rig.mux.shed_unread(1, rig.now);
    assert_eq!((rig.mux.stats().unread, evicted(&mut rig)), (300_000, vec![still[1]]));
    rig.mux.shed_unread(100_001, rig.now);
    assert_eq!(rig.mux.stats().unread, 100_000);
    assert_eq!(evicted(&mut rig), [still[0], later[1]]);
    rig.mux.shed_unread(usize::MAX, rig.now);
    assert_eq!((rig.mux.stats().unread, evicted(&mut rig)), (0, vec![later[0]]));
    let empty = rig.accepted(10);
    rig.mux.shed_unread(usize::MAX, rig.now);
    assert!(rig.mux.contains(empty), "it holds nothing");
}

#[test]
fn no_more_than_64_streams_go_at_once() {
    let mut rig = Rig::agent();
    grouped(&mut rig, 0, 2, 66, 1000);
    rig.mux.shed_unread(usize::MAX, rig.now);
    assert_eq!((rig.mux.stats().unread, evicted(&mut rig).len()), (2000, 64));
}

#[test]
fn of_streams_that_were_read_just_now_the_one_that_holds_most_goes_and_of_equals_the_newest() {
    let mut rig = Rig::agent_but(|config| config.max_unread = 400_000);
    let ids =
        [(2, 100_000), (4, 150_000), (6, 150_000)].map(|(wire, size)| grouped(&mut rig, 0, wire, 1, size)[0]);
    rig.take(&data(0, 2, &[1]));
    assert_eq!(evicted(&mut rig), [ids[2]]);
}

#[test]
fn a_stream_that_is_read_outlives_all_that_are_not_though_it_is_older_and_holds_more() {
    let mut rig = Rig::agent_but(|config| config.max_unread = 4 * WINDOW);
    let reader = grouped(&mut rig, 0, 2, 1, WINDOW)[0];
    let mut stopped = Vec::new();
    for round in 0..12 {
        rig.pass(SECOND).unwrap();
        // Of what it holds a little is read, and arrives again as soon as it is granted.
        let read = rig.mux.stream(reader).unwrap().read(20_000, rig.now);
        assert!(matches!(read, Ok(hvym_yamux::Read::Data(_))), "{round}");
        let grants = rig.sent().into_iter().filter(|frame| (frame.kind, frame.id) == (1, 2));
        let granted: u32 = grants.map(|frame| frame.length).sum();
        rig.take(&data(0, 2, &vec![1; granted as usize]));
        stopped.extend(grouped(&mut rig, 0, 4 + 2 * round, 1, 150_000));
    }
    evicted(&mut rig);
    let gone: Vec<usize> = (0..12).filter(|at| !rig.mux.contains(stopped[*at])).collect();
    assert_eq!(gone, [0, 1, 2, 3, 4, 5], "in the order in which they stopped");
    assert!(rig.mux.contains(reader));
}

#[test]
fn an_idle_stream_is_not_punished_for_the_time_when_it_held_nothing() {
    let mut rig = Rig::agent_but(|config| config.max_unread = 400_000);
    let idle = grouped(&mut rig, 0, 2, 1, 1)[0];
    rig.read_all(idle);
    rig.pass(3600 * SECOND).unwrap();
    let still = grouped(&mut rig, 0, 4, 1, 200_000)[0];
    rig.pass(SECOND).unwrap();
    rig.take(&data(0, 2, &vec![1; 200_000]));
    rig.pass(SECOND).unwrap();
    rig.take(&data(0, 2, &[1]));
    assert_eq!(evicted(&mut rig), [still]);
}

#[test]
fn a_group_holds_its_limit_and_with_a_byte_more_one_of_its_own_streams_goes() {
    let mut rig = Rig::agent_but(|config| {
        config.max_stream_window = WINDOW as u32;
        config.max_group_unread = 600_000;
    });
    let other = grouped(&mut rig, 8, 2, 1, WINDOW)[0];
    let alone = grouped(&mut rig, 0, 4, 1, WINDOW)[0];
    rig.pass(SECOND).unwrap();
    let of_group = grouped(&mut rig, 7, 6, 3, 200_000);
    assert_eq!(evicted(&mut rig), []);
    rig.take(&data(0, 6, &[1]));
    assert_eq!(
        evicted(&mut rig),
        [of_group[0]],
        "the largest of its group, and not one that stood still for longer"
    );
    for id in [other, alone, of_group[1], of_group[2]] {
        assert!(rig.mux.contains(id));
    }
}

#[test]
fn of_groups_the_one_that_holds_most_goes_first_however_small_each_of_its_streams_is() {
    let mut rig = Rig::agent_but(|config| config.max_unread = 1_000_000);
    let honest = grouped(&mut rig, 1, 2, 1, WINDOW)[0];
    let crowd = grouped(&mut rig, 2, 4, 12, 60_000);
    rig.pass(SECOND).unwrap();
    rig.take(&data(0, 4, &vec![1; 17_856]));
    assert_eq!((rig.mux.stats().unread, evicted(&mut rig)), (1_000_000, vec![]));
    rig.take(&data(0, 6, &[1]));
    assert_eq!(evicted(&mut rig), [crowd[0]]);
    assert_eq!(rig.read_all(honest).0.len(), WINDOW);
}

#[test]
fn a_stream_takes_what_it_holds_along_when_it_changes_groups() {
    let mut rig = Rig::agent_but(|config| {
        config.max_stream_window = WINDOW as u32;
        config.max_group_unread = 300_000;
    });
    let ids = grouped(&mut rig, 1, 2, 2, 150_000);
    rig.mux.stream(ids[0]).unwrap().set_group(2);
    rig.take(&data(0, 4, &[1]));
    assert_eq!(evicted(&mut rig), [], "150001 bytes in group 1, 150000 in group 2");
    rig.mux.stream(ids[0]).unwrap().set_group(0);
    rig.mux.stream(ids[1]).unwrap().set_group(0);
    rig.take(&data(0, 2, &[1]));
    assert_eq!(evicted(&mut rig), [], "streams without a group count by themselves");
    rig.mux.stream(ids[0]).unwrap().set_group(1);
    rig.mux.stream(ids[1]).unwrap().set_group(1);
    rig.take(&data(0, 2, &[1]));
    assert_eq!(evicted(&mut rig), [ids[0]], "300003 bytes in group 1");
}

#[test]
fn groups_of_streams_that_are_gone_are_forgotten() {
    let mut rig = Rig::agent();
    for n in 1..=1000 {
        let id = grouped(&mut rig, u64::from(n % 3) + 1, 2 * n, 1, 10)[0];
        rig.pass(SECOND).unwrap();
        rig.reset(id);
        rig.sent();
    }
    assert_eq!(rig.mux.stats(), Default::default());
}
