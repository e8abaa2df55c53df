//! What a crowd of visitors took, the relay gives back to the system when they have left.
#![cfg(target_os = "linux")]

use std::time::Instant;

use hvym_tunnel_tests::http::Conversation;
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Relay, request};

/// Below what a process may have open where nobody raised the limit.
const VISITORS: usize = 900;

fn visit(visitor: &mut Conversation) {
    visitor.send(request("localhost", "GET", "/health", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    visitor.body(&head).expect("a whole answer");
    assert_eq!(head.status(), 200);
}

#[test]
fn most_of_the_memory_of_a_peak_goes_back_to_the_system() {
    let many = VISITORS.to_string();
    let relay = Relay::start(&["--visitor-connections", &many, "--visitor-rate", &many]);
    let mut regular = relay.visit();
    visit(&mut regular);
    let before = relay.program.memory("VmRSS");
    let mut crowd: Vec<_> = (1..VISITORS).map(|_| relay.visit()).collect();
    crowd.iter_mut().for_each(visit);
    let growth = relay.program.memory("VmRSS").saturating_sub(before);
    drop(crowd);
    let deadline = Instant::now() + PATIENCE;
    loop {
        // What goes on meanwhile is little, and enough for the allocator to look what it can give back.
        visit(&mut regular);
        let kept = relay.program.memory("VmRSS").saturating_sub(before);
        if kept < growth / 2 {
            break;
        }
        assert!(Instant::now() < deadline, "{kept} bytes of {growth} are kept");
    }
}
