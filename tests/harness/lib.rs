//! The harness: two machines, one seed, no sockets; and what a test against a foreign implementation needs.

pub mod apps;
pub mod ends;
pub mod frames;
pub mod golden;
pub mod keys;
pub mod meeting;
pub mod node;
pub mod pair;
pub mod peer;
pub mod pipe;
pub mod wire;

pub use golden::golden;
pub use keys::Key;
