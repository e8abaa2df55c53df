//! The harness: two machines, one seed, no sockets; and, for the end-to-end tests, the real program.

#[cfg(unix)]
pub mod door;
pub mod ends;
pub mod golden;
#[cfg(unix)]
pub mod http;
pub mod keys;
pub mod pair;
pub mod peer;
#[cfg(unix)]
pub mod program;
pub mod python;
#[cfg(unix)]
pub mod tunnel;
pub mod wire;

#[cfg(unix)]
pub use door::Door;
pub use golden::golden;
pub use keys::Key;
