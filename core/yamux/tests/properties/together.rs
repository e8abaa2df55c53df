//! Two honest sessions and a pipe, in any interleaving, against the model and the reader of frames.

use core::time::Duration;

use hvym_yamux_testing::aware::run_aware;
use hvym_yamux_testing::meddle::run_with_a_man_in_the_middle;
use hvym_yamux_testing::ops::{Op, Ops};
use hvym_yamux_testing::raw::{cases, raw};
use hvym_yamux_testing::run::{run, run_fidgeting};
use hvym_yamux_testing::statistics::{Kinds, measured};
use proptest::prelude::*;

/// Kinds of steps, see `ops`: moving bytes, opening, accepting, writing, reading.
const BULK: [u8; 10] = [0, 10, 15, 20, 26, 31, 31, 41, 41, 55];
/// Streams that come and go.
const CHURN: [u8; 12] = [0, 0, 10, 15, 20, 26, 31, 41, 50, 50, 53, 54];

/// Streams that are opened, filled and left alone.
const WAITING: [u8; 16] = [0, 20, 26, 26, 26, 26, 31, 31, 31, 31, 31, 31, 31, 50, 0, 26];

/// The same run with its steps taken from a menu.
fn only(mut raw: Vec<u8>, menu: &[u8]) -> Vec<u8> {
    for step in raw.chunks_mut(4).skip(1) {
        step[0] = menu[usize::from(step[0]) % menu.len()];
    }
    raw
}

/// The same run with writes that fill windows and reads that empty them, over few streams.
fn bulk(ops: &mut Ops) {
    ops.setup.chunk = ops.setup.chunk.max(1000);
    ops.setup.capacity = ops.setup.capacity.max(64 * 1024);
    for step in &mut ops.steps {
        *step = match *step {
            Op::Open(end) => Op::Write(end, 0, 262_144),
            Op::Write(end, pick, _) => Op::Write(end, pick % 2, 262_144),
            Op::Read(end, pick, _) => Op::Read(end, pick % 2, usize::MAX),
            Op::Pull(_) | Op::Deliver(..) => Op::Pump(2),
            other => other,
        };
    }
}

fn fitting(ops: &Ops) -> Result<Kinds, TestCaseError> {
    run_aware(ops).map(|outcome| outcome.kinds).map_err(TestCaseError::fail)
}

// invariants 1, 2, 5, 6, 7, 9, 10, 16, 18
#[test]
fn whatever_two_applications_do_bytes_arrive_in_order_and_only_an_end_is_an_end() {
    let required = ["incoming", "readable", "writable", "data read", "end read", "reset by peer", "stopped"];
    measured(cases(192), 200, &required, |raw| fitting(&Ops::from_bytes(&raw.0)));
}

// invariants 3, 4, 20
#[test]
fn nobody_sends_more_than_granted_or_grants_more_than_was_read_and_grown() {
    measured(cases(192), 200, &["data read", "window update", "writable"], |raw| {
        let mut ops = Ops::from_bytes(&only(raw.0, &BULK));
        bulk(&mut ops);
        fitting(&ops)
    });
}

// invariants 16, 17, 25
#[test]
fn streams_that_come_and_go_leave_nothing_behind() {
    measured(cases(192), 200, &["incoming", "end read", "reset by peer", "stopped"], |raw| {
        fitting(&Ops::from_bytes(&only(raw.0, &CHURN)))
    });
}

// invariants 2, 16, 18, 21, 28
#[test]
fn a_clock_that_jumps_ends_streams_and_sessions_by_the_rules_only() {
    let required = ["accept timeout", "open timeout", "idle timeout", "stall timeout", "session ended"];
    measured(cases(256), 260, &required, |raw| {
        let raw_len = raw.0.len() / 4;
        let mut ops = Ops::from_bytes(&only(raw.0, &WAITING));
        bulk(&mut ops);
        ops.setup.calm = false;
        ops.setup.delay = Duration::ZERO;
        if ops.setup.profile < 2 {
            // A queue that holds a whole window, so that one write is enough to use it up.
            ops.setup.profile = 6;
        }
        // Time passes after every fourth step, which is often enough for every deadline and too seldom for all at once.
        let passes = [Op::Advance(Duration::from_millis(700)), Op::Due];
        ops.steps = ops.steps.chunks(4).flat_map(|steps| steps.iter().copied().chain(passes)).collect();
        if raw_len.is_multiple_of(3) {
            ops.steps.extend([
                Op::Shutdown(0, Duration::from_secs(1)),
                Op::Pump(1),
                passes[0],
                Op::Due,
                Op::Due,
            ]);
        }
        fitting(&ops)
    });
}

proptest! {
    #![proptest_config(cases(192))]

    // invariant 11
    #[test]
    fn a_pipe_that_holds_a_single_byte_stalls_nobody(raw in raw(100)) {
        let mut ops = Ops::from_bytes(&only(raw.0, &BULK));
        ops.setup.capacity = 1;
        run(&ops).map_err(TestCaseError::fail)?;
    }

    // invariant 8
    #[test]
    fn cutting_the_same_bytes_elsewhere_changes_nothing(raw in raw(120), chunk in 1usize..3000) {
        let mut ops = Ops::from_bytes(&raw.0);
        if ops.setup.sheds() {
            // Which stream holds most at the moment the limit is passed depends on what has arrived by then.
            ops.setup.profile = 0;
        }
        // Events that wait while bytes arrive may wait in another order.
        ops.setup.eager = true;
        for step in &mut ops.steps {
            // The same sizes, however the bytes are cut.
            if let Op::Write(_, _, size) = step {
                *size = (*size).min(4096);
            }
        }
        let whole = { ops.setup.chunk = usize::MAX; run(&ops).map_err(TestCaseError::fail)? };
        for chunk in [chunk, 1] {
            ops.setup.chunk = chunk;
            prop_assert_eq!(&run(&ops).map_err(TestCaseError::fail)?, &whole);
        }
    }

    // invariant 24
    #[test]
    fn the_same_calls_give_the_same_bytes(raw in raw(120)) {
        let ops = Ops::from_bytes(&raw.0);
        let once = run(&ops).map_err(TestCaseError::fail)?;
        prop_assert_eq!(run(&ops).map_err(TestCaseError::fail)?, once);
    }

    // invariant 18
    #[test]
    fn looking_at_the_clock_too_early_changes_nothing(raw in raw(120)) {
        let mut ops = Ops::from_bytes(&raw.0);
        ops.setup.patient = true;
        let still = run(&ops).map_err(TestCaseError::fail)?;
        prop_assert_eq!(run_fidgeting(&ops).map_err(TestCaseError::fail)?, still);
    }

    // invariants 1, 9, 10, 11
    #[test]
    fn a_byte_changed_on_the_way_is_survived_or_fatal_and_harms_nothing_before_it(
        raw in raw(100),
        place in any::<[u8; 4]>(),
    ) {
        run_with_a_man_in_the_middle(&Ops::from_bytes(&raw.0), place).map_err(TestCaseError::fail)?;
    }
}
