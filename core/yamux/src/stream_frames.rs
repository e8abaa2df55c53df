//! Frames of streams: openings, data, window updates and ends.

use core::time::Duration;

use crate::bit_set::BitSet;
use crate::error::{FloodKind, MuxError, ResetReason};
use crate::frame::{Flags, FrameType, Header, INITIAL_WINDOW};
use crate::id_map::Entry;
use crate::recv::{Fin, RecvState};
use crate::send::SendState;
use crate::session::{GoAwayState, Mux, SessionPhase};
use crate::stream_state::{PendingEvent, PendingFrame, StreamTimer};

/// A stream that its opener resets sooner than this counts against the limit of resets ("rapid reset").
const RAPID_RESET: Duration = Duration::from_secs(1);
/// A window update without a flag below [`SMALL_GRANT`] while the window exceeds this is noise.
const AMPLE_WINDOW: u32 = 64 * 1024;
const SMALL_GRANT: u32 = 1024;

impl Mux {
    /// A data frame or a window update.
    pub(crate) fn on_stream_frame(&mut self, header: Header) -> Result<(), MuxError> {
        if header.flags.has(Flags::SYN) {
            return self.on_syn(header);
        }
        match self.streams.ids.find(header.id) {
            Some(Entry::Live(key)) if self.streams[key].opening.syn_sent => self.on_live(key, header),
            Some(Entry::Tombstone(index)) => self.on_tombstone(index, header),
            // The peer cannot know a stream whose SYN has not left.
            Some(Entry::Live(_)) => self.on_unknown_stream(header, false),
            None => {
                let was_used = if self.is_peer_id(header.id) {
                    header.id <= self.last_peer_id
                } else {
                    self.local_ids.has_taken(header.id)
                };
                self.on_unknown_stream(header, was_used)
            }
        }
    }

    fn on_syn(&mut self, header: Header) -> Result<(), MuxError> {
        let id = header.id;
        if !self.is_peer_id(id) {
            return Err(MuxError::BadStreamId(id));
        }
        match self.streams.ids.find(id) {
            Some(Entry::Live(_)) => return Err(MuxError::DuplicateSyn(id)),
            Some(Entry::Tombstone(_)) => return Err(MuxError::IdReused(id)),
            None => {}
        }
        let is_reset = header.flags.has(Flags::RST);
        if header.payload_length() > INITIAL_WINDOW {
            return Err(MuxError::WindowExceeded(id));
        }
        if header.kind == FrameType::WindowUpdate
            && !is_reset
            && INITIAL_WINDOW.checked_add(header.length).is_none()
        {
            return Err(MuxError::WindowOverflow(id));
        }
        self.last_peer_id = self.last_peer_id.max(id);
        if is_reset {
            self.parser.skip(header.payload_length());
            return self.protocol_noise();
        }
        let is_full = self.counts.inbound >= self.config.max_inbound_streams
            || self.counts.unaccepted >= self.config.accept_backlog;
        let is_draining =
            self.phase != SessionPhase::Open && !matches!(self.go_away, GoAwayState::Probing(_));
        if is_full || is_draining {
            return self.refuse(header);
        }
        let key = self.streams.create(id, false, self.now);
        self.counts.inbound += 1;
        self.counts.unaccepted += 1;
        self.arm(key, StreamTimer::Accept);
        self.notify(key, PendingEvent::Incoming);
        self.on_live(key, header)
    }

    fn on_live(&mut self, key: usize, header: Header) -> Result<(), MuxError> {
        let is_data = header.kind == FrameType::Data;
        if is_data {
            let charged = self.streams[key].recv.charge(header.length);
            charged.ok_or(MuxError::WindowExceeded(header.id))?;
        }
        self.on_acknowledged(key, header.flags)?;
        if header.flags.has(Flags::RST) {
            self.parser.skip(header.payload_length());
            // Some peers put an error code into the length of a window update with RST.
            return self.on_reset(key, if is_data { 0 } else { header.length });
        }
        if is_data {
            return self.on_data(key, header);
        }
        if header.length > 0 {
            self.on_window_update(key, header)?;
        } else if header.flags.is_empty() {
            self.protocol_noise()?;
        }
        if header.flags.has(Flags::FIN) { self.on_fin(key) } else { Ok(()) }
    }

    /// Any frame of a stream shows that the peer knows it: some peers never send the ACK flag.
    fn on_acknowledged(&mut self, key: usize, flags: Flags) -> Result<(), MuxError> {
        let opening = &mut self.streams[key].opening;
        let is_duplicate = flags.has(Flags::ACK) && (opening.ack_flag_seen || !opening.outbound);
        opening.ack_flag_seen |= flags.has(Flags::ACK) && opening.outbound;
        if opening.outbound && !opening.acked {
            opening.acked = true;
            self.counts.unacked -= 1;
            self.notify_open_ready();
        }
        if is_duplicate { self.protocol_noise() } else { Ok(()) }
    }

    fn on_reset(&mut self, key: usize, code: u32) -> Result<(), MuxError> {
        let stream = &self.streams[key];
        let opening = &stream.opening;
        if !opening.outbound && (opening.unaccepted || self.now - opening.at < RAPID_RESET) {
            self.count_reset()?;
        }
        let stream = &self.streams[key];
        if stream.recv.state() == RecvState::FinReceived
            && stream.reset.is_none()
            && !stream.opening.unaccepted
        {
            self.on_refused(key);
        } else {
            self.reset_stream(key, ResetReason::Peer(code), false);
        }
        Ok(())
    }

    /// An RST after the peer's FIN: it takes no more data, and what it sent stays readable. So a response that is sent
    /// before the request was read to its end still arrives (as in RFC 9113 section 8.1).
    fn on_refused(&mut self, key: usize) {
        let stream = &mut self.streams[key];
        self.counts.unsent -= stream.send.refuse();
        stream.frames = BitSet::EMPTY;
        self.notify_writer(key);
        self.wake_session_blocked();
    }

    fn on_window_update(&mut self, key: usize, header: Header) -> Result<(), MuxError> {
        let delta = header.length;
        let stream = &mut self.streams[key];
        let is_needed = delta >= SMALL_GRANT || stream.send.window() <= AMPLE_WINDOW;
        // One that opens, acknowledges or ends a stream has to be sent, whatever it grants.
        let is_noise = !is_needed && header.flags.is_empty();
        stream.send.grant(delta).ok_or(MuxError::WindowOverflow(stream.id))?;
        self.wake_writer(key, self.low_mark());
        if is_noise { self.protocol_noise() } else { Ok(()) }
    }

    fn on_data(&mut self, key: usize, header: Header) -> Result<(), MuxError> {
        let has_fin = header.flags.has(Flags::FIN);
        if header.length == 0 {
            return match (has_fin, header.flags.is_empty()) {
                (true, _) => self.on_fin(key),
                (false, true) => self.protocol_noise(),
                (false, false) => Ok(()),
            };
        }
        let stream = &self.streams[key];
        match (stream.reset, stream.recv.state()) {
            (None, RecvState::Open) => {
                self.parser.expect(key, header.length, has_fin);
                Ok(())
            }
            (None, RecvState::Stopped) => {
                self.parser.skip(header.length);
                if has_fin {
                    return self.on_fin(key);
                }
                self.reset_if_unwanted(key);
                Ok(())
            }
            // What the peer has ended stays readable; what is late is dropped, at most the rest of the window.
            (None, RecvState::FinReceived) => {
                self.parser.skip(header.length);
                self.count_reset()
            }
            (None, RecvState::Done) => {
                self.parser.skip(header.length);
                self.count_reset()?;
                self.reset_stream(key, ResetReason::Unwanted, true);
                Ok(())
            }
            (Some(_), _) => {
                self.parser.skip(header.length);
                Ok(())
            }
        }
    }

    /// Resets a stream that this end neither reads nor writes, and whose peer has used up its window.
    pub(crate) fn reset_if_unwanted(&mut self, key: usize) {
        let stream = &self.streams[key];
        if stream.recv.state() == RecvState::Stopped
            && stream.recv.credit() == 0
            && stream.send.state() == SendState::FinSent
        {
            self.reset_stream(key, ResetReason::Unwanted, true);
        }
    }

    /// The FIN of a stream, after its data.
    pub(crate) fn on_fin(&mut self, key: usize) -> Result<(), MuxError> {
        let stream = &mut self.streams[key];
        if stream.reset.is_some() {
            // The peer has not received the RST.
            return Ok(());
        }
        match stream.recv.fin() {
            Fin::Ended { notify } => {
                stream.frames.remove(PendingFrame::Window);
                if notify {
                    self.notify(key, PendingEvent::Readable);
                }
                self.arm_if_half_closed(key);
                Ok(())
            }
            Fin::Discarded => {
                self.arm_if_half_closed(key);
                self.release_if_over(key);
                Ok(())
            }
            Fin::Duplicate => self.protocol_noise(),
        }
    }

    /// Refuses a stream for want of room: it is reset, and its payload skipped. Without a limit of refusals the session
    /// goes on however many there are, since what many strangers do through one peer is not its fault.
    fn refuse(&mut self, header: Header) -> Result<(), MuxError> {
        self.count_reset()?;
        if !self.control.refuse(header.id, self.config.refusal_limit) {
            return Err(MuxError::Flood(FloodKind::Refusals));
        }
        self.timers.output_pending(self.now);
        let length = header.payload_length();
        self.streams.ids.tombstone(header.id, INITIAL_WINDOW - length);
        self.parser.skip(length);
        Ok(())
    }
}
