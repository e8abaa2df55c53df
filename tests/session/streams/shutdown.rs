//! The end of a link in good order: new streams are refused, open ones go on, and the link ends with the last.

use std::time::Duration;

use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::link::{OpenStreamError, Streams};
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::{Message, Transmit};
use hvym_tunnel_core::mux::{MuxConfig, OpenError, StreamId};
use hvym_tunnel_core::plane::{DataPlane, PlaneEvent, PlaneStart, YamuxPlane};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::LinkId;
use hvym_tunnel_core::relay::SessionEvent;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::ends::{AgentEnd, Outcome, RelayEnd, finish, opening, pair, read, write};
use hvym_tunnel_tests::pair::Pair;

const SECOND: Duration = Duration::from_secs(1);
const DRAINING: OpenStreamError = OpenStreamError::Refused(OpenError::Draining);

/// A pair that is up, with one stream: the relay's id and the agent's.
fn with_stream() -> (Pair<AgentEnd, RelayEnd>, StreamId, StreamId) {
    let mut pair = pair();
    pair.up();
    let now = pair.now;
    let ours = pair.relay.session().open(&opening("web"), now).expect("room");
    pair.run(SECOND);
    let theirs = pair.agent.opened()[0].0;
    (pair, ours, theirs)
}

fn shut_down(pair: &mut Pair<AgentEnd, RelayEnd>, within: Duration) {
    let now = pair.now;
    pair.relay.session().shutdown(DownReason::GoingAway, now + within, now);
}

#[test]
fn a_session_that_shuts_down_opens_nothing_serves_what_is_open_and_ends_with_it() {
    let (mut pair, ours, theirs) = with_stream();
    shut_down(&mut pair, 60 * SECOND);
    let now = pair.now;
    assert_eq!(pair.relay.session().open(&opening("web"), now), Err(DRAINING));
    pair.run(SECOND);
    assert_eq!(pair.agent.machine.open(&opening("web"), pair.now), Err(DRAINING));
    write(&mut pair.agent.machine, theirs, b"answer", pair.now);
    finish(&mut pair.agent.machine, theirs, pair.now);
    pair.run(SECOND);
    let now = pair.now;
    assert_eq!(read(pair.relay.session(), ours, now), (b"answer".to_vec(), Outcome::Finished));
    assert!(pair.agent.machine.is_up() && pair.agent.downs().is_empty());
    finish(pair.relay.session(), ours, now);
    pair.run(SECOND / 10);
    read(&mut pair.agent.machine, theirs, pair.now);
    let now = pair.now;
    assert!(pair.run_until(now + SECOND, |pair| !pair.agent.downs().is_empty()));
    assert_eq!(pair.agent.downs()[0].0, &DownReason::GoingAway);
    assert_eq!(pair.relay.closings(), [&DownReason::GoingAway]);
    assert!(
        !pair
            .agent
            .events
            .iter()
            .any(|event| matches!(event, AgentEvent::Stream(event) if event.id() != theirs))
    );
}

#[test]
fn a_session_that_shuts_down_without_streams_ends_when_the_agent_knows() {
    let mut pair = pair();
    pair.up();
    shut_down(&mut pair, 60 * SECOND);
    let now = pair.now;
    assert!(pair.run_until(now + SECOND, |pair| !pair.agent.downs().is_empty()));
    assert_eq!(pair.now, now + 5 * pair.wire.config.latency, "twice there and back, and the close");
}

#[test]
fn a_session_that_shuts_down_resets_what_is_left_at_its_deadline() {
    let (mut pair, _, theirs) = with_stream();
    shut_down(&mut pair, 5 * SECOND);
    // Nothing moves the deadline.
    shut_down(&mut pair, 50 * SECOND);
    let deadline = pair.now + 5 * SECOND;
    let has_ended = |pair: &mut Pair<AgentEnd, RelayEnd>| {
        pair.relay.events.iter().any(|event| matches!(event, SessionEvent::Closed(_)))
    };
    assert!(pair.run_until(deadline, has_ended));
    assert_eq!(pair.now, deadline);
    pair.run(SECOND);
    assert!(matches!(read(&mut pair.agent.machine, theirs, pair.now).1, Outcome::Broken(_)));
}

fn plane(side: Side) -> YamuxPlane {
    let start = PlaneStart { side, mux: MuxConfig::default(), epoch: 1, seed: [9; 32], now: Instant::ZERO };
    match side {
        Side::Agent => YamuxPlane::agent(start),
        Side::Relay => YamuxPlane::relay(start),
    }
}

#[test]
fn an_owner_is_told_once_when_few_ids_are_left() {
    let mut plane = plane(Side::Relay);
    plane.inner().skip_ids((1 << 20) + 1);
    plane.open(&opening("web"), Instant::ZERO).expect("room");
    plane.open(&opening("web"), Instant::ZERO).expect("room");
    assert_eq!(plane.poll_event(), Some(PlaneEvent::IdsLow));
    assert_eq!(plane.poll_event(), None);
}

#[test]
fn a_plane_tells_that_its_peer_takes_no_new_streams() {
    let (mut relay, mut agent) = (plane(Side::Relay), plane(Side::Agent));
    relay.shutdown(Instant::from_millis(9000), Instant::ZERO);
    while let Some(message) = relay.poll_transmit() {
        assert_eq!(agent.handle_message(message, Instant::ZERO), Ok(None));
    }
    assert_eq!(agent.poll_event(), Some(PlaneEvent::GoingAway));
    while let Some(message) = agent.poll_transmit() {
        assert_eq!(relay.handle_message(message, Instant::ZERO), Ok(None));
    }
    assert_eq!(relay.poll_event(), Some(PlaneEvent::ShutDown));
}

#[test]
fn a_driver_says_how_long_messages_of_stream_data_are() {
    let (mut pair, ours, _) = with_stream();
    let now = pair.now;
    let longest = |pair: &mut Pair<AgentEnd, RelayEnd>| {
        write(pair.relay.session(), ours, &[0; 60_000], now);
        let mut longest = 0;
        while let Some(transmit) = pair.relay.session().poll_transmit() {
            if let Transmit::Send(Message::Binary(data)) = transmit {
                longest = longest.max(data.len());
            }
        }
        longest
    };
    assert_eq!(longest(&mut pair), 60_000);
    for (asked, least, most) in [(10_000, 9000, 10_000), (1, 3000, 4096)] {
        pair.relay.session().set_batch(LinkId::FIRST, asked);
        let longest = longest(&mut pair);
        assert!((least..=most).contains(&longest), "{longest} bytes, {asked} asked for");
    }
    pair.relay.session().set_batch(LinkId::FIRST, usize::MAX);
    assert_eq!(longest(&mut pair), 60_000);
}
