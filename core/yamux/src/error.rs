//! What can go wrong, by whom it concerns: a session, an opening, a stream.

use thiserror::Error;

/// What a peer did too much of.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum FloodKind {
    /// Opened streams faster than refusals can be sent.
    #[error("refused streams")]
    Refusals,
    /// Opened and reset streams, or made us reset them.
    #[error("resets")]
    Resets,
    /// Pings.
    #[error("pings")]
    Pings,
    /// Frames that mean nothing.
    #[error("meaningless frames")]
    Glitches,
    /// Data for streams that are long closed.
    #[error("data for closed streams")]
    Discarded,
}

/// Why a session ended. The first six are the peer's breach of the wire contract.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum MuxError {
    /// A header of another version.
    #[error("version {0} is not Yamux 0")]
    BadVersion(u8),
    /// A frame of unknown type.
    #[error("unknown frame type {0}")]
    UnknownType(u8),
    /// A stream id that the peer may not open.
    #[error("stream id {0} is not the peer's to open")]
    BadStreamId(u32),
    /// A second SYN for a live stream.
    #[error("stream {0} is open already")]
    DuplicateSyn(u32),
    /// A SYN for a stream that closed a moment ago.
    #[error("stream id {0} was used a moment ago")]
    IdReused(u32),
    /// More data than was granted.
    #[error("stream {0} exceeded its window")]
    WindowExceeded(u32),
    /// A window update past 2^32 - 1.
    #[error("the window of stream {0} overflows")]
    WindowOverflow(u32),
    /// Too much of something harmless.
    #[error("flood of {0}")]
    Flood(FloodKind),
    /// The peer ended the session with this code.
    #[error("the peer ended the session with code {0}")]
    RemoteGoAway(u32),
    /// The peer did not answer a keepalive ping.
    #[error("the peer does not answer")]
    KeepAlive,
    /// Output waited too long to be taken.
    #[error("the peer does not read")]
    WriteStall,
    /// The transport ended.
    #[error("the connection was lost")]
    Lost,
}

impl MuxError {
    /// The code of the `GoAway` that announces this to the peer; `None` sends none.
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
pub enum MuxEnd {
    /// After `shutdown`.
    #[error("shut down")]
    Normal,
    /// Otherwise.
    #[error(transparent)]
    Failed(MuxError),
}

/// Why a stream could not be opened. The session lives on, except with `Closed`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// Too many streams that the peer has not acknowledged; `OpenReady` follows.
    #[error("too many streams wait to be acknowledged")]
    AckBacklog,
    /// Too many streams; `OpenReady` follows.
    #[error("too many streams are open")]
    TooMany,
    /// One of the sides takes no new streams.
    #[error("no new streams are taken")]
    Draining,
    /// Every id of this side has been used.
    #[error("all stream ids are used up")]
    IdsExhausted,
    /// The session has ended.
    #[error("the session has ended")]
    Closed,
}

/// Why a stream was torn down.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ResetReason {
    /// By the peer. The code is what some implementations put in the frame's length; 0 says nothing.
    #[error("reset by the other side (code {0})")]
    Peer(u32),
    /// By this side's application.
    #[error("reset by this side (code {0})")]
    Local(u32),
    /// The peer sent data after its end of the stream, or to a reader that had given up.
    #[error("the other side sent data that nobody may read")]
    Unwanted,
    /// The peer did not acknowledge it in time.
    #[error("the other side did not take it in time")]
    OpenTimeout,
    /// This side's application did not accept it in time.
    #[error("nobody accepted it in time")]
    AcceptTimeout,
    /// Half-closed, and nothing moved for too long.
    #[error("half-closed and idle")]
    Idle,
    /// The peer granted no window for too long.
    #[error("the other side stopped reading")]
    WriteStall,
    /// The session holds too many unread bytes, most of them of this stream.
    #[error("too much unread data")]
    Budget,
    /// The session was shut down while the stream was open.
    #[error("the session was shut down")]
    Shutdown,
}

/// The stream is gone, or was never of this session.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("the stream is closed")]
pub struct ClosedStream;

/// Why an operation on a stream failed. None of these is an end of the stream: that is `Read::Finished`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum StreamError {
    /// Torn down.
    #[error("the stream was {0}")]
    Reset(ResetReason),
    /// Written to after its end.
    #[error("the stream's sending half has ended")]
    Finished,
    /// The session ended under it.
    #[error("the connection was lost")]
    Lost,
    /// See [`ClosedStream`].
    #[error(transparent)]
    Closed(#[from] ClosedStream),
}
