//! The harness: two machines, one seed, no sockets.

pub mod golden;
pub mod keys;
pub mod model;
pub mod ops;
pub mod raw;
pub mod run;
pub mod settle;
pub mod wire;

pub use golden::golden;
pub use keys::Key;
