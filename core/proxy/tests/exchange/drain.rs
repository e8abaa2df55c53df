//! Connections of visitors when a relay drains.

use std::time::Duration;

use hvym_proxy::{Closing, ProxyConfig};

use crate::rig::{GET, Rig, Said};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// How long a connection waits for a request that may be on its way.
const LINGER: Duration = Duration::from_millis(1000);

#[test]
fn a_relay_that_drains_ends_each_connection_after_what_is_under_way() {
    let mut busy = Rig::new();
    busy.visit(GET);
    busy.exchange.drain(LINGER, busy.now);
    busy.run();
    busy.answer(OK);
    assert!(busy.seen().contains("Connection: close"));
    assert_eq!(busy.said.last(), Some(&Said::Closed(Closing::Orderly)));
}

#[test]
fn a_connection_that_is_idle_when_a_relay_drains_carries_the_request_that_is_on_its_way() {
    // Line ends ahead of a request are none (RFC 9112 section 2.2).
    for ahead in ["", "\r\n"] {
        let mut silent = Rig::new();
        silent.visit(ahead);
        silent.wait(5000);
        silent.exchange.drain(LINGER, silent.now);
        silent.wait(999);
        assert_eq!(silent.drained(), [], "too soon");
        silent.wait(1);
        assert_eq!(silent.drained(), [Said::Closed(Closing::Orderly)]);
    }
    let mut late = Rig::new();
    late.visit(GET);
    late.answer(OK);
    late.wait(5000);
    late.exchange.drain(LINGER, late.now);
    late.wait(999);
    // It has begun, and may take as long as any.
    late.visit(&GET[..5]);
    late.wait(1);
    late.visit(&GET[5..]);
    late.answer(OK);
    assert!(late.seen().contains("Connection: close"));
    assert_eq!(late.said.last(), Some(&Said::Closed(Closing::Orderly)));
    let mut at_once = Rig::new();
    at_once.exchange.drain(Duration::ZERO, at_once.now);
    at_once.run();
    assert_eq!(at_once.drained(), [Said::Closed(Closing::Orderly)]);
}

#[test]
fn a_head_that_has_begun_has_no_more_time_when_a_relay_drains() {
    let mut rig = Rig::with(ProxyConfig { head_timeout: Duration::from_millis(100), ..ProxyConfig::DEFAULT });
    rig.visit(&GET[..5]);
    rig.wait(60);
    rig.exchange.drain(LINGER, rig.now);
    assert_eq!(rig.deadline(), Some(40));
}

#[test]
fn a_visitor_whose_response_had_begun_when_a_relay_drains_may_ask_once_more() {
    let mut rig = Rig::new();
    rig.visit(GET);
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    rig.exchange.drain(LINGER, rig.now);
    rig.wait(5000);
    rig.answer("hi");
    assert!(!rig.seen().contains("close"));
    rig.wait(999);
    rig.visit(GET);
    rig.answer(OK);
    assert!(rig.seen().contains("Connection: close"));
    assert_eq!(rig.said.last(), Some(&Said::Closed(Closing::Orderly)));
}
