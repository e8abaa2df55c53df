//! Receive windows: when they are granted, and how they follow the rate at which a stream is read.

use std::time::Duration;

use hvym_yamux::{MuxConfig, StreamId};
use hvym_yamux_testing::rig::{ACK, Frame, Rig, SYN, WINDOW, data, ping, window};

const RTT: Duration = Duration::from_millis(40);
const SECOND: Duration = Duration::from_secs(1);

/// An agent that has measured a round trip of 40 ms, and whose first stream it has accepted.
fn measured(change: impl FnOnce(&mut MuxConfig)) -> (Rig, Peer) {
    let mut rig = Rig::agent_but(change);
    rig.pass(RTT).unwrap();
    let first = rig.first_ping;
    rig.take(&ping(ACK, 0, first));
    let peer = Peer::open(&mut rig, 2);
    (rig, peer)
}

/// A peer that sends on one stream, and what it may still send.
struct Peer {
    wire: u32,
    id: StreamId,
    credit: usize,
}

impl Peer {
    fn open(rig: &mut Rig, wire: u32) -> Self {
        rig.take(&window(SYN, wire, 0));
        let id = rig.incoming();
        let mut peer = Self { wire, id, credit: WINDOW };
        peer.granted(rig);
        peer
    }

    fn granted(&mut self, rig: &mut Rig) -> usize {
        let grants = rig.sent().into_iter().filter(|frame| (frame.kind, frame.id) == (1, self.wire));
        let granted = grants.map(|frame| frame.length as usize).sum();
        self.credit += granted;
        granted
    }

    /// Sends up to `bytes`, which are read at once; what was granted for them.
    fn send(&mut self, rig: &mut Rig, bytes: usize) -> usize {
        let bytes = bytes.min(self.credit);
        self.credit -= bytes;
        rig.take(&data(0, self.wire, &vec![1; bytes]));
        rig.read_all(self.id);
        self.granted(rig)
    }

    /// Sends as much as it may, once in each round trip.
    fn download(&mut self, rig: &mut Rig, rounds: usize) {
        for _ in 0..rounds {
            rig.pass(RTT).unwrap();
            self.send(rig, usize::MAX);
        }
    }
}

fn growth(rig: &Rig) -> usize {
    rig.mux.stats().window_growth
}

#[test]
fn a_window_that_limits_its_stream_doubles_in_each_round_trip_up_to_its_limit() {
    let (mut rig, mut peer) = measured(|config| config.max_stream_window = 4 << 20);
    for expected in [1, 3, 7, 15, 15, 15] {
        peer.download(&mut rig, 1);
        assert_eq!(growth(&rig), expected * WINDOW);
    }
    rig.reset(peer.id);
    rig.sent();
    assert_eq!(growth(&rig), 0);
}

#[test]
fn a_window_does_not_grow_where_a_third_of_it_is_read_in_a_round_trip_or_before_there_is_a_measurement() {
    for (bytes, grown) in [(WINDOW / 3 - 1000, false), (WINDOW / 3 + 1000, true)] {
        let (mut rig, mut peer) = measured(|_| {});
        for _ in 0..20 {
            rig.pass(RTT).unwrap();
            peer.send(&mut rig, bytes);
        }
        assert_eq!(growth(&rig) > 0, grown, "{bytes} bytes");
    }
    let mut rig = Rig::agent();
    let mut peer = Peer::open(&mut rig, 2);
    peer.download(&mut rig, 10);
    assert_eq!(growth(&rig), 0);
}

#[test]
fn a_window_does_not_grow_by_bursts_within_a_round_trip() {
    let (mut rig, mut peer) = measured(|_| {});
    for _ in 0..30 {
        rig.pass(Duration::from_millis(1)).unwrap();
        peer.send(&mut rig, WINDOW / 2);
    }
    assert_eq!(growth(&rig), 0, "30 ms");
}

#[test]
fn a_stream_that_a_larger_window_makes_no_faster_grows_no_more() {
    // A queue holds all that is sent: the answer to a ping takes seconds, and the only round trip known is that.
    let mut rig = Rig::agent();
    rig.pass(8 * SECOND).unwrap();
    let first = rig.first_ping;
    rig.take(&ping(ACK, 0, first));
    let mut peer = Peer::open(&mut rig, 2);
    for _ in 0..600 {
        rig.pass(SECOND).unwrap();
        peer.send(&mut rig, 32_000);
    }
    assert_eq!(growth(&rig), WINDOW, "once, when nothing was known");
}

#[test]
fn one_stream_grows_by_half_of_the_budget_and_each_other_by_half_of_the_rest() {
    let (mut rig, mut first) = measured(|config| config.window_growth_budget = 3_000_000);
    first.download(&mut rig, 10);
    assert_eq!(growth(&rig), 1_500_000);
    let mut second = Peer::open(&mut rig, 4);
    second.download(&mut rig, 10);
    assert_eq!(growth(&rig), 2_250_000);
}

#[test]
fn the_streams_of_a_group_grow_together_by_half_of_the_budget() {
    let (mut rig, mut first) = measured(|config| config.window_growth_budget = 3_000_000);
    let mut second = Peer::open(&mut rig, 4);
    for peer in [&first, &second] {
        rig.mux.stream(peer.id).unwrap().set_group(7);
    }
    first.download(&mut rig, 2);
    second.download(&mut rig, 10);
    first.download(&mut rig, 10);
    assert_eq!(growth(&rig), 1_500_000);
    let mut other = Peer::open(&mut rig, 6);
    other.download(&mut rig, 10);
    assert_eq!(growth(&rig), 2_250_000);
}

#[test]
fn a_window_that_its_stream_no_longer_needs_shrinks_and_grows_again_when_it_does() {
    let (mut rig, mut peer) = measured(|_| {});
    peer.download(&mut rig, 5);
    let grown = growth(&rig);
    assert!(grown > 20 * WINDOW, "{grown}");
    let mut silent = 0;
    for _ in 0..2000 {
        rig.pass(SECOND).unwrap();
        silent = if peer.send(&mut rig, 32_000) == 0 { silent + 1 } else { 0 };
        assert!(silent < 4, "a slow stream is granted something every few seconds");
    }
    assert_eq!(growth(&rig), 0, "never below what every stream begins with");
    peer.download(&mut rig, 3);
    assert!(growth(&rig) >= 3 * WINDOW);
}

#[test]
fn a_reader_that_takes_long_for_half_a_window_grants_after_a_second_and_from_16_kib_on() {
    for (millis, bytes, granted) in
        [(999, 20_000, 0), (1000, 16_383, 0), (1000, 16_384, 16_384), (1001, 20_000, 20_000)]
    {
        let mut rig = Rig::agent();
        let mut peer = Peer::open(&mut rig, 2);
        rig.pass(Duration::from_millis(millis)).unwrap();
        assert_eq!(peer.send(&mut rig, bytes), granted, "{bytes} bytes after {millis} ms");
    }
}

#[test]
fn a_new_stream_begins_with_what_an_earlier_one_was_read_in_a_round_trip() {
    let (mut rig, mut peer) = measured(|_| {});
    assert_eq!(peer.credit, WINDOW, "nothing is known yet");
    peer.download(&mut rig, 5);
    rig.reset(peer.id);
    rig.sent();
    assert_eq!(Peer::open(&mut rig, 4).credit, 4 * WINDOW);
    rig.open();
    assert!(matches!(rig.sent()[..], [Frame { kind: 1, flags: SYN, length: 786_432, .. }]));
    // Eight mebibytes, a quarter of the budget, for streams that may not need it.
    for n in 3..=20 {
        Peer::open(&mut rig, 2 * n);
    }
    assert_eq!(growth(&rig), 10 * 3 * WINDOW);
}
