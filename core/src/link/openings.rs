//! Streams whose opening has not arrived in full yet. Their owner does not know of them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::dialect::{MAX_OPENING_BYTES, Opening, OpeningError};
use crate::mux::{Mux, Read, StreamId};
use crate::time::Instant;

/// How long a stream may take to say what it is for. The opening leaves together with the stream's first
/// frame, so only a peer that dribbles needs longer.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// Openings in progress, at most as many as the mux lets in.
#[derive(Default)]
pub(super) struct Openings {
    waiting: BTreeMap<StreamId, Waiting>,
    deadlines: BTreeSet<(Instant, StreamId)>,
}

struct Waiting {
    deadline: Instant,
    arrived: Vec<u8>,
}

impl Openings {
    pub(super) fn begin(&mut self, id: StreamId, now: Instant) {
        let deadline = now + OPENING_TIMEOUT;
        self.waiting.insert(id, Waiting { deadline, arrived: Vec::new() });
        self.deadlines.insert((deadline, id));
    }

    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.waiting.contains_key(&id)
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        if let Some(Waiting { deadline, .. }) = self.waiting.remove(&id) {
            self.deadlines.remove(&(deadline, id));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Reads on. `Some` when the opening is complete or can never be; the stream is then no longer waiting.
    pub(super) fn advance(
        &mut self,
        id: StreamId,
        mux: &mut Mux,
        now: Instant,
    ) -> Option<Result<Opening, OpeningError>> {
        let Waiting { arrived, .. } = self.waiting.get_mut(&id)?;
        let outcome = read_opening(arrived, id, mux, now)?;
        self.remove(id);
        Some(outcome)
    }

    /// Takes out one stream that took too long, if there is one.
    pub(super) fn expire(&mut self, now: Instant) -> Option<StreamId> {
        let (deadline, id) = *self.deadlines.first()?;
        if now < deadline {
            return None;
        }
        self.remove(id);
        Some(id)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

/// Never reads past the opening: what follows belongs to the stream's owner.
fn read_opening(
    buffer: &mut Vec<u8>,
    id: StreamId,
    mux: &mut Mux,
    now: Instant,
) -> Option<Result<Opening, OpeningError>> {
    let malformed = |what: &str| Some(Err(OpeningError::Malformed(what.into())));
    loop {
        let wanted = match buffer.as_slice() {
            [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])) + 2,
            _ => 2,
        };
        if wanted > MAX_OPENING_BYTES + 2 {
            return Some(Err(OpeningError::TooLong(wanted - 2)));
        }
        if wanted > 2 && buffer.len() == wanted {
            return Some(Opening::decode(buffer.get(2..).unwrap_or_default()));
        }
        if wanted == 2 && buffer.len() == 2 {
            return malformed("empty");
        }
        let Ok(mut stream) = mux.stream(id) else { return malformed("the stream is gone") };
        match stream.read(wanted - buffer.len(), now) {
            Ok(Read::Data(data)) => buffer.extend_from_slice(&data),
            Ok(Read::Empty) => return None,
            Ok(Read::Finished) => return malformed("the stream ended inside it"),
            Err(_) => return malformed("the stream is gone"),
        }
    }
}
