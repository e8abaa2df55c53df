//! One session and a peer that does as the test says: ends, limits, tombstones, deadlines.

use core::time::Duration;

use hvym_yamux::{MuxConfig, MuxEnd, MuxError, MuxEvent, Read, StreamError, StreamId};
use hvym_yamux_testing::fuzz;
use hvym_yamux_testing::lens::{ACK, DATA, FIN, Frame, GO_AWAY, GRANT, PING, RST, SYN};
use hvym_yamux_testing::lone::Lone;
use hvym_yamux_testing::raw::{cases, raw};
use proptest::prelude::*;

/// A session as the agent, so that the peer's ids are even; `streams` have come in and each holds 100 bytes.
fn busy(config: MuxConfig, streams: u32) -> Result<Lone, String> {
    let mut lone = Lone::new(1, config);
    for n in 1..=streams {
        lone.feed_frame(Frame::new(DATA, SYN, 2 * n, 100), 64)?;
    }
    lone.listen()?;
    Ok(lone)
}

fn unread(lone: &mut Lone, key: StreamId) -> Result<usize, StreamError> {
    let mut total = 0;
    while let Read::Data(data) = lone.mux.stream(key)?.read(usize::MAX, lone.now)? {
        total += data.len();
    }
    Ok(total)
}

/// What may not be said, and what it is called. Stream 2 is live, and so is nothing above 1000.
fn crimes() -> Vec<(Frame, MuxError)> {
    vec![
        (Frame { version: 3, ..Frame::new(DATA, 0, 2, 1) }, MuxError::BadVersion(3)),
        (Frame { kind: 9, ..Frame::new(DATA, 0, 2, 1) }, MuxError::UnknownType(9)),
        (Frame::new(GRANT, SYN, 1001, 0), MuxError::BadStreamId(1001)),
        (Frame::new(DATA, SYN, 0, 0), MuxError::BadStreamId(0)),
        (Frame::new(GRANT, SYN, 2, 0), MuxError::DuplicateSyn(2)),
        (Frame::new(DATA, 0, 2, 262_144), MuxError::WindowExceeded(2)),
        (Frame::new(DATA, SYN, 1000, 262_145), MuxError::WindowExceeded(1000)),
        (Frame::new(GRANT, 0, 2, u32::MAX), MuxError::WindowOverflow(2)),
        (Frame::new(GRANT, SYN, 1000, u32::MAX), MuxError::WindowOverflow(1000)),
        (Frame::new(GO_AWAY, 0, 0, 1), MuxError::RemoteGoAway(1)),
        (Frame::new(GO_AWAY, 0, 0, 77), MuxError::RemoteGoAway(77)),
    ]
}

proptest! {
    #![proptest_config(cases(128))]

    // invariant 21
    #[test]
    fn a_crime_gets_one_goodbye_as_the_last_frame_and_loses_every_stream(
        which in 0..crimes().len(),
        acts in prop::collection::vec((0u8..11, any::<u8>()), 0..20),
        after in prop::collection::vec(any::<u8>(), 0..200),
        chunk in 1usize..40,
    ) {
        let (crime, error) = crimes()[which];
        let mut lone = busy(MuxConfig::default(), 5).map_err(TestCaseError::fail)?;
        // Nothing here ends stream 2, which the crime is about.
        let victim = lone.keys.remove(0);
        for (what, arg) in acts {
            lone.act(what, arg).map_err(TestCaseError::fail)?;
        }
        lone.keys.push(victim);
        lone.feed_frame(crime, chunk).map_err(TestCaseError::fail)?;
        prop_assert_eq!(lone.failed, Some(error));
        lone.feed(&after, chunk).map_err(TestCaseError::fail)?;
        lone.listen().map_err(TestCaseError::fail)?;
        prop_assert_eq!(lone.events.last(), Some(&MuxEvent::Ended(MuxEnd::Failed(error))));
        let last = lone.drain().map_err(TestCaseError::fail)?;
        let goodbyes: Vec<u32> = last.iter().filter(|f| f.kind == GO_AWAY).map(|f| f.length).collect();
        prop_assert_eq!(goodbyes, Vec::from_iter(error.go_away_code()));
        prop_assert!(last.last().is_none_or(|frame| frame.kind == GO_AWAY));
        prop_assert_eq!(unread(&mut lone, victim), Err(StreamError::Lost));
        prop_assert!(lone.mux.open(lone.now).is_err());
        prop_assert_eq!(lone.mux.poll_timeout(), None);
    }

    // invariant 22
    #[test]
    fn streams_beyond_the_limit_are_reset_once_and_the_others_never_notice(
        limit in 1usize..30,
        backlog in 1usize..30,
        extra in prop::collection::vec(0u32..300, 1..30),
    ) {
        let room = limit.min(backlog);
        let config = MuxConfig::default().with(|config| { config.max_inbound_streams = limit; config.accept_backlog = backlog; });
        let mut lone = busy(config, room as u32).map_err(TestCaseError::fail)?;
        prop_assert_eq!(lone.keys.len(), room);
        let mut refused = Vec::new();
        for (n, payload) in extra.iter().enumerate() {
            let id = 2 * (room + n + 1) as u32;
            let kind = if *payload == 0 { GRANT } else { DATA };
            lone.feed_frame(Frame::new(kind, SYN, id, *payload), 50).map_err(TestCaseError::fail)?;
            refused.push(Frame::new(GRANT, RST, id, 0));
        }
        let sent = lone.drain().map_err(TestCaseError::fail)?;
        prop_assert_eq!(sent, refused);
        lone.listen().map_err(TestCaseError::fail)?;
        prop_assert_eq!(lone.keys.len(), room);
        prop_assert_eq!(lone.failed, None);
        lone.feed_frame(Frame::new(DATA, FIN, 2, 11), 50).map_err(TestCaseError::fail)?;
        let first = lone.keys[0];
        prop_assert_eq!(unread(&mut lone, first), Ok(111));
        prop_assert_eq!(lone.mux.stats().unread, (room - 1) * 100);
    }

    // invariant 23
    #[test]
    fn what_comes_late_for_a_closed_stream_touches_no_other_and_is_borne_within_its_old_credit(
        late in prop::collection::vec((0u8..4, 0u32..40_000), 0..20),
    ) {
        let mut lone = busy(MuxConfig::default(), 1).map_err(TestCaseError::fail)?;
        let old = lone.keys[0];
        lone.mux.stream(old).expect("it came in just now").reset(0, lone.now);
        lone.drain().map_err(TestCaseError::fail)?;
        prop_assert!(lone.mux.stream(old).is_err());
        // The place of the old stream is the new one's now.
        lone.feed_frame(Frame::new(DATA, SYN, 4, 7), 50).map_err(TestCaseError::fail)?;
        let mut credit = 262_144u32 - 100;
        for (kind, length) in late {
            let frame = match kind {
                0 => Frame::new(GRANT, 0, 2, length),
                1 => Frame::new(GRANT, FIN, 2, 0),
                2 => Frame::new(GRANT, RST, 2, 0),
                _ => Frame::new(DATA, 0, 2, length),
            };
            lone.feed_frame(frame, 5000).map_err(TestCaseError::fail)?;
            if frame.kind == DATA {
                let Some(rest) = credit.checked_sub(length) else {
                    prop_assert_eq!(lone.failed, Some(MuxError::WindowExceeded(2)));
                    return Ok(());
                };
                credit = rest;
            }
        }
        prop_assert_eq!(lone.failed, None);
        prop_assert_eq!(lone.drain(), Ok(vec![]));
        lone.listen().map_err(TestCaseError::fail)?;
        let new = lone.keys[1];
        prop_assert_eq!(unread(&mut lone, new), Ok(7));
        prop_assert!(lone.mux.stream(old).is_err());
    }

    // invariant 23
    #[test]
    fn the_rest_of_a_payload_whose_stream_is_gone_reaches_no_stream(
        length in 2u32..5000,
        arrived in 0.0..1.0f64,
        always_copy in any::<bool>(),
    ) {
        let config = MuxConfig::default().with(|config| config.always_copy = always_copy);
        let mut lone = Lone::new(1, config);
        let payload = Frame::new(DATA, SYN, 2, length).with_payload();
        let (first, rest) = payload.split_at(12 + (f64::from(length) * arrived) as usize);
        lone.feed(first, 5000).map_err(TestCaseError::fail)?;
        lone.listen().map_err(TestCaseError::fail)?;
        let old = lone.keys[0];
        lone.mux.stream(old).expect("it came in just now").reset(0, lone.now);
        prop_assert_eq!(lone.drain(), Ok(vec![Frame::new(GRANT, RST, 2, 0)]));
        // It takes the place that the old one had.
        let new = lone.mux.open(lone.now).expect("there is room");
        lone.drain().map_err(TestCaseError::fail)?;
        lone.feed(rest, 100).map_err(TestCaseError::fail)?;
        prop_assert_eq!(unread(&mut lone, new), Ok(0));
        prop_assert_eq!(lone.mux.stats().unread, 0);
        lone.feed_frame(Frame::new(DATA, 0, 1, 9), 12).map_err(TestCaseError::fail)?;
        prop_assert_eq!(unread(&mut lone, new), Ok(9));
    }

    // invariants 5 and 28
    #[test]
    fn a_shutdown_that_runs_out_resets_what_is_open_and_nothing_twice(
        streams in 1u32..6,
        reset in prop::collection::vec(any::<bool>(), 6),
        pulled in any::<bool>(),
    ) {
        let config = MuxConfig::default().with(|config| config.write_stall_timeout = Duration::from_secs(3600));
        let mut lone = busy(config, streams).map_err(TestCaseError::fail)?;
        for (key, _) in lone.keys.iter().zip(&reset).filter(|(_, reset)| !**reset) {
            lone.mux.accept(*key, lone.now).expect("it is live");
        }
        // Those that nobody accepted are reset after 30 seconds, of which nobody has been told yet.
        lone.now = lone.now + MuxConfig::default().accept_timeout;
        prop_assert_eq!(lone.mux.handle_timeout(lone.now), Ok(()));
        if pulled {
            lone.drain().map_err(TestCaseError::fail)?;
        }
        lone.mux.shutdown(lone.now, lone.now);
        prop_assert_eq!(lone.mux.handle_timeout(lone.now), Ok(()));
        lone.drain().map_err(TestCaseError::fail)?;
        let resets = lone.sent.iter().filter(|frame| frame.flags == RST).map(|frame| frame.id);
        let mut resets: Vec<u32> = resets.collect();
        resets.sort_unstable();
        prop_assert_eq!(resets, (1..=streams).map(|n| 2 * n).collect::<Vec<_>>());
        prop_assert_eq!(lone.sent.last(), Some(&Frame::new(GO_AWAY, 0, 0, 0)));
    }

    // invariant 19
    #[test]
    fn silence_ends_the_session_after_exactly_the_interval_and_the_timeout(
        interval in 1u64..60_000,
        timeout in 1u64..30_000,
        gaps in prop::collection::vec(0.0..1.0f64, 0..10),
    ) {
        let (interval, timeout) = (Duration::from_millis(interval), Duration::from_millis(timeout));
        let keepalive = Some((interval, timeout));
        let mut lone = busy(MuxConfig::default().with(|config| config.keepalive = keepalive), 0).map_err(TestCaseError::fail)?;
        let mut quiet = lone.now;
        for gap in gaps {
            lone.now = lone.now + interval.mul_f64(gap);
            prop_assert_eq!(lone.mux.handle_timeout(lone.now), Ok(()));
            prop_assert_eq!(lone.drain(), Ok(vec![]));
            // Anything shows that the peer lives, but an answer that nobody asked for.
            lone.feed_frame(Frame::new(DATA, 0, 77, 1), 12).map_err(TestCaseError::fail)?;
            prop_assert_eq!(lone.mux.poll_timeout(), Some(lone.now + interval));
            quiet = lone.now;
        }
        lone.now = quiet + interval / 2;
        lone.feed_frame(Frame::new(PING, ACK, 0, 1), 12).map_err(TestCaseError::fail)?;
        lone.now = quiet + interval;
        prop_assert_eq!(lone.mux.handle_timeout(lone.now), Ok(()));
        let asked = lone.drain().map_err(TestCaseError::fail)?;
        prop_assert_eq!((asked.len(), asked[0].kind, asked[0].flags), (1, PING, SYN));
        prop_assert_eq!(lone.mux.poll_timeout(), Some(quiet + interval + timeout));
        let almost = (timeout - Duration::from_micros(1)) + interval;
        prop_assert_eq!(lone.mux.handle_timeout(quiet + almost), Ok(()));
        prop_assert_eq!(lone.mux.handle_timeout(quiet + interval + timeout), Err(MuxError::KeepAlive));
        prop_assert_eq!(lone.drain(), Ok(vec![Frame::new(GO_AWAY, 0, 0, 2)]));
    }

    // invariant 28
    #[test]
    fn a_shutdown_is_over_by_its_deadline(
        streams in 0u32..6,
        within in 0u64..20_000,
        acts in prop::collection::vec((0u8..13, any::<u8>()), 0..30),
    ) {
        let mut lone = busy(MuxConfig::default(), streams).map_err(TestCaseError::fail)?;
        let deadline = lone.now + Duration::from_millis(within);
        lone.mux.shutdown(deadline, lone.now);
        for (what, arg) in acts {
            lone.act(what, arg).map_err(TestCaseError::fail)?;
        }
        lone.now = lone.now.max(deadline);
        // A writer that nobody reads may have been given up before.
        let outcome = lone.mux.handle_timeout(lone.now);
        lone.listen().map_err(TestCaseError::fail)?;
        let ended = MuxEvent::Ended(match outcome {
            Err(error) => MuxEnd::Failed(error),
            Ok(()) => MuxEnd::Normal,
        });
        let told: Vec<&MuxEvent> = lone.events.iter().filter(|e| matches!(e, MuxEvent::Ended(_))).collect();
        prop_assert_eq!(told.len(), 1);
        if *told[0] == MuxEvent::Ended(MuxEnd::Normal) {
            lone.drain().map_err(TestCaseError::fail)?;
            prop_assert_eq!(lone.sent.last(), Some(&Frame::new(GO_AWAY, 0, 0, 0)));
        } else {
            prop_assert!(*told[0] == ended || lone.failed.is_some() || lone.now > deadline);
        }
    }

    // invariants 9, 10, 12, 13, 21
    #[test]
    fn any_bytes_are_survived_or_fatal(raw in raw(200)) {
        fuzz::f1(&raw.0);
    }

    // invariants 9, 10, 12, 13, 21
    #[test]
    fn any_frames_are_survived_or_fatal(raw in raw(100)) {
        fuzz::f2(&raw.0);
    }

    // invariants 21, 22, 23: a second opinion on every frame
    #[test]
    fn every_verdict_on_a_frame_is_the_one_the_contract_gives(raw in raw(60)) {
        fuzz::f6(&raw.0);
    }
}
