//! The two applications of a run: every operation and every event, each held to what the model allows.

use hvym_yamux::{MuxEvent, OpenError, Read, ResetReason, StreamError, StreamId};

use crate::model::{ensure, pattern};
use crate::ops::{End, group};
use crate::run::{Checked, World};

impl World {
    /// Opens a stream.
    pub(crate) fn open(&mut self, end: End) -> Checked {
        match self.ends[end].mux.open(self.now) {
            Ok(key) => {
                let id = self.model.opens(end, key);
                ensure!(self.ends[end].mux.wire_id(key) == Some(id), "stream {id} has another number");
                self.ends[end].known.push(id);
                self.group(end, id, key);
                Ok(())
            }
            Err(OpenError::IdsExhausted) => Err("out of ids".into()),
            Err(_) => Ok(()),
        }
    }

    fn group(&mut self, end: End, id: u32, key: StreamId) {
        if self.setup.sheds()
            && let Ok(mut stream) = self.ends[end].mux.stream(key)
        {
            stream.set_group(group(id));
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
        self.group(end, id, key);
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
        let mut data = pattern(end, id, half.written, size.min(self.setup.max_write()));
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
                ensure!(half.finished || half.refused, "stream {id}: refuses writes without an end");
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
                    self.outcome.kinds.insert("data read");
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
                    self.outcome.kinds.insert("end read");
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
            // What a header has announced leaves all the same.
            let unsent = (half.written - half.sent.payload) as usize - self.ends[end].out.announced(id);
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
        self.outcome.kinds.insert("stopped");
        Ok(())
    }

    fn named(&mut self, end: End, key: StreamId) -> Result<u32, String> {
        let known = self.ends[end].known.iter().rev();
        let streams = &self.model.streams;
        let found = known.copied().find(|id| streams[id][end].key == Some(key));
        found.ok_or_else(|| "of a stream that nobody knows".into())
    }

    /// Takes one event, which must have a cause.
    pub(crate) fn event(&mut self, end: End, event: MuxEvent) -> Checked {
        ensure!(self.model.ended[end].is_none(), "after the end");
        self.outcome.kinds.insert(kind(event));
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
            _ => return Err("without a cause".into()),
        }
        Ok(())
    }
}

/// What an event is called in the statistics of a property.
fn kind(event: MuxEvent) -> &'static str {
    match event {
        MuxEvent::Incoming(_) => "incoming",
        MuxEvent::Readable(_) => "readable",
        MuxEvent::Writable(_) => "writable",
        MuxEvent::Reset(_, ResetReason::Peer(_)) => "reset by peer",
        MuxEvent::Reset(_, ResetReason::AcceptTimeout) => "accept timeout",
        MuxEvent::Reset(_, ResetReason::OpenTimeout) => "open timeout",
        MuxEvent::Reset(_, ResetReason::Idle) => "idle timeout",
        MuxEvent::Reset(_, ResetReason::WriteStall) => "stall timeout",
        MuxEvent::Reset(..) => "reset for another reason",
        MuxEvent::OpenReady => "open ready",
        MuxEvent::RemoteGoAway(_) => "go away",
        MuxEvent::Ended(_) => "session ended",
        _ => "other",
    }
}
