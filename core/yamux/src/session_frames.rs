//! Frames of the session (pings and `GoAway`), and frames of streams that are not live.

use crate::error::{FloodKind, MuxError};
use crate::event::MuxEvent;
use crate::frame::{Flags, FrameType, Header};
use crate::session::{GoAwayState, Mux};

impl Mux {
    pub(crate) fn on_go_away(&mut self, code: u32) -> Result<(), MuxError> {
        if code != 0 {
            return Err(MuxError::RemoteGoAway(code));
        }
        if self.remote_go_away {
            return self.protocol_noise();
        }
        self.remote_go_away = true;
        self.events.push_back(MuxEvent::RemoteGoAway(0));
        Ok(())
    }

    pub(crate) fn on_ping(&mut self, header: Header) -> Result<(), MuxError> {
        if header.flags.has(Flags::ACK) {
            if !self.rtt.pong_received(header.length, self.now) {
                return self.protocol_noise();
            }
            self.timers.received(self.now);
            if self.go_away == GoAwayState::Probing(header.length) {
                self.go_away = GoAwayState::Acknowledged;
                self.end_if_shut_down();
            }
            return Ok(());
        }
        if !header.flags.has(Flags::SYN) {
            return self.protocol_noise();
        }
        if !self.limits.pings.take(1, self.now) {
            return Err(MuxError::Flood(FloodKind::Pings));
        }
        self.control.pong(header.length);
        self.timers.output_pending(self.now);
        if header.id == 0 { Ok(()) } else { self.protocol_noise() }
    }

    /// A frame that was in flight when its stream closed.
    pub(crate) fn on_tombstone(&mut self, index: usize, header: Header) -> Result<(), MuxError> {
        if header.kind == FrameType::Data {
            let credit = self.streams.ids.tombstone_credit(index);
            *credit = credit.checked_sub(header.length).ok_or(MuxError::WindowExceeded(header.id))?;
            self.parser.skip(header.length);
        }
        if header.is_noop() { self.protocol_noise() } else { Ok(()) }
    }

    /// A frame of a stream without state. Data is skipped, within a limit if there is one; any frame of an id that was not in use
    /// before is noise.
    pub(crate) fn on_unknown_stream(&mut self, header: Header, was_used: bool) -> Result<(), MuxError> {
        if header.kind == FrameType::Data {
            let is_within = match &mut self.limits.discarded {
                Some(bucket) => bucket.take(u64::from(header.length), self.now),
                // Whatever its users do, an honest peer sends no frame beyond the largest window.
                None if header.length > self.config.max_stream_window => {
                    return Err(MuxError::WindowExceeded(header.id));
                }
                None => true,
            };
            if !is_within {
                return Err(MuxError::Flood(FloodKind::Discarded));
            }
            self.parser.skip(header.length);
        }
        if was_used && !header.is_noop() { Ok(()) } else { self.protocol_noise() }
    }
}
