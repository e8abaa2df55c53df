//! Who gets how much of the line, and what goes first.

use bytes::Bytes;
use hvym_yamux::{MuxConfig, MuxEvent, Read, StreamId};
use hvym_yamux_testing::lens::{ACK, DATA, Frame, GRANT, PING, RST, SYN};
use hvym_yamux_testing::lone::Lone;
use hvym_yamux_testing::raw::cases;
use proptest::prelude::*;

const QUANTUM: i64 = 16 * 1024;
/// Bytes that a slow reader grants with every batch.
const SLOW_GRANT: usize = 2000;
/// More than any queue of these tests takes.
static ZEROS: [u8; 131_072] = [0; 131_072];

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

/// What the peer of a stream does, whose writer always has more.
#[derive(Copy, Clone, PartialEq, Debug)]
enum Reader {
    /// Grants nothing beyond the first window.
    Stopped,
    /// Grants a little with every batch.
    Slow,
    /// Has granted more than is ever used.
    Fast,
    /// Stops, and then tears the stream down.
    Gone,
}

/// One stream beside those of others, that writes pieces and rests for some batches after each, so that it holds nothing
/// while others take what they can.
struct Beside {
    lone: Lone,
    others: Vec<StreamId>,
    good: StreamId,
    good_wire: u32,
    piece: usize,
    /// Batches between two pieces, and how many of them are left.
    pause: usize,
    resting: usize,
    /// Bytes of each other stream that left since some of the good one were taken; `None`: it waits for room.
    served: Option<Vec<i64>>,
    /// Bytes of others that left while the good one waited for room.
    waited: usize,
    /// Bytes of the good one that left.
    arrived: usize,
}

impl Beside {
    fn new(config: MuxConfig, readers: &[Reader], piece: usize, pause: usize) -> Result<Self, String> {
        let mut lone = Lone::new(1, config);
        let mut others = Vec::new();
        for (at, reader) in (0u32..).zip(readers) {
            others.push(lone.mux.open(lone.now).map_err(|error| error.to_string())?);
            lone.drain()?;
            let granted = if *reader == Reader::Fast { 64 << 20 } else { 0 };
            lone.feed_frame(Frame::new(GRANT, ACK, 1 + 2 * at, granted), 12)?;
        }
        let good = lone.mux.open(lone.now).map_err(|error| error.to_string())?;
        let good_wire = 1 + 2 * readers.len() as u32;
        lone.drain()?;
        lone.feed_frame(Frame::new(GRANT, ACK, good_wire, 64 << 20), 12)?;
        let mut beside = Self {
            lone,
            others,
            good,
            good_wire,
            piece,
            pause,
            resting: 0,
            served: None,
            waited: 0,
            arrived: 0,
        };
        for key in beside.others.clone() {
            beside.fill(key)?;
        }
        beside.write()?;
        Ok(beside)
    }

    fn fill(&mut self, key: StreamId) -> Result<(), String> {
        let Ok(mut stream) = self.lone.mux.stream(key) else { return Ok(()) };
        stream.write(&mut Bytes::from_static(&ZEROS), self.lone.now).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The good stream writes its next piece, or what there is room for.
    fn write(&mut self) -> Result<(), String> {
        let mut stream = self.lone.mux.stream(self.good).map_err(|error| error.to_string())?;
        let taken = stream
            .write(&mut Bytes::from_static(&ZEROS[..self.piece]), self.lone.now)
            .map_err(|e| e.to_string())?;
        if taken > 0 {
            (self.served, self.waited, self.resting) = (Some(vec![0; self.others.len()]), 0, self.pause);
        }
        Ok(())
    }

    /// Everybody who is told to writes, in that order.
    fn answer(&mut self) -> Result<(), String> {
        self.lone.listen()?;
        for event in std::mem::take(&mut self.lone.events) {
            match event {
                MuxEvent::Writable(key) if key == self.good => self.write()?,
                MuxEvent::Writable(key) => self.fill(key)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<(), String> {
        for frame in self.lone.pull()?.into_iter().filter(|frame| frame.kind == DATA) {
            if frame.id == self.good_wire {
                self.arrived += frame.length as usize;
                self.served = None;
                continue;
            }
            match &mut self.served {
                Some(served) => served[frame.id as usize / 2] += i64::from(frame.length),
                None => self.waited += frame.length as usize,
            }
        }
        if self.served.is_none() && self.resting > 0 {
            self.resting -= 1;
            self.waited = 0;
        } else if self.served.is_none() {
            self.write()?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(64))]

    // invariants 14 and 29
    #[test]
    fn a_stream_that_has_credit_is_served_within_one_round_whatever_the_others_do(
        readers in prop::collection::vec(
            prop_oneof![
                4 => Just(Reader::Stopped), 2 => Just(Reader::Slow), 1 => Just(Reader::Fast), 1 => Just(Reader::Gone)
            ],
            1..48,
        ),
        batch in 4096usize..70_000,
        max_unsent in 16_384usize..131_072,
        piece in prop_oneof![1 => Just(1usize), 3 => 1usize..32_000],
        pause in 0usize..4,
    ) {
        let config = MuxConfig::default().with(|config| {
            config.batch = batch;
            config.max_stream_unsent = max_unsent.min(65_536);
            config.max_unsent = max_unsent;
        });
        // Each wake makes room for at least one of those that wait, in their order.
        let longest = (readers.len() + 2) * (max_unsent / 8 + batch + QUANTUM as usize);
        let mut beside = Beside::new(config, &readers, piece, pause).map_err(TestCaseError::fail)?;
        let rounds = 200;
        for round in 0..rounds {
            for (at, reader) in (0u32..).zip(&readers) {
                let frame = match reader {
                    Reader::Slow => Frame::new(GRANT, 0, 1 + 2 * at, SLOW_GRANT as u32),
                    Reader::Gone if round == rounds / 2 => Frame::new(GRANT, RST, 1 + 2 * at, 0),
                    _ => continue,
                };
                beside.lone.feed_frame(frame, 12).map_err(TestCaseError::fail)?;
            }
            beside.answer().map_err(TestCaseError::fail)?;
            beside.pull().map_err(TestCaseError::fail)?;
            let served = beside.served.iter().flatten().copied().max();
            prop_assert!(served.is_none_or(|bytes| bytes <= 2 * QUANTUM), "{:?}", beside.served);
            prop_assert!(beside.waited <= longest, "{} bytes while it waited", beside.waited);
        }
        // Without hungry neighbours every other batch carries a piece, but for the pauses, once the windows of the others are used up: those of slow
        // readers while they are granted more.
        let granted = readers.iter().filter(|reader| **reader == Reader::Slow).count() * SLOW_GRANT;
        let used_up = readers.len() * 262_144 / batch.saturating_sub(granted).max(1) + 1;
        if !readers.contains(&Reader::Fast) && used_up < rounds / 2 {
            let pieces = rounds / 2 / (pause + 2);
            prop_assert!(beside.arrived >= pieces * piece.min(max_unsent / 4).min(batch / 2), "{} bytes in {} batches", beside.arrived, rounds);
        }
        prop_assert!(beside.arrived > 0);
    }

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
    fn a_stream_that_becomes_ready_goes_before_all_that_have_had_their_quantum(
        n in 1u32..24,
        batches in 0usize..8,
        batch in prop_oneof![Just(65_536usize), 4096usize..140_000],
        pieces in prop::collection::vec(1usize..6000, 1..6),
    ) {
        let (mut lone, _) = crowd(n, batch, 1 << 20).map_err(TestCaseError::fail)?;
        let mut served = vec![0i64; n as usize];
        for _ in 0..batches {
            for frame in lone.pull().map_err(TestCaseError::fail)? {
                served[frame.id as usize / 2] += i64::from(frame.length);
            }
        }
        let late = lone.mux.open(lone.now).expect("there is room for one more");
        let mut left = QUANTUM;
        for piece in pieces {
            let mut data = Bytes::from_static(&ZEROS[..piece]);
            let wrote = lone.mux.stream(late).expect("it is new").write(&mut data, lone.now);
            prop_assert_eq!(wrote, Ok(piece));
            // The rest of what it may send before others in this round.
            let mut first = left.min(piece as i64);
            left -= first;
            while first > 0 {
                for frame in lone.pull().map_err(TestCaseError::fail)?.iter().filter(|frame| frame.kind == DATA) {
                    if frame.id == 1 + 2 * n {
                        first -= i64::from(frame.length);
                        continue;
                    }
                    let served = &mut served[frame.id as usize / 2];
                    prop_assert!(first <= 0 || *served < QUANTUM, "{} bytes before it, {:?}", served, frame);
                    *served += i64::from(frame.length);
                }
            }
            if left == 0 {
                break;
            }
        }
    }

    // invariant 14
    #[test]
    fn streams_that_send_little_again_and_again_do_not_stop_those_that_send_much(
        little in 1usize..40,
        much in 1u32..8,
        batch in 4096usize..70_000,
        size in 1usize..9000,
    ) {
        let (mut lone, bulk) = crowd(much, batch, 4 << 20).map_err(TestCaseError::fail)?;
        let mut small = Vec::new();
        for at in 0..little as u32 {
            small.push(lone.mux.open(lone.now).map_err(|e| TestCaseError::fail(e.to_string()))?);
            lone.feed_frame(Frame::new(GRANT, ACK, 1 + 2 * (much + at), 64 << 20), 12).map_err(TestCaseError::fail)?;
        }
        // Bytes of the others since a bulk stream was last served.
        let mut since = vec![0i64; bulk.len()];
        let most = 2 * QUANTUM * (i64::from(much) + little as i64) + batch as i64;
        for _ in 0..50 {
            for key in &small {
                let mut stream = lone.mux.stream(*key).map_err(|e| TestCaseError::fail(e.to_string()))?;
                let wrote = stream.write(&mut Bytes::from_static(&ZEROS[..size]), lone.now);
                prop_assert!(wrote.is_ok());
            }
            for frame in lone.pull().map_err(TestCaseError::fail)?.iter().filter(|frame| frame.kind == DATA) {
                since.iter_mut().for_each(|bytes| *bytes += i64::from(frame.length));
                if let Some(bytes) = since.get_mut(frame.id as usize / 2) {
                    *bytes = 0;
                }
                prop_assert!(since.iter().all(|bytes| *bytes <= most), "{:?}, {} allowed", since, most);
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
        let frames = lone.pull().map_err(TestCaseError::fail)?;
        prop_assert_eq!(frames[0], Frame::new(PING, ACK, 0, value));
        prop_assert!(frames.contains(&Frame::new(GRANT, 0, 2, pieces)), "{:?}", frames);
    }
}
