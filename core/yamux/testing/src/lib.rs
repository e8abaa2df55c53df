//! What the tests, the properties and the fuzzers of `hvym-yamux` share.
//!
//! [`rig`] is one session with a hand-written peer. [`run`] is two sessions, a pipe and the reference [`model`].
//! [`lone`] is one session against a peer that may send anything, [`judge`] a second opinion on every frame.
//! Nothing here shares code with the crate under test but its public API, so that a mistake cannot hide in both.

mod apply;
pub mod aware;
pub mod corpus;
pub mod fuzz;
pub mod judge;
pub mod lens;
pub mod lone;
pub mod meddle;
mod meddler;
pub mod memory;
pub mod model;
pub mod net;
pub mod ops;
pub mod raw;
pub mod rig;
pub mod run;
mod settle;
pub mod statistics;
pub mod wire;
