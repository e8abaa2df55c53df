//! What a session tells its owner.

use crate::error::{MuxEnd, ResetReason};
use crate::stream_id::StreamId;

/// What a session tells its owner, from [`Mux::poll_event`](crate::Mux::poll_event). At most one event of each kind is
/// pending for each stream, however often its cause occurs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MuxEvent {
    /// The peer opened a stream. It takes a place in the accept backlog until [`Mux::accept`](crate::Mux::accept), and
    /// is reset if it is not accepted within [`MuxConfig::accept_timeout`](crate::MuxConfig::accept_timeout).
    Incoming(StreamId),
    /// A read that gave [`Read::Empty`](crate::Read::Empty) will now give data or the end. Follows once each such read.
    Readable(StreamId),
    /// A write that was cut short may go on. Follows once each such write.
    Writable(StreamId),
    /// The stream was reset, not by this end's application. Its id is stale from now on.
    Reset(StreamId, ResetReason),
    /// [`Mux::open`](crate::Mux::open), which failed for want of room, may succeed now.
    OpenReady,
    /// The peer takes no new streams (`GoAway` with code 0); open streams go on.
    RemoteGoAway(u32),
    /// 2^20 stream ids of this end are left: open a new session soon. Told once.
    IdsLow,
    /// The session has ended, and every stream with it. The last event.
    Ended(MuxEnd),
}
