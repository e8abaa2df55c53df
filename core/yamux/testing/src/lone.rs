//! One session against a peer that may do anything.

use core::time::Duration;

use bytes::Bytes;
use hvym_yamux::Instant;
use hvym_yamux::{Mux, MuxConfig, MuxError, MuxEvent, Read, Role, StreamId};

use crate::lens::{ACK, DATA, Frame, GO_AWAY, Lens, PING, Piece, SYN, frames};
use crate::model::ensure;
use crate::ops::End;
use crate::rig::whole_batch;
use crate::run::Checked;

/// Payload of zeros for frames that are made up.
static ZEROS: [u8; 300_000] = [0; 300_000];

/// A session, its application, and a look at what it sends.
#[derive(Debug)]
pub struct Lone {
    /// The session.
    pub mux: Mux,
    /// The time.
    pub now: Instant,
    /// How it ended, if it has.
    pub failed: Option<MuxError>,
    /// Streams the application has heard of.
    pub keys: Vec<StreamId>,
    /// Every frame it sent.
    pub sent: Vec<Frame>,
    /// Events other than of streams coming in.
    pub events: Vec<MuxEvent>,
    config: MuxConfig,
    lens: Lens,
}

impl Lone {
    /// A fresh session, as the relay (0) or the agent (1).
    pub fn new(end: End, config: MuxConfig) -> Self {
        let now = Instant::from_millis(1);
        let role = if end == 0 { Role::Server } else { Role::Client };
        let mut mux = Mux::new(role, config.clone(), 1, [3; 32], now);
        // The ping that every session begins with.
        let ping = mux.poll_transmit().map(|batch| frames(&batch));
        assert!(matches!(ping.as_deref(), Some([Frame { kind: PING, flags: SYN, .. }])), "{ping:?}");
        Lone {
            mux,
            now,
            failed: None,
            keys: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
            config,
            lens: Lens::default(),
        }
    }

    /// Hands over bytes in pieces of `chunk`.
    pub fn feed(&mut self, bytes: &[u8], chunk: usize) -> Checked {
        for piece in bytes.chunks(chunk.max(1)) {
            let outcome = self.mux.handle_data(Bytes::copy_from_slice(piece), self.now);
            if let Err(error) = outcome {
                // invariant 21
                ensure!(self.failed.is_none(), "a second end: {error:?}");
                self.failed = Some(error);
            }
        }
        self.check()
    }

    /// Hands over one frame, with a payload of zeros if that is not too long.
    pub fn feed_frame(&mut self, frame: Frame, chunk: usize) -> Checked {
        self.feed(&frame.bytes(), chunk)?;
        match frame.kind == DATA && frame.version == 0 && self.failed.is_none() {
            true => self.feed(ZEROS.get(..frame.length as usize).unwrap_or(&[]), chunk),
            false => Ok(()),
        }
    }

    /// Counters, lists, and the memory bound.
    pub fn check(&self) -> Checked {
        self.mux.check_invariants()?;
        let stats = self.mux.stats();
        // invariants 12 and 13: whatever the peer does, and however little of the output is pulled
        let windows = (stats.inbound + stats.outbound) * 262_144 + stats.window_growth;
        ensure!(stats.unread <= windows, "{} unread bytes, {windows} granted", stats.unread);
        ensure!(stats.unread <= self.config.max_unread, "{} unread bytes", stats.unread);
        ensure!(stats.inbound <= self.config.max_inbound_streams, "{} streams came in", stats.inbound);
        // What opens a stream has a reserve of its own, as long as the peer may not know of the stream.
        let opening = self.config.ack_backlog.min(self.config.max_outbound_streams);
        let unsent = self.config.max_unsent + opening * self.config.opening_reserve;
        ensure!(stats.unsent <= unsent, "{} unsent bytes", stats.unsent);
        Ok(())
    }

    /// Pulls one batch, with a large payload that follows it; the frames in both.
    pub fn pull(&mut self) -> Result<Vec<Frame>, String> {
        let Some(batch) = whole_batch(&mut self.mux) else { return Ok(Vec::new()) };
        ensure!(!batch.is_empty() && batch.len() <= self.config.batch, "a batch of {} bytes", batch.len());
        self.lens.feed(&batch, |piece| match piece {
            Piece::Header(frame) if frame.version != 0 || frame.kind > GO_AWAY => Err(format!("{frame:?}")),
            _ => Ok(()),
        })?;
        ensure!(self.lens.is_whole(), "a batch ends within a frame");
        for frame in frames(&batch) {
            // invariant 21: the GoAway of an error is the last frame
            let over = self.sent.last().is_some_and(|last| last.kind == GO_AWAY && last.length != 0);
            ensure!(!over, "{frame:?} after the last word");
            self.sent.push(frame);
        }
        let pongs = frames(&batch).iter().filter(|frame| frame.kind == PING && frame.flags == ACK).count();
        // invariant 27
        ensure!(pongs <= 16, "{pongs} pongs in a batch");
        Ok(frames(&batch))
    }

    /// Pulls everything.
    pub fn drain(&mut self) -> Result<Vec<Frame>, String> {
        let mut all = Vec::new();
        loop {
            let frames = self.pull()?;
            if frames.is_empty() {
                return Ok(all);
            }
            all.extend(frames);
        }
    }

    /// Drains the events.
    pub fn listen(&mut self) -> Checked {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Incoming(key) => self.keys.push(key),
                MuxEvent::Readable(key) | MuxEvent::Writable(key) => {
                    ensure!(self.mux.stream(key).is_ok(), "{event:?} of a stale stream");
                    self.events.push(event);
                }
                MuxEvent::Ended(_) => {
                    let twice = self.events.iter().any(|event| matches!(event, MuxEvent::Ended(_)));
                    ensure!(!twice, "a second end");
                    self.events.push(event);
                }
                _ => self.events.push(event),
            }
        }
        Ok(())
    }

    /// Something an application or a driver does.
    pub fn act(&mut self, what: u8, arg: u8) -> Checked {
        let pick = self.keys.len().checked_sub(1 + usize::from(arg) % self.keys.len().max(1));
        let key = pick.map(|at| self.keys[at]);
        match (what % 16, key) {
            (0, _) => self.pull().map(drop)?,
            (1, _) => self.drain().map(drop)?,
            (2, _) => {
                if let Ok(key) = self.mux.open(self.now) {
                    self.keys.push(key);
                }
            }
            (3, Some(key)) => drop(self.mux.accept(key, self.now)),
            (4 | 5, Some(key)) => self.read(key, usize::from(arg) * 64)?,
            (6 | 7, Some(key)) => {
                let mut data = Bytes::from_static(&ZEROS[..usize::from(arg) * 128]);
                let _ = self.mux.stream(key).map(|mut stream| stream.write(&mut data, self.now));
            }
            (8, Some(key)) => drop(self.mux.stream(key).map(|mut stream| stream.finish(self.now))),
            (9, Some(key)) => drop(self.mux.stream(key).map(|mut stream| stream.reset(1, self.now))),
            (10, Some(key)) => drop(self.mux.stream(key).map(|mut stream| stream.stop(self.now))),
            (11, _) => self.now = self.now + Duration::from_micros(1 << (arg % 32)),
            (12, _) => {
                let _ = self.mux.handle_timeout(self.now);
                let next = self.mux.poll_timeout();
                ensure!(next.is_none_or(|at| at > self.now), "a deadline that has passed");
            }
            (13, _) if arg < 4 => self.mux.go_away(self.now),
            (13, _) if arg < 8 => self.mux.shutdown(self.now + Duration::from_secs(u64::from(arg)), self.now),
            _ => self.listen()?,
        }
        self.check()
    }

    fn read(&mut self, key: StreamId, max: usize) -> Checked {
        let Ok(mut stream) = self.mux.stream(key) else { return Ok(()) };
        if let Ok(Read::Data(data)) = stream.read(max, self.now) {
            ensure!(!data.is_empty() && data.len() <= max.max(1), "{} of {max} bytes read", data.len());
        }
        Ok(())
    }
}
