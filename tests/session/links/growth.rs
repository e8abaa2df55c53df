//! How many links there are: more while they hold several streams back, fewer when they do not.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_tests::ends::{read, session_config};
use hvym_tunnel_tests::links::{Net, Visit};
use hvym_tunnel_tests::wire::WireConfig;

use super::{SECOND, config, visit};

/// Both ends write whatever their links take, for `time`: the service as visitors' downloads, or the visitors.
fn bulk(net: &mut Net, visits: &[Visit], downloads: bool, time: Duration) {
    let piece = Bytes::from(vec![7; 64 * 1024]);
    let end = net.now + time;
    while net.now < end {
        let now = net.now;
        let streams: Vec<_> = net.agent.opened().iter().map(|(id, _)| *id).collect();
        for (visit, id) in visits.iter().zip(streams) {
            let _all = (net.read(*visit), read(&mut net.agent.machine, id, now));
            let written = match downloads {
                true => net.agent.machine.stream(id).map(|mut stream| stream.write(&mut piece.clone(), now)),
                false => net
                    .session_of(*visit)
                    .stream(visit.id)
                    .map(|mut stream| stream.write(&mut piece.clone(), now)),
            };
            assert!(matches!(written, Ok(Ok(_))), "{written:?}");
        }
        net.run(Duration::from_millis(5));
    }
}

/// The most links while so many streams have more to send than the wire takes, and the net after it.
fn links_with_bulk(streams: usize, downloads: bool, room: usize) -> (usize, Net, Vec<Visit>) {
    let wire = WireConfig { room, ..WireConfig::default() };
    let mut net = Net::new(config(), session_config(), wire, [7; 32]);
    net.up(1);
    let visits: Vec<Visit> = (0..streams).map(|_| visit(&mut net)).collect();
    net.run(SECOND);
    let mut most = 1;
    for _ in 0..15 {
        bulk(&mut net, &visits, downloads, SECOND);
        most = most.max(net.agent.machine.links());
    }
    (most, net, visits)
}

#[test]
fn links_that_hold_several_streams_back_become_more_whichever_side_sends() {
    for downloads in [true, false] {
        let (links, mut net, _) = links_with_bulk(4, downloads, 32 * 1024);
        assert_eq!(links, 8, "downloads: {downloads}");
        // Who needs them no more, since a second ago at most, gives them up, one after the other, and never the last.
        net.run(SECOND * 58);
        assert_eq!(net.agent.machine.links(), 8);
        net.run(SECOND * 3);
        assert_eq!(net.agent.machine.links(), 7);
        net.run(SECOND * 600);
        assert_eq!((net.agent.machine.links(), net.agent.downs().len()), (1, 0), "downloads: {downloads}");
    }
}

#[test]
fn one_stream_alone_or_a_link_that_takes_all_needs_no_other() {
    assert_eq!(links_with_bulk(1, true, 32 * 1024).0, 1, "one stream cannot be spread");
    assert_eq!(links_with_bulk(1, false, 32 * 1024).0, 1, "one stream cannot be spread");
    assert_eq!(links_with_bulk(4, true, 64 * 1024 * 1024).0, 1, "nothing waits");
}

#[test]
fn streams_of_a_link_that_carries_much_more_than_another_are_not_kept_for_other_requests() {
    let (links, mut net, visits) = links_with_bulk(4, true, 32 * 1024);
    assert_eq!(links, 8);
    let fresh = visit(&mut net);
    let now = net.now;
    let mut is_kept = |visit: Visit, now| net.session_of(visit).is_kept(visit.id, now);
    assert_eq!(visits.iter().filter(|visit| is_kept(**visit, now)).count(), 0, "all began on the first link");
    assert!(is_kept(fresh, now), "it is on one that has nothing to carry");
    assert!(is_kept(visits[0], now + SECOND * 2), "nothing passed for a while");
}
