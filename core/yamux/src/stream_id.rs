//! The name of a stream toward the application.

/// Names a stream. The id of another session, or of a stream that is gone, is never mistaken for a live stream.
///
/// It is not the id on the wire, which a session may use only once and which says nothing of the session.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId {
    pub(crate) session: u32,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl StreamId {
    /// The number that the owner of the session gave it, the `epoch` of [`Mux::new`](crate::Mux::new).
    #[must_use]
    pub const fn session(self) -> u32 {
        self.session
    }

    /// Tells it from all other streams of the same session, earlier ones included.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.slot as u64 | (self.generation as u64) << 32
    }

    /// An id for a stream that belongs to no Yamux session: the `number`th stream of a transport that is shown to an
    /// application beside Yamux sessions, by the same type. Give such a transport a `session` number of its own, since
    /// ids with the same one are distinct only if the same party gave them out.
    pub const fn external(session: u32, number: u64) -> Self {
        Self { session, slot: number as u32, generation: (number >> 32) as u32 }
    }
}
