//! Two sessions, no sockets: what any user of streams relies on.

use bytes::Bytes;
use hvym_yamux::Instant;
use hvym_yamux::{Mux, MuxConfig, MuxEvent, Read, Role, StreamError, StreamId};

const NOW: Instant = Instant::ZERO;

fn pair() -> (Mux, Mux) {
    let new = |side| Mux::new(side, MuxConfig::default(), 1, [7; 32], NOW);
    (new(Role::Server), new(Role::Client))
}

/// Moves everything both ways until nothing is left, checking the invariants after every step.
fn settle(a: &mut Mux, b: &mut Mux) {
    loop {
        let (to_b, to_a) = (a.poll_transmit(), b.poll_transmit());
        if to_b.is_none() && to_a.is_none() {
            return;
        }
        if let Some(batch) = to_b {
            b.handle_data(batch, NOW).expect("an honest peer breaks no rule");
        }
        if let Some(batch) = to_a {
            a.handle_data(batch, NOW).expect("an honest peer breaks no rule");
        }
        a.check_invariants().expect("the counters match the streams");
        b.check_invariants().expect("the counters match the streams");
    }
}

fn accept(mux: &mut Mux) -> StreamId {
    while let Some(event) = mux.poll_event() {
        if let MuxEvent::Incoming(id) = event {
            mux.accept(id, NOW).expect("a stream that was just announced is live");
            return id;
        }
    }
    panic!("no stream came in");
}

fn write_all(mux: &mut Mux, id: StreamId, data: &'static [u8]) {
    let mut data = Bytes::from_static(data);
    mux.stream(id).unwrap().write(&mut data, NOW).unwrap();
    assert!(data.is_empty());
}

fn read_all(mux: &mut Mux, id: StreamId) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        match mux.stream(id).unwrap().read(usize::MAX, NOW).unwrap() {
            Read::Data(data) => all.extend_from_slice(&data),
            Read::Empty => return (all, false),
            Read::Finished => return (all, true),
        }
    }
}

#[test]
fn what_is_written_is_read_and_each_half_ends_by_itself() {
    let (mut relay, mut agent) = pair();
    let ours = relay.open(NOW).unwrap();
    write_all(&mut relay, ours, b"question");
    relay.stream(ours).unwrap().finish(NOW).unwrap();
    settle(&mut relay, &mut agent);
    let theirs = accept(&mut agent);
    assert_eq!(read_all(&mut agent, theirs), (b"question".to_vec(), true));
    write_all(&mut agent, theirs, b"answer");
    settle(&mut relay, &mut agent);
    assert_eq!(read_all(&mut relay, ours), (b"answer".to_vec(), false));
    agent.stream(theirs).unwrap().finish(NOW).unwrap();
    settle(&mut relay, &mut agent);
    assert_eq!(read_all(&mut relay, ours), (Vec::new(), true));
    assert_eq!(relay.stats().outbound, 0);
    assert_eq!(agent.stats().inbound, 0);
}

#[test]
fn a_reader_that_stops_stops_the_writer() {
    let (mut relay, mut agent) = pair();
    let ours = relay.open(NOW).unwrap();
    let mut sent = 0;
    for _ in 0..100 {
        let mut data = Bytes::from(vec![1; 16 * 1024]);
        sent += relay.stream(ours).unwrap().write(&mut data, NOW).unwrap();
        settle(&mut relay, &mut agent);
    }
    // One receive window, and nothing behind it.
    assert_eq!(sent, 256 * 1024);
    assert_eq!((agent.stats().unread, relay.stats().unsent), (256 * 1024, 0));
    let theirs = accept(&mut agent);
    let mut read = 0;
    while read < sent {
        read += read_all(&mut agent, theirs).0.len();
        settle(&mut relay, &mut agent);
    }
    assert_eq!(read, sent);
}

#[test]
fn a_reset_after_the_end_leaves_what_was_said_readable() {
    let (mut relay, mut agent) = pair();
    let ours = relay.open(NOW).unwrap();
    write_all(&mut relay, ours, b"a long question");
    settle(&mut relay, &mut agent);
    let theirs = accept(&mut agent);
    write_all(&mut agent, theirs, b"too large");
    agent.stream(theirs).unwrap().finish(NOW).unwrap();
    // What is sent here is unwanted there, and fills what was granted.
    agent.stream(theirs).unwrap().stop(NOW);
    while relay.stream(ours).is_ok_and(|mut stream| {
        stream.write(&mut Bytes::from(vec![0; 1 << 16]), NOW).is_ok_and(|taken| taken > 0)
    }) {
        settle(&mut relay, &mut agent);
    }
    let refused = relay.stream(ours).unwrap().write(&mut Bytes::from_static(b"more"), NOW);
    assert_eq!(refused, Err(StreamError::Finished));
    assert_eq!(read_all(&mut relay, ours), (b"too large".to_vec(), true));
    settle(&mut relay, &mut agent);
    assert!(relay.stream(ours).is_err(), "both halves are over");
}

#[test]
fn a_reset_is_never_an_end() {
    let (mut relay, mut agent) = pair();
    let ours = relay.open(NOW).unwrap();
    write_all(&mut relay, ours, b"half a que");
    settle(&mut relay, &mut agent);
    let theirs = accept(&mut agent);
    relay.stream(ours).unwrap().reset(3, NOW);
    settle(&mut relay, &mut agent);
    assert!(matches!(agent.stream(theirs).unwrap().read(usize::MAX, NOW), Err(StreamError::Reset(_))));
    assert!(matches!(agent.poll_event(), Some(MuxEvent::Reset(id, _)) if id == theirs));
    assert!(agent.stream(theirs).is_err());
}

#[test]
fn bytes_that_are_read_lie_inside_the_message_that_was_received() {
    let (mut relay, mut agent) = pair();
    let ours = relay.open(NOW).unwrap();
    let mut data = Bytes::from(vec![9; 32 * 1024]);
    relay.stream(ours).unwrap().write(&mut data, NOW).unwrap();
    let header = relay.poll_transmit().unwrap();
    let message = relay.poll_transmit().unwrap();
    agent.handle_data(header, NOW).unwrap();
    agent.handle_data(message.clone(), NOW).unwrap();
    let theirs = accept(&mut agent);
    let Read::Data(read) = agent.stream(theirs).unwrap().read(usize::MAX, NOW).unwrap() else {
        panic!("nothing arrived");
    };
    assert!(message.as_ptr_range().contains(&read.as_ptr()));
}

#[test]
fn a_stream_that_ended_both_ways_before_it_was_accepted_is_given_back() {
    let (mut relay, mut agent) = pair();
    let ours = relay.open(NOW).unwrap();
    relay.stream(ours).unwrap().finish(NOW).unwrap();
    settle(&mut relay, &mut agent);
    let Some(MuxEvent::Incoming(theirs)) = agent.poll_event() else { panic!("no stream came in") };
    agent.stream(theirs).unwrap().finish(NOW).unwrap();
    settle(&mut relay, &mut agent);
    agent.accept(theirs, NOW).unwrap();
    assert_eq!(read_all(&mut agent, theirs), (Vec::new(), true));
    assert_eq!(read_all(&mut relay, ours), (Vec::new(), true));
    settle(&mut relay, &mut agent);
    assert_eq!((agent.stats().inbound, relay.stats().outbound), (0, 0));
}

#[test]
fn every_writer_that_the_limit_of_the_session_stopped_is_told_of_room() {
    let config = MuxConfig::default().with(|config| {
        config.max_stream_unsent = 4096;
        config.max_unsent = 4096;
    });
    let mut relay = Mux::new(Role::Server, config, 1, [7; 32], NOW);
    let (_, mut agent) = pair();
    let streams: Vec<StreamId> = (0..4).map(|_| relay.open(NOW).unwrap()).collect();
    for id in &streams {
        let mut data = Bytes::from(vec![0; 5000]);
        relay.stream(*id).unwrap().write(&mut data, NOW).unwrap();
        assert!(!data.is_empty());
    }
    settle(&mut relay, &mut agent);
    // None of them writes, and still nobody waits for another.
    let mut told: Vec<StreamId> = std::iter::from_fn(|| relay.poll_event())
        .filter_map(|event| if let MuxEvent::Writable(id) = event { Some(id) } else { None })
        .collect();
    told.sort_unstable();
    assert_eq!(told, streams);
}

#[test]
fn a_stream_that_stalls_below_the_limit_of_the_session_keeps_no_other_waiting() {
    let config = MuxConfig::default().with(|config| {
        config.max_stream_unsent = 300_000;
        config.max_unsent = 256 * 1024 + 100_000;
    });
    let mut relay = Mux::new(Role::Server, config, 1, [7; 32], NOW);
    let (_, mut agent) = pair();
    let streams = [400_000, 100_000, 1].map(|wanted| {
        let id = relay.open(NOW).unwrap();
        relay.stream(id).unwrap().write(&mut Bytes::from(vec![0; wanted]), NOW).unwrap();
        id
    });
    assert_eq!(relay.stats().unsent, 256 * 1024 + 100_000);
    // Nobody reads: the first can send one window, and the rest of it takes no room.
    settle(&mut relay, &mut agent);
    assert_eq!(relay.stats().unsent, 0);
    assert_eq!(relay.poll_event(), Some(MuxEvent::Writable(streams[2])));
    assert_eq!(relay.poll_event(), None);
}

#[test]
fn what_fills_a_queue_leaves_at_once_behind_its_header_without_a_copy() {
    let (mut relay, _) = pair();
    relay.poll_transmit().expect("its first ping");
    let ours = relay.open(NOW).unwrap();
    let mut data = Bytes::from(vec![9; MuxConfig::default().max_stream_unsent]);
    let (place, length) = (data.as_ptr(), data.len());
    relay.stream(ours).unwrap().write(&mut data, NOW).unwrap();
    assert!(data.is_empty());
    assert_eq!(relay.poll_transmit().expect("a header").len(), 12);
    assert!(relay.has_output(), "the payload is due");
    let payload = relay.poll_transmit().expect("a payload");
    assert_eq!((payload.as_ptr(), payload.len()), (place, length));
    assert!(!relay.has_output());
    assert_eq!(relay.poll_transmit(), None);
}

#[test]
fn nothing_comes_between_a_large_payload_and_its_header() {
    let (mut relay, mut agent) = pair();
    settle(&mut relay, &mut agent);
    let [bulk, other] = [relay.open(NOW).unwrap(), relay.open(NOW).unwrap()];
    relay.stream(bulk).unwrap().write(&mut Bytes::from(vec![9; 40_000]), NOW).unwrap();
    relay.stream(bulk).unwrap().finish(NOW).unwrap();
    let header = relay.poll_transmit().unwrap();
    assert!(header.ends_with(&40_000_u32.to_be_bytes()));
    // A stream that ends and one that begins, an answer that is due, and a smaller batch.
    relay.stream(other).unwrap().reset(0, NOW);
    let third = relay.open(NOW).unwrap();
    write_all(&mut relay, third, b"small");
    relay.handle_data(Bytes::from_static(&[0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7]), NOW).unwrap();
    relay.set_batch(4096);
    let payload = relay.poll_transmit().unwrap();
    assert_eq!(payload.len(), 40_000);
    agent.handle_data(header, NOW).unwrap();
    agent.handle_data(payload, NOW).unwrap();
    settle(&mut relay, &mut agent);
    let mut read = [accept(&mut agent), accept(&mut agent)].map(|theirs| read_all(&mut agent, theirs));
    read.sort();
    assert!(read == [(vec![9; 40_000], true), (b"small".to_vec(), false)]);
}

#[test]
fn four_streams_that_share_a_message_are_read_without_a_copy() {
    let (mut relay, mut agent) = pair();
    relay.poll_transmit().expect("its first ping");
    for _ in 0..4 {
        let ours = relay.open(NOW).unwrap();
        let mut data = Bytes::from(vec![9; 4 * 1024]);
        relay.stream(ours).unwrap().write(&mut data, NOW).unwrap();
    }
    let message = relay.poll_transmit().unwrap();
    assert_eq!(relay.poll_transmit(), None);
    agent.handle_data(message.clone(), NOW).unwrap();
    for _ in 0..4 {
        let theirs = accept(&mut agent);
        let Read::Data(read) = agent.stream(theirs).unwrap().read(usize::MAX, NOW).unwrap() else {
            panic!("nothing arrived");
        };
        assert_eq!(read.len(), 4 * 1024);
        assert!(message.as_ptr_range().contains(&read.as_ptr()));
    }
}
