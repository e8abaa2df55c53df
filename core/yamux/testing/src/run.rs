//! Two sessions, the pipe between them, and the model they are held against.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;
use hvym_yamux::Instant;
use hvym_yamux::{Mux, MuxError, Role};

use crate::lens::{GRANT, Lens};
use crate::meddler::Meddler;
use crate::model::{Model, ensure};
use crate::ops::{End, Op, Ops, Setup};
use crate::statistics::Kinds;

/// Steps of the trace that a failure shows.
const SHOWN: usize = 60;

/// What two runs are compared by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Of every batch that was pulled, with its sender and in order.
    pub batches: Vec<u64>,
    /// What was read, and every event, in order.
    pub told: Vec<String>,
    /// The kinds of what happened at either end.
    pub kinds: Kinds,
}

/// A failed rule stops everything.
pub type Checked = Result<(), String>;

/// Runs `ops` and everything that follows from them; a failure carries the last steps.
pub fn run(ops: &Ops) -> Result<Outcome, String> {
    let attempt = |trace| {
        let mut world = World::new(ops.setup.clone(), trace);
        let result = world.play(&ops.steps);
        (world, result)
    };
    match attempt(None) {
        (world, Ok(())) => Ok(world.outcome),
        (_, Err(_)) => {
            let (world, result) = attempt(Some(VecDeque::new()));
            let trace = Vec::from(world.trace.unwrap_or_default()).join("\n  ");
            let why = result.err().unwrap_or_else(|| "it fails now and then: not deterministic".into());
            Err(format!("{why}\n{:?}\n  {trace}", ops.setup))
        }
    }
}

/// Runs `ops` while both sessions are made to look at the clock all the time, before anything is due.
pub fn run_fidgeting(ops: &Ops) -> Result<Outcome, String> {
    let mut world = World::new(ops.setup.clone(), None);
    for step in &ops.steps {
        for end in &mut world.ends {
            if end.mux.poll_timeout().is_none_or(|at| at > world.now) {
                ensure!(end.mux.handle_timeout(Instant::ZERO).is_ok(), "it is too early to fail");
            }
        }
        world.step(*step)?;
        world.check()?;
    }
    world.finish()?;
    Ok(world.outcome)
}

/// One session and what has been seen of it.
#[derive(Debug)]
pub struct Endpoint {
    /// The session.
    pub mux: Mux,
    /// Bytes it sent that are on their way, and when they arrive.
    pub way: VecDeque<(Instant, Bytes)>,
    pub(crate) out: Lens,
    /// The length of what was pulled last.
    last_batch: usize,
    heard: Lens,
    /// Streams its application knows, by their number on the wire.
    pub known: Vec<u32>,
}

/// Two sessions in one time.
#[derive(Debug)]
pub struct World {
    /// What was chosen.
    pub setup: Setup,
    /// The time.
    pub now: Instant,
    /// Relay and agent.
    pub ends: [Endpoint; 2],
    /// What they may do.
    pub model: Model,
    /// What they did.
    pub outcome: Outcome,
    trace: Option<VecDeque<String>>,
    /// Who changes a byte, until it is changed.
    pub(crate) meddler: Option<Meddler>,
}

impl World {
    /// Two fresh sessions.
    pub fn new(setup: Setup, trace: Option<VecDeque<String>>) -> Self {
        let now = Instant::from_millis(1);
        let end = |role, seed| Endpoint {
            mux: Mux::new(role, setup.config(), 1, [seed; 32], now),
            way: VecDeque::new(),
            out: Lens::default(),
            last_batch: 0,
            heard: Lens::default(),
            known: Vec::new(),
        };
        let ends = [end(Role::Server, 1), end(Role::Client, 2)];
        let model = Model::new(setup.config());
        World { now, ends, model, outcome: Outcome::default(), trace, meddler: None, setup }
    }

    fn play(&mut self, steps: &[Op]) -> Checked {
        for step in steps {
            self.step(*step)?;
            self.check()?;
        }
        self.finish()
    }

    /// Writes a line of the trace, if anybody will read it.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push_back(line());
            if trace.len() > SHOWN {
                trace.pop_front();
            }
        }
    }

    /// What must hold after every step.
    pub fn check(&mut self) -> Checked {
        for end in 0..2 {
            if self.setup.eager {
                self.events(end)?;
            }
            let mux = &self.ends[end].mux;
            // invariants 9 and 10
            mux.check_invariants().map_err(|why| format!("end {end}: {why}"))?;
            let (stats, config) = (mux.stats(), self.setup.config());
            // invariant 20
            ensure!(
                stats.window_growth <= config.window_growth_budget,
                "end {end}: {} bytes grown",
                stats.window_growth
            );
            if stats.window_growth > 0 {
                self.outcome.kinds.insert("window grown");
            }
            ensure!(stats.window_growth == 0 || stats.rtt.is_some(), "end {end}: grown without a round trip");
            // invariant 13
            let held = stats.unread + stats.unsent;
            ensure!(held <= config.memory_bound() + 262_144, "end {end}: {held} bytes held");
        }
        Ok(())
    }

    /// One step of one run.
    pub fn step(&mut self, op: Op) -> Checked {
        self.note(|| format!("{op:?}"));
        match op {
            Op::Pull(end) => self.pull(end).map(drop),
            Op::Deliver(end, bytes) => self.deliver(end, bytes).map(drop),
            Op::Pump(rounds) => self.pump(rounds),
            Op::Open(end) => self.open(end),
            Op::Accept(end, pick) => self.on_pick(end, pick, World::accept),
            Op::Write(end, pick, size) => self.on_pick(end, pick, |w, e, id| w.write(e, id, size)),
            Op::Read(end, pick, size) => self.on_pick(end, pick, |w, e, id| w.read(e, id, size)),
            Op::Finish(end, pick) => self.on_pick(end, pick, World::finish_stream),
            Op::Reset(end, pick) => self.on_pick(end, pick, World::reset),
            Op::Stop(end, pick) => self.on_pick(end, pick, World::stop),
            Op::Advance(time) => {
                self.now = capped(self.now + time);
                Ok(())
            }
            Op::Timeout(end) => self.timeout(end),
            Op::Due => self.due(),
            Op::Back(end, time) => {
                let back = Instant::from_micros((self.now - (Instant::ZERO + time)).as_micros() as u64);
                // A failure shows as an event.
                let _ = self.ends[end].mux.handle_timeout(back);
                Ok(())
            }
            Op::Events(end) => self.events(end),
            Op::GoAway(end) => {
                self.ends[end].mux.go_away(self.now);
                Ok(())
            }
            Op::Shutdown(end, within) => {
                self.ends[end].mux.shutdown(capped(self.now + within), self.now);
                Ok(())
            }
            Op::Lose(end) => {
                self.ends[end].mux.abort(MuxError::Lost, self.now);
                Ok(())
            }
        }
    }

    fn on_pick(&mut self, end: End, pick: u8, act: impl FnOnce(&mut World, End, u32) -> Checked) -> Checked {
        let known = &self.ends[end].known;
        match known.len() {
            0 => Ok(()),
            n => {
                // The latest first: streams of long ago are gone.
                let id = known[n - 1 - usize::from(pick) % n];
                self.note(|| format!("  stream {id}"));
                act(self, end, id)
            }
        }
    }

    fn pump(&mut self, rounds: u8) -> Checked {
        for _ in 0..rounds {
            for end in 0..2 {
                self.pull(end)?;
                self.deliver(1 - end, usize::MAX)?;
            }
        }
        Ok(())
    }

    /// Pulls a batch into the pipe if there is room; whether there was one.
    pub fn pull(&mut self, end: End) -> Result<bool, String> {
        let (setup, from) = (&self.setup, &mut self.ends[end]);
        if from.way.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= setup.capacity {
            return Ok(false);
        }
        let Some(batch) = from.mux.poll_transmit() else {
            ensure!(from.out.is_whole(), "the last batch ended within a frame");
            return Ok(false);
        };
        ensure!(!batch.is_empty(), "an empty batch");
        // A large payload counts with the batch that ends with its header.
        let length = batch.len() + if from.out.is_whole() { 0 } else { from.last_batch };
        ensure!(length <= setup.config().batch, "a batch of {length} bytes");
        from.last_batch = batch.len();
        from.way.push_back((self.now + setup.delay, batch.clone()));
        let mut hasher = DefaultHasher::new();
        hasher.write_usize(end);
        hasher.write(&batch);
        self.outcome.batches.push(hasher.finish());
        let (model, mut lines) = (&mut self.model, Vec::new());
        let tracing = self.trace.is_some();
        let kinds = &mut self.outcome.kinds;
        let result = from.out.feed(&batch, |piece| {
            if let crate::lens::Piece::Header(frame) = piece
                && frame.kind == GRANT
                && frame.length > 0
            {
                kinds.insert("window update");
            }
            if tracing && let crate::lens::Piece::Header(frame) = piece {
                lines.push(format!("    {end} sends {frame:?}"));
            }
            model.sent(end, piece)
        });
        for line in lines {
            self.note(|| line);
        }
        result.map_err(|why| format!("end {end}: {why}"))?;
        Ok(true)
    }

    /// Hands `end` up to `most` bytes that have arrived; whether there were any.
    pub fn deliver(&mut self, end: End, mut most: usize) -> Result<bool, String> {
        let mut any = false;
        while most > 0
            && let Some((at, bytes)) = self.ends[1 - end].way.front_mut()
            && *at <= self.now
        {
            let mut part = bytes.split_to(bytes.len().min(most));
            most -= part.len();
            if bytes.is_empty() {
                self.ends[1 - end].way.pop_front();
            }
            any = true;
            if let Some(changed) = self.meddler.as_mut().and_then(|meddler| meddler.changed(end, &part)) {
                part = changed;
                self.meddler = None;
            }
            let model = &mut self.model;
            self.ends[end].heard.feed(&part, |piece| {
                model.heard(end, piece);
                Ok(())
            })?;
            while !part.is_empty() {
                let piece = part.split_to(part.len().min(self.setup.chunk));
                if let Err(error) = self.ends[end].mux.handle_data(piece, self.now) {
                    ensure!(error.go_away_code().is_none(), "end {end}: an honest peer is blamed: {error:?}");
                }
            }
        }
        Ok(any)
    }

    /// Looks at the clock.
    pub fn timeout(&mut self, end: End) -> Checked {
        let mux = &mut self.ends[end].mux;
        // A failure shows as an event.
        let _ = mux.handle_timeout(self.now);
        // invariant 18
        let next = mux.poll_timeout();
        ensure!(
            next.is_none_or(|at| at > self.now),
            "end {end}: a deadline that has passed: {next:?} at {:?}",
            self.now
        );
        Ok(())
    }

    /// Goes to the next deadline of either end.
    pub fn due(&mut self) -> Checked {
        if let Some(at) = self.ends.iter().filter_map(|end| end.mux.poll_timeout()).min() {
            self.now = capped(self.now.max(at));
        }
        (0..2).try_for_each(|end| self.timeout(end))
    }

    /// Drains the events.
    pub fn events(&mut self, end: End) -> Checked {
        while let Some(event) = self.ends[end].mux.poll_event() {
            self.note(|| format!("    {end} is told {event:?}"));
            self.event(end, event).map_err(|why| format!("end {end}: {event:?}: {why}"))?;
            self.outcome.told.push(format!("{end} {event:?}"));
        }
        Ok(())
    }
}

/// Time stays where adding a timeout cannot overflow.
fn capped(at: Instant) -> Instant {
    at.min(Instant::from_micros(1 << 60))
}
