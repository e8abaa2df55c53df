//! Whatever a peer, a clock or an owner does: no panic, and the next honest connection works.

use std::cell::Cell;

use hvym_tunnel_core::machine::Side;
use hvym_tunnel_tests::any_input::run;
use hvym_yamux_testing::raw::Raw;
use hvym_yamux_testing::statistics::measured;
use proptest::test_runner::{Config, RngSeed};

/// The setup of a run, and acts; what is above the limit of a run makes most runs long.
const WORDS: usize = 161;
/// The most acts, in percent, that may come after the end of what is tested: they try nothing.
const MOST_IDLE: usize = 15;

/// `PROPTEST_CASES` and `PROPTEST_RNG_SEED` override it; the seed is printed.
fn cases() -> Config {
    let variable = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seed = variable("PROPTEST_RNG_SEED").unwrap_or_else(any_seed);
    println!("PROPTEST_RNG_SEED={seed}");
    let cases = variable("PROPTEST_CASES").and_then(|cases| cases.try_into().ok()).unwrap_or(256);
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() }
}

/// A number that differs from run to run.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

fn survives(subject: Side, required: &[&'static str]) {
    let (acts, idle) = (Cell::new(0), Cell::new(0));
    measured(cases(), WORDS, required, |Raw(data)| {
        let run = run(subject, &data);
        acts.set(acts.get() + run.acts);
        idle.set(idle.get() + run.idle);
        Ok(run.kinds)
    });
    let (acts, idle) = (acts.get(), idle.get());
    println!("{idle} of {acts} acts come after the end");
    assert!(idle * 100 <= acts * MOST_IDLE, "{idle} of {acts} acts come after the end");
}

#[test]
fn an_agent_survives_anything_and_comes_back() {
    survives(Side::Agent, &REQUIRED_OF_AGENTS);
}

#[test]
fn a_session_survives_anything_and_the_relay_serves_the_next_one() {
    survives(Side::Relay, &REQUIRED_OF_SESSIONS);
}

const REQUIRED_OF_AGENTS: [&str; 12] = [
    "up",
    "bound",
    "down",
    "draining",
    "latency",
    "stream",
    "stream of the agent",
    "data",
    "data at the peer",
    "reset",
    "anything while up",
    "anything before",
];

const REQUIRED_OF_SESSIONS: [&str; 11] = [
    "admission",
    "bind",
    "closed",
    "latency",
    "stream",
    "stream of the agent",
    "data",
    "data at the peer",
    "reset",
    "anything while up",
    "anything before",
];
