//! Errors of a session, of an opening and of a stream, and the reasons of resets.

use thiserror::Error;

/// What a peer sent too much of.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum FloodKind {
    /// Streams, opened faster than their refusals leave.
    #[error("refused streams")]
    Refusals,
    /// Streams that it opened and reset at once ("rapid reset"), or that had to be reset.
    #[error("resets")]
    Resets,
    /// Pings.
    #[error("pings")]
    Pings,
    /// Frames that change nothing.
    #[error("meaningless frames")]
    Noise,
    /// Data for streams that were closed long ago or never opened.
    #[error("data for closed streams")]
    Discarded,
}

/// Why a session failed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MuxError {
    /// Protocol violation: a header of another version (Yamux specification, "Version Field").
    #[error("version {0} is not Yamux 0")]
    BadVersion(u8),
    /// Protocol violation: a frame of unknown type.
    #[error("unknown frame type {0}")]
    UnknownType(u8),
    /// Protocol violation: a SYN for an id of this end's parity, or a stream frame for id 0.
    #[error("stream id {0} is not the peer's to open")]
    BadStreamId(u32),
    /// Protocol violation: a second SYN for a live stream.
    #[error("stream {0} is open already")]
    DuplicateSyn(u32),
    /// Protocol violation: a SYN for a stream that was closed recently. Ids are used once.
    #[error("stream id {0} was used a moment ago")]
    IdReused(u32),
    /// Protocol violation: more data than was granted.
    #[error("stream {0} exceeded its window")]
    WindowExceeded(u32),
    /// Protocol violation: a window update to more than 2^32 - 1 bytes.
    #[error("the window of stream {0} overflows")]
    WindowOverflow(u32),
    /// Too much of what is harmless in small amounts.
    #[error("flood of {0}")]
    Flood(FloodKind),
    /// The peer ended the session: `GoAway` with a code that is not 0.
    #[error("the peer ended the session with code {0}")]
    RemoteGoAway(u32),
    /// The peer did not answer a keepalive ping in time.
    #[error("the peer does not answer")]
    KeepAlive,
    /// Output was pending for longer than `write_stall_timeout`.
    #[error("the peer does not read")]
    WriteStall,
    /// The transport ended. For [`Mux::abort`](crate::Mux::abort).
    #[error("the connection was lost")]
    Lost,
}

impl MuxError {
    /// The code of the `GoAway` that tells the peer (Yamux specification, "Go Away": 1 protocol error, 2 internal
    /// error); `None` sends none.
    #[must_use]
    pub fn go_away_code(&self) -> Option<u32> {
        match self {
            MuxError::BadVersion(_)
            | MuxError::UnknownType(_)
            | MuxError::BadStreamId(_)
            | MuxError::DuplicateSyn(_)
            | MuxError::IdReused(_)
            | MuxError::WindowExceeded(_)
            | MuxError::WindowOverflow(_)
            | MuxError::Flood(_) => Some(1),
            MuxError::KeepAlive => Some(2),
            MuxError::RemoteGoAway(_) | MuxError::WriteStall | MuxError::Lost => None,
        }
    }
}

/// How a session ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MuxEnd {
    /// After [`Mux::shutdown`](crate::Mux::shutdown).
    #[error("shut down")]
    Normal,
    /// With an error.
    #[error(transparent)]
    Failed(MuxError),
}

/// Why a stream could not be opened.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// `ack_backlog` streams are not acknowledged. `OpenReady` follows.
    #[error("too many streams wait to be acknowledged")]
    AckBacklog,
    /// `max_outbound_streams` streams are open. `OpenReady` follows.
    #[error("too many streams are open")]
    TooMany,
    /// One of the ends has sent `GoAway`, or this end is shutting down.
    #[error("no new streams are taken")]
    Draining,
    /// All 2^31 ids of this end have been used.
    #[error("all stream ids are used up")]
    IdsExhausted,
    /// The session has ended.
    #[error("the session has ended")]
    Closed,
}

/// Why a stream was reset.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ResetReason {
    /// By the peer. Some implementations put an error code into the length of the frame; 0 is none.
    #[error("reset by the other side (code {0})")]
    Peer(u32),
    /// By this end's application, with the code it gave.
    #[error("reset by this side (code {0})")]
    Local(u32),
    /// The peer sent data after its FIN was read, or more than a window to an end that had stopped and finished.
    #[error("the other side sent data that nobody may read")]
    Unwanted,
    /// The peer did not acknowledge it within `open_timeout`.
    #[error("the other side did not take it in time")]
    OpenTimeout,
    /// The application did not accept it within `accept_timeout`.
    #[error("nobody accepted it in time")]
    AcceptTimeout,
    /// Half-closed, and without progress for `half_close_idle_timeout`.
    #[error("half-closed and idle")]
    Idle,
    /// A writer waited for any window for `stream_stall_timeout`.
    #[error("the other side stopped reading")]
    WriteStall,
    /// The session exceeded `max_unread`, or the stream's group `max_group_unread`, and this stream held most for longest.
    #[error("too much unread data")]
    Budget,
}

/// The stream is gone, or was never of this session: its id is stale.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("the stream is closed")]
pub struct ClosedStream;

/// Why an operation on a stream failed. An orderly end is no error: it is [`Read::Finished`](crate::Read::Finished).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The stream was reset.
    #[error("the stream was {0}")]
    Reset(ResetReason),
    /// Written to after [`Stream::finish`](crate::Stream::finish), or the peer refuses more data.
    #[error("the stream's sending half has ended")]
    Finished,
    /// The session has ended.
    #[error("the connection was lost")]
    Lost,
    /// See [`ClosedStream`].
    #[error(transparent)]
    Closed(#[from] ClosedStream),
}
