//! Too much of something harmless, and windows too small to be worth a frame.

use core::time::Duration;

use bytes::Bytes;
use hvym_yamux::{FloodKind, MuxConfig, MuxError, MuxEvent};
use hvym_yamux_testing::lens::{ACK, DATA, FIN, Frame, GRANT, PING, RST, SYN};
use hvym_yamux_testing::lone::Lone;
use hvym_yamux_testing::raw::cases;
use proptest::prelude::*;

fn control(kind: u8, n: u32) -> Frame {
    match kind {
        0 => Frame::new(PING, SYN, 0, n),
        1 => Frame::new(PING, ACK, 0, n),
        2 => Frame::new(GRANT, SYN, 2 * n, 0),
        3 => Frame::new(GRANT, RST, 2 * n, 0),
        4 => Frame::new(GRANT, FIN, 2, 0),
        5 => Frame::new(GRANT, 0, 2, 1),
        _ => Frame::new(DATA, 0, 2, 0),
    }
}

proptest! {
    #![proptest_config(cases(96))]

    // invariants 12 and 27
    #[test]
    fn control_without_end_is_answered_with_less_or_ends_in_a_flood(
        kinds in prop::collection::vec(0u8..7, 1..8),
        count in 1usize..3000,
        pull in 1usize..2000,
    ) {
        let mut lone = Lone::new(1, MuxConfig::default());
        let (mut bytes_in, mut bytes_out) = (0, 0);
        for n in 0..count {
            lone.feed(&control(kinds[n % kinds.len()], n as u32 / 8 + 1).bytes(), 12).map_err(TestCaseError::fail)?;
            bytes_in += 12;
            if n % pull == pull - 1 {
                bytes_out += lone.drain().map_err(TestCaseError::fail)?.len() * 12;
            }
            prop_assert!(bytes_out <= bytes_in, "{} bytes answer {}", bytes_out, bytes_in);
        }
        bytes_out += lone.drain().map_err(TestCaseError::fail)?.len() * 12;
        // A GoAway comes on top.
        prop_assert!(bytes_out <= bytes_in + 12, "{} bytes answer {}", bytes_out, bytes_in);
        prop_assert!(matches!(lone.failed, None | Some(
            MuxError::Flood(_) | MuxError::DuplicateSyn(_) | MuxError::IdReused(_)
        )), "{:?}", lone.failed);
    }

    // invariant 27
    #[test]
    fn of_many_pings_the_newest_sixteen_are_answered(values in prop::collection::vec(any::<u32>(), 1..900)) {
        let mut lone = Lone::new(1, MuxConfig::default());
        for value in &values {
            lone.feed(&Frame::new(PING, SYN, 0, *value).bytes(), 12).map_err(TestCaseError::fail)?;
        }
        let newest = &values[values.len().saturating_sub(16)..];
        let expected: Vec<Frame> = newest.iter().map(|value| Frame::new(PING, ACK, 0, *value)).collect();
        prop_assert_eq!(lone.drain(), Ok(expected));
    }

    // invariant 27, and what a flood of each kind is called
    #[test]
    fn a_flood_is_called_by_what_it_is_made_of(kind in 0usize..4, seconds in 0u64..3) {
        let mut lone = Lone::new(1, MuxConfig::default());
        let (frames, flood, burst, rate): (fn(u32) -> Vec<Frame>, _, _, _) = [
            ((|n| vec![Frame::new(PING, SYN, 0, n)]) as fn(u32) -> Vec<Frame>, FloodKind::Pings, 1000, 200),
            (|_| vec![Frame::new(PING, 0, 0, 0)], FloodKind::Noise, 1000, 100),
            (|n| vec![Frame::new(GRANT, SYN, 2 * n, 0), Frame::new(GRANT, RST, 2 * n, 0)], FloodKind::Resets, 512, 100),
            (|n| vec![Frame::new(GRANT, SYN | RST, 2 * n, 0)], FloodKind::Noise, 1000, 100),
        ][kind];
        let mut allowed = burst;
        let mut n = 0;
        for second in 0..=seconds {
            if second > 0 {
                lone.now = lone.now + Duration::from_secs(1);
                allowed = rate;
            }
            for _ in 0..allowed {
                n += 1;
                for frame in frames(n) {
                    lone.feed_frame(frame, 12).map_err(TestCaseError::fail)?;
                }
                prop_assert_eq!(lone.failed, None, "after {}", n);
            }
        }
        for frame in frames(n + 1) {
            lone.feed_frame(frame, 12).map_err(TestCaseError::fail)?;
        }
        prop_assert_eq!(lone.failed, Some(MuxError::Flood(flood)));
    }

    // invariant 26
    #[test]
    fn a_tiny_window_is_waited_out_for_twenty_milliseconds_and_never_holds_what_fits(
        grant in 1u32..3000,
        queued in 1usize..3000,
        finish in any::<bool>(),
    ) {
        let mut lone = Lone::new(1, MuxConfig::default().with(|config| config.max_stream_unsent = 400_000));
        let key = lone.mux.open(lone.now).expect("the first stream opens");
        let mut data = Bytes::from(vec![1; 262_144 + queued]);
        let wrote = lone.mux.stream(key).expect("it was opened just now").write(&mut data, lone.now);
        prop_assert_eq!(wrote, Ok(262_144));
        lone.drain().map_err(TestCaseError::fail)?;
        lone.listen().map_err(TestCaseError::fail)?;
        lone.feed_frame(Frame::new(GRANT, ACK, 1, grant), 12).map_err(TestCaseError::fail)?;
        lone.listen().map_err(TestCaseError::fail)?;
        let held = grant < 1024 && (grant as usize) < queued;
        if held {
            prop_assert_eq!(&lone.events, &vec![]);
            let at = lone.mux.poll_timeout().expect("somebody waits");
            prop_assert!(at <= lone.now + Duration::from_millis(20), "held until {:?}", at);
            lone.now = at;
            prop_assert_eq!(lone.mux.handle_timeout(lone.now), Ok(()));
            lone.listen().map_err(TestCaseError::fail)?;
        }
        prop_assert_eq!(&lone.events, &vec![MuxEvent::Writable(key)]);
        let fits = (grant as usize).min(queued);
        let mut stream = lone.mux.stream(key).expect("it is live");
        prop_assert_eq!(stream.write(&mut data, lone.now), Ok(fits));
        if finish {
            prop_assert_eq!(stream.finish(lone.now), Ok(()));
        }
        let left = lone.drain().map_err(TestCaseError::fail)?;
        prop_assert_eq!(left[0], Frame::new(DATA, 0, 1, fits as u32));
        prop_assert_eq!(left.get(1).copied(), finish.then_some(Frame::new(GRANT, FIN, 1, 0)));
    }
}
