//! The memory of a process that has nothing to do.
#![cfg(target_os = "linux")]

use std::time::Instant;

use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Relay, request};

/// The least that the code is worth which the start alone needs.
const START_BYTES: u64 = 3 * 1024 * 1024;

#[test]
fn code_that_only_the_start_needed_is_not_held() {
    let relay = Relay::start(&[]);
    let (begun, deadline) = (relay.program.memory("RssFile"), Instant::now() + PATIENCE);
    while relay.program.memory("RssFile") + START_BYTES > begun {
        assert!(Instant::now() < deadline, "{begun} bytes, and {} now", relay.program.memory("RssFile"));
        std::thread::yield_now();
    }
    let mut visitor = relay.visit();
    visitor.send(request("localhost", "GET", "/health", &[])).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
}
