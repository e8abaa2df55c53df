//! The harness: two machines, one seed, no sockets; what a test against another program needs; and the real program.

pub mod apps;
#[cfg(unix)]
pub mod door;
pub mod ends;
pub mod frames;
pub mod golden;
#[cfg(unix)]
pub mod http;
pub mod keys;
pub mod meeting;
pub mod node;
pub mod pair;
pub mod peer;
pub mod pipe;
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
