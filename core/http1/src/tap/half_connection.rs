//! One direction of an observed connection: heads, bodies, or bytes that are only counted.

use crate::body::Body;
use crate::head_buffer::{HeadBuffer, Taken};

/// What the next bytes of a direction are.
#[derive(Debug)]
pub(super) enum HalfState {
    Head(HeadBuffer),
    Body(Body),
    /// Not HTTP/1.1 that can be followed: bytes are counted and nothing else.
    Opaque,
}

impl HalfState {
    pub(super) fn head() -> Self {
        HalfState::Head(HeadBuffer::default())
    }
}

/// One direction of the connection.
#[derive(Debug)]
pub(super) struct HalfConnection {
    pub(super) phase: HalfState,
    /// Every byte of this direction.
    pub(super) total: u64,
}

impl HalfConnection {
    pub(super) fn new() -> Self {
        HalfConnection { phase: HalfState::head(), total: 0 }
    }

    pub(super) fn has_begun_a_head(&self) -> bool {
        matches!(&self.phase, HalfState::Head(buffer) if buffer.has_begun())
    }

    /// Heap bytes held.
    pub(super) fn held(&self) -> usize {
        match &self.phase {
            HalfState::Head(buffer) => buffer.held(),
            HalfState::Body(_) | HalfState::Opaque => 0,
        }
    }

    /// Takes the next bytes of a head; `None` if they cannot belong to one.
    pub(super) fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Option<Taken<'a>> {
        let HalfState::Head(buffer) = &mut self.phase else { return None };
        buffer.take(bytes).ok()
    }

    /// Whether the body in progress has ended; the next head may then begin.
    pub(super) fn begin_head_after_body(&mut self) -> bool {
        let ended = matches!(&self.phase, HalfState::Body(body) if body.is_finished());
        if ended {
            self.phase = HalfState::head();
        }
        ended
    }
}
