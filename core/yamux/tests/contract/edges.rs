//! Edges of the public API: room to write, ids, ends of sessions, and which payloads are copied.

use std::time::Duration;

use bytes::Bytes;
use hvym_yamux::{
    Instant, Mux, MuxConfig, MuxEnd, MuxError, MuxEvent, OpenError, Read, ResetReason, Role, StreamError,
    StreamId,
};
use hvym_yamux_testing::rig::{ACK, FIN, Frame, RST, Rig, SYN, WINDOW, data, header, ping, window};

#[test]
fn the_room_to_write_is_the_lesser_of_the_streams_and_the_sessions() {
    let mut rig = Rig::agent_but(|config| {
        config.max_stream_unsent = 1024;
        config.max_unsent = 1500;
    });
    let (a, b) = (rig.open(), rig.open());
    assert_eq!((rig.mux.writable(a), rig.mux.writable(b)), (1024, 1024));
    rig.write(a, &[0; 1000]);
    assert_eq!((rig.mux.writable(a), rig.mux.writable(b)), (24, 500));
    assert_eq!(rig.mux.stream(a).unwrap().writable(), 24);
    rig.finish(a);
    assert_eq!((rig.mux.writable(a), rig.mux.writable(b)), (0, 500), "nothing may follow an end");
}

#[test]
fn a_stream_that_opens_has_the_room_of_its_opening_until_its_syn_has_left() {
    let mut rig = Rig::agent_but(|config| {
        config.max_stream_unsent = 1024;
        config.max_unsent = 1024;
        config.opening_reserve = 3000;
        config.batch = 4096;
    });
    let (full, _) = rig.opened();
    rig.write(full, &[0; 1024]);
    let (a, b) = (rig.open(), rig.open());
    assert_eq!((rig.mux.writable(full), rig.mux.writable(a), rig.mux.writable(b)), (0, 3000, 3000));
    assert_eq!(rig.write_some(a, &[0; 2999]), 2999);
    assert_eq!(rig.mux.writable(a), 1);
    assert_eq!(rig.write_some(a, &[0; 2]), 1);
    assert_eq!((rig.write_some(a, &[0]), rig.mux.writable(b)), (0, 3000));
    rig.write(b, &[0; 3000]);
    assert_eq!(rig.mux.stats().unsent, 7024);
    rig.batch();
    assert_eq!((rig.mux.writable(a), rig.mux.writable(b)), (0, 0), "what is left counts as any data does");
    rig.sent();
    assert_eq!((rig.mux.writable(a), rig.mux.writable(b)), (1024, 1024));
    assert!(rig.events().contains(&MuxEvent::Writable(a)));
}

#[test]
fn a_stream_that_is_reset_gone_or_lost_has_no_room() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    rig.take(&window(RST, wire, 0));
    assert!(rig.mux.contains(id), "it is there until the application has been told");
    assert_eq!(rig.mux.writable(id), 0);
    assert_eq!(rig.events(), [MuxEvent::Reset(id, ResetReason::Peer(0))]);
    assert!(!rig.mux.contains(id));
    assert_eq!(rig.mux.writable(id), 0);
    let lost = rig.open();
    assert!(rig.mux.writable(lost) > 0);
    rig.mux.abort(MuxError::Lost, rig.now);
    assert_eq!(rig.mux.writable(lost), 0);
}

#[test]
fn a_lost_transport_ends_the_session_without_a_farewell() {
    let mut rig = Rig::agent();
    let id = rig.open();
    rig.mux.abort(MuxError::Lost, rig.now);
    assert_eq!(rig.events(), [MuxEvent::Ended(MuxEnd::Failed(MuxError::Lost))]);
    assert_eq!((rig.sent(), rig.mux.poll_timeout()), (vec![], None));
    assert_eq!(rig.mux.open(rig.now), Err(OpenError::Closed));
    assert_eq!(rig.mux.stream(id).unwrap().read(1, rig.now), Err(StreamError::Lost));
    rig.mux.abort(MuxError::KeepAlive, rig.now);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]), "the first end counts");
}

#[test]
fn an_owner_is_told_once_that_its_ids_run_low_and_uses_all_of_them() {
    for (role, last) in [(Role::Client, u32::MAX - 2), (Role::Server, u32::MAX - 1)] {
        let mut rig = Rig::with(role, MuxConfig::default());
        rig.mux.skip_ids((1 << 20) + 2);
        let open = |rig: &mut Rig| {
            let id = rig.open();
            let wire = rig.mux.wire_id(id);
            rig.reset(id);
            (wire, rig.events())
        };
        assert_eq!(open(&mut rig).1, []);
        assert_eq!(open(&mut rig).1, [MuxEvent::IdsLow]);
        assert_eq!(open(&mut rig).1, []);
        rig.mux.skip_ids(1);
        assert_eq!(open(&mut rig), (Some(last), vec![]));
        assert_eq!(rig.mux.open(rig.now), Err(OpenError::IdsExhausted));
    }
}

#[test]
fn an_id_of_another_session_or_of_no_session_is_stale() {
    let mut rig = Rig::agent();
    let id = rig.open();
    let now = rig.now;
    let mut other = Mux::new(Role::Client, MuxConfig::default(), 2, [7; 32], now);
    let theirs = other.open(now).unwrap();
    assert_ne!(id, theirs);
    assert!(rig.mux.contains(id) && !rig.mux.contains(theirs));
    assert_eq!(StreamId::external(2, 0), theirs, "the same session number names the same streams");
    assert_ne!(StreamId::external(2, 1), StreamId::external(2, 1 + (1 << 32)));
    assert!(!rig.mux.contains(StreamId::external(1, 7)), "there is no such slot");
    rig.reset(id);
    assert!(!rig.mux.contains(id), "it was never on the wire, so nothing is left of it");
    let next = rig.open();
    assert!(rig.mux.contains(next) && !rig.mux.contains(id));
}

/// Whether a payload of `payload` bytes in a message of `message` bytes is read as a slice of it.
fn is_slice(payload: usize, message: usize) -> bool {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    let mut bytes = data(0, 2, &vec![1; payload]);
    // Frames for a stream that is closed, which do nothing.
    rig.take(&[window(SYN, 4, 0), window(RST, 4, 0)].concat());
    bytes.extend(window(0, 4, 1).repeat((message - bytes.len()) / 12));
    let bytes = Bytes::from(bytes);
    let range = bytes.as_ptr_range();
    rig.mux.handle_data(bytes.clone(), rig.now).unwrap();
    let Ok(Read::Data(read)) = rig.read(id) else { panic!("data has arrived") };
    assert_eq!(read, vec![1; payload]);
    range.contains(&read.as_ptr())
}

#[test]
fn a_slice_is_kept_from_1024_bytes_on_and_if_its_frame_is_a_quarter_of_its_message() {
    assert!(!is_slice(1023, 12 + 1023));
    assert!(is_slice(1024, 12 + 1024));
    // 1036 bytes of frame, four times.
    assert!(is_slice(1024, 4144));
    assert!(!is_slice(1024, 4144 + 12));
    assert!(is_slice(16_384, 4 * (12 + 16_384)));
    assert!(!is_slice(16_384, 4 * (12 + 16_384) + 12));
}

#[test]
fn data_for_a_stream_that_closed_a_moment_ago_is_no_noise_however_often_it_comes() {
    let mut rig = Rig::agent();
    rig.accepted(2);
    rig.take(&window(RST, 2, 0));
    rig.take(&data(0, 2, &[1]).repeat(3000));
    rig.assert_alive();
}

/// Sends `GoAway`; the value of the ping that follows it.
fn goes_away(rig: &mut Rig) -> u32 {
    rig.mux.go_away(rig.now);
    let frames = rig.sent();
    let [Frame { kind: 3, length: 0, .. }, Frame { kind: 2, flags: SYN, length, .. }] = frames[..] else {
        panic!("{frames:?}")
    };
    length
}

#[test]
fn a_shutdown_after_a_farewell_ends_when_the_peer_knows_and_says_it_once() {
    let mut rig = Rig::agent();
    let asked = goes_away(&mut rig);
    let deadline = rig.now + Duration::from_secs(1);
    rig.mux.shutdown(deadline, rig.now);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    rig.take(&ping(ACK, 0, asked));
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![MuxEvent::Ended(MuxEnd::Normal)]));
}

#[test]
fn a_stream_that_was_opened_before_the_peer_knew_of_the_farewell_is_served_before_the_end() {
    let mut rig = Rig::agent();
    let asked = goes_away(&mut rig);
    let deadline = rig.now + Duration::from_secs(9);
    rig.mux.shutdown(deadline, rig.now);
    rig.take(&[data(SYN, 2, b"in time"), ping(ACK, 0, asked), data(SYN, 4, b"too late")].concat());
    let id = rig.incoming();
    assert_eq!(rig.sent(), [Frame::bare(1, RST, 4, 0), Frame::bare(1, ACK, 2, 0)]);
    assert_eq!(rig.read_all(id), (b"in time".to_vec(), false));
    rig.write(id, b"answer");
    rig.finish(id);
    rig.take(&window(FIN, 2, 0));
    assert_eq!(rig.read_all(id), (vec![], true));
    assert_eq!(rig.sent().iter().map(|frame| (frame.kind, frame.id)).collect::<Vec<_>>(), [(0, 2), (1, 2)]);
    assert_eq!(rig.events().last(), Some(&MuxEvent::Ended(MuxEnd::Normal)));
}

#[test]
fn a_peer_that_never_shows_that_it_knows_of_the_farewell_is_left_at_the_deadline() {
    let mut rig = Rig::agent();
    goes_away(&mut rig);
    let deadline = rig.now + Duration::from_secs(9);
    rig.mux.shutdown(deadline, rig.now);
    rig.pass(Duration::from_micros(8_999_999)).unwrap();
    assert_eq!(rig.events(), []);
    rig.pass(Duration::from_micros(1)).unwrap();
    assert_eq!(rig.events(), [MuxEvent::Ended(MuxEnd::Normal)]);
}

#[test]
fn a_reader_that_wants_less_gets_less_and_the_rest_later() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    for chunk in [3, 2000] {
        rig.take(&data(0, 2, &vec![1; chunk]));
    }
    let mut sizes = Vec::new();
    for max in [0, 1, 5, 1999, usize::MAX] {
        match rig.mux.stream(id).unwrap().read(max, rig.now) {
            Ok(Read::Data(data)) => sizes.push(data.len()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sizes, [1, 1, 1, 1999, 1]);
}

#[test]
fn a_writer_is_woken_when_a_quarter_of_its_queue_is_left_and_not_before() {
    let mut rig = Rig::agent_but(|config| {
        config.batch = 4096;
        config.max_stream_unsent = 16_384;
    });
    let (id, _) = rig.opened();
    assert_eq!(rig.write_some(id, &[0; 20_000]), 16_384);
    let mut left = 16_384;
    while left > 0 {
        left -= rig.batch().iter().map(|frame| frame.length as usize).sum::<usize>();
        let expected: &[MuxEvent] = if left <= 4096 { &[MuxEvent::Writable(id)] } else { &[] };
        assert_eq!(rig.events(), expected, "{left} bytes left");
        if left <= 4096 {
            break;
        }
    }
}

#[test]
fn half_a_window_that_was_read_is_granted_and_a_byte_less_is_not() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    rig.take(&data(0, 2, &vec![1; WINDOW / 2 - 1]));
    rig.read_all(id);
    assert_eq!(rig.sent(), []);
    rig.take(&data(0, 2, &[1]));
    rig.read_all(id);
    let grants: Vec<Frame> = rig.sent().into_iter().filter(|frame| frame.kind == 1).collect();
    assert_eq!(grants, [Frame::bare(1, 0, 2, WINDOW as u32 / 2)]);
    rig.take(&ping(SYN, 0, 1));
    rig.take(&window(FIN, 2, 0));
    assert_eq!(rig.read_all(id), (vec![], true));
}

#[test]
fn every_frame_but_a_wrong_pong_postpones_the_keepalive_and_nothing_does_not() {
    let interval = Duration::from_secs(10);
    let keepalive = |config: &mut MuxConfig| config.keepalive = Some((interval, Duration::from_secs(5)));
    for frame in [ping(SYN, 0, 1), window(ACK, 1, 0), data(0, 2, b"")] {
        let mut rig = Rig::agent_but(keepalive);
        rig.pass(Duration::from_secs(9)).unwrap();
        rig.take(&frame);
        rig.sent();
        assert_eq!(rig.mux.poll_timeout(), Some(rig.now + interval), "{frame:?}");
    }
    let mut rig = Rig::agent_but(keepalive);
    rig.accepted(2);
    // Within a payload any byte counts, but no byte is none.
    rig.take(&header(0, 0, 0, 2, 100));
    let due = rig.now + interval;
    rig.pass(Duration::from_secs(9)).unwrap();
    rig.take(b"");
    assert_eq!(rig.mux.poll_timeout(), Some(due));
    rig.take(b"x");
    assert_eq!(rig.mux.poll_timeout(), Some(rig.now + interval));
}

#[test]
fn a_transport_that_takes_what_waits_puts_off_the_end_and_one_that_has_room_for_all_does_not() {
    let keepalive = |config: &mut MuxConfig| {
        config.keepalive = Some((Duration::from_secs(10), Duration::from_secs(5)));
        config.batch = 4096;
    };
    let mut rig = Rig::agent_but(keepalive);
    let (id, _) = rig.opened();
    rig.write_some(id, &[0; 65_536]);
    rig.pass(Duration::from_secs(10)).unwrap();
    for _ in 0..4 {
        assert!(!rig.batch().is_empty());
        rig.pass(Duration::from_secs(4)).unwrap();
    }
    // 4 s after the last look at the clock that found something taken, and a second later.
    rig.pass(Duration::from_secs(4)).unwrap();
    assert_eq!(rig.pass(Duration::from_secs(1)), Err(MuxError::KeepAlive));
    let mut rig = Rig::agent_but(keepalive);
    let (id, _) = rig.opened();
    rig.pass(Duration::from_secs(10)).unwrap();
    rig.write_some(id, &[0; 1000]);
    rig.sent();
    rig.pass(Duration::from_secs(4)).unwrap();
    rig.write_some(id, &[0; 1000]);
    assert_eq!(rig.pass(Duration::from_secs(1)), Err(MuxError::KeepAlive));
}

#[test]
fn a_look_at_the_clock_between_two_times_does_not_move_when_the_transport_took_something() {
    let verdict = |looks: bool| {
        let mut rig = Rig::agent_but(|config| {
            config.keepalive = Some((Duration::from_secs(10), Duration::from_secs(5)));
            config.batch = 4096;
            config.write_stall_timeout = Duration::from_secs(12);
        });
        let (id, _) = rig.opened();
        rig.write_some(id, &[0; 65_536]);
        rig.pass(Duration::from_secs(10)).unwrap();
        let mut seconds = 10;
        assert!(!rig.batch().is_empty());
        if looks {
            rig.mux.handle_timeout(Instant::ZERO).unwrap();
        }
        rig.pass(Duration::from_secs(4)).unwrap();
        while rig.pass(Duration::from_secs(1)).is_ok() {
            seconds += 1;
        }
        seconds
    };
    assert_eq!(verdict(true), verdict(false));
}
