//! Who gets how much of the line, and what goes first.

use bytes::Bytes;
use hvym_yamux::{MuxConfig, Read, StreamId};
use hvym_yamux_testing::lens::{ACK, DATA, Frame, GRANT, PING, SYN, frames};
use hvym_yamux_testing::lone::Lone;
use hvym_yamux_testing::raw::cases;
use proptest::prelude::*;

const QUANTUM: i64 = 16 * 1024;

/// A session with `n` streams of its own, each with a wide window and `queued` bytes to send.
fn crowd(n: u32, batch: usize, queued: usize) -> Result<(Lone, Vec<StreamId>), String> {
    let config = MuxConfig::default().with(|config| {
        config.batch = batch;
        config.max_stream_unsent = 4 << 20;
        config.max_unsent = 1 << 30;
    });
    let mut lone = Lone::new(1, config);
    let mut keys = Vec::new();
    for at in 0..n {
        let key = lone.mux.open(lone.now).map_err(|error| error.to_string())?;
        lone.drain()?;
        lone.feed_frame(Frame::new(GRANT, ACK, 1 + 2 * at, 16 << 20), 12)?;
        keys.push(key);
    }
    let data = Bytes::from(vec![0; queued]);
    for key in &keys {
        lone.mux
            .stream(*key)
            .map_err(|e| e.to_string())?
            .write(&mut data.clone(), lone.now)
            .map_err(|e| e.to_string())?;
    }
    Ok((lone, keys))
}

proptest! {
    #![proptest_config(cases(64))]

    // invariant 14
    #[test]
    fn streams_that_are_always_ready_differ_by_two_quanta_at_most(
        n in 2u32..24,
        batch in prop_oneof![Just(65_536usize), 4096usize..140_000],
        quanta in 3usize..20,
    ) {
        let (mut lone, _) = crowd(n, batch, quanta * QUANTUM as usize * 2).map_err(TestCaseError::fail)?;
        let mut shares = vec![0i64; n as usize];
        let total = n as i64 * quanta as i64 * QUANTUM;
        while shares.iter().sum::<i64>() < total {
            for frame in lone.pull().map_err(TestCaseError::fail)? {
                if frame.kind == DATA {
                    shares[frame.id as usize / 2] += i64::from(frame.length);
                    prop_assert!(i64::from(frame.length) <= QUANTUM, "{:?}", frame);
                }
                let (most, least) = (shares.iter().max().copied(), shares.iter().min().copied());
                prop_assert!(most.zip(least).is_some_and(|(a, b)| a - b <= 2 * QUANTUM), "{:?}", shares);
            }
        }
    }

    // invariant 14
    #[test]
    fn a_stream_that_becomes_ready_is_served_within_one_round(n in 1u32..24, batches in 0usize..8) {
        let (mut lone, _) = crowd(n, 65_536, 1 << 20).map_err(TestCaseError::fail)?;
        for _ in 0..batches {
            lone.pull().map_err(TestCaseError::fail)?;
        }
        let late = lone.mux.open(lone.now).expect("there is room for one more");
        let wrote = lone.mux.stream(late).expect("it is new").write(&mut Bytes::from_static(b"late"), lone.now);
        prop_assert_eq!(wrote, Ok(4));
        let mut served = vec![0; n as usize];
        'round: loop {
            for frame in lone.pull().map_err(TestCaseError::fail)? {
                if frame.id == 1 + 2 * n && frame.kind == DATA {
                    break 'round;
                }
                if frame.kind == DATA {
                    served[frame.id as usize / 2] += 1;
                }
                prop_assert!(served.iter().all(|times| *times <= 2), "{:?}", served);
            }
        }
    }

    // invariant 15
    #[test]
    fn a_ping_is_answered_and_a_window_granted_in_the_very_next_batch(
        n in 1u32..24,
        batches in 0usize..8,
        value in any::<u32>(),
        pieces in 131_072u32..262_144,
    ) {
        let (mut lone, _) = crowd(n, 65_536, 1 << 20).map_err(TestCaseError::fail)?;
        lone.feed_frame(Frame::new(DATA, SYN, 2, pieces), 10_000).map_err(TestCaseError::fail)?;
        lone.listen().map_err(TestCaseError::fail)?;
        for _ in 0..batches {
            lone.pull().map_err(TestCaseError::fail)?;
        }
        let reader = lone.keys[0];
        while let Ok(Read::Data(_)) = lone.mux.stream(reader).expect("it is live").read(usize::MAX, lone.now) {}
        lone.feed_frame(Frame::new(PING, SYN, 0, value), 12).map_err(TestCaseError::fail)?;
        let batch = lone.mux.poll_transmit().expect("there is much to send");
        let frames = frames(&batch);
        prop_assert_eq!(frames[0], Frame::new(PING, ACK, 0, value));
        prop_assert!(frames.contains(&Frame::new(GRANT, 0, 2, pieces)), "{:?}", frames);
    }
}
