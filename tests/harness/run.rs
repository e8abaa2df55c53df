//! Two sessions, the pipe between them, and the model they are held against.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::mux::{Mux, MuxError, MuxEvent, OpenError, Read, StreamError, StreamId};
use hvym_tunnel_core::time::Instant;

use crate::frames::Lens;
use crate::model::{Model, ensure, pattern};
use crate::ops::{End, Op, Ops, Setup};

/// Steps of the trace that a failure shows.
const SHOWN: usize = 60;

/// What two runs are compared by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Of every batch that was pulled, with its sender and in order.
    pub batches: Vec<u64>,
    /// What was read, and every event, in order.
    pub told: Vec<String>,
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

/// Somebody who changes a byte on its way to `end`, once `after` bytes have arrived there.
#[derive(Copy, Clone, Debug)]
struct Meddler {
    end: End,
    after: usize,
    change: u8,
}

/// One session and what has been seen of it.
#[derive(Debug)]
pub struct Endpoint {
    /// The session.
    pub mux: Mux,
    /// Bytes it sent that are on their way, and when they arrive.
    pub way: VecDeque<(Instant, Bytes)>,
    out: Lens,
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
    meddler: Option<Meddler>,
}

impl World {
    /// Two fresh sessions.
    pub fn new(setup: Setup, trace: Option<VecDeque<String>>) -> Self {
        let now = Instant::from_millis(1);
        let end = |side, seed| Endpoint {
            mux: Mux::new(side, setup.config(), 1, [seed; 32], now),
            way: VecDeque::new(),
            out: Lens::default(),
            heard: Lens::default(),
            known: Vec::new(),
        };
        let ends = [end(Side::Relay, 1), end(Side::Agent, 2)];
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
            ensure!(stats.grown <= config.window_budget, "end {end}: {} bytes grown", stats.grown);
            ensure!(stats.grown == 0 || stats.rtt.is_some(), "end {end}: grown without a round trip");
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
        let Some(batch) = from.mux.poll_transmit() else { return Ok(false) };
        ensure!(!batch.is_empty(), "an empty batch");
        ensure!(batch.len() <= setup.config().batch, "a batch of {} bytes", batch.len());
        from.way.push_back((self.now + setup.delay, batch.clone()));
        let mut hasher = DefaultHasher::new();
        hasher.write_usize(end);
        hasher.write(&batch);
        self.outcome.batches.push(hasher.finish());
        let (model, mut lines) = (&mut self.model, Vec::new());
        let tracing = self.trace.is_some();
        let result = from.out.feed(&batch, |piece| {
            if tracing && let crate::frames::Piece::Header(frame) = piece {
                lines.push(format!("    {end} sends {frame:?}"));
            }
            model.sent(end, piece)
        });
        for line in lines {
            self.note(|| line);
        }
        result.map_err(|why| format!("end {end}: {why}"))?;
        ensure!(self.ends[end].out.is_whole(), "a batch ends within a frame");
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
            part = self.meddle(end, part);
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

    /// Changes the byte that is to be changed, if it is one of these.
    fn meddle(&mut self, end: End, part: Bytes) -> Bytes {
        let Some(meddler) = &mut self.meddler else { return part };
        if meddler.end != end {
            return part;
        }
        let (after, change) = (meddler.after, meddler.change);
        meddler.after = after.saturating_sub(part.len());
        if after >= part.len() {
            return part;
        }
        let mut changed = part.to_vec();
        changed[after] ^= change;
        self.meddler = None;
        Bytes::from(changed)
    }

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

    fn open(&mut self, end: End) -> Checked {
        match self.ends[end].mux.open(self.now) {
            Ok(key) => {
                let id = self.model.opens(end, key);
                ensure!(self.ends[end].mux.wire_id(key) == Some(id), "stream {id} has another number");
                self.ends[end].known.push(id);
                Ok(())
            }
            Err(OpenError::IdsExhausted) => Err("out of ids".into()),
            Err(_) => Ok(()),
        }
    }

    /// Accepts stream `id` if it came in.
    pub fn accept(&mut self, end: End, id: u32) -> Checked {
        let half = self.model.half(end, id);
        if crate::model::opener(id) == end || half.accepted {
            return Ok(());
        }
        let Some(key) = half.key else { return Ok(()) };
        half.accepted = self.ends[end].mux.accept(key, self.now).is_ok();
        Ok(())
    }

    /// The name of stream `id` if it is live there, having checked that it is stale only for a cause.
    pub fn live(&mut self, end: End, id: u32) -> Result<Option<StreamId>, String> {
        let Some(key) = self.model.half(end, id).key else { return Ok(None) };
        let stale = self.ends[end].mux.stream(key).is_err();
        // invariant 16
        let half = self.model.half(end, id);
        ensure!(stale || !half.closed, "end {end}: stream {id} came back");
        half.closed = stale;
        let cause = !stale || self.model.may_be_closed(end, id);
        ensure!(cause, "end {end}: stream {id} is gone without a cause");
        Ok((!stale).then_some(key))
    }

    /// Writes up to `size` bytes.
    pub fn write(&mut self, end: End, id: u32, size: usize) -> Checked {
        let Some(key) = self.live(end, id)? else { return Ok(()) };
        let half = self.model.half(end, id);
        let mut data = pattern(end, id, half.written, size);
        let size = data.len();
        let mut stream = self.ends[end].mux.stream(key).map_err(|e| e.to_string())?;
        let writable = stream.writable();
        match stream.write(&mut data, self.now) {
            Ok(n) => {
                ensure!(n + data.len() == size, "{n} of {size} bytes taken, {} left", data.len());
                ensure!(n == writable.min(size), "{writable} writable, {n} of {size} taken");
                let half = self.model.half(end, id);
                half.written += n as u64;
                half.owed |= n < size;
                ensure!(!half.finished, "stream {id}: written to after its end");
                Ok(())
            }
            Err(StreamError::Finished) => {
                ensure!(half.finished, "stream {id}: refuses writes without an end");
                Ok(())
            }
            Err(error) => self.failed(end, id, error),
        }
    }

    /// Reads up to `size` bytes, in however many pieces they come.
    pub fn read(&mut self, end: End, id: u32, size: usize) -> Checked {
        let Some(key) = self.live(end, id)? else { return Ok(()) };
        let mut left = size;
        while left > 0 {
            let Ok(mut stream) = self.ends[end].mux.stream(key) else {
                return Err("gone while it was read".into());
            };
            match stream.read(left, self.now) {
                Ok(Read::Data(data)) => {
                    ensure!(data.len() <= left, "{} bytes read, {left} wanted", data.len());
                    left -= data.len();
                    self.model.read(end, id, &data)?;
                }
                Ok(Read::Empty) => {
                    let half = self.model.half(end, id);
                    half.readable = false;
                    let missed = half.read < half.heard.payload || half.heard.fin;
                    ensure!(
                        !missed || half.stopped,
                        "stream {id}: nothing to read, but something has arrived"
                    );
                    break;
                }
                Ok(Read::Finished) => {
                    self.model.read_end(end, id)?;
                    self.outcome.told.push(format!("{end} {id} end"));
                    break;
                }
                Err(error) => return self.failed(end, id, error),
            }
        }
        if size != left {
            self.outcome.told.push(format!("{end} {id} {}", size - left));
        }
        Ok(())
    }

    /// An operation failed; there must be a cause.
    pub fn failed(&mut self, end: End, id: u32, error: StreamError) -> Checked {
        match error {
            StreamError::Reset(reason) => {
                let (sheds, calm) = (self.setup.sheds(), self.setup.calm);
                self.model.torn(end, id, reason, sheds, calm)
            }
            StreamError::Lost => {
                self.events(end)?;
                ensure!(self.model.ended[end].is_some(), "stream {id} is lost, its session is not");
                Ok(())
            }
            other => Err(format!("stream {id}: {other:?}")),
        }
    }

    /// Ends the sending half of stream `id`.
    pub fn finish_stream(&mut self, end: End, id: u32) -> Checked {
        let Some(key) = self.live(end, id)? else { return Ok(()) };
        let stream = self.ends[end].mux.stream(key);
        match stream.map_err(|e| e.to_string())?.finish(self.now) {
            Ok(()) => {
                let half = self.model.half(end, id);
                half.finished = true;
                half.owed = false;
                Ok(())
            }
            Err(error) => self.failed(end, id, error),
        }
    }

    /// Tears stream `id` down, which empties its queues at once.
    pub fn reset(&mut self, end: End, id: u32) -> Checked {
        let Some(key) = self.live(end, id)? else { return Ok(()) };
        let half = self.model.half(end, id).clone();
        let before = self.ends[end].mux.stats();
        if let Ok(mut stream) = self.ends[end].mux.stream(key) {
            stream.reset(7, self.now);
        }
        // invariant 25
        if half.is_usable()
            && !half.ended
            && !half.stopped
            && self.model.ended[end].is_none()
            && !half.heard.rst
            && self.setup.eager
            && self.setup.calm
            && !self.setup.sheds()
        {
            let after = self.ends[end].mux.stats();
            let unread = (half.heard.payload - half.read) as usize;
            let unsent = (half.written - half.sent.payload) as usize;
            ensure!(before.unread - after.unread == unread, "stream {id}: its reset left unread bytes");
            ensure!(before.unsent - after.unsent == unsent, "stream {id}: its reset left unsent bytes");
        }
        let half = self.model.half(end, id);
        half.reset = true;
        half.owed = false;
        Ok(())
    }

    /// Gives up reading stream `id`.
    pub fn stop(&mut self, end: End, id: u32) -> Checked {
        let Some(key) = self.live(end, id)? else { return Ok(()) };
        if let Ok(mut stream) = self.ends[end].mux.stream(key) {
            stream.stop(self.now);
        }
        self.model.half(end, id).stopped = true;
        Ok(())
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
    fn due(&mut self) -> Checked {
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

    fn named(&mut self, end: End, key: StreamId) -> Result<u32, String> {
        let known = self.ends[end].known.iter().rev();
        let streams = &self.model.streams;
        let found = known.copied().find(|id| streams[id][end].key == Some(key));
        found.ok_or_else(|| "of a stream that nobody knows".into())
    }

    fn event(&mut self, end: End, event: MuxEvent) -> Checked {
        ensure!(self.model.ended[end].is_none(), "after the end");
        match event {
            MuxEvent::Incoming(key) => {
                let id = self.ends[end].mux.wire_id(key).ok_or("it is stale")?;
                let half = self.model.half(end, id);
                ensure!(half.heard.syn && half.key.is_none(), "stream {id} did not come in just now");
                half.key = Some(key);
                self.ends[end].known.push(id);
            }
            MuxEvent::Readable(key) => {
                let (id, eager) = (self.named(end, key)?, self.setup.eager);
                let half = self.model.half(end, id);
                // invariant 16
                ensure!(!half.closed, "it is stale");
                ensure!(!eager || half.heard.payload > half.read || half.heard.fin, "nothing to read");
                half.readable = true;
            }
            MuxEvent::Writable(key) => {
                let id = self.named(end, key)?;
                let half = self.model.half(end, id);
                ensure!(half.owed || !self.setup.eager, "no write was cut short");
                ensure!(!half.closed && !half.reset, "it is stale");
                half.owed = false;
            }
            MuxEvent::Reset(key, reason) => {
                let id = self.named(end, key)?;
                self.model.torn(end, id, reason, self.setup.sheds(), self.setup.calm)?;
                self.live(end, id)?;
            }
            MuxEvent::Ended(how) => {
                self.model.ended[end] = Some(how);
                ensure!(self.ends[end].mux.poll_timeout().is_none(), "a deadline is left");
            }
            MuxEvent::OpenReady | MuxEvent::RemoteGoAway(0) => {}
            MuxEvent::RemoteGoAway(_) | MuxEvent::IdsLow => return Err("without a cause".into()),
        }
        Ok(())
    }
}

/// Time stays where adding a timeout cannot overflow.
fn capped(at: Instant) -> Instant {
    at.min(Instant::from_micros(1 << 60))
}
