//! What streams share, and how: buffers, windows that grow, and turns to send.

use std::time::Duration;

use hvym_yamux::MuxEvent;
use hvym_yamux_testing::rig::{Rig, WINDOW, data, window};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_reader_that_does_not_read_grants_nothing() {
    let mut rig = Rig::agent();
    let id = rig.accepted(2);
    for _ in 0..4 {
        rig.take(&data(0, 2, &[1; 65_536]));
        rig.pass(SECOND).unwrap();
        assert_eq!(rig.sent(), []);
    }
    assert_eq!(rig.mux.stats().unread, WINDOW);
    assert_eq!(rig.events(), [MuxEvent::Readable(id)]);
}

#[test]
fn a_peer_that_grants_nothing_blocks_the_writer_and_nobody_else() {
    let mut rig = Rig::agent();
    let (blocked, wire) = rig.opened();
    let mut taken = 0;
    for _ in 0..100 {
        taken += rig.write_some(blocked, &[1; 65_536]);
        rig.sent();
    }
    assert_eq!((taken, rig.mux.stats().unsent), (WINDOW, 0), "a window on the wire and nothing in the queue");
    let (free, _) = rig.opened();
    rig.write(free, b"free");
    assert_eq!(rig.sent().len(), 1);
    rig.events();
    rig.take(&window(0, wire, 65_536));
    rig.sent();
    assert_eq!(rig.events(), [MuxEvent::Writable(blocked)]);
}

#[test]
fn streams_that_nobody_takes_fill_the_session_no_further_than_its_limit_and_wake_in_turn() {
    let mut rig = Rig::agent_but(|config| config.max_unsent = 256 * 1024);
    let streams: Vec<_> = (0..16).map(|_| rig.opened()).collect();
    for (id, _) in &streams {
        for _ in 0..8 {
            rig.write_some(*id, &[1; 65_536]);
        }
    }
    assert_eq!(rig.mux.stats().unsent, 256 * 1024);
    rig.events();
    // Each batch that leaves makes room for those that wait.
    let mut woken = Vec::new();
    for _ in 0..16 {
        rig.batch();
        woken.extend(rig.events());
    }
    for (id, _) in &streams[4..8] {
        assert!(woken.contains(&MuxEvent::Writable(*id)), "{id:?} waits for ever; woken: {woken:?}");
    }
    let mut once = woken.clone();
    once.dedup();
    assert_eq!(once.len(), woken.len());
    assert_eq!(rig.mux.stats().unsent, 0);
}

#[test]
fn two_hundred_readers_that_stopped_take_nothing_from_one_that_reads() {
    let mut rig = Rig::agent_but(|config| {
        config.max_stream_unsent = 16 * 1024;
        config.max_unsent = 64 * 1024;
        config.ack_backlog = 300;
    });
    let stopped: Vec<_> = (0..200).map(|_| rig.opened().0).collect();
    let (good, wire) = rig.opened();
    for id in &stopped {
        while rig.write_some(*id, &[1; 16 * 1024]) > 0 {
            rig.sent();
        }
    }
    assert_eq!(rig.mux.stats().unsent, 0);
    for round in 0..20 {
        for id in &stopped {
            assert_eq!((rig.mux.writable(*id), rig.write_some(*id, &[1; 16 * 1024])), (0, 0));
        }
        assert_eq!(rig.write_some(good, &[round; 16 * 1024]), 16 * 1024);
        let frames = rig.sent();
        assert_eq!(frames.iter().map(|frame| frame.id).collect::<Vec<_>>(), [wire]);
        rig.take(&window(0, wire, 16 * 1024));
    }
    // Those that begin to read again are served as ever.
    rig.events();
    rig.take(&window(0, wire - 2, 16 * 1024));
    assert_eq!(rig.write_when_told(stopped[199], &[1; 16 * 1024]), 16 * 1024);
}

#[test]
fn a_writer_that_waits_for_a_window_is_told_of_it_though_nothing_is_queued() {
    let mut rig = Rig::agent();
    let (id, wire) = rig.opened();
    let mut left = WINDOW;
    while left > 0 {
        left -= rig.write_some(id, &vec![1; left]);
        rig.sent();
    }
    rig.events();
    rig.take(&window(0, wire, 50_000));
    assert_eq!(rig.events(), [], "nobody waits");
    assert_eq!(rig.write_some(id, &[1; 60_000]), 50_000);
    rig.sent();
    assert_eq!((rig.mux.stats().unsent, rig.mux.writable(id)), (0, 0));
    assert_eq!(rig.events(), []);
    rig.take(&window(0, wire, 2000));
    assert_eq!(rig.mux.writable(id), 2000);
    assert_eq!(rig.events(), [MuxEvent::Writable(id)]);
    rig.take(&window(0, wire, 2000));
    assert_eq!(rig.events(), [], "it was told");
}

#[test]
fn a_writer_that_waits_for_its_queue_is_told_once_it_has_drained_and_not_of_a_window() {
    let mut rig = Rig::agent_but(|config| config.batch = 4096);
    let (id, wire) = rig.opened();
    assert_eq!(rig.write_some(id, &[1; 70_000]), 65_536);
    rig.take(&window(0, wire, 100_000));
    assert_eq!(rig.events(), []);
    rig.sent();
    assert_eq!(rig.events(), [MuxEvent::Writable(id)]);
}

#[test]
fn streams_that_all_have_data_share_every_batch_fairly_however_it_is_cut() {
    for batch in [4096, 20_000, 65_536] {
        let mut rig = Rig::agent_but(|config| {
            config.batch = batch;
            config.max_unsent = 64 << 20;
        });
        let streams: Vec<_> = (0..5).map(|_| rig.opened()).collect();
        let mut sent = [0usize; 5];
        let mut total = 0;
        while total < 600_000 {
            for (id, wire) in &streams {
                rig.write_some(*id, &[1; 65_536]);
                rig.take(&window(0, *wire, 65_536));
            }
            for frame in rig.batch() {
                let n = streams.iter().position(|(_, wire)| *wire == frame.id).expect("one of ours");
                sent[n] += frame.payload.len();
                total += frame.payload.len();
            }
            let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
            assert!(most - least <= 16_384, "batch of {batch}: {sent:?}");
        }
    }
}

#[test]
fn what_streams_say_beside_data_takes_at_most_half_of_a_batch_while_data_waits() {
    let mut rig = Rig::agent_but(|config| {
        config.batch = 4096;
        config.max_outbound_streams = 1000;
        config.ack_backlog = 1000;
    });
    let (talking, wire) = rig.opened();
    rig.write(talking, &[1; 40_000]);
    for _ in 0..600 {
        rig.open();
    }
    let mut openings = 0;
    while openings < 600 {
        let frames = rig.batch();
        let control = frames.iter().filter(|frame| frame.id != wire).count();
        openings += control;
        assert!(control * 12 <= 2048 || frames.iter().all(|frame| frame.id != wire));
        assert!(rig.mux.stats().unsent == 0 || frames.iter().any(|frame| frame.id == wire));
    }
}
