//! What a hostile peer can make the mux hold, counted by the allocator.

use std::time::Duration;

use bytes::Bytes;
use hvym_yamux::Instant;
use hvym_yamux::{Mux, MuxConfig, MuxEvent, Read, Role, StreamId};
use hvym_yamux_testing::memory::{forget_peak, live, peak};
use hvym_yamux_testing::rig::{FIN, RST, SYN, WINDOW, data, ping, window};

const NOW: Instant = Instant::from_millis(1);

/// What stays allocated after this many bytes came in is held by the mux, since a driver keeps no message.
struct Victim {
    mux: Mux,
    before: isize,
    bound: usize,
}

impl Victim {
    fn new(role: Role, config: MuxConfig) -> Self {
        let bound = config.memory_bound();
        let before = live();
        forget_peak();
        Victim { mux: Mux::new(role, config, 1, [3; 32], NOW), before, bound }
    }

    fn feed(&mut self, message: Vec<u8>) {
        self.mux.handle_data(Bytes::from(message), NOW).expect("nothing illegal in it");
        assert!(self.held() <= self.bound, "{} bytes held, {} allowed", self.held(), self.bound);
    }

    fn held(&self) -> usize {
        usize::try_from(live() - self.before).expect("more is live than before")
    }

    fn accept(&mut self) -> Option<StreamId> {
        while let Some(event) = self.mux.poll_event() {
            if let MuxEvent::Incoming(id) = event {
                self.mux.accept(id, NOW).expect("it was just announced");
                return Some(id);
            }
        }
        None
    }

    fn drain(&mut self) {
        while self.mux.poll_transmit().is_some() {}
        while self.mux.poll_event().is_some() {}
    }
}

fn small(change: impl FnOnce(&mut MuxConfig)) -> MuxConfig {
    let mut config = MuxConfig::default().with(|config| {
        config.max_inbound_streams = 8;
        config.accept_backlog = 8;
        config.max_outbound_streams = 8;
        config.max_unsent = 1 << 20;
        config.window_growth_budget = 0;
    });
    change(&mut config);
    config
}

#[test]
fn one_byte_frames_cost_little_more_than_their_bytes() {
    for always_copy in [true, false] {
        let mut victim = Victim::new(Role::Client, small(|config| config.always_copy = always_copy));
        for n in 1..=8 {
            victim.feed(window(SYN, 2 * n, 0));
        }
        victim.drain();
        let idle = victim.held();
        for _ in 0..WINDOW / 1024 {
            for n in 1..=8 {
                victim.feed(data(0, 2 * n, b"x").repeat(1024));
            }
        }
        let unread = victim.mux.stats().unread;
        assert_eq!(unread, 8 * WINDOW);
        let held = victim.held() - idle;
        assert!(held <= unread + unread / 4, "{held} bytes for {unread}");
    }
}

#[test]
fn frames_cut_to_pin_as_much_as_they_can_stay_within_the_bound() {
    for (payload, filler) in [(1024, 3060), (1023, 4000), (4096, 12_276), (16_384, 49_140), (1500, 96)] {
        for always_copy in [true, false] {
            let mut victim = Victim::new(Role::Client, small(|config| config.always_copy = always_copy));
            victim.feed([window(SYN, 2, 0), window(SYN, 4, 0), window(RST, 4, 0)].concat());
            // The rest of each message is windows for a closed stream, which are free.
            for _ in 0..WINDOW / payload {
                let mut message = data(0, 2, &vec![1; payload]);
                message.extend(window(0, 4, 1).repeat(filler / 12));
                victim.feed(message);
            }
            let unread = victim.mux.stats().unread;
            assert_eq!(unread, WINDOW / payload * payload);
            let allowed = if always_copy { unread + unread / 4 } else { 4 * unread + unread / 4 };
            assert!(victim.held() <= allowed + 32 * 1024, "{} for {unread} of {payload}", victim.held());
        }
    }
}

#[test]
fn small_and_large_frames_in_turn_do_not_waste_blocks() {
    let mut victim = Victim::new(Role::Client, small(|config| config.always_copy = true));
    victim.feed(window(SYN, 2, 0));
    for _ in 0..WINDOW / 4100 {
        victim.feed(data(0, 2, &[1; 10]));
        victim.feed(data(0, 2, &[1; 4090]));
    }
    let unread = victim.mux.stats().unread;
    assert!(victim.held() <= unread + unread / 4 + 16 * 1024, "{} for {unread}", victim.held());
}

#[test]
fn a_large_payload_behind_small_ones_is_read_in_one_piece() {
    for (payload, is_one_piece) in [(32 * 1024 - 1, false), (32 * 1024, true)] {
        let mut victim = Victim::new(Role::Client, small(|config| config.always_copy = true));
        victim.feed(window(SYN, 2, 0));
        let id = victim.accept().expect("a stream was opened");
        for _ in 0..4 {
            victim.feed(data(0, 2, &[1; 10]));
            victim.feed(data(0, 2, &vec![2; payload]));
        }
        let unread = victim.mux.stats().unread;
        assert!(victim.held() <= unread + unread / 4 + 16 * 1024, "{} for {unread}", victim.held());
        let mut pieces = Vec::new();
        while let Ok(Read::Data(piece)) = victim.mux.stream(id).expect("it is open").read(usize::MAX, NOW) {
            pieces.push(piece.len());
        }
        assert_eq!(pieces.iter().sum::<usize>(), 4 * (10 + payload));
        assert_eq!(
            pieces.iter().filter(|&&length| length == payload).count() == 4,
            is_one_piece,
            "{pieces:?}"
        );
    }
}

#[test]
fn the_cap_on_unread_bytes_caps_memory() {
    let config = small(|config| {
        config.max_inbound_streams = 64;
        config.accept_backlog = 64;
        config.max_unread = 1 << 20;
        config.always_copy = true;
    });
    let mut victim = Victim::new(Role::Client, config);
    for n in 1..=64 {
        victim.feed(window(SYN, 2 * n, 0));
    }
    for _ in 0..16 {
        for n in 1..=64 {
            victim.feed(data(0, 2 * n, &[1; 16_000]));
        }
    }
    assert!(victim.mux.stats().unread <= 1 << 20);
}

#[test]
fn a_storm_of_pings_that_nobody_answers_costs_nothing() {
    let mut victim = Victim::new(Role::Client, small(|_| {}));
    victim.feed(ping(SYN, 0, 1).repeat(100));
    let after_some = victim.held();
    victim.feed(ping(SYN, 0, 1).repeat(900));
    assert_eq!(victim.held(), after_some);
    assert!(after_some <= 4096);
}

#[test]
fn a_storm_of_openings_and_resets_costs_no_more_than_its_tombstones() {
    let mut victim = Victim::new(Role::Client, small(|_| {}));
    let mut now = NOW;
    for n in 1..=100_000u32 {
        let pair = [window(SYN, 2 * n, 0), window(RST, 2 * n, 0)].concat();
        now = now + Duration::from_millis(10);
        victim.mux.handle_data(Bytes::from(pair), now).expect("slow enough");
        victim.mux.handle_timeout(now).expect("nothing is due");
        if n == 4096 {
            forget_peak();
        }
    }
    assert!(victim.held() <= 256 * 1024, "{}", victim.held());
}

#[test]
fn a_hundred_thousand_streams_that_come_and_go_leave_nothing_behind() {
    let mut victim = Victim::new(Role::Client, small(|_| {}));
    let round = |victim: &mut Victim, n: u32| {
        victim.feed([data(SYN, 2 * n, b"question"), window(FIN, 2 * n, 0)].concat());
        let id = victim.accept().expect("it came in");
        let mut stream = victim.mux.stream(id).expect("it is live");
        assert!(matches!(stream.read(usize::MAX, NOW), Ok(Read::Data(_))));
        assert_eq!(stream.read(usize::MAX, NOW), Ok(Read::Finished));
        stream.write(&mut Bytes::from_static(b"answer"), NOW).expect("it is writable");
        stream.finish(NOW).expect("it is live");
        victim.drain();
        assert_eq!(victim.mux.stats().inbound, 0);
    };
    for n in 1..=10_000 {
        round(&mut victim, n);
    }
    let settled = victim.held();
    for n in 10_001..=100_000 {
        round(&mut victim, n);
    }
    assert!(victim.held() <= settled + 4096, "{} after {settled}", victim.held());
}

#[test]
fn a_peer_that_never_grants_holds_no_more_than_the_send_limits_even_byte_by_byte() {
    for piece in [1, 100, 1000, 1023, 1024, 5000] {
        let mut victim = Victim::new(Role::Server, small(|config| config.max_unsent = 256 * 1024));
        let ids: Vec<_> = (0..8).map(|_| victim.mux.open(NOW).expect("there is room")).collect();
        let idle = victim.held();
        for id in ids {
            loop {
                let mut bytes = Bytes::from(vec![1; piece]);
                let mut stream = victim.mux.stream(id).expect("it is live");
                if stream.write(&mut bytes, NOW).expect("it is live") < piece {
                    break;
                }
            }
        }
        let unsent = victim.mux.stats().unsent;
        assert_eq!(unsent, 256 * 1024);
        let held = victim.held() - idle;
        assert!(held <= 2 * unsent, "{held} bytes for {unsent} in pieces of {piece}");
    }
}

#[test]
fn writers_that_block_again_and_again_leave_nothing_behind() {
    let mut victim = Victim::new(
        Role::Server,
        small(|config| {
            config.max_unsent = 128 * 1024;
            config.max_stream_unsent = 64 * 1024;
        }),
    );
    let ids: Vec<_> = (0..3).map(|_| victim.mux.open(NOW).expect("there is room")).collect();
    victim.drain();
    let fill = |victim: &mut Victim, id: StreamId| {
        let mut bytes = Bytes::from(vec![1; 100_000]);
        let mut stream = victim.mux.stream(id).expect("it is live");
        stream.write(&mut bytes, NOW).expect("it is live");
    };
    // Two streams use up their windows and then hold all but a little of the room.
    for _ in 0..8 {
        fill(&mut victim, ids[0]);
        fill(&mut victim, ids[1]);
        victim.drain();
    }
    victim.feed(window(0, 2, 40_000));
    victim.drain();
    let before = victim.held();
    for _ in 0..10_000 {
        fill(&mut victim, ids[2]);
        victim.feed(window(0, 6, 100_000));
        victim.drain();
    }
    assert!(victim.held() <= before + 128 * 1024, "{} after {before}", victim.held());
}

#[test]
fn an_idle_stream_costs_at_most_256_bytes_with_all_its_places_in_tables() {
    const STREAMS: u32 = 1024;
    let config = MuxConfig::default().with(|config| {
        config.max_inbound_streams = 2000;
        config.accept_backlog = 2000;
    });
    let mut victim = Victim::new(Role::Client, config);
    let mut ids = Vec::with_capacity(STREAMS as usize);
    for n in 1..=STREAMS {
        victim.feed(data(SYN, 2 * n, &[1; 3000]));
        let id = victim.accept().expect("it came in");
        let mut stream = victim.mux.stream(id).expect("it is live");
        while matches!(stream.read(usize::MAX, NOW), Ok(Read::Data(_))) {}
        stream.write(&mut Bytes::from_static(&[2; 3000]), NOW).expect("it is writable");
        ids.push(id);
        victim.drain();
    }
    let listed = ids.capacity() * size_of::<StreamId>();
    let each = (victim.held() - listed) / STREAMS as usize;
    println!("{each} bytes for an idle stream");
    assert!(each <= 256, "{each} bytes for an idle stream");
}

#[test]
fn what_the_parser_carries_allocates_nothing() {
    let mut victim = Victim::new(Role::Client, small(|_| {}));
    victim.feed(window(SYN, 2, 0));
    victim.drain();
    let raw = window(0, 2, 0);
    let before = victim.held();
    for byte in &raw[..11] {
        victim.feed(vec![*byte]);
        assert_eq!(victim.held(), before);
    }
    assert!(peak() >= live());
}
