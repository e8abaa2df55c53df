//! The harness: two machines, one seed, no sockets; and what a test against a foreign implementation needs.

pub mod apply;
pub mod apps;
pub mod corpus;
pub mod ends;
pub mod frames;
pub mod fuzz;
pub mod golden;
pub mod judge;
pub mod keys;
pub mod lens;
pub mod lone;
pub mod meddle;
pub mod meeting;
pub mod memory;
pub mod model;
pub mod node;
pub mod ops;
pub mod pair;
pub mod peer;
pub mod pipe;
pub mod raw;
pub mod run;
pub mod settle;
pub mod wire;

pub use golden::golden;
pub use keys::Key;
