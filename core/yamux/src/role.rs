//! Which end of the byte stream a session is.

/// The end of the byte stream; it decides the parity of the ids of the streams it opens.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// The end that dialled: odd stream ids.
    Client,
    /// The end that accepted: even stream ids.
    Server,
}
