//! Each dial has an id: what happens to the socket of an earlier dial never ends or feeds a later one.

use bytes::Bytes;
use hvym_tunnel_core::agent::{AgentEvent, AttemptId};
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message, Transmit};
use hvym_tunnel_core::plane::MessageLimits;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::LinkId;
use hvym_tunnel_tests::ends::{AgentEnd, RelayEnd, pair};
use hvym_tunnel_tests::pair::{Dials, Pair, wall};

type World = Pair<AgentEnd, RelayEnd>;

/// An agent that dials a second time, the first dial, and the second.
fn second_dial() -> (World, AttemptId, AttemptId) {
    let mut pair = pair();
    pair.dials = Dials::Hang;
    pair.settle();
    pair.now = pair.next_at().expect("the time limit of the dial");
    pair.settle();
    pair.now = pair.next_at().expect("the second dial");
    pair.settle();
    match pair.agent.attempts()[..] {
        [first, second] => (pair, first, second),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn the_late_end_of_an_earlier_dial_does_not_end_the_one_under_way() {
    let (mut pair, first, second) = second_dial();
    assert_ne!(first, second);
    let (ends, deadline) = (pair.agent.downs().len(), pair.agent.machine.poll_timeout());
    pair.agent.machine.handle_close_from(first, Close::abnormal("refused after all"), pair.now);
    pair.settle();
    assert_eq!((pair.agent.downs().len(), pair.agent.machine.poll_timeout()), (ends, deadline));
    pair.agent.machine.handle_close_from(second, Close::abnormal("refused"), pair.now);
    pair.settle();
    assert_eq!(pair.agent.downs().len(), ends + 1);
    assert_eq!(pair.agent.downs()[ends].0, &DownReason::Unreachable("refused".into()));
}

#[test]
fn a_socket_that_opens_for_an_earlier_dial_is_not_taken_for_the_one_under_way() {
    let (mut pair, first, second) = second_dial();
    assert!(!pair.agent.machine.handle_open(first, wall(pair.now), pair.now));
    assert_eq!(pair.agent.machine.attempt(), Some(second));
    assert!(pair.agent.machine.poll_transmit().is_none());
    // The one under way can still succeed.
    pair.dials = Dials::Succeed;
    pair.up();
    assert_eq!(pair.relay.accepted, 1);
}

#[test]
fn the_end_and_the_messages_of_an_earlier_socket_do_not_reach_a_later_link() {
    let mut pair = pair();
    pair.up();
    pair.cut();
    pair.up();
    let [first, second] = pair.agent.attempts()[..] else { panic!("two dials") };
    let told = pair.agent.events.len();
    let garbage = Message::Text(Bytes::from_static(b"not a control message"));
    pair.agent.machine.handle_message_from(first, garbage.clone(), pair.now);
    pair.agent.machine.handle_close_from(first, Close::abnormal("gone"), pair.now);
    assert!(!pair.agent.machine.handle_open(first, wall(pair.now), pair.now));
    assert!(!pair.agent.machine.handle_open(second, wall(pair.now), pair.now), "an open socket opens once");
    pair.settle();
    assert!(pair.agent.machine.is_up());
    assert_eq!(pair.agent.events.len(), told);
    pair.agent.machine.handle_message_from(second, garbage, pair.now);
    assert!(matches!(pair.agent.machine.poll_event(), Some(AgentEvent::Down { .. })));
}

#[test]
fn a_socket_that_opens_between_two_dials_is_closed_by_the_agent() {
    let mut pair = pair();
    pair.dials = Dials::Fail;
    pair.settle();
    assert_eq!(pair.agent.machine.attempt(), None);
    let first = pair.agent.attempts()[0];
    assert!(pair.agent.machine.handle_open(first, wall(pair.now), pair.now));
    assert!(matches!(pair.agent.machine.poll_transmit(), Some(Transmit::Close(_))));
    assert_eq!(pair.agent.machine.attempt(), None);
}

#[test]
fn a_native_link_leaves_the_size_of_messages_to_the_runner() {
    let mut pair = pair();
    pair.up();
    let attempt = pair.agent.machine.attempt().expect("a link");
    assert_eq!(pair.agent.machine.limits(attempt), MessageLimits::NATIVE);
    assert_eq!(pair.relay.session().limits(LinkId::FIRST), MessageLimits::NATIVE);
}
