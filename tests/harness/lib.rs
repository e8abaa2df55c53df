//! The harness: two machines, one seed, no sockets.

pub mod golden;
pub mod keys;
pub mod peer;

pub use golden::golden;
pub use keys::Key;
