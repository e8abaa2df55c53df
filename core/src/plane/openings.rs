//! Streams whose opening has not arrived in full yet. Their owner does not know of them.

use alloc::vec::Vec;
use core::time::Duration;

use crate::dialect::{MAX_OPENING_BYTES, Opening, OpeningError, Prefixed};
use crate::mux::{Mux, Read, StreamId};
use crate::time::Instant;

/// How long a stream may take to say what it is for. The opening leaves together with the stream's first
/// frame, so only a peer that dribbles needs longer.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// Openings in progress, at most as many as the mux lets in. In the order in which they began, which is that of their
/// deadlines; so few that looking through them costs less than an index would, and a browser need not load one.
#[derive(Default)]
pub(super) struct Openings {
    waiting: Vec<Waiting>,
}

struct Waiting {
    id: StreamId,
    deadline: Instant,
    head: Prefixed,
}

impl Openings {
    pub(super) fn begin(&mut self, id: StreamId, now: Instant) {
        self.waiting.push(Waiting { id, deadline: now + OPENING_TIMEOUT, head: Prefixed::default() });
    }

    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.waiting.iter().any(|waiting| waiting.id == id)
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    /// Reads on. `Some` when the opening is complete or can never be; the stream is then no longer waiting.
    pub(super) fn advance(
        &mut self,
        id: StreamId,
        mux: &mut Mux,
        now: Instant,
    ) -> Option<Result<Opening, OpeningError>> {
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.id == id)?;
        let outcome = read_opening(&mut waiting.head, id, mux, now)?;
        self.remove(id);
        Some(outcome)
    }

    /// Takes out one stream that took too long, if there is one.
    pub(super) fn expire(&mut self, now: Instant) -> Option<StreamId> {
        let &Waiting { id, deadline, .. } = self.waiting.first()?;
        if now < deadline {
            return None;
        }
        self.remove(id);
        Some(id)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first().map(|waiting| waiting.deadline)
    }
}

/// Never reads past the opening: what follows belongs to the stream's owner.
fn read_opening(
    head: &mut Prefixed,
    id: StreamId,
    mux: &mut Mux,
    now: Instant,
) -> Option<Result<Opening, OpeningError>> {
    let malformed = |what: &str| Some(Err(OpeningError::Malformed(what.into())));
    loop {
        let wanted = match head.wanted(MAX_OPENING_BYTES) {
            Ok(0) => return Some(Opening::decode(head.json())),
            Ok(wanted) => wanted,
            Err(announced) => return Some(Err(OpeningError::TooLong(announced))),
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
