//! A run in which somebody between the sessions changes one byte.

use crate::meddler::Meddler;
use crate::ops::Ops;
use crate::run::{Checked, World};

/// Runs `ops` while one byte on the way is changed. What came before is held to the model; after that both sessions
/// must keep their own house in order and come to rest, whatever they believe of each other.
pub fn run_with_a_man_in_the_middle(ops: &Ops, place: [u8; 4]) -> Checked {
    let mut world = World::new(ops.setup.clone(), None);
    let [end, high, low, change] = place;
    world.meddler = Some(Meddler {
        end: usize::from(end & 1),
        after: usize::from(u16::from_be_bytes([high, low])),
        change: change.max(1),
    });
    for step in &ops.steps {
        let outcome = world.step(*step).and_then(|()| world.check());
        if world.meddler.is_some() {
            outcome?;
        }
        for end in &world.ends {
            end.mux.check_invariants()?;
        }
    }
    for _ in 0..10_000 {
        let outcome = world.settle_once();
        if world.meddler.is_some() {
            outcome.clone()?;
        }
        for end in &world.ends {
            end.mux.check_invariants()?;
        }
        if matches!(outcome, Ok(false)) {
            return Ok(());
        }
        if world.meddler.is_none() {
            // The model is out of step, and so is what is read by its rules: only the bytes still move.
            return world.rest();
        }
    }
    Err("it never comes to rest".into())
}

impl World {
    /// Moves bytes both ways until nothing moves.
    fn rest(&mut self) -> Checked {
        for _ in 0..10_000 {
            let mut moved = false;
            for end in 0..2 {
                while let Some(batch) = self.ends[end].mux.poll_transmit() {
                    moved = true;
                    let _ = self.ends[1 - end].mux.handle_data(batch, self.now);
                }
                while self.ends[end].mux.poll_event().is_some() {}
                self.ends[end].mux.check_invariants()?;
            }
            if !moved {
                return Ok(());
            }
        }
        Err("it never comes to rest".into())
    }
}
