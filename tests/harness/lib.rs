//! The harness: two machines, one seed, no sockets.

pub mod corpus;
pub mod frames;
pub mod fuzz;
pub mod golden;
pub mod judge;
pub mod keys;
pub mod lone;
pub mod memory;
pub mod model;
pub mod ops;
pub mod raw;
pub mod run;
pub mod settle;

pub use golden::golden;
pub use keys::Key;
