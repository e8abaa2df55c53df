//! Lives through what a plan says, and makes plans that fail smaller.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::log::note;
use crate::plan::{Plan, Step};
use crate::world::{Counts, World};

/// Worlds that are tried to find a smaller one that fails too.
const MAX_TRIALS: u32 = 200;

/// Lives through a plan, and through what must hold after it.
///
/// # Panics
/// Something did not hold.
pub(crate) fn live(plan: &Plan) -> Counts {
    let mut world = World::new(plan);
    for step in &plan.steps {
        note(world.now, || format!("{step:?}"));
        match *step {
            Step::Crowd => world.crowd(),
            Step::Run(time) => world.run(time),
            Step::Fault(fault, name) => world.fault(fault, name),
            Step::Hush => world.hush(),
        }
    }
    world.heal();
    world.counts()
}

fn fails(plan: &Plan) -> bool {
    catch_unwind(AssertUnwindSafe(|| live(plan))).is_err()
}

/// The least plan that still fails which leaving out visitors and steps leads to.
pub(crate) fn shrink(plan: &Plan, fails: &mut dyn FnMut(&Plan) -> bool) -> Plan {
    let mut least = plan.clone();
    let mut trials = 0;
    loop {
        let before = (least.visitors.len(), least.steps.len());
        let mut without = |candidate: &Plan| {
            trials += 1;
            trials <= MAX_TRIALS && fails(candidate)
        };
        for size in halves(least.steps.len()) {
            least = drop_runs(
                least,
                size,
                |plan, range| drop(plan.steps.drain(range)),
                |plan| plan.steps.len(),
                &mut without,
            );
        }
        for size in halves(least.visitors.len()) {
            least = drop_runs(
                least,
                size,
                |plan, range| drop(plan.visitors.drain(range)),
                |plan| plan.visitors.len(),
                &mut without,
            );
        }
        if (least.visitors.len(), least.steps.len()) == before || trials > MAX_TRIALS {
            return least;
        }
    }
}

/// Sizes of what is left out at once, from a half down to one.
fn halves(count: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(count / 2), |size| Some(size / 2)).take_while(|size| *size > 0)
}

fn drop_runs(
    mut least: Plan,
    size: usize,
    leave_out: impl Fn(&mut Plan, std::ops::Range<usize>),
    count: impl Fn(&Plan) -> usize,
    fails: &mut dyn FnMut(&Plan) -> bool,
) -> Plan {
    let mut at = 0;
    while at + size <= count(&least) {
        let mut candidate = least.clone();
        leave_out(&mut candidate, at..at + size);
        if fails(&candidate) {
            least = candidate;
        } else {
            at += size;
        }
    }
    least
}

/// Lives through the plan of a seed.
///
/// # Panics
/// Something did not hold; a smaller plan that fails too has been printed, with what failed there.
pub(crate) fn live_or_shrink(plan: &Plan) -> Counts {
    match catch_unwind(AssertUnwindSafe(|| live(plan))) {
        Ok(counts) => counts,
        Err(panic) => {
            eprintln!("HVYM_WORLD_SEEDS=={} fails; leaving out what is not needed for it", plan.seed);
            if std::env::var_os("HVYM_WORLD_SHRINK").is_some_and(|value| value == "0") {
                std::panic::resume_unwind(panic);
            }
            let least = shrink(plan, &mut fails);
            eprintln!("HVYM_WORLD_SEEDS=={} in short:\n{least:#?}", plan.seed);
            live(&least);
            std::panic::resume_unwind(panic);
        }
    }
}
