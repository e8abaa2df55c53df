//! What a session holds, by the count of the allocator.

use bytes::Bytes;
use hvym_yamux::{MuxConfig, Read};
use hvym_yamux_testing::lens::{DATA, FIN, Frame, GRANT, PING, RST, SYN};
use hvym_yamux_testing::lone::Lone;
use hvym_yamux_testing::raw::{cases, raw};
use hvym_yamux_testing::{fuzz, memory};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(64))]

    // invariant 13
    #[test]
    fn memory_follows_what_is_unread_and_nothing_else(raw in raw(100)) {
        fuzz::f7(&raw.0);
    }

    // invariant 13
    #[test]
    fn a_byte_that_comes_alone_costs_little_more_than_a_byte(
        always_copy in any::<bool>(),
        sizes in prop::collection::vec(1u32..40, 1..6),
    ) {
        let before = memory::live();
        let mut lone = Lone::new(1, MuxConfig::default().with(|config| config.always_copy = always_copy));
        lone.feed_frame(Frame::new(GRANT, SYN, 2, 0), 12).map_err(TestCaseError::fail)?;
        let mut unread = 0;
        let whole: Vec<Bytes> = sizes.iter().map(|n| Frame::new(DATA, 0, 2, *n).with_payload().into()).collect();
        for at in 0.. {
            let size = sizes[at % sizes.len()];
            if unread + size > 262_144 {
                break;
            }
            unread += size;
            prop_assert_eq!(lone.mux.handle_data(whole[at % whole.len()].clone(), lone.now), Ok(()));
        }
        prop_assert_eq!(lone.mux.stats().unread, unread as usize);
        let live = memory::live() - before;
        let bound = unread as isize * 5 / 4 + 16_384;
        prop_assert!(live <= bound, "{} bytes live for {}", live, unread);
    }

    // invariant 12
    #[test]
    fn control_that_nobody_takes_away_costs_nothing(count in 1u32..2000, kinds in prop::collection::vec(0u8..4, 1..6)) {
        let mut lone = Lone::new(1, MuxConfig::default());
        let mut live = 0;
        for n in 0..count {
            let frame = match kinds[n as usize % kinds.len()] {
                0 => Frame::new(PING, SYN, 0, n),
                1 => Frame::new(GRANT, SYN, 2 * n + 2, 0),
                2 => Frame::new(GRANT, RST, 2 * n, 0),
                _ => Frame::new(GRANT, 0, 2 * n, 1),
            };
            if n == count / 16 {
                live = memory::live();
            }
            // A flood that is called one is as good an end as any.
            let _ = lone.mux.handle_data(Bytes::copy_from_slice(&frame.bytes()), lone.now);
        }
        lone.check().map_err(TestCaseError::fail)?;
        let grown = memory::live() - live;
        // 256 streams at most, their tombstones, and rings.
        prop_assert!(grown < 300_000, "{} bytes", grown);
    }
}

/// Opens, uses and closes `count` streams of the peer, and gives what lives afterwards.
fn churn(lone: &mut Lone, first: u32, count: u32) -> isize {
    for n in first..first + count {
        let opening = Frame::new(DATA, SYN | FIN, 2 * n, 10).with_payload();
        lone.mux.handle_data(opening.into(), lone.now).expect("an honest peer");
        lone.listen().expect("an honest session");
        let key = lone.keys.pop().expect("a stream came in");
        lone.mux.accept(key, lone.now).expect("it is live");
        let mut stream = lone.mux.stream(key).expect("it is live");
        while stream.read(100, lone.now) != Ok(Read::Finished) {}
        stream.finish(lone.now).expect("it is live");
        while lone.mux.poll_transmit().is_some() {}
        lone.events.clear();
        assert!(lone.mux.stream(key).is_err());
    }
    memory::live()
}

// invariant 17
#[test]
fn memory_returns_to_where_it_was_after_many_streams_have_come_and_gone() {
    let mut lone = Lone::new(1, MuxConfig::default());
    // Tombstones fill up once and for all.
    let settled = churn(&mut lone, 1, 10_000);
    let after = churn(&mut lone, 10_001, 40_000);
    assert!(after - settled < 16_384, "{} bytes more", after - settled);
    assert_eq!(lone.mux.stats(), Default::default());
}
