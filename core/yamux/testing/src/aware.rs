//! Random steps that fit the state: without this most of them would concern streams that are gone, or do nothing.
//!
//! Four of five steps are replaced by the nearest one that can do something; every fifth stays as it is, so that what
//! makes no sense is tried too.

use core::time::Duration;

use crate::model::{Half, opener};
use crate::ops::{End, Op, Ops};
use crate::run::{Outcome, World};

/// The longest jump of the clock, beyond every timeout of the profiles but not beyond all together.
const MAX_JUMP: Duration = Duration::from_millis(2500);

/// Runs `ops` with steps that fit.
pub fn run_aware(ops: &Ops) -> Result<Outcome, String> {
    let mut world = World::new(ops.setup.clone(), None);
    for (n, step) in ops.steps.iter().enumerate() {
        let step = if n % 5 == 4 { *step } else { world.fitting(*step, n) };
        world.step(step).map_err(|why| format!("{why}\n{:?}, step {n}: {step:?}", ops.setup))?;
        world.check().map_err(|why| format!("{why}\n{:?}, after step {n}: {step:?}", ops.setup))?;
    }
    world.finish().map_err(|why| format!("{why}\n{:?}, at the end", ops.setup))?;
    Ok(world.outcome)
}

impl World {
    fn fitting(&mut self, op: Op, n: usize) -> Op {
        match op {
            Op::Accept(end, pick) => [end, 1 - end]
                .into_iter()
                .find_map(|end| {
                    let waits =
                        |id: u32, half: &Half| half.is_usable() && opener(id) != end && !half.accepted;
                    self.nearest(end, pick, waits).map(|pick| Op::Accept(end, pick))
                })
                .unwrap_or(Op::Pump(1)),
            Op::Write(end, pick, size) => {
                let writable = self.nearest(end, pick, |_, half| half.is_usable() && !half.finished);
                writable.map_or(Op::Open(end), |pick| Op::Write(end, pick, size))
            }
            Op::Read(end, pick, size) => {
                let arrived = |half: &Half| half.heard.payload > half.read || (half.heard.fin && !half.ended);
                let readable =
                    self.nearest(end, pick, |_, half| half.is_usable() && !half.stopped && arrived(half));
                readable.map_or(Op::Pump(1), |pick| Op::Read(end, pick, size))
            }
            Op::Finish(end, pick) => {
                let open = self.nearest(end, pick, |_, half| half.is_usable() && !half.finished);
                open.map_or(Op::Open(end), |pick| Op::Finish(end, pick))
            }
            Op::Reset(end, pick) => {
                let live = self.nearest(end, pick, |_, half| half.is_usable());
                live.map_or(Op::Open(end), |pick| Op::Reset(end, pick))
            }
            Op::Stop(end, pick) => {
                let live = self.nearest(end, pick, |_, half| half.is_usable() && !half.stopped);
                live.map_or(Op::Open(end), |pick| Op::Stop(end, pick))
            }
            Op::Pull(end) if !self.ends[end].mux.has_output() => self.fitting(Op::Write(end, 0, 1000 + n), n),
            Op::Deliver(end, _) if self.ends[1 - end].way.is_empty() => Op::Pull(1 - end),
            Op::Advance(time) => Op::Advance(time.min(MAX_JUMP)),
            Op::Back(end, time) => Op::Back(end, time.min(MAX_JUMP)),
            // Drivers that take output away, most of the time: otherwise the first deadline is always the session's.
            Op::Due | Op::Timeout(_)
                if self.ends.iter().any(|end| end.mux.has_output()) && !n.is_multiple_of(16) =>
            {
                Op::Pump(2)
            }
            Op::Timeout(_) if !self.setup.calm => Op::Due,
            other => other,
        }
    }

    /// The pick of the stream for which `fits` holds, nearest to the one that `pick` names.
    fn nearest(&mut self, end: End, pick: u8, fits: impl Fn(u32, &Half) -> bool) -> Option<u8> {
        let known = self.ends[end].known.clone();
        (0..known.len()).find_map(|away| {
            let pick = (usize::from(pick) + away) % known.len();
            // Picks count from the latest stream.
            let id = known[known.len() - 1 - pick];
            let half = self.model.half(end, id);
            if fits(id, half) { u8::try_from(pick).ok() } else { None }
        })
    }
}
