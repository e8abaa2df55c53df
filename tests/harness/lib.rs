//! The harness: two machines, one seed, no sockets; and, for the end-to-end tests, the real program.

pub mod golden;
#[cfg(unix)]
pub mod http;
pub mod keys;
#[cfg(unix)]
pub mod program;
#[cfg(unix)]
pub mod tunnel;

pub use golden::golden;
pub use keys::Key;
