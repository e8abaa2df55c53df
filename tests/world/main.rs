//! A whole world in one deterministic test: visitors of every kind, a relay, agents and their services, over lines with
//! delay, rate and faults, faster than real time.
//!
//! `HVYM_WORLD_SEEDS` names how many seeds are tried, or one as `=SEED`; `HVYM_WORLD_HOURS` how long each world lives. In two
//! minutes of each busy time everybody acts; the rest of its life the agents are idle. A seed that fails is printed, and what it
//! needs to fail; `HVYM_WORLD_SHRINK=0` leaves that out, and `HVYM_WORLD_LOG=1` tells what happens.
//! `HVYM_WORLD_TRACE` names a file that a relay has written by `--trace`, which is lived through instead of the recorded one.
//!
//! That it finds what it is for was tried by breaking the code. Each of these is found within 100 seeds of an hour:
//!
//! | what was broken | first at seed |
//! |---|---|
//! | connections to a service go to other visitors whatever they carried | 6 |
//! | streams that visitors reset count against the link | 8 |
//! | data beyond what the peer granted waits in what all streams share | 0 |
//! | too much unread data resets the oldest stream instead of one of the group that holds most | 46 |
//! | one visitor has no share of the places of a service | 0 |
//! | output that a socket takes is no sign of life for the keepalive | 26 |

mod agent;
mod checks;
mod copy;
mod faults;
mod hosted;
mod life;
mod line;
mod links;
mod log;
mod plan;
mod relay;
mod replay;
mod requests;
mod service;
mod talk;
mod visitor;
mod visitor_kind;
mod world;

use plan::{Plan, Step};
use world::Counts;

/// Seeds of the short form.
const SEEDS: u64 = 4;
/// Hours that each world lives.
const HOURS: u64 = 4;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

fn each_seed(is_peaceful: bool) {
    let (first, seeds) =
        match std::env::var("HVYM_WORLD_SEEDS").ok().as_deref().and_then(|text| text.strip_prefix('=')) {
            Some(one) => (one.parse().expect("a seed is a number"), 1),
            None => (number("HVYM_WORLD_FIRST", 0), number("HVYM_WORLD_SEEDS", SEEDS)),
        };
    let hours = number("HVYM_WORLD_HOURS", HOURS);
    let mut sum = Counts::default();
    for seed in first..first + seeds {
        eprintln!("HVYM_WORLD_SEEDS=={seed}");
        let counts = life::live_or_shrink(&Plan::of_seed(seed, is_peaceful, hours));
        sum.answered += counts.answered;
        sum.excused += counts.excused;
        sum.faults += counts.faults;
        sum.ups += counts.ups;
        sum.asked += counts.asked;
        sum.most_links = sum.most_links.max(counts.most_links);
    }
    println!("{} hours: {sum:?}", seeds * hours);
    assert!(sum.answered > seeds * 10, "{sum:?}");
}

#[test]
fn an_honest_world_answers_every_request() {
    each_seed(true);
}

#[test]
fn whatever_others_do_an_honest_visitor_is_answered_and_gets_only_its_own() {
    each_seed(false);
}

/// `HVYM_WORLD_TRACE` names another trace.
#[test]
fn what_a_relay_recorded_is_lived_through_again() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/trace/relay.jsonl");
    let path = std::env::var("HVYM_WORLD_TRACE").unwrap_or_else(|_| golden.to_owned());
    let plan = replay::plan(&std::fs::read_to_string(&path).expect("a trace"));
    let counts = life::live_or_shrink(&plan);
    let wanted = replay::answers(&plan) as u64;
    println!("{} visitors, {wanted} answers: {counts:?}", plan.visitors.len());
    assert!(wanted > 0 && counts.answered + counts.excused >= wanted, "{wanted} answers: {counts:?}");
}

#[test]
fn a_plan_that_fails_is_reduced_to_what_makes_it_fail() {
    let plan = Plan::of_seed(2, false, 1);
    let crowd = plan.visitors.len();
    let least = life::shrink(&plan, &mut |plan| {
        plan.visitors.iter().any(|visitor| visitor.number == crowd / 3)
            && plan.steps.iter().filter(|step| matches!(step, Step::Crowd)).count() == 2
    });
    let numbers: Vec<_> = least.visitors.iter().map(|visitor| visitor.number).collect();
    assert_eq!((numbers, least.steps), (vec![crowd / 3], vec![Step::Crowd, Step::Crowd]));
}
