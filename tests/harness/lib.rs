//! The harness: two machines, one seed, no sockets.

pub mod apply;
pub mod corpus;
pub mod ends;
pub mod fuzz;
pub mod golden;
pub mod judge;
pub mod keys;
pub mod lens;
pub mod lone;
pub mod meddle;
pub mod memory;
pub mod model;
pub mod ops;
pub mod pair;
pub mod raw;
pub mod run;
pub mod settle;
pub mod wire;

pub use golden::golden;
pub use keys::Key;
