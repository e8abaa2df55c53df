//! Bytes in: headers, payloads, and what each frame means for its stream.

use core::cmp::Reverse;
use core::time::Duration;

use bytes::{Buf, Bytes};

use super::error::{FloodKind, MuxError, ResetReason};
use super::frame::{Flags, HEADER_BYTES, Header, INITIAL_WINDOW, Kind};
use super::ids::Known;
use super::queue::Queue;
use super::slot::{News, Rx, Slot, Todo, Tx};
use super::timers::Clock;
use super::{Mux, Phase};
use crate::instant::Instant;

/// Payloads below this are copied together: a slice that is kept costs a queue entry and pins its whole message.
const SMALL_PAYLOAD: usize = 1024;
/// A kept slice may pin at most this many times its own frame.
const MAX_PINNED: usize = 4;
/// A stream that its opener resets this soon was opened for nothing.
const RAPID: Duration = Duration::from_secs(1);
/// A grant below [`SMALL_GRANT`] while this much is granted already means nothing.
const PLENTY: u32 = 64 * 1024;
const SMALL_GRANT: u32 = 1024;

/// A payload that is arriving.
#[derive(Debug)]
struct Body {
    /// Whose it is; `None` is nobody's and is skipped.
    target: Option<usize>,
    remaining: u32,
    /// The stream ends after it.
    fin: bool,
}

/// Where in the byte stream we are.
#[derive(Debug, Default)]
pub(super) struct Parser {
    carry: [u8; HEADER_BYTES],
    have: usize,
    body: Option<Body>,
}

impl Parser {
    /// Payload that is paid for and has not arrived yet.
    pub(super) fn unarrived(&self, at: usize) -> u32 {
        match &self.body {
            Some(body) if body.target == Some(at) => body.remaining,
            _ => 0,
        }
    }

    /// Skips the rest of a payload whose stream is gone.
    pub(super) fn drop_target(&mut self, at: usize) {
        if let Some(body) = &mut self.body
            && body.target == Some(at)
        {
            body.target = None;
        }
    }

    /// The next header, once its twelve bytes are there.
    fn header(&mut self, data: &mut Bytes) -> Option<[u8; HEADER_BYTES]> {
        if self.have == 0
            && let Some((raw, _)) = data.split_first_chunk::<HEADER_BYTES>()
        {
            let raw = *raw;
            data.advance(HEADER_BYTES);
            return Some(raw);
        }
        let n = data.len().min(HEADER_BYTES - self.have);
        data.copy_to_slice(&mut self.carry[self.have..self.have + n]);
        self.have += n;
        if self.have < HEADER_BYTES {
            return None;
        }
        self.have = 0;
        Some(self.carry)
    }
}

impl Mux {
    /// Takes bytes in, cut anywhere. Everything is consumed; an error is fatal and its `GoAway`, if any, is the last output.
    pub fn handle_data(&mut self, data: Bytes, now: Instant) -> Result<(), MuxError> {
        self.tick(now);
        if self.is_ended() || data.is_empty() {
            return Ok(());
        }
        if self.parser.body.is_some() {
            self.timers.input(self.now);
        }
        let outcome = self.parse(data);
        if let Err(error) = outcome {
            self.fail(error);
        }
        outcome
    }

    fn parse(&mut self, mut data: Bytes) -> Result<(), MuxError> {
        let message = data.len();
        while !data.is_empty() && !self.is_ended() {
            let Some(body) = &mut self.parser.body else {
                if let Some(raw) = self.parser.header(&mut data) {
                    self.on_header(Header::decode(raw)?)?;
                }
                continue;
            };
            let length = data.len().min(body.remaining as usize);
            body.remaining -= length as u32;
            let (target, done, fin) = (body.target, body.remaining == 0, body.fin);
            if done {
                self.parser.body = None;
            }
            let Some(at) = target else {
                data.advance(length);
                continue;
            };
            self.deliver(at, &mut data, length, message);
            if done && fin && !self.slots.all[at].is_free() {
                self.on_fin(at)?;
            }
        }
        Ok(())
    }

    fn on_header(&mut self, header: Header) -> Result<(), MuxError> {
        // An answer to a ping shows that the peer lives only if it is the right one.
        if header.kind != Kind::Ping || !header.flags.has(Flags::ACK) {
            self.timers.input(self.now);
        }
        match header.kind {
            Kind::GoAway => self.on_go_away(header.length),
            Kind::Ping => self.on_ping(header),
            Kind::Data | Kind::WindowUpdate if header.id == 0 => Err(MuxError::BadStreamId(0)),
            Kind::Data | Kind::WindowUpdate => self.on_stream_frame(header),
        }
    }

    fn on_stream_frame(&mut self, header: Header) -> Result<(), MuxError> {
        if header.flags.has(Flags::SYN) {
            return self.on_syn(header);
        }
        match self.slots.ids.find(header.id) {
            Some(Known::Live(at)) if self.slots.all[at].syn_sent => self.on_live(at, header),
            Some(Known::Tomb(index)) => self.on_tomb(index, header),
            // The peer cannot know a stream whose opening has not left.
            Some(Known::Live(_)) => self.on_stray(header, false),
            None => self.on_unknown(header),
        }
    }

    fn on_syn(&mut self, header: Header) -> Result<(), MuxError> {
        let id = header.id;
        if !self.is_theirs(id) {
            return Err(MuxError::BadStreamId(id));
        }
        match self.slots.ids.find(id) {
            Some(Known::Live(_)) => return Err(MuxError::DuplicateSyn(id)),
            Some(Known::Tomb(_)) => return Err(MuxError::IdReused(id)),
            None => {}
        }
        let data = header.kind == Kind::Data;
        if data && header.length > INITIAL_WINDOW {
            return Err(MuxError::WindowExceeded(id));
        }
        if !data && !header.flags.has(Flags::RST) && INITIAL_WINDOW.checked_add(header.length).is_none() {
            return Err(MuxError::WindowOverflow(id));
        }
        self.peer_id = self.peer_id.max(id);
        if header.flags.has(Flags::RST) {
            self.skip(if data { header.length } else { 0 });
            return self.glitch();
        }
        let full = self.counts.inbound >= self.config.max_inbound_streams
            || self.counts.unaccepted >= self.config.accept_backlog;
        if full || self.phase != Phase::Open {
            return self.refuse(header);
        }
        let at = self.begin(id, false);
        self.counts.inbound += 1;
        self.counts.unaccepted += 1;
        self.watch(at, Clock::Accept);
        self.tell(at, News::INCOMING);
        self.on_live(at, header)
    }

    fn on_live(&mut self, at: usize, header: Header) -> Result<(), MuxError> {
        if header.kind == Kind::Data {
            let credit = &mut self.slots.all[at].credit;
            *credit = credit.checked_sub(header.length).ok_or(MuxError::WindowExceeded(header.id))?;
        }
        self.on_any(at, header.flags)?;
        if header.flags.has(Flags::RST) {
            let code = if header.kind == Kind::WindowUpdate { header.length } else { 0 };
            self.skip(if header.kind == Kind::Data { header.length } else { 0 });
            return self.on_reset(at, code);
        }
        if header.kind == Kind::Data {
            return self.on_data(at, header);
        }
        if header.length > 0 {
            self.on_grant(at, header.length)?;
        } else if header.flags.is_empty() {
            self.glitch()?;
        }
        if header.flags.has(Flags::FIN) { self.on_fin(at) } else { Ok(()) }
    }

    /// Any frame of a stream shows that the peer knows it: some peers never send the ACK flag.
    fn on_any(&mut self, at: usize, flags: Flags) -> Result<(), MuxError> {
        let slot = &mut self.slots.all[at];
        if slot.outbound && !slot.acked {
            slot.acked = true;
            self.counts.unacked -= 1;
            self.open_ready();
        }
        let slot = &mut self.slots.all[at];
        if flags.has(Flags::ACK) {
            if slot.ack_flag_seen || !slot.outbound {
                return self.glitch();
            }
            slot.ack_flag_seen = true;
        }
        Ok(())
    }

    fn on_reset(&mut self, at: usize, code: u32) -> Result<(), MuxError> {
        let slot = &self.slots.all[at];
        let rapid = !slot.outbound && (slot.unaccepted || self.now - slot.opened_at < RAPID);
        if rapid && !self.limits.resets.take(1, self.now) {
            return Err(MuxError::Flood(FloodKind::Resets));
        }
        if slot.rx == Rx::FinReceived && slot.reset.is_none() && !slot.unaccepted {
            self.on_refusal(at);
        } else {
            self.tear(at, ResetReason::Peer(code), false);
        }
        Ok(())
    }

    /// The peer has said all it had to say, and then that it wants no more of ours. What it said stays readable:
    /// a service that answers "too large" before it has read the question is still answered for (as in RFC 9113
    /// section 8.1).
    fn on_refusal(&mut self, at: usize) {
        let slot = &mut self.slots.all[at];
        self.counts.unsent -= slot.send_len;
        slot.send_queue = Queue::default();
        slot.send_len = 0;
        slot.tx = Tx::FinSent;
        slot.todo = Todo::default();
        if core::mem::take(&mut slot.wants_write) {
            self.tell(at, News::WRITABLE);
        }
        self.wake_crowded();
    }

    fn on_grant(&mut self, at: usize, delta: u32) -> Result<(), MuxError> {
        let slot = &mut self.slots.all[at];
        let id = slot.id;
        let meaningless = delta < SMALL_GRANT && slot.send_window > PLENTY;
        slot.send_window = slot.send_window.checked_add(delta).ok_or(MuxError::WindowOverflow(id))?;
        self.ready_if_sendable(at);
        if meaningless { self.glitch() } else { Ok(()) }
    }

    fn on_data(&mut self, at: usize, header: Header) -> Result<(), MuxError> {
        let slot = &mut self.slots.all[at];
        let fin = header.flags.has(Flags::FIN);
        if header.length == 0 {
            return match (fin, header.flags.is_empty()) {
                (true, _) => self.on_fin(at),
                (false, true) => self.glitch(),
                (false, false) => Ok(()),
            };
        }
        match (slot.reset, slot.rx) {
            (None, Rx::Open) => {
                self.parser.body = Some(Body { target: Some(at), remaining: header.length, fin });
                Ok(())
            }
            (None, Rx::Stopped) => {
                self.skip(header.length);
                if fin {
                    return self.on_fin(at);
                }
                self.reset_if_unwanted(at);
                Ok(())
            }
            (None, Rx::FinReceived | Rx::Done) => {
                self.skip(header.length);
                if !self.limits.resets.take(1, self.now) {
                    return Err(MuxError::Flood(FloodKind::Resets));
                }
                self.tear(at, ResetReason::Unwanted, true);
                Ok(())
            }
            (Some(_), _) => {
                self.skip(header.length);
                Ok(())
            }
        }
    }

    /// Nobody reads, the peer has used up what it was granted, and we have nothing more to say.
    pub(super) fn reset_if_unwanted(&mut self, at: usize) {
        let slot = &self.slots.all[at];
        if slot.rx == Rx::Stopped && slot.credit == 0 && slot.tx == Tx::FinSent {
            self.tear(at, ResetReason::Unwanted, true);
        }
    }

    fn on_fin(&mut self, at: usize) -> Result<(), MuxError> {
        let slot = &mut self.slots.all[at];
        if slot.reset.is_some() {
            return Ok(());
        }
        match slot.rx {
            Rx::Open => {
                slot.rx = Rx::FinReceived;
                slot.todo.clear(super::slot::Todo::WINDOW);
                if slot.wants_read {
                    slot.wants_read = false;
                    self.tell(at, News::READABLE);
                }
                self.watch_half_closed(at);
                Ok(())
            }
            Rx::Stopped => {
                slot.rx = Rx::Done;
                self.watch_half_closed(at);
                self.release_if_over(at);
                Ok(())
            }
            Rx::FinReceived | Rx::Done => self.glitch(),
        }
    }

    /// Takes `length` bytes of payload from the front of `data`, the rest of a message of `message` bytes.
    fn deliver(&mut self, at: usize, data: &mut Bytes, length: usize, message: usize) {
        let slot = &mut self.slots.all[at];
        if slot.is_free() || slot.reset.is_some() || slot.rx != Rx::Open {
            data.advance(length);
            return;
        }
        slot.unread += length as u32;
        slot.moved_at = self.now;
        self.counts.unread += length;
        let keep = length >= SMALL_PAYLOAD && (length + HEADER_BYTES) * MAX_PINNED >= message;
        if keep && !self.config.always_copy {
            if !slot.tail.is_empty() {
                slot.recv_queue.push_back(core::mem::take(&mut slot.tail).freeze());
            }
            // The last payload takes the message with it, and shares nothing.
            let whole = length == data.len();
            slot.recv_queue.push_back(if whole { core::mem::take(data) } else { data.split_to(length) });
        } else {
            slot.gather(&data[..length]);
            data.advance(length);
        }
        if slot.wants_read {
            slot.wants_read = false;
            self.tell(at, News::READABLE);
        }
        if self.counts.unread > self.config.max_buffered {
            self.shed();
        }
    }

    /// Over the limit of unread bytes: the stream that holds most of them goes.
    fn shed(&mut self) {
        let holds = |(_, slot): &(usize, &Slot)| (slot.unread, Reverse(slot.id));
        if let Some((at, _)) = self.slots.all.iter().enumerate().max_by_key(holds) {
            self.tear(at, ResetReason::Budget, true);
        }
    }

    pub(super) fn skip(&mut self, length: u32) {
        if length > 0 {
            self.parser.body = Some(Body { target: None, remaining: length, fin: false });
        }
    }
}
