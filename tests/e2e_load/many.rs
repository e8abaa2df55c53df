//! One relay and many agents that nobody visits. `HVYM_TUNNEL_AGENTS` says how many, for a longer look.
#![cfg(target_os = "linux")]

use std::time::Instant;

use hvym_tunnel_tests::crowd::Crowd;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel};

/// How many, unless told.
const AGENTS: usize = 500;
/// What one of them may cost a relay: its connection with its buffers, its session, its task, and their places in
/// tables. Twice what it costs without optimization.
const MOST_EACH: u64 = 144 * 1024;
/// How many times as long as alone a visit may take among them, and how much longer whatever else the machine does,
/// microseconds. Each agent looked at for each visit would be a hundred times as long.
const MOST_SLOWER: u128 = 4;
const SLACK: u128 = 20_000;
/// Visits that are timed before and after.
const VISITS: usize = 200;

/// How long visits take on one connection: the middle one and the one that only one of a hundred exceeds, microseconds.
fn latency(tunnel: &Tunnel) -> [u128; 2] {
    let mut visitor = tunnel.visit();
    let mut times: Vec<_> = (0..VISITS)
        .map(|_| {
            let asked = Instant::now();
            visitor.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
            let head = visitor.head().expect("an answer");
            assert_eq!(visitor.body(&head).expect("a whole answer"), b"ok");
            asked.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    [times[VISITS / 2], times[VISITS * 99 / 100]]
}

#[test]
fn agents_that_nobody_visits_cost_little_and_are_all_kept() {
    let count =
        std::env::var("HVYM_TUNNEL_AGENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(AGENTS);
    let [agents, connections] = [count + 1, 2 * count + 1024].map(|limit| limit.to_string());
    let relay = Relay::start(&["--max-agents", &agents, "--max-connections", &connections]);
    let agent = Agent::start(&relay, Origin::saying(b"ok").port, &[]);
    let mut tunnel = Tunnel { relay, agent };
    let alone = latency(&tunnel);
    let before = tunnel.relay.program.memory("VmRSS");
    let crowd = Crowd::join(&tunnel.relay, count);
    let after = tunnel.relay.program.memory("VmRSS");
    let among = latency(&tunnel);
    let each = after.saturating_sub(before) / count as u64;
    println!(
        "{count} agents: {} KiB each, {} MiB in all; a visit took {} µs, 99 % {} µs, and takes {} µs, 99 % {} µs",
        each / 1024,
        after / 1024 / 1024,
        alone[0],
        alone[1],
        among[0],
        among[1],
    );
    assert!(each <= MOST_EACH, "{each} bytes for each agent");
    let slower = |which: usize| among[which].saturating_sub(SLACK) > alone[which] * MOST_SLOWER;
    assert!(!slower(0) && !slower(1), "{alone:?} µs alone, {among:?} µs among others");
    assert_eq!(crowd.lost(), Vec::<String>::new());
    // That of the one agent came first.
    for _ in 0..=count {
        tunnel.relay.program.event("agent_joined");
    }
    drop(crowd);
    for _ in 0..count {
        tunnel.relay.program.event("agent_left");
    }
    // The one that is visited is still there.
    latency(&tunnel);
}
