//! The harness: two machines, one seed, no sockets.

pub mod ends;
pub mod golden;
pub mod keys;
pub mod pair;
pub mod peer;
pub mod wire;

pub use golden::golden;
pub use keys::Key;
