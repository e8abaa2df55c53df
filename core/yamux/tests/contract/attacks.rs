//! What a hostile peer may try against the mux, and what becomes of it.

use std::time::Duration;

use hvym_yamux::{FloodKind, MuxConfig, MuxError, MuxEvent, Read, ResetReason, Role};
use hvym_yamux_testing::rig::{ACK, FIN, Frame, RST, Rig, SYN, WINDOW, data, header, ping, window};

const SECOND: Duration = Duration::from_secs(1);

fn flood(kind: FloodKind) -> MuxError {
    MuxError::Flood(kind)
}

#[test]
fn windows_and_lengths_at_the_edges_of_their_range_end_the_session_without_a_panic() {
    let edges = [WINDOW as u32 + 1, 1 << 31, u32::MAX - 1, u32::MAX];
    for length in edges {
        let mut rig = Rig::agent();
        rig.accepted(2);
        assert_eq!(rig.feed(&header(0, 0, 0, 2, length)), Err(MuxError::WindowExceeded(2)));
        assert_eq!(Rig::agent().feed(&header(0, 0, SYN, 2, length)), Err(MuxError::WindowExceeded(2)));
        let mut rig = Rig::agent();
        rig.accepted(2);
        rig.take(&window(0, 2, 1 << 31));
        let overflows = u64::from(length) + (1 << 31) + WINDOW as u64 > u64::from(u32::MAX);
        let expected = if overflows { Err(MuxError::WindowOverflow(2)) } else { Ok(()) };
        assert_eq!(rig.feed(&window(0, 2, length)), expected);
    }
    assert_eq!(Rig::agent().feed(&window(SYN, 2, u32::MAX)), Err(MuxError::WindowOverflow(2)));
}

#[test]
fn a_length_is_never_taken_on_trust() {
    let mut rig = Rig::agent();
    rig.accepted(1000);
    rig.assert_fatal(&header(0, 0, 0, 500, u32::MAX), flood(FloodKind::Discarded), 1);
}

#[test]
fn more_openings_than_refusals_can_be_sent_are_a_flood() {
    let mut rig = Rig::agent_but(|config| config.max_inbound_streams = 0);
    for n in 1..=256 {
        rig.take(&window(SYN, 2 * n, 0));
    }
    rig.assert_fatal(&window(SYN, 514, 0), flood(FloodKind::Refusals), 1);
}

#[test]
fn openings_that_are_all_refused_are_a_flood_sooner_or_later() {
    let mut rig = Rig::agent_but(|config| config.max_inbound_streams = 1);
    rig.accepted(2);
    for n in 2..=513 {
        rig.take(&window(SYN, 2 * n, 0));
        assert_eq!(rig.sent(), [Frame::bare(1, RST, 2 * n, 0)]);
    }
    rig.assert_fatal(&window(SYN, 2000, 0), flood(FloodKind::Resets), 1);
}

#[test]
fn of_openings_that_are_refused_without_a_limit_the_newest_4096_are_answered_and_the_session_goes_on() {
    let mut rig =
        Rig::with(Role::Client, MuxConfig::acceptor().with(|config| config.max_inbound_streams = 1));
    let served = rig.accepted(2);
    rig.take(&(2..=10_001).flat_map(|n| window(SYN, 2 * n, 0)).collect::<Vec<u8>>());
    let refused: Vec<u32> =
        rig.sent().iter().filter(|frame| frame.flags == RST).map(|frame| frame.id).collect();
    assert_eq!(refused, (10_001 - 4095..=10_001).map(|n| 2 * n).collect::<Vec<_>>());
    rig.take(&data(0, 2, b"hello"));
    assert_eq!(rig.read_all(served).0, b"hello");
    rig.write(served, b"served");
    assert_eq!(rig.sent()[0].payload, b"served");
}

#[test]
fn without_limits_what_strangers_do_to_their_own_streams_never_ends_the_session() {
    let mut rig = Rig::with(Role::Client, MuxConfig::acceptor());
    let served = rig.accepted(2);
    let broken_off = |n: u32| {
        let wire = 4 + 2 * n;
        [window(SYN, wire, 0), data(0, wire, b"GET"), window(RST, wire, 0)].concat()
    };
    for round in 0..200 {
        rig.take(&(round * 100..(round + 1) * 100).flat_map(broken_off).collect::<Vec<u8>>());
        assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    }
    // Data that was in flight for streams that nobody remembers: far beyond the limit of other profiles.
    let late = data(0, 4, &vec![1; WINDOW]);
    for _ in 0..1000 {
        rig.take(&late);
    }
    // Data after an end costs its own stream.
    for n in 0..600 {
        let wire = 50_000 + 2 * n;
        let id = rig.accepted(wire);
        rig.take(&window(FIN, wire, 0));
        assert!(rig.read_all(id).1);
        rig.take(&data(0, wire, b"x"));
        assert_eq!(rig.sent(), [Frame::bare(1, RST, wire, 0)]);
        rig.events();
    }
    rig.take(&data(0, 2, b"hello"));
    assert_eq!(rig.read_all(served).0, b"hello");
    rig.assert_alive();
    rig.take(&data(0, 4, &vec![1; 16 << 20]));
    rig.assert_fatal(&header(0, 0, 0, 4, (16 << 20) + 1), MuxError::WindowExceeded(4), 1);
}

#[test]
fn an_end_whose_peers_are_not_trusted_still_ends_a_peer_that_resets_what_it_opens_without_end() {
    let mut rig = Rig::with(Role::Client, MuxConfig::opener());
    let pair = |n: u32| [window(SYN, 2 * n, 0), window(RST, 2 * n, 0)].concat();
    rig.take(&(1..=8192).flat_map(pair).collect::<Vec<u8>>());
    rig.assert_fatal(&pair(8193), flood(FloodKind::Resets), 1);
}

#[test]
fn openings_that_are_reset_at_once_take_nobodys_place_and_are_a_flood_in_the_end() {
    let mut rig = Rig::agent();
    let mut wire = 0;
    let mut pair = |rig: &mut Rig| {
        wire += 2;
        rig.feed(&[window(SYN, wire, 0), window(RST, wire, 0)].concat())
    };
    for _ in 0..512 {
        pair(&mut rig).unwrap();
    }
    assert_eq!((rig.events(), rig.sent()), (vec![], vec![]), "nobody hears of them");
    assert_eq!(rig.mux.stats().inbound, 0);
    rig.accepted(100_000);
    rig.pass(SECOND).unwrap();
    for _ in 0..100 {
        pair(&mut rig).unwrap();
    }
    assert_eq!(pair(&mut rig), Err(flood(FloodKind::Resets)));
}

#[test]
fn a_stream_that_is_reset_leaves_the_backlog_before_anybody_looks() {
    let mut rig = Rig::agent_but(|config| config.accept_backlog = 1);
    rig.take(&window(SYN, 2, 0));
    assert_eq!(rig.events().len(), 1);
    rig.take(&[window(RST, 2, 0), window(SYN, 4, 0)].concat());
    assert_eq!(rig.sent(), [], "the next one is not refused");
    assert_eq!(rig.mux.stats().inbound, 2);
}

#[test]
fn streams_that_lived_for_a_second_may_be_reset_by_the_thousand() {
    let mut rig = Rig::agent();
    for round in 0..10 {
        let wires: Vec<u32> = (1..=200).map(|n| 2 * (round * 200 + n)).collect();
        wires.iter().for_each(|&wire| {
            rig.accepted(wire);
        });
        rig.pass(SECOND).unwrap();
        wires.iter().for_each(|&wire| rig.take(&window(RST, wire, 0)));
        assert_eq!(rig.events().len(), 200);
    }
}

#[test]
fn resets_that_a_peer_provokes_are_counted() {
    let mut rig = Rig::agent();
    let mut wire = 0;
    let mut provoke = |rig: &mut Rig| {
        wire += 2;
        let id = rig.accepted(wire);
        rig.take(&window(FIN, wire, 0));
        assert!(rig.read_all(id).1);
        rig.events();
        let outcome = rig.feed(&data(0, wire, b"x"));
        (outcome, rig.sent().len(), rig.events().len())
    };
    for _ in 0..512 {
        assert_eq!(provoke(&mut rig), (Ok(()), 1, 1));
    }
    assert_eq!(provoke(&mut rig).0, Err(flood(FloodKind::Resets)));
}

#[test]
fn data_after_an_end_that_nobody_has_read_is_counted_too() {
    let mut rig = Rig::agent();
    rig.accepted(2);
    rig.take(&window(FIN, 2, 0));
    for _ in 0..512 {
        rig.take(&data(0, 2, b"x"));
    }
    assert_eq!(rig.feed(&data(0, 2, b"x")), Err(flood(FloodKind::Resets)));
}

#[test]
fn of_many_pings_the_newest_sixteen_are_answered() {
    let mut rig = Rig::agent();
    for value in 0..1000 {
        rig.take(&ping(SYN, 0, value));
    }
    let answered: Vec<u32> = rig.sent().iter().map(|frame| frame.length).collect();
    assert_eq!(answered, (984..1000).collect::<Vec<_>>());
    rig.pass(SECOND).unwrap();
    rig.take(&ping(SYN, 0, 1).repeat(200));
    rig.assert_fatal(&ping(SYN, 0, 1), flood(FloodKind::Pings), 1);
}

#[test]
fn windows_too_small_to_mean_anything_are_counted_once_there_is_plenty() {
    let mut rig = Rig::agent();
    rig.accepted(2);
    rig.take(&window(0, 2, 1023).repeat(1000));
    rig.take(&window(0, 2, 1024).repeat(2000));
    rig.assert_fatal(&window(0, 2, 1023), flood(FloodKind::Noise), 1);
}

#[test]
fn a_window_that_opens_or_ends_a_stream_may_be_ever_so_little_larger_than_the_least() {
    let mut rig = Rig::agent_but(|config| config.reset_limit = None);
    for id in (2..6000).step_by(2) {
        rig.take(&[window(SYN, id, 1), window(FIN, id, 1), window(RST, id, 0)].concat());
        rig.events();
        rig.sent();
    }
    rig.assert_alive();
}

#[test]
fn a_window_opened_byte_by_byte_does_not_make_us_send_byte_by_byte() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    for _ in 0..8 {
        rig.write_some(id, &[1; 65_536]);
        rig.sent();
    }
    for _ in 0..100 {
        rig.take(&window(0, wire, 1));
        assert_eq!((rig.write_when_told(id, &[1; 65_536]), rig.sent()), (0, vec![]));
    }
    rig.pass(Duration::from_millis(20) - Duration::from_micros(1)).unwrap();
    assert_eq!((rig.write_when_told(id, &[1; 65_536]), rig.sent()), (0, vec![]));
    rig.pass(Duration::from_micros(1)).unwrap();
    assert_eq!(rig.write_when_told(id, &[1; 65_536]), 100);
    assert_eq!(rig.sent().iter().map(|frame| frame.length).collect::<Vec<_>>(), [100]);
    rig.take(&window(0, wire, 1024));
    assert_eq!(rig.write_when_told(id, &[1; 65_536]), 1024, "a useful window waits for nothing");
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn a_window_that_holds_what_is_left_of_a_write_is_told_at_once_however_small_it_is() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    for _ in 0..3 {
        rig.write(id, &[1; 65_536]);
        rig.sent();
    }
    assert_eq!(rig.write_some(id, &[1; 65_541]), 65_536);
    rig.sent();
    rig.take(&window(0, wire, 4));
    assert_eq!(rig.write_when_told(id, b"hello"), 0);
    rig.take(&window(0, wire, 1));
    assert_eq!(rig.write_when_told(id, b"hello"), 5);
    assert_eq!(rig.sent()[0].payload, b"hello");
}

#[test]
fn a_small_window_that_holds_all_there_is_waits_for_nothing() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    for _ in 0..4 {
        rig.write(id, &[1; 65_536]);
        rig.sent();
    }
    rig.take(&window(0, wire, 5));
    rig.write(id, b"hello");
    rig.finish(id);
    let frames = rig.sent();
    assert_eq!(frames[0].payload, b"hello");
    assert_eq!(frames[1], Frame::bare(1, FIN, wire, 0));
}

#[test]
fn frames_that_mean_nothing_are_ignored_a_thousand_times_and_then_are_a_flood() {
    let meaningless = [
        window(ACK, 2, 0),
        window(0, 2, 0),
        window(FIN, 2, 0),
        data(FIN, 2, b""),
        ping(0, 0, 1),
        ping(ACK, 0, 1),
        data(0, 99, b""),
        window(SYN | RST, 100, 0),
    ];
    for frame in meaningless {
        let mut rig = Rig::agent();
        rig.accepted(2);
        rig.take(&window(FIN, 2, 0));
        rig.take(&frame.repeat(1000));
        assert_eq!(rig.sent(), [], "{frame:?}");
        assert_eq!(rig.feed(&frame), Err(flood(FloodKind::Noise)), "{frame:?}");
        let mut rig = Rig::agent();
        rig.accepted(2);
        rig.take(&window(FIN, 2, 0));
        for _ in 0..20 {
            rig.pass(SECOND).unwrap();
            rig.take(&frame.repeat(100));
        }
    }
}

#[test]
fn four_thousand_closed_streams_are_remembered_and_cannot_open_again() {
    let mut rig = Rig::agent_but(|config| config.max_inbound_streams = 5000);
    let pair = |n: u32| [window(SYN, 2 * n, 0), window(RST, 2 * n, 0)].concat();
    rig.take(&(1..=4096).flat_map(pair).collect::<Vec<u8>>());
    rig.assert_fatal(&window(SYN, 2, 0), MuxError::IdReused(2), 1);
}

#[test]
fn a_peer_that_repeats_itself_makes_no_more_events_than_there_are_kinds() {
    let mut rig = Rig::agent();
    let (ours, wire) = rig.opened();
    for _ in 0..8 {
        rig.write_some(ours, &[1; 65_536]);
        rig.sent();
    }
    for _ in 0..100 {
        rig.take(&[data(0, wire, &[1; 10]), window(0, wire, 2048)].concat());
        rig.sent();
    }
    rig.take(&window(FIN, wire, 0));
    let mut events = rig.events();
    events.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(events, [MuxEvent::Readable(ours), MuxEvent::Writable(ours)]);
}

#[test]
fn a_stream_that_was_reset_is_told_once_and_nothing_else_of_it() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    assert_eq!(rig.read(id), Ok(Read::Empty));
    rig.take(&[data(0, 2, b"x"), window(0, 2, 5), window(RST, 2, 0), window(RST, 2, 0)].concat());
    assert_eq!(rig.events(), [MuxEvent::Reset(id, ResetReason::Peer(0))]);
    let next = rig.accepted(4);
    assert_ne!(id, next);
    assert!(rig.mux.stream(id).is_err());
}

#[test]
fn input_never_causes_more_output_than_it_was_long() {
    let attacks: [fn(u32) -> Vec<u8>; 6] = [
        |n| ping(SYN, 0, n),
        |n| ping(SYN, n, n),
        |n| window(SYN, 2 * n, 0),
        |n| [window(SYN, 2 * n, 0), window(RST, 2 * n, 0)].concat(),
        |n| [window(SYN | FIN, 2 * n, 0), data(0, 2 * n, b"x")].concat(),
        |n| window(0, 2 * n, n),
    ];
    for attack in attacks {
        for pulls in [1, 7, 100] {
            let mut rig =
                Rig::with(Role::Client, MuxConfig::default().with(|config| config.max_inbound_streams = 4));
            let (mut came, mut left) = (0, 0);
            for n in 1..=400u32 {
                let bytes = attack(n);
                came += bytes.len();
                rig.take(&bytes);
                if n % pulls == 0 {
                    left += rig.sent().len() * 12;
                }
                assert!(left <= came, "{left} bytes out for {came} bytes in");
            }
        }
    }
}

#[test]
fn everything_is_taken_in_while_nothing_is_taken_out() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    for round in 0..50u32 {
        rig.take(&data(0, 2, &[1; 65_536]));
        rig.take(&ping(SYN, 0, round));
        rig.read_all(id);
        if round % 2 == 1 {
            // Only the grants leave, late and together.
            let granted: u32 =
                rig.sent().iter().filter(|frame| frame.kind == 1).map(|frame| frame.length).sum();
            assert_eq!(granted, 2 * 65_536);
        }
    }
}
