//! The data plane of a link: what carries its streams once the login is over.
//!
//! [`DataPlane`] is object safe, so that a link does not know which one it has. The native one is [`YamuxPlane`]; other
//! crates bring others. A plane decodes and encodes the messages of its wire language; control messages go back to
//! the link.

mod stream_headers;
mod yamux;

use alloc::boxed::Box;
use core::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::dialect::{Signal, StreamHeader, StreamHeaderError};
use crate::keepalive::{KeepaliveConfig, KeepaliveMode};
use crate::machine::Side;
use crate::message::{Close, Message};
use crate::mux::{MuxConfig, OpenError, Read, ResetReason, StreamError, StreamId};
use crate::reason::DownReason;
use crate::rng::Seed;
use crate::time::Instant;

pub use yamux::YamuxPlane;

/// A signal about one stream. Data is pulled through [`Stream::read`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The peer opened a stream and said what for. Data may be waiting already.
    Opened {
        /// The stream.
        id: StreamId,
        /// What for.
        header: Box<StreamHeader>,
    },
    /// Reading gives something again: data, or the end.
    Readable(StreamId),
    /// Writing takes something again.
    Writable(StreamId),
    /// The stream was reset; unread data is lost.
    Reset(StreamId, ResetReason),
}

impl StreamEvent {
    /// The stream it is about.
    pub fn id(&self) -> StreamId {
        match self {
            StreamEvent::Opened { id, .. }
            | StreamEvent::Readable(id)
            | StreamEvent::Writable(id)
            | StreamEvent::Reset(id, _) => *id,
        }
    }
}

/// What a data plane tells its link.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PlaneEvent {
    /// Something happened to a stream.
    Stream(StreamEvent),
    /// Opening a stream, which was refused for lack of capacity, may succeed again.
    OpenReady,
    /// The peer takes no new streams; open ones go on.
    GoingAway,
    /// Few ids are left for the streams that this end opens.
    IdsLow,
    /// The end that [`DataPlane::shutdown`] asked for.
    ShutDown,
}

/// Why a stream could not be opened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// The link is not up.
    #[error("the link is not up")]
    NotUp,
    /// The session has no room, or takes no new streams.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// The header does not fit.
    #[error(transparent)]
    Header(#[from] StreamHeaderError),
}

impl OpenStreamError {
    /// Whether waiting helps: the link is up and full, and [`PlaneEvent::OpenReady`] follows.
    pub fn is_transient(&self) -> bool {
        matches!(self, OpenStreamError::Refused(OpenError::TooMany | OpenError::AckBacklog))
    }
}

/// What a link needs to know of its data plane besides the streams. Constant for the life of the plane.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PlaneInfo {
    /// The protocol's name, for logs and for callers that need native features ([`MUX_YAMUX`](crate::dialect::MUX_YAMUX)).
    pub protocol: &'static str,
    /// How the link detects a dead peer.
    pub keepalive: KeepaliveMode,
    /// The shortest interval and timeout that the peer can keep; `None` leaves the link's own.
    pub min_keepalive: Option<KeepaliveConfig>,
    /// What the peer may send at once.
    pub limits: MessageLimits,
}

/// What a runner receives of a peer at once, in WebSocket messages.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MessageLimits {
    /// The largest message, bytes. A larger one is refused with the close code 1009, or cut.
    pub max_bytes: usize,
    /// The binary messages are one byte stream: a runner may pass on each piece as it arrives.
    pub binary_is_stream: bool,
    /// How much of a larger text message is still of use; `None` is nothing, and such a message ends the link.
    pub oversized_head: Option<usize>,
}

impl MessageLimits {
    /// Of a relay until the login is over: a token of 8 KiB and what surrounds it. With what one read brings, a stranger
    /// makes a runner hold less than 16 KiB.
    pub const LOGIN: Self = Self { max_bytes: 12 * 1024, binary_is_stream: false, oversized_head: None };
    /// Of an agent until the login is over. It has chosen its relay, and existing ones may send requests that early.
    pub const AGENT_LOGIN: Self =
        Self { max_bytes: 1024 * 1024, binary_is_stream: false, oversized_head: None };
    /// Of the native plane. Its batches have 64 KiB and its control messages at most as much; other programs may have
    /// larger ones.
    pub const NATIVE: Self = Self { max_bytes: 1024 * 1024, binary_is_stream: true, oversized_head: None };
}

/// The streams of a plane at one moment.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct StreamCounts {
    /// Opened by this side, and not over.
    pub opened: usize,
    /// What `opened` may reach: this side's own limit, or the peer's if that is lower.
    pub max_opened: usize,
    /// Opened by the peer, and not over.
    pub accepted: usize,
    /// Bytes of all that were written and have not left.
    pub unsent: usize,
    /// Bytes of all that arrived and were not read.
    pub unread: usize,
    /// The least round trip of late, if it was measured.
    pub rtt: Option<Duration>,
}

/// What every data plane starts from.
#[derive(Clone, Debug)]
pub struct PlaneStart {
    /// Which end of the link this is.
    pub side: Side,
    /// The limits of a multiplexed plane.
    pub mux: MuxConfig,
    /// Tells the stream ids of this link from those of the owner's other links.
    pub epoch: u32,
    /// Entropy of this plane alone.
    pub seed: Seed,
    /// When the login was over.
    pub now: Instant,
}

impl PlaneStart {
    /// Opens no more streams than the peer allows, if it says so.
    pub fn limit_opened(&mut self, allowed: Option<u32>) {
        if let Some(allowed) = allowed.and_then(|allowed| usize::try_from(allowed).ok()) {
            self.mux.max_outbound_streams = self.mux.max_outbound_streams.min(allowed);
        }
    }
}

/// The streams of one link, and the messages that carry them.
///
/// `poll_*` may be called at any time and in any order. Methods that take a [`StreamId`] answer
/// [`StreamError::Lost`] (or do nothing) for an id that is not live.
pub trait DataPlane: Send {
    /// Constant facts for the link.
    fn info(&self) -> PlaneInfo;

    /// The link is up and its owner was told. Called once, before anything else.
    ///
    /// # Errors
    /// As [`Self::handle_message`].
    fn start(&mut self, _now: Instant) -> Result<(), DownReason> {
        Ok(())
    }

    /// A message arrived. A control message is returned for the link to interpret.
    ///
    /// # Errors
    /// Why the link has to end. Events that were caused before the fault are still polled.
    fn handle_message(&mut self, message: Message, now: Instant) -> Result<Option<Signal>, DownReason>;

    /// A text message arrived that was too large, and begins with `head`: as [`MessageLimits::oversized_head`] asks for it.
    fn handle_oversized(&mut self, _head: Bytes, _now: Instant) {}

    /// The message for a control signal; `None` if the protocol has none.
    fn encode(&self, signal: Signal) -> Option<Message>;

    /// The clock may have passed [`Self::poll_timeout`].
    ///
    /// # Errors
    /// As [`Self::handle_message`].
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason>;

    /// When [`Self::handle_timeout`] is due; `None` is never.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Tells the peer that no new streams are taken, lets open ones go on, and ends with [`PlaneEvent::ShutDown`] after the
    /// last, or at `deadline`. A plane whose protocol cannot say so does nothing, and its link ends at `deadline`.
    fn shutdown(&mut self, _deadline: Instant, _now: Instant) {}

    /// The most bytes of a message of stream data from now on, where the plane can cut them; see
    /// [`hvym_yamux::Mux::set_batch`].
    fn set_batch(&mut self, _bytes: usize) {}

    /// The next message for the socket.
    fn poll_transmit(&mut self) -> Option<Message>;

    /// Whether there is something to send, or may be.
    fn has_output(&self) -> bool;

    /// The next event.
    fn poll_event(&mut self) -> Option<PlaneEvent>;

    /// Opens a stream; `header` is sent ahead of what is written to it.
    ///
    /// # Errors
    /// [`OpenStreamError`], never [`OpenStreamError::NotUp`] while the plane lives.
    fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError>;

    /// The streams that are open; none where a plane has no count of them.
    fn stream_counts(&self) -> StreamCounts {
        StreamCounts::default()
    }

    /// Whether `id` is a live stream that its owner knows of.
    fn contains(&self, id: StreamId) -> bool;

    /// Takes up to `max` bytes that have arrived on `id`.
    ///
    /// # Errors
    /// The stream was reset, or is not live.
    fn read(&mut self, id: StreamId, max: usize, now: Instant) -> Result<Read, StreamError>;

    /// Takes from the front of `data` what there is capacity for; how many bytes. The rest is announced by
    /// [`StreamEvent::Writable`].
    ///
    /// # Errors
    /// The stream was reset, its sending half was finished, or it is not live.
    fn write(&mut self, id: StreamId, data: &mut Bytes, now: Instant) -> Result<usize, StreamError>;

    /// How many bytes [`Self::write`] would take now.
    fn writable(&self, id: StreamId) -> usize;

    /// Ends the sending half, after what was written.
    ///
    /// # Errors
    /// The stream was reset, or is not live.
    fn finish(&mut self, id: StreamId, now: Instant) -> Result<(), StreamError>;

    /// Resets both halves; what was not sent is dropped. `code` is for logs.
    fn reset(&mut self, id: StreamId, code: u32, now: Instant);

    /// Stops reading: what arrives from now on is dropped.
    fn stop(&mut self, id: StreamId, now: Instant);

    /// Counts what is unread on `id` together with the other streams of `group`, where the plane knows groups; see
    /// [`Stream::set_group`].
    fn set_group(&mut self, _id: StreamId, _group: u64) {}

    /// Resets streams until `bytes` fewer are unread, where the plane counts them; see [`hvym_yamux::Mux::shed_unread`].
    fn shed_unread(&mut self, _bytes: usize, _now: Instant) {}

    /// The link ends for `reason`: the next of the last messages ahead of the WebSocket close. Polled until `None`.
    fn poll_last(&mut self, reason: &DownReason) -> Option<Message>;

    /// What a close from the peer means.
    fn down_reason(&self, close: &Close) -> DownReason {
        DownReason::from_close(close)
    }

    /// Whether messages are encrypted between the two ends, beyond the transport's encryption.
    fn is_sealed(&self) -> bool {
        false
    }
}

/// A live stream, borrowed for one operation, whichever plane carries it.
pub struct Stream<'a> {
    plane: &'a mut dyn DataPlane,
    id: StreamId,
}

impl<'a> Stream<'a> {
    /// The stream `id` of `plane`, if it is live.
    pub fn find(plane: &'a mut dyn DataPlane, id: StreamId) -> Option<Self> {
        plane.contains(id).then_some(Self { plane, id })
    }

    /// Its id.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// As [`DataPlane::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&mut self, max: usize, now: Instant) -> Result<Read, StreamError> {
        self.plane.read(self.id, max, now)
    }

    /// As [`DataPlane::write`].
    ///
    /// # Errors
    /// As there.
    pub fn write(&mut self, data: &mut Bytes, now: Instant) -> Result<usize, StreamError> {
        self.plane.write(self.id, data, now)
    }

    /// As [`DataPlane::writable`].
    pub fn writable(&self) -> usize {
        self.plane.writable(self.id)
    }

    /// As [`DataPlane::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&mut self, now: Instant) -> Result<(), StreamError> {
        self.plane.finish(self.id, now)
    }

    /// As [`DataPlane::reset`].
    pub fn reset(&mut self, code: u32, now: Instant) {
        self.plane.reset(self.id, code, now);
    }

    /// Counts what is unread on this stream together with the other streams of `group`, as
    /// [`hvym_yamux::Stream::set_group`] does: a relay calls it right after it has opened the stream, with a number that
    /// stands for the visitor whom the stream is for and that is not 0. Where the unread data of a link exceeds its limits,
    /// the visitor who holds most of it for longest loses a stream, and no other.
    pub fn set_group(&mut self, group: u64) {
        self.plane.set_group(self.id, group);
    }

    /// As [`DataPlane::stop`].
    pub fn stop(&mut self, now: Instant) {
        self.plane.stop(self.id, now);
    }
}

impl core::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Stream").field(&self.id).finish()
    }
}
