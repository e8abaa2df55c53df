//! The harness: two machines, one seed, no sockets.

pub mod golden;
pub mod keys;

pub use golden::golden;
pub use keys::Key;
