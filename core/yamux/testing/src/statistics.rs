//! How often each kind of event occurs in the cases of a property: a property that never sees what it is about proves
//! nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use crate::raw::{Raw, raw};

/// The kinds of events of one case.
pub type Kinds = std::collections::BTreeSet<&'static str>;

/// The least share of cases, in percent, in which each kind that a property is about must occur.
const LEAST: usize = 20;
/// With fewer cases the shares vary too much to be compared.
const COMPARED: usize = 100;

/// Runs `case` on random input of up to `steps` steps, prints the share of the cases in which each kind of event
/// occurred, and fails if one of `required` occurred in less than a fifth of them.
///
/// # Panics
///
/// A case fails, or a required kind is too rare.
pub fn measured(
    config: Config,
    steps: usize,
    required: &[&'static str],
    case: impl Fn(Raw) -> Result<Kinds, TestCaseError>,
) {
    let counted = RefCell::new((0usize, BTreeMap::<&str, usize>::new()));
    let outcome = TestRunner::new(config).run(&raw(steps), |raw| {
        let kinds = case(raw)?;
        let (cases, counts) = &mut *counted.borrow_mut();
        *cases += 1;
        for kind in kinds {
            *counts.entry(kind).or_default() += 1;
        }
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, raw)) => panic!("{why}\nminimal failing input: raw = {raw:?}"),
        Err(TestError::Abort(why)) => panic!("given up: {why}"),
    }
    let (cases, counts) = counted.into_inner();
    let share = |kind: &str| counts.get(kind).map_or(0, |count| count * 100 / cases.max(1));
    for kind in counts.keys() {
        println!("{kind}: in {} % of {cases} cases", share(kind));
    }
    let rare: Vec<_> = required.iter().filter(|kind| cases >= COMPARED && share(kind) < LEAST).collect();
    assert!(rare.is_empty(), "in less than {LEAST} % of {cases} cases: {rare:?}; all: {counts:?}");
}
