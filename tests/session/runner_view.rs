//! What a runner asks an agent or a session about: output of streams, the data plane, when something arrived last.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::dialect::MUX_YAMUX;
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message, Transmit};
use hvym_tunnel_core::plane::MessageLimits;
use hvym_tunnel_tests::ends::{opening, pair, session_config, write};

#[test]
fn streams_have_output_until_all_of_it_is_polled() {
    let mut pair = pair();
    assert!(!pair.agent.machine.has_output(), "without a link");
    pair.up();
    pair.run(Duration::from_secs(1));
    let now = pair.now;
    assert!(!pair.relay.session().has_output(), "nothing was written");
    let id = pair.relay.session().open(&opening("web"), now).expect("room");
    assert_eq!(write(pair.relay.session(), id, b"ask", now), 3);
    assert!(pair.relay.session().has_output());
    pair.run(Duration::from_secs(1));
    assert!(!pair.relay.session().has_output(), "all of it is sent");
    let now = pair.now;
    let (id, _) = pair.agent.opened().pop().expect("announced");
    assert_eq!(write(&mut pair.agent.machine, id, b"answer", now), 6);
    assert!(pair.agent.machine.has_output());
    pair.run(Duration::from_secs(1));
    assert!(!pair.agent.machine.has_output(), "all of it is sent");
}

#[test]
fn the_data_plane_is_known_while_the_link_is_up() {
    let mut pair = pair();
    assert_eq!(pair.agent.machine.plane(), None);
    pair.up();
    let plane = pair.agent.machine.plane().expect("up");
    assert_eq!((plane.protocol, plane.limits), (MUX_YAMUX, MessageLimits::NATIVE));
    pair.agent.machine.handle_close(Close::abnormal("lost"), pair.now);
    assert_eq!(pair.agent.machine.plane(), None);
}

#[test]
fn a_session_that_ended_hears_nothing() {
    let mut pair = pair();
    pair.up();
    let later = pair.now + Duration::from_secs(1);
    let session = pair.relay.session();
    let ping = || Message::Text(Bytes::from_static(br#"{"type":"ping","id":7}"#));
    session.handle_message(ping(), later);
    assert_eq!(session.last_received(), later);
    assert!(matches!(session.poll_transmit(), Some(Transmit::Send(_))), "the pong");
    session.handle_close(Close::abnormal("lost"), later);
    session.handle_message(ping(), later + Duration::from_secs(1));
    assert_eq!((session.last_received(), session.poll_transmit()), (later, None));
}

#[test]
fn the_settings_of_a_link_can_be_shown_with_a_fallback() {
    let shown = format!("{:?}", session_config().link.fallback);
    assert_eq!(shown, "Some(SharedFallback(..))");
}
