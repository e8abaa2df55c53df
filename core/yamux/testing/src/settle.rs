//! The end of a run: honest drivers go on until nothing moves, and then nothing may be missing.

use crate::model::{ensure, opener};
use crate::ops::End;
use crate::run::{Checked, World};
use core::time::Duration;

/// Rounds after which a run that still moves counts as endless.
const MAX_ROUNDS: usize = 200_000;
/// The longest wait that is part of sending data: a small window's.
const HOLD: Duration = Duration::from_millis(20);

impl World {
    /// Pumps until nothing moves, checks that everything arrived, closes everything, checks that nothing is left.
    pub fn finish(&mut self) -> Checked {
        self.settle()?;
        self.nothing_is_missing()?;
        for end in 0..2 {
            for id in self.ends[end].known.clone() {
                self.read(end, id, usize::MAX)?;
                self.finish_stream(end, id)?;
            }
        }
        self.settle()?;
        self.nothing_is_missing()?;
        self.nothing_is_left()
    }

    /// Honest drivers and applications: accept, read what is readable, move bytes, wait for what is held.
    pub fn settle(&mut self) -> Checked {
        for _ in 0..MAX_ROUNDS {
            if !self.settle_once()? {
                return Ok(());
            }
        }
        // invariant 11
        Err("it never settles".into())
    }

    /// One round of [`World::settle`]; whether anything moved or will.
    pub fn settle_once(&mut self) -> Result<bool, String> {
        let mut moved = false;
        for end in 0..2 {
            moved |= self.pull(end)?;
            moved |= self.deliver(1 - end, usize::MAX)?;
            self.events(end)?;
            moved |= self.read_all(end)?;
            self.timeout(end)?;
        }
        self.check()?;
        self.lose_together()?;
        Ok(moved || self.wait())
    }

    fn read_all(&mut self, end: End) -> Result<bool, String> {
        let mut moved = false;
        for id in self.ends[end].known.clone() {
            let waits = !self.model.half(end, id).accepted;
            self.accept(end, id)?;
            moved |= waits && self.model.half(end, id).accepted;
            let before = self.model.half(end, id).clone();
            if before.readable && before.is_usable() && !before.ended {
                self.read(end, id, usize::MAX)?;
                let half = self.model.half(end, id);
                moved |= half.read > before.read || half.ended;
            }
        }
        Ok(moved)
    }

    /// A session that has ended takes the transport with it.
    fn lose_together(&mut self) -> Checked {
        for end in 0..2 {
            let other = 1 - end;
            let silent = self.ends[end].way.is_empty();
            if self.model.ended[end].is_some() && silent && self.model.ended[other].is_none() {
                self.ends[other].mux.abort(hvym_yamux::MuxError::Lost, self.now);
                self.events(other)?;
                ensure!(self.model.ended[other].is_some(), "end {other} lives on without a transport");
            }
        }
        Ok(())
    }

    /// Goes to the next moment at which bytes arrive or a small window has been waited out; whether there is one.
    fn wait(&mut self) -> bool {
        let arrivals = self.ends.iter().filter_map(|end| end.way.front().map(|(at, _)| *at));
        let holds = self.ends.iter().filter_map(|end| end.mux.poll_timeout());
        let holds = holds.filter(|at| *at - self.now <= HOLD);
        match arrivals.chain(holds).min() {
            Some(at) if at > self.now => {
                self.now = at;
                true
            }
            _ => false,
        }
    }

    /// invariant 11: what was written has been read, unless somebody gave up.
    fn nothing_is_missing(&mut self) -> Checked {
        if self.model.ended.iter().any(Option::is_some) {
            return Ok(());
        }
        for (id, halves) in &self.model.streams {
            let gave_up = |half: &crate::model::Half| half.reset || half.stopped || half.torn.is_some();
            let refused = halves[1 - opener(*id)].key.is_none();
            if halves.iter().any(gave_up) || refused {
                continue;
            }
            for end in 0..2 {
                let (tx, rx) = (&halves[end], &halves[1 - end]);
                ensure!(
                    tx.written == rx.read,
                    "stream {id} from {end}: {} of {} bytes were read",
                    rx.read,
                    tx.written
                );
                ensure!(
                    tx.finished == rx.ended,
                    "stream {id} from {end}: finished {}, ended {}",
                    tx.finished,
                    rx.ended
                );
                // invariant 16
                ensure!(!tx.owed, "stream {id} from {end}: Writable never came");
                // invariant 5
                ensure!(
                    tx.sent.acks == u32::from(tx.accepted),
                    "stream {id} from {end}: {} ACKs",
                    tx.sent.acks
                );
            }
        }
        Ok(())
    }

    /// invariant 17: the sessions are as empty as on their first day.
    fn nothing_is_left(&mut self) -> Checked {
        if self.model.ended.iter().any(Option::is_some) {
            return Ok(());
        }
        for end in 0..2 {
            let mut stats = self.ends[end].mux.stats();
            stats.rtt = None;
            ensure!(stats == Default::default(), "end {end} keeps {stats:?}");
        }
        Ok(())
    }
}
