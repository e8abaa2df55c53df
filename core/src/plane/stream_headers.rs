//! Streams whose opening has not arrived in full yet. Their owner does not know of them.

use alloc::vec::Vec;
use core::time::Duration;

use crate::dialect::{LengthPrefixed, MAX_STREAM_HEADER_BYTES, StreamHeader, StreamHeaderError};
use crate::mux::{Mux, Read, StreamId};
use crate::time::Instant;

/// How long a stream may take to say what it is for. The opening leaves together with the stream's first
/// frame, so only a peer that dribbles needs longer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// PendingHeaders in progress, at most as many as the mux lets in. In the order in which they began, which is that of their
/// deadlines; so few that looking through them costs less than an index would, and a browser need not load one.
#[derive(Default)]
pub(super) struct PendingHeaders {
    pending: Vec<Pending>,
}

struct Pending {
    id: StreamId,
    deadline: Instant,
    head: LengthPrefixed,
}

impl PendingHeaders {
    pub(super) fn begin(&mut self, id: StreamId, now: Instant) {
        self.pending.push(Pending { id, deadline: now + HEADER_TIMEOUT, head: LengthPrefixed::default() });
    }

    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.pending.iter().any(|pending| pending.id == id)
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        self.pending.retain(|pending| pending.id != id);
    }

    /// Reads on. `Some` when the opening is complete or can never be; the stream is then no longer pending.
    pub(super) fn advance(
        &mut self,
        id: StreamId,
        mux: &mut Mux,
        now: Instant,
    ) -> Option<Result<StreamHeader, StreamHeaderError>> {
        let pending = self.pending.iter_mut().find(|pending| pending.id == id)?;
        let outcome = read_header(&mut pending.head, id, mux, now)?;
        self.remove(id);
        Some(outcome)
    }

    /// Takes out one stream that took too long, if there is one.
    pub(super) fn expire(&mut self, now: Instant) -> Option<StreamId> {
        let &Pending { id, deadline, .. } = self.pending.first()?;
        if now < deadline {
            return None;
        }
        self.remove(id);
        Some(id)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pending.first().map(|pending| pending.deadline)
    }
}

/// Never reads past the opening: what follows belongs to the stream's owner.
fn read_header(
    head: &mut LengthPrefixed,
    id: StreamId,
    mux: &mut Mux,
    now: Instant,
) -> Option<Result<StreamHeader, StreamHeaderError>> {
    let malformed = |what: &str| Some(Err(StreamHeaderError::Malformed(what.into())));
    loop {
        let wanted = match head.wanted(MAX_STREAM_HEADER_BYTES) {
            Ok(0) => return Some(StreamHeader::decode(head.json())),
            Ok(wanted) => wanted,
            Err(announced) => return Some(Err(StreamHeaderError::TooLong(announced))),
        };
        let Ok(mut stream) = mux.stream(id) else { return malformed("the stream is gone") };
        match stream.read(wanted, now) {
            Ok(Read::Data(data)) => head.push(&data),
            Ok(Read::Empty) => return None,
            Ok(Read::Finished) => return malformed("the stream ended inside it"),
            Err(_) => return malformed("the stream is gone"),
        }
    }
}
