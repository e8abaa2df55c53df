//! The native data plane: one Yamux session in `Binary` messages, control messages as JSON text.

use alloc::boxed::Box;
use alloc::string::ToString;

use bytes::Bytes;

use super::stream_headers::PendingHeaders;
use super::{
    DataPlane, MessageLimits, OpenStreamError, PlaneEvent, PlaneInfo, PlaneStart, StreamCounts, StreamEvent,
};
use crate::dialect::{Frame, MAX_STREAM_HEADER_BYTES, MUX_YAMUX, Signal, SignalReader, StreamHeader};
use crate::keepalive::KeepaliveMode;
use crate::machine::Side;
use crate::message::Message;
use crate::mux::{Mux, MuxEnd, MuxError, MuxEvent, Read, StreamError, StreamId};
use crate::reason::DownReason;
use crate::time::{Instant, earliest};

/// Given to `reset` when the peer's header cannot be served; local knowledge only.
const RESET_BAD_HEADER: u32 = 1;
/// What a header takes in the queue of its stream: its length and its JSON.
const MAX_HEADER_BYTES: usize = 2 + MAX_STREAM_HEADER_BYTES;
/// A fatal mux error leaves at most a `GoAway`, which fits one batch; the second is for a batch that was begun before.
const MAX_LAST_BATCHES: u8 = 2;

/// One Yamux session, and the streams whose header has not arrived in full.
pub struct YamuxPlane {
    mux: Mux,
    side: Side,
    /// Reads the control messages of the other side.
    read: SignalReader,
    max_opened: usize,
    headers: PendingHeaders,
    /// Batches that may still be sent ahead of the close.
    last_batches: u8,
    /// The latest time that came in by `handle_*`, for what a poll finds.
    now: Instant,
}

impl YamuxPlane {
    /// An agent's plane, once its login is over.
    pub fn agent(start: PlaneStart) -> Self {
        Self::new(start, Signal::from_relay)
    }

    /// A relay's plane, once the login is over.
    pub fn relay(start: PlaneStart) -> Self {
        Self::new(start, Signal::from_agent)
    }

    fn new(start: PlaneStart, read: SignalReader) -> Self {
        let PlaneStart { side, mut mux, epoch, seed, now } = start;
        mux.opening_reserve = mux.opening_reserve.max(MAX_HEADER_BYTES);
        Self {
            max_opened: mux.max_outbound_streams,
            mux: Mux::new(side.into(), mux, epoch, seed, now),
            side,
            read,
            headers: PendingHeaders::default(),
            last_batches: MAX_LAST_BATCHES,
            now,
        }
    }

    /// The session inside, for tests of what takes long to happen.
    #[doc(hidden)]
    pub fn inner(&mut self) -> &mut Mux {
        &mut self.mux
    }

    fn on_event(&mut self, event: MuxEvent) -> Option<PlaneEvent> {
        let event = match event {
            MuxEvent::Incoming(id) => return self.on_incoming(id),
            MuxEvent::Readable(id) if self.headers.contains(id) => return self.on_header(id),
            MuxEvent::Reset(id, _) if self.headers.contains(id) => {
                self.headers.remove(id);
                return None;
            }
            MuxEvent::Readable(id) => StreamEvent::Readable(id),
            MuxEvent::Writable(id) => StreamEvent::Writable(id),
            MuxEvent::Reset(id, reason) => StreamEvent::Reset(id, reason),
            MuxEvent::OpenReady => return Some(PlaneEvent::OpenReady),
            MuxEvent::RemoteGoAway(_) => return Some(PlaneEvent::GoingAway),
            MuxEvent::IdsLow => return Some(PlaneEvent::IdsLow),
            MuxEvent::Ended(MuxEnd::Normal) => return Some(PlaneEvent::ShutDown),
            // A failure was returned by the call that caused it.
            _ => return None,
        };
        Some(PlaneEvent::Stream(event))
    }

    fn on_incoming(&mut self, id: StreamId) -> Option<PlaneEvent> {
        self.mux.accept(id, self.now).ok()?;
        self.headers.begin(id, self.now);
        self.on_header(id)
    }

    fn on_header(&mut self, id: StreamId) -> Option<PlaneEvent> {
        let opener = match self.side {
            Side::Agent => Side::Relay,
            Side::Relay => Side::Agent,
        };
        let header = self.headers.advance(id, &mut self.mux, self.now)?;
        match header.and_then(|header| header.check(opener).map(|()| header)) {
            Ok(header) => Some(PlaneEvent::Stream(StreamEvent::Opened { id, header: Box::new(header) })),
            Err(error) => {
                tracing::debug!(%error, "refused a stream");
                self.reset(id, RESET_BAD_HEADER, self.now);
                None
            }
        }
    }
}

impl DataPlane for YamuxPlane {
    fn info(&self) -> PlaneInfo {
        PlaneInfo {
            protocol: MUX_YAMUX,
            keepalive: KeepaliveMode::Active,
            min_keepalive: None,
            limits: MessageLimits::NATIVE,
        }
    }

    fn handle_message(&mut self, message: Message, now: Instant) -> Result<Option<Signal>, DownReason> {
        self.now = now;
        match Frame::decode_by(message, self.read)? {
            Frame::Mux(data) => self.mux.handle_data(data, now).map(|()| None).map_err(down_reason),
            Frame::Signal(signal) => Ok(Some(*signal)),
        }
    }

    fn encode(&self, signal: Signal) -> Option<Message> {
        Some(Frame::Signal(Box::new(signal)).encode())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        self.now = now;
        while let Some(late) = self.headers.expire(now) {
            self.reset(late, RESET_BAD_HEADER, now);
        }
        self.mux.handle_timeout(now).map_err(down_reason)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.mux.poll_timeout(), self.headers.poll_timeout())
    }

    fn shutdown(&mut self, deadline: Instant, now: Instant) {
        self.mux.go_away(now);
        self.mux.shutdown(deadline, now);
    }

    fn set_batch(&mut self, bytes: usize) {
        self.mux.set_batch(bytes);
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        self.mux.poll_transmit().map(|batch| Frame::Mux(batch).encode())
    }

    fn has_output(&self) -> bool {
        self.mux.has_output()
    }

    fn poll_event(&mut self) -> Option<PlaneEvent> {
        while let Some(event) = self.mux.poll_event() {
            if let Some(event) = self.on_event(event) {
                return Some(event);
            }
        }
        None
    }

    fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        let mut head = header.encode()?;
        let id = self.mux.open(now)?;
        let written =
            self.mux.stream(id).map_err(StreamError::from).and_then(|mut s| s.write(&mut head, now));
        // The reserve for openings has room for any header.
        debug_assert!(written.is_ok() && head.is_empty(), "half a header");
        Ok(id)
    }

    fn stream_counts(&self) -> StreamCounts {
        let stats = self.mux.stats();
        StreamCounts {
            opened: stats.outbound,
            max_opened: self.max_opened,
            accepted: stats.inbound,
            unsent: stats.unsent,
            unread: stats.unread,
            rtt: stats.rtt,
        }
    }

    fn shed_unread(&mut self, bytes: usize, now: Instant) {
        self.now = now;
        self.mux.shed_unread(bytes, now);
    }

    fn contains(&self, id: StreamId) -> bool {
        self.mux.contains(id) && !self.headers.contains(id)
    }

    fn read(&mut self, id: StreamId, max: usize, now: Instant) -> Result<Read, StreamError> {
        self.mux.stream(id).map_err(|_| StreamError::Lost)?.read(max, now)
    }

    fn write(&mut self, id: StreamId, data: &mut Bytes, now: Instant) -> Result<usize, StreamError> {
        self.mux.stream(id).map_err(|_| StreamError::Lost)?.write(data, now)
    }

    fn writable(&self, id: StreamId) -> usize {
        self.mux.writable(id)
    }

    fn finish(&mut self, id: StreamId, now: Instant) -> Result<(), StreamError> {
        self.mux.stream(id).map_err(|_| StreamError::Lost)?.finish(now)
    }

    fn reset(&mut self, id: StreamId, code: u32, now: Instant) {
        if let Ok(mut stream) = self.mux.stream(id) {
            stream.reset(code, now);
        }
    }

    fn stop(&mut self, id: StreamId, now: Instant) {
        if let Ok(mut stream) = self.mux.stream(id) {
            stream.stop(now);
        }
    }

    fn set_group(&mut self, id: StreamId, group: u64) {
        if let Ok(mut stream) = self.mux.stream(id) {
            stream.set_group(group);
        }
    }

    /// The session's last frames, such as a `GoAway`.
    fn poll_last(&mut self, _reason: &DownReason) -> Option<Message> {
        self.last_batches = self.last_batches.checked_sub(1)?;
        self.poll_transmit()
    }
}

fn down_reason(error: MuxError) -> DownReason {
    match error {
        MuxError::WriteStall => DownReason::TimedOut(error.to_string()),
        MuxError::KeepAlive => DownReason::Silent,
        _ => DownReason::Protocol(error.to_string()),
    }
}
