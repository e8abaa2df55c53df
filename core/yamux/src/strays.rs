//! Frames of the session itself, and those of no live stream: pings, farewells, refusals, late arrivals.

use super::error::{FloodKind, MuxError};
use super::frame::{Flags, Header, INITIAL_WINDOW, Kind};
use super::{Mux, MuxEvent};

impl Mux {
    pub(super) fn on_go_away(&mut self, code: u32) -> Result<(), MuxError> {
        if code != 0 {
            return Err(MuxError::RemoteGoAway(code));
        }
        if self.remote_left {
            return self.glitch();
        }
        self.remote_left = true;
        self.events.push_back(MuxEvent::RemoteGoAway(0));
        Ok(())
    }

    pub(super) fn on_ping(&mut self, header: Header) -> Result<(), MuxError> {
        if header.flags.has(Flags::ACK) {
            if !self.rtt.answered(header.length, self.now) {
                return self.glitch();
            }
            self.timers.input(self.now);
            return Ok(());
        }
        if !header.flags.has(Flags::SYN) {
            return self.glitch();
        }
        if !self.limits.pings.take(1, self.now) {
            return Err(MuxError::Flood(FloodKind::Pings));
        }
        self.replies.pong(header.length);
        self.timers.output_waits(self.now);
        if header.id == 0 { Ok(()) } else { self.glitch() }
    }

    /// A stream there is no room for: reset, and its payload skipped.
    pub(super) fn refuse(&mut self, header: Header) -> Result<(), MuxError> {
        if !self.limits.resets.take(1, self.now) {
            return Err(MuxError::Flood(FloodKind::Resets));
        }
        if !self.replies.refuse(header.id) {
            return Err(MuxError::Flood(FloodKind::Refusals));
        }
        self.timers.output_waits(self.now);
        let length = if header.kind == Kind::Data { header.length } else { 0 };
        self.slots.ids.bury(header.id, INITIAL_WINDOW - length);
        self.skip(length);
        Ok(())
    }

    /// Frames that were on their way when their stream closed.
    pub(super) fn on_tomb(&mut self, index: usize, header: Header) -> Result<(), MuxError> {
        if header.kind == Kind::Data {
            let credit = self.slots.ids.tomb_credit(index);
            *credit = credit.checked_sub(header.length).ok_or(MuxError::WindowExceeded(header.id))?;
            self.skip(header.length);
        }
        if header.is_nothing() { self.glitch() } else { Ok(()) }
    }

    pub(super) fn on_unknown(&mut self, header: Header) -> Result<(), MuxError> {
        let used = if self.is_theirs(header.id) {
            header.id <= self.peer_id
        } else {
            self.own_ids.has_taken(header.id)
        };
        self.on_stray(header, used)
    }

    /// A frame of no stream: data is skipped within a budget, and what was not on its way to a closed stream is counted.
    pub(super) fn on_stray(&mut self, header: Header, used: bool) -> Result<(), MuxError> {
        if header.kind == Kind::Data {
            if !self.limits.discarded.take(u64::from(header.length), self.now) {
                return Err(MuxError::Flood(FloodKind::Discarded));
            }
            self.skip(header.length);
        }
        if used && !header.is_nothing() { Ok(()) } else { self.glitch() }
    }

    /// Something meaningless, which is free until there is too much of it.
    pub(super) fn glitch(&mut self) -> Result<(), MuxError> {
        match self.limits.glitches.take(1, self.now) {
            true => Ok(()),
            false => Err(MuxError::Flood(FloodKind::Glitches)),
        }
    }
}
