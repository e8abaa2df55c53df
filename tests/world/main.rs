//! A whole world in one deterministic test: visitors of every kind, a relay, agents and their services, over lines with
//! delay, rate and faults, faster than real time.
//!
//! `HVYM_WORLD_SEEDS` names how many seeds are tried, or one as `=SEED`; `HVYM_WORLD_HOURS` how long each world lives;
//! `HVYM_WORLD_REUSE=always` puts a fault into the relay, which must be found.

mod agent;
mod hosted;
mod line;
mod links;
mod relay;
mod service;
mod visitor;
mod world;

use std::time::Duration;

use hvym_proxy::Reuse;
use hvym_proxy::pool::PoolConfig;
use world::{Counts, World, WorldConfig};

/// Seeds of the short form.
const SEEDS: u64 = 4;
/// Hours that each world lives.
const HOURS: u64 = 4;
/// Busy times in the life of a world; between them nobody visits.
const BUSY: u32 = 2;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// Lives through busy times with faults and quiet ones.
fn live(seed: u64, config: &WorldConfig, hours: u64) -> Counts {
    let mut world = World::new(seed, config);
    world.run(Duration::from_secs(5));
    for _ in 0..BUSY {
        world.crowd();
        for _ in 0..6 {
            world.run(Duration::from_secs(10));
            if world.chance(3) {
                world.fault();
            }
        }
        world.hush();
        world.run(Duration::from_secs(hours * 3600) / BUSY);
    }
    world.heal();
    world.counts()
}

fn each_seed(config: impl Fn(u64) -> WorldConfig) {
    let (first, seeds) =
        match std::env::var("HVYM_WORLD_SEEDS").ok().as_deref().and_then(|text| text.strip_prefix('=')) {
            Some(one) => (one.parse().expect("a seed is a number"), 1),
            None => (0, number("HVYM_WORLD_SEEDS", SEEDS)),
        };
    let hours = number("HVYM_WORLD_HOURS", HOURS);
    let mut sum = Counts::default();
    for seed in first..first + seeds {
        eprintln!("HVYM_WORLD_SEEDS=={seed}");
        let counts = live(seed, &config(seed), hours);
        sum.answered += counts.answered;
        sum.excused += counts.excused;
        sum.faults += counts.faults;
        sum.ups += counts.ups;
        sum.asked += counts.asked;
    }
    println!("{sum:?}");
    assert!(sum.answered > seeds * 10, "{sum:?}");
}

#[test]
fn an_honest_world_answers_every_request() {
    each_seed(|_| WorldConfig { is_peaceful: true, ..WorldConfig::default() });
}

/// Puts a fault back into the relay, to see that a broken rule is noticed.
fn pool() -> PoolConfig {
    let reuse = if std::env::var("HVYM_WORLD_REUSE").as_deref() == Ok("always") {
        Reuse::Always
    } else {
        Reuse::Safe
    };
    PoolConfig { reuse, ..PoolConfig::DEFAULT }
}

#[test]
fn whatever_others_do_an_honest_visitor_is_answered_and_gets_only_its_own() {
    each_seed(|seed| WorldConfig {
        agents: 1 + (seed % 3) as usize,
        visitors: 8 + (seed % 7) as usize * 8,
        pool: pool(),
        ..WorldConfig::default()
    });
}
