//! The wire contract of Yamux, frame by frame: how streams open and are acknowledged, and how ids are used.

use std::time::Duration;

use hvym_yamux::{MuxConfig, MuxError, MuxEvent, OpenError, ResetReason, Role};
use hvym_yamux_testing::rig::{ACK, FIN, Frame, RST, Rig, SYN, WINDOW, data, window};

/// How many closed streams are remembered.
const REMEMBERED: u32 = 4096;

#[test]
fn a_stream_starts_with_262144_bytes_each_way_before_any_update() {
    let mut rig = Rig::agent();
    let (ours, wire) = rig.opened();
    rig.take(&data(0, wire, &vec![1; WINDOW]));
    let mut sent = 0;
    for _ in 0..8 {
        rig.write_some(ours, &vec![2; WINDOW]);
        sent += rig.sent().iter().filter(|frame| frame.is_data()).map(|frame| frame.length).sum::<u32>();
    }
    assert_eq!(sent as usize, WINDOW);
    rig.assert_fatal(&data(0, wire, &[1]), MuxError::WindowExceeded(wire), 1);
}

#[test]
fn a_window_on_the_opening_frame_is_added_to_the_first_window() {
    let mut rig = Rig::agent();
    rig.take(&window(SYN, 2, 1000));
    let id = rig.incoming();
    let mut sent = 0;
    for _ in 0..8 {
        rig.write_some(id, &vec![2; WINDOW]);
        sent += rig.sent().iter().map(|frame| frame.payload.len()).sum::<usize>();
    }
    assert_eq!(sent, WINDOW + 1000);
}

#[test]
fn a_window_on_the_acknowledgement_is_added_to_the_first_window() {
    let mut rig = Rig::agent();
    let ours = rig.open();
    rig.sent();
    rig.take(&window(ACK, 1, 65_536));
    let mut sent = 0;
    for _ in 0..8 {
        rig.write_some(ours, &vec![2; WINDOW]);
        sent += rig.sent().iter().map(|frame| frame.payload.len()).sum::<usize>();
    }
    assert_eq!(sent, WINDOW + 65_536);
}

#[test]
fn an_opening_rides_on_data_where_there_is_some_and_leaves_alone_otherwise() {
    let mut rig = Rig::agent();
    let quiet = rig.open();
    assert_eq!(rig.sent(), [Frame::bare(1, SYN, 1, 0)], "it leaves before anything is written");
    rig.write(quiet, b"later");
    assert_eq!(rig.sent(), [Frame { payload: b"later".to_vec(), ..Frame::bare(0, 0, 1, 5) }]);
    let talking = rig.open();
    rig.write(talking, b"now");
    assert_eq!(rig.sent(), [Frame { payload: b"now".to_vec(), ..Frame::bare(0, SYN, 3, 3) }]);
    let empty = rig.open();
    rig.finish(empty);
    assert_eq!(rig.sent(), [Frame::bare(1, SYN, 5, 0), Frame::bare(1, FIN, 5, 0)]);
}

#[test]
fn an_acceptance_is_told_once_and_not_before_the_application_accepts() {
    let mut rig = Rig::agent();
    rig.take(&window(SYN, 2, 0));
    assert_eq!(rig.sent(), [], "nobody has accepted it");
    let id = rig.incoming();
    assert_eq!(rig.sent(), [Frame::bare(1, ACK, 2, 0)]);
    rig.mux.accept(id, rig.now).expect("a second acceptance is harmless");
    rig.write(id, b"x");
    let frames = rig.sent();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].flags, 0, "never acknowledged twice");
}

#[test]
fn an_acceptance_rides_on_data_where_there_is_some() {
    let mut rig = Rig::agent();
    rig.take(&window(SYN, 2, 0));
    let id = rig.incoming();
    rig.write(id, b"hello");
    assert_eq!(rig.sent(), [Frame { payload: b"hello".to_vec(), ..Frame::bare(0, ACK, 2, 5) }]);
}

#[test]
fn a_stream_whose_end_came_before_its_acceptance_is_acknowledged_all_the_same() {
    let mut rig = Rig::agent();
    rig.take(&[data(SYN, 2, b"q"), window(FIN, 2, 0)].concat());
    let id = rig.incoming();
    assert_eq!(rig.sent(), [Frame::bare(1, ACK, 2, 0)]);
    assert_eq!(rig.read_all(id), (b"q".to_vec(), true));
}

#[test]
fn a_stream_that_ended_both_ways_before_it_was_accepted_is_still_acknowledged_and_then_gone() {
    let mut rig = Rig::agent();
    rig.take(&data(SYN | FIN, 2, b""));
    let events = rig.events();
    let MuxEvent::Incoming(id) = events[0] else { panic!("{events:?}") };
    rig.finish(id);
    assert_eq!(rig.sent(), [Frame::bare(1, FIN, 2, 0)]);
    rig.mux.accept(id, rig.now).expect("it is still there");
    assert_eq!(rig.read_all(id), (vec![], true));
    assert_eq!(rig.sent(), [Frame::bare(1, ACK, 2, 0)]);
    assert_eq!(rig.mux.stats().inbound, 0);
}

#[test]
fn any_frame_of_a_stream_acknowledges_it() {
    let frames: [fn(u32) -> Vec<u8>; 5] = [
        |wire| window(ACK, wire, 0),
        |wire| window(0, wire, 5),
        |wire| data(0, wire, b"x"),
        |wire| window(FIN, wire, 0),
        |wire| window(RST, wire, 0),
    ];
    for frame in frames {
        let mut rig = Rig::agent();
        rig.open();
        rig.sent();
        assert_eq!(rig.mux.stats().unacked, 1);
        rig.take(&frame(1));
        assert_eq!(rig.mux.stats().unacked, 0);
    }
}

#[test]
fn the_257th_unacknowledged_opening_waits_for_one_to_be_acknowledged() {
    let mut rig = Rig::agent();
    for _ in 0..256 {
        rig.open();
    }
    assert_eq!(rig.mux.open(rig.now), Err(OpenError::AckBacklog));
    assert_eq!(rig.sent().len(), 256);
    assert_eq!(rig.events(), []);
    rig.take(&window(ACK, 77, 0));
    assert_eq!(rig.events(), [MuxEvent::OpenReady]);
    rig.open();
    assert_eq!(rig.mux.open(rig.now), Err(OpenError::AckBacklog));
    rig.take(&window(RST, 79, 0));
    assert!(rig.events().contains(&MuxEvent::OpenReady), "a refusal makes room too");
}

#[test]
fn the_257th_stream_that_nobody_has_accepted_is_reset_and_accepting_one_makes_room() {
    let mut rig = Rig::agent_but(|config| config.max_inbound_streams = 1000);
    for n in 1..=256 {
        rig.take(&window(SYN, 2 * n, 0));
    }
    rig.take(&window(SYN, 2 * 257, 0));
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 514, 0)]);
    let events = rig.events();
    assert_eq!(events.len(), 256, "the refused one is no event");
    let MuxEvent::Incoming(first) = events[0] else { panic!("{events:?}") };
    rig.mux.accept(first, rig.now).unwrap();
    rig.take(&window(SYN, 2 * 258, 0));
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn a_stream_past_the_inbound_limit_is_reset_and_its_payload_skipped() {
    let mut rig = Rig::with(Role::Server, MuxConfig::opener());
    for n in 0..16 {
        rig.accepted(2 * n + 1);
    }
    // The payload looks like a frame that would end the session.
    let trap = [data(SYN, 33, &window(SYN, 2, 0)), data(0, 33, &window(SYN, 4, 0)), window(FIN, 33, 0)];
    rig.take(&trap.concat());
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 33, 0)]);
    assert_eq!(rig.events(), []);
    assert_eq!(rig.mux.stats().inbound, 16);
    rig.assert_alive();
}

#[test]
fn a_stream_that_is_never_acknowledged_is_reset_alone() {
    let mut rig = Rig::agent_but(|config| config.open_timeout = Some(Duration::from_secs(75)));
    let (_, acknowledged) = rig.opened();
    let ignored = rig.open();
    rig.sent();
    rig.pass(Duration::from_secs(74)).unwrap();
    assert_eq!(rig.sent(), []);
    rig.pass(Duration::from_secs(1)).unwrap();
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 3, 0)]);
    assert_eq!(rig.events(), [MuxEvent::Reset(ignored, ResetReason::OpenTimeout)]);
    assert_eq!(rig.mux.stats().outbound, 1, "stream {acknowledged} lives on");
}

#[test]
fn without_an_open_timeout_a_stream_waits_for_ever() {
    let mut rig = Rig::agent();
    rig.open();
    rig.sent();
    rig.pass(Duration::from_secs(10_000)).unwrap();
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    assert_eq!(rig.mux.stats().unacked, 1);
}

#[test]
fn a_peer_that_opens_a_stream_of_our_parity_ends_the_session() {
    Rig::agent().assert_fatal(&window(SYN, 1, 0), MuxError::BadStreamId(1), 1);
    Rig::agent().assert_fatal(&data(SYN, 7, b"x"), MuxError::BadStreamId(7), 1);
    let mut relay = Rig::with(Role::Server, MuxConfig::default());
    assert_eq!(relay.feed(&window(SYN, 2, 0)), Err(MuxError::BadStreamId(2)));
    assert_eq!(relay.sent(), [Frame::bare(3, 0, 0, 1)]);
}

#[test]
fn a_peer_that_opens_stream_zero_ends_the_session() {
    for side in [Role::Client, Role::Server] {
        let mut rig = Rig::with(side, MuxConfig::default());
        rig.assert_fatal(&window(SYN, 0, 0), MuxError::BadStreamId(0), 1);
    }
    Rig::agent().assert_fatal(&data(0, 0, b"x"), MuxError::BadStreamId(0), 1);
}

#[test]
fn a_second_opening_of_a_live_stream_ends_the_session() {
    let mut rig = Rig::agent();
    rig.accepted(2);
    rig.assert_fatal(&data(SYN, 2, b"again"), MuxError::DuplicateSyn(2), 1);
}

#[test]
fn an_id_that_closed_a_moment_ago_may_not_open_again() {
    let mut rig = Rig::agent();
    close_both_ways(&mut rig, 2);
    rig.assert_fatal(&window(SYN, 2, 0), MuxError::IdReused(2), 1);
}

#[test]
fn an_id_that_closed_long_ago_may_open_again() {
    let mut rig = Rig::agent_but(|config| config.max_inbound_streams = 5000);
    close_both_ways(&mut rig, 2);
    let pair = |n: u32| [window(SYN, 2 * n, 0), window(RST, 2 * n, 0)].concat();
    rig.take(&(2..=REMEMBERED + 1).flat_map(pair).collect::<Vec<u8>>());
    rig.accepted(2);
    assert_eq!(rig.mux.stats().inbound, 1);
}

fn close_both_ways(rig: &mut Rig, wire: u32) {
    rig.take(&window(SYN | FIN, wire, 0));
    let id = rig.incoming();
    rig.finish(id);
    assert_eq!(rig.read_all(id), (vec![], true));
    assert_eq!(rig.sent(), [Frame::bare(1, ACK, wire, 0), Frame::bare(1, FIN, wire, 0)]);
    assert_eq!(rig.mux.stats().inbound, 0);
}

#[test]
fn ids_of_the_right_parity_may_come_in_any_order() {
    let mut rig = Rig::agent();
    for wire in [10, 4, 4_294_967_294, 2, 1_000_000] {
        rig.accepted(wire);
    }
    assert_eq!(rig.mux.stats().inbound, 5);
}

#[test]
fn our_ids_are_odd_as_an_agent_and_even_as_a_relay_and_each_is_used_once() {
    for (side, first) in [(Role::Client, 1), (Role::Server, 2)] {
        let mut rig = Rig::with(side, MuxConfig::default());
        for n in 0..100 {
            let id = rig.open();
            assert_eq!(rig.sent(), [Frame::bare(1, SYN, first + 2 * n, 0)]);
            rig.reset(id);
            assert_eq!(rig.sent(), [Frame::bare(1, RST, first + 2 * n, 0)]);
        }
    }
}

#[test]
fn a_stream_that_is_reset_before_its_opening_left_is_never_heard_of() {
    let mut rig = Rig::agent();
    let id = rig.open();
    rig.write(id, b"never mind");
    rig.reset(id);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    assert_eq!(rig.mux.stats().outbound, 0);
}

#[test]
fn a_stream_that_nobody_accepts_is_reset_before_old_peers_end_the_session_over_it() {
    let mut rig = Rig::agent();
    rig.take(&window(SYN, 2, 0));
    let events = rig.events();
    let [MuxEvent::Incoming(id)] = events[..] else { panic!("{events:?}") };
    rig.pass(Duration::from_secs(29)).unwrap();
    assert_eq!(rig.sent(), []);
    rig.pass(Duration::from_secs(1)).unwrap();
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 2, 0)]);
    assert_eq!(rig.events(), [MuxEvent::Reset(id, ResetReason::AcceptTimeout)]);
    assert!(rig.mux.accept(id, rig.now).is_err());
}
