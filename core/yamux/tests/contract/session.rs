//! The wire contract of Yamux, frame by frame: headers, pings, farewells and what the session does by the clock.

use std::time::Duration;

use hvym_yamux::{MuxConfig, MuxEnd, MuxError, MuxEvent, OpenError, ResetReason, Role, StreamError};
use hvym_yamux_testing::rig::{ACK, FIN, Frame, RST, Rig, SYN, WINDOW, data, go_away, header, ping, window};

const SECOND: Duration = Duration::from_secs(1);

fn with_keepalive() -> Rig {
    Rig::agent_but(|config| config.keepalive = Some((30 * SECOND, 20 * SECOND)))
}

#[test]
fn a_header_of_another_version_ends_the_session() {
    Rig::agent().assert_fatal(&header(1, 0, 0, 2, 0), MuxError::BadVersion(1), 1);
    Rig::agent().assert_fatal(&header(255, 9, SYN, 2, 0), MuxError::BadVersion(255), 1);
}

#[test]
fn an_unknown_frame_type_ends_the_session_since_it_cannot_be_skipped() {
    Rig::agent().assert_fatal(&header(0, 4, 0, 2, 0), MuxError::UnknownType(4), 1);
}

#[test]
fn unknown_flags_are_ignored() {
    let mut rig = Rig::agent();
    rig.take(&header(0, 1, SYN | 0x8000, 2, 0));
    rig.incoming();
    assert_eq!(rig.sent(), [Frame::bare(1, ACK, 2, 0)]);
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let mut rig = Rig::agent();
    for byte in [data(SYN, 2, b"ab"), data(FIN, 2, b"c")].concat() {
        rig.take(&[byte]);
    }
    let id = rig.incoming();
    assert_eq!(rig.read_all(id), (b"abc".to_vec(), true));
}

#[test]
fn a_ping_is_answered_with_its_value_before_any_data() {
    let mut rig = Rig::agent();
    let (ours, _) = rig.opened();
    rig.write(ours, &[1; 40_000]);
    rig.take(&ping(SYN, 0, 0xCAFE_F00D));
    let frames = rig.batch();
    assert_eq!(frames[0], Frame::bare(2, ACK, 0, 0xCAFE_F00D));
    assert!(frames[1].is_data());
}

#[test]
fn a_ping_without_flags_is_ignored() {
    let mut rig = Rig::agent();
    rig.take(&ping(0, 0, 5));
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
}

#[test]
fn a_ping_that_is_question_and_answer_at_once_counts_as_an_answer() {
    let mut rig = Rig::agent();
    rig.take(&ping(SYN | ACK, 0, 5));
    assert_eq!(rig.sent(), []);
    let mut rig = with_keepalive();
    rig.pass(30 * SECOND).unwrap();
    let value = rig.sent()[0].length;
    rig.pass(SECOND).unwrap();
    rig.take(&ping(SYN | ACK, 0, value));
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.mux.stats().rtt, Some(SECOND));
}

#[test]
fn a_ping_for_a_stream_is_answered_for_the_session() {
    let mut rig = Rig::agent();
    rig.take(&ping(SYN, 2, 6));
    assert_eq!(rig.sent(), [Frame::bare(2, ACK, 0, 6)]);
}

#[test]
fn an_answer_to_no_question_is_ignored_and_proves_no_life() {
    let mut rig = with_keepalive();
    rig.take(&ping(ACK, 0, 5));
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    rig.pass(29 * SECOND).unwrap();
    rig.take(&ping(ACK, 0, 6));
    rig.pass(SECOND).unwrap();
    let value = rig.sent()[0].length;
    rig.pass(19 * SECOND).unwrap();
    rig.take(&ping(ACK, 0, value ^ 1));
    assert_eq!(rig.pass(SECOND), Err(MuxError::KeepAlive));
    rig.assert_ended(MuxError::KeepAlive, Some(2));
}

#[test]
fn silence_is_answered_by_a_ping_and_then_by_the_end() {
    let mut rig = with_keepalive();
    rig.pass(30 * SECOND - Duration::from_micros(1)).unwrap();
    assert_eq!(rig.sent(), []);
    rig.pass(Duration::from_micros(1)).unwrap();
    assert!(matches!(rig.sent()[..], [Frame { kind: 2, flags: SYN, id: 0, .. }]));
    rig.pass(20 * SECOND - Duration::from_micros(1)).unwrap();
    assert_eq!(rig.pass(Duration::from_micros(1)), Err(MuxError::KeepAlive));
    rig.assert_ended(MuxError::KeepAlive, Some(2));
}

#[test]
fn any_input_postpones_the_end_of_a_silent_session() {
    let mut rig = with_keepalive();
    for _ in 0..5 {
        rig.pass(30 * SECOND).unwrap();
        assert_eq!(rig.sent().len(), 1);
        rig.pass(10 * SECOND).unwrap();
        rig.take(&window(0, 2, 1));
        rig.pass(29 * SECOND).unwrap();
        assert_eq!(rig.sent(), []);
        rig.take(&window(0, 2, 1));
    }
}

#[test]
fn the_round_trip_is_measured_at_the_start_and_again_after_ten_seconds_when_bulk_data_is_read() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    let pings = |rig: &mut Rig| {
        rig.take(&data(0, 2, &vec![1; WINDOW / 2]));
        rig.read_all(id);
        rig.sent().into_iter().filter(|frame| frame.kind == 2).collect::<Vec<_>>()
    };
    rig.pass(Duration::from_millis(40)).unwrap();
    let first = rig.first_ping;
    rig.take(&ping(ACK, 0, first));
    assert_eq!(rig.mux.stats().rtt, Some(Duration::from_millis(40)));
    assert_eq!(pings(&mut rig), []);
    rig.pass(Duration::from_micros(9_959_999)).unwrap();
    assert_eq!(pings(&mut rig), []);
    rig.pass(SECOND).unwrap();
    let again = pings(&mut rig);
    assert!(matches!(again[..], [Frame { kind: 2, flags: SYN, id: 0, .. }]));
    rig.pass(SECOND).unwrap();
    rig.take(&ping(ACK, 0, again[0].length));
    assert_eq!(rig.mux.stats().rtt, Some(Duration::from_millis(40)), "an answer that waited in a queue");
}

#[test]
fn a_measurement_that_is_never_answered_does_not_stop_the_next() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    for _ in 0..3 {
        rig.pass(10 * SECOND).unwrap();
        rig.take(&data(0, 2, &vec![1; WINDOW / 2]));
        rig.read_all(id);
        assert_eq!(rig.sent().iter().filter(|frame| frame.kind == 2).count(), 1);
    }
}

#[test]
fn a_keepalive_ping_does_not_make_an_earlier_measurement_unanswerable() {
    let mut rig = with_keepalive();
    let measuring = rig.first_ping;
    rig.pass(30 * SECOND).unwrap();
    let keeping = rig.sent()[0].length;
    assert_ne!(measuring, keeping);
    rig.pass(SECOND).unwrap();
    rig.take(&ping(ACK, 0, measuring));
    rig.pass(29 * SECOND).unwrap();
    assert_eq!(rig.sent(), [], "the late answer proved life");
    rig.take(&ping(ACK, 0, keeping));
    assert_eq!(rig.mux.stats().rtt, Some(30 * SECOND));
}

#[test]
fn a_farewell_of_code_zero_only_stops_new_streams() {
    let mut rig = Rig::agent();
    let (ours, wire) = rig.opened();
    rig.take(&go_away(0));
    assert_eq!(rig.events(), [MuxEvent::RemoteGoAway(0)]);
    assert_eq!(rig.mux.open(rig.now), Err(OpenError::Draining));
    rig.write(ours, b"still here");
    rig.take(&data(FIN, wire, b"so am I"));
    assert_eq!(rig.sent().len(), 1);
    assert_eq!(rig.read_all(ours), (b"so am I".to_vec(), true));
    rig.accepted(2);
}

#[test]
fn a_farewell_of_any_other_code_ends_the_session_without_an_answer() {
    for code in [1, 2, 3, u32::MAX] {
        let mut rig = Rig::agent();
        let (ours, _) = rig.opened();
        rig.write(ours, b"lost");
        assert_eq!(rig.feed(&go_away(code)), Err(MuxError::RemoteGoAway(code)));
        assert_eq!(rig.read(ours), Err(StreamError::Lost));
        rig.assert_ended(MuxError::RemoteGoAway(code), None);
    }
}

#[test]
fn our_farewell_is_the_last_frame_and_every_stream_is_lost_not_ended() {
    let mut rig = Rig::agent();
    let (ours, wire) = rig.opened();
    rig.write(ours, &[1; 1000]);
    rig.take(&[data(0, wire, b"unread"), ping(SYN, 0, 1)].concat());
    rig.assert_fatal(&header(0, 7, 0, 0, 0), MuxError::UnknownType(7), 1);
    assert_eq!(rig.read(ours), Err(StreamError::Lost));
    assert_eq!(rig.mux.stream(ours).unwrap().finish(rig.now), Err(StreamError::Lost));
    assert_eq!(rig.mux.open(rig.now), Err(OpenError::Closed));
}

#[test]
fn what_follows_an_error_in_the_same_message_is_not_looked_at() {
    let mut rig = Rig::agent();
    let bytes = [window(SYN, 2, 0), header(9, 0, 0, 0, 0), window(SYN, 4, 0), header(8, 0, 0, 0, 0)].concat();
    assert_eq!(rig.feed(&bytes), Err(MuxError::BadVersion(9)));
    assert_eq!(rig.mux.stats().inbound, 1);
}

#[test]
fn a_stream_opened_after_our_farewell_is_reset_and_what_was_open_goes_on() {
    let mut rig = Rig::agent();
    let (ours, wire) = rig.opened();
    let theirs = rig.accepted(2);
    rig.mux.go_away(rig.now);
    rig.mux.go_away(rig.now);
    let [Frame { kind: 3, length: 0, .. }, Frame { kind: 2, flags: SYN, length: asked, .. }] = rig.sent()[..]
    else {
        panic!("a farewell and a ping, each once")
    };
    rig.take(&[ping(ACK, 0, asked), data(SYN, 4, b"too late")].concat());
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 4, 0)]);
    assert_eq!(rig.mux.open(rig.now), Err(OpenError::Draining));
    rig.take(&[data(FIN, wire, b"a"), data(FIN, 2, b"b")].concat());
    assert_eq!(rig.read_all(ours), (b"a".to_vec(), true));
    assert_eq!(rig.read_all(theirs), (b"b".to_vec(), true));
}

#[test]
fn a_shutdown_waits_for_the_streams_and_then_says_farewell() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.mux.shutdown(rig.now + 60 * SECOND, rig.now);
    assert_eq!(rig.sent(), [], "some peers drop their streams at a farewell");
    assert_eq!(rig.mux.open(rig.now), Err(OpenError::Draining));
    rig.take(&data(SYN, 4, b"too late"));
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 4, 0)]);
    rig.write(id, b"last words");
    rig.finish(id);
    rig.take(&window(FIN, 2, 0));
    assert_eq!(rig.read_all(id), (vec![], true));
    let frames = rig.sent();
    assert_eq!(frames[0].payload, b"last words");
    assert_eq!(frames[1..], [Frame::bare(1, FIN, 2, 0), Frame::bare(3, 0, 0, 0)]);
    assert_eq!(rig.events().last(), Some(&MuxEvent::Ended(MuxEnd::Normal)));
    assert_eq!(rig.mux.poll_timeout(), None);
}

#[test]
fn a_shutdown_without_streams_ends_at_once() {
    let mut rig = Rig::agent();
    rig.mux.shutdown(rig.now + 60 * SECOND, rig.now);
    assert_eq!(rig.sent(), [Frame::bare(3, 0, 0, 0)]);
    assert_eq!(rig.events(), [MuxEvent::Ended(MuxEnd::Normal)]);
}

#[test]
fn a_shutdown_ends_at_its_deadline_and_resets_what_is_left_before_its_farewell() {
    let mut rig =
        Rig::with(Role::Client, MuxConfig::default().with(|config| config.max_inbound_streams = 1000));
    let ids: Vec<_> = (1..=300).map(|n| rig.accepted(2 * n)).collect();
    rig.write(ids[0], b"cut off");
    let deadline = rig.now + 5 * SECOND;
    rig.mux.shutdown(deadline, rig.now);
    assert!(rig.mux.poll_timeout().is_some_and(|at| at <= deadline));
    rig.pass(5 * SECOND).unwrap();
    let frames = rig.sent();
    let resets = frames.iter().filter(|frame| frame.flags == RST).count();
    assert_eq!((resets, frames.len()), (300, 301), "a stream that is cut off never looks ended");
    assert_eq!(frames.last(), Some(&Frame::bare(3, 0, 0, 0)));
    assert_eq!(rig.events().last(), Some(&MuxEvent::Ended(MuxEnd::Normal)));
    assert_eq!(rig.read(ids[0]), Err(StreamError::Lost));
}

#[test]
fn the_frames_after_the_one_that_ends_a_shutdown_are_not_looked_at() {
    let mut rig = Rig::agent();
    rig.take(&window(SYN, 2, 0));
    rig.mux.shutdown(rig.now + SECOND, rig.now);
    rig.take(&[window(RST, 2, 0), window(SYN, 1, 0), header(3, 0, 0, 0, 0)].concat());
    assert_eq!(rig.events(), [MuxEvent::Ended(MuxEnd::Normal)]);
    assert_eq!(rig.sent(), [Frame::bare(3, 0, 0, 0)]);
}

#[test]
fn output_that_nobody_takes_for_thirty_seconds_ends_the_session_without_a_farewell() {
    let mut rig = Rig::agent();
    let ours = rig.open();
    rig.write(ours, b"x");
    rig.pass(30 * SECOND - Duration::from_micros(1)).unwrap();
    assert_eq!(rig.pass(Duration::from_micros(1)), Err(MuxError::WriteStall));
    rig.assert_ended(MuxError::WriteStall, None);
}

#[test]
fn output_that_is_taken_slowly_is_no_stall() {
    let mut rig = Rig::agent();
    let (ours, _) = rig.opened();
    for _ in 0..4 {
        rig.write_some(ours, &[1; 65_536]);
    }
    let second = rig.opened_with(&[1; 65_536]);
    let third = rig.opened_with(&[1; 65_536]);
    for _ in 0..2 {
        rig.pass(29 * SECOND).unwrap();
        assert!(!rig.batch().is_empty(), "some of {ours:?}, {second:?}, {third:?}");
    }
    rig.pass(29 * SECOND).unwrap();
}

#[test]
fn a_session_with_nothing_to_send_cannot_stall() {
    let mut rig = Rig::agent();
    let (ours, _) = rig.opened();
    for _ in 0..8 {
        rig.write_some(ours, &[1; 65_536]);
        rig.sent();
    }
    // The writer waits for the peer's window, not for the socket.
    rig.pass(3000 * SECOND).unwrap();
    assert_eq!(rig.events().iter().filter(|e| matches!(e, MuxEvent::Ended(_))).count(), 0);
}

#[test]
fn a_stream_whose_peer_grants_nothing_is_reset_where_that_is_configured() {
    let mut rig = Rig::agent_but(|config| config.stream_stall_timeout = Some(300 * SECOND));
    let (ours, wire) = rig.opened();
    for _ in 0..8 {
        rig.write_some(ours, &[1; 65_536]);
        rig.sent();
    }
    rig.pass(299 * SECOND).unwrap();
    rig.take(&window(0, wire, 20_000));
    assert_eq!(rig.write_when_told(ours, &[1; 65_536]), 20_000);
    assert_eq!(rig.sent().len(), 1);
    rig.pass(299 * SECOND).unwrap();
    assert_eq!(
        (rig.write_some(ours, &[1]), rig.sent()),
        (0, vec![]),
        "a writer that asks again is no progress"
    );
    rig.pass(SECOND).unwrap();
    assert_eq!(rig.sent(), [Frame::bare(1, RST, wire, 0)]);
    assert!(rig.events().contains(&MuxEvent::Reset(ours, ResetReason::WriteStall)));
}

#[test]
fn a_stream_without_a_window_is_not_stalled_while_nobody_writes() {
    let mut rig = Rig::agent_but(|config| config.stream_stall_timeout = Some(300 * SECOND));
    let (ours, wire) = rig.opened();
    for _ in 0..4 {
        rig.write(ours, &[1; 65_536]);
        rig.sent();
    }
    rig.pass(1000 * SECOND).unwrap();
    assert_eq!(rig.sent(), []);
    // From when a writer waits, not from when the window was used up.
    assert_eq!(rig.write_some(ours, b"x"), 0);
    rig.pass(299 * SECOND).unwrap();
    assert_eq!(rig.sent(), []);
    rig.pass(SECOND).unwrap();
    assert_eq!(rig.sent(), [Frame::bare(1, RST, wire, 0)]);
}
