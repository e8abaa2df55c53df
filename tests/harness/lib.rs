//! The harness: two machines, one seed, no sockets; what a test against another program needs; and the real program.

#[cfg(unix)]
pub mod alone;
pub mod any_input;
pub mod apps;
#[cfg(target_os = "linux")]
pub mod bottleneck;
pub mod cargo;
#[cfg(unix)]
pub mod chromium;
pub mod corpus;
#[cfg(unix)]
pub mod crowd;
#[cfg(unix)]
pub mod curl;
#[cfg(unix)]
pub mod databases;
pub mod delegation;
pub mod dialects;
#[cfg(unix)]
pub mod dns;
pub mod door;
pub mod ends;
#[cfg(unix)]
pub mod engines;
#[cfg(unix)]
pub mod formats;
pub mod forwarded;
pub mod forwarded_bodies;
pub mod frames;
pub mod fuzz;
pub mod golden;
#[cfg(unix)]
pub mod guests;
#[cfg(unix)]
pub mod half_open;
#[cfg(unix)]
pub mod http;
#[cfg(unix)]
pub mod inspected;
#[cfg(unix)]
pub mod installed;
pub mod keys;
pub mod links;
#[cfg(unix)]
pub mod managed;
#[cfg(unix)]
pub mod matrix;
pub mod meeting;
pub mod node;
#[cfg(unix)]
pub mod older;
pub mod pair;
#[cfg(unix)]
pub mod partition;
pub mod pipe;
#[cfg(unix)]
pub mod program;
#[cfg(unix)]
pub mod python;
#[cfg(unix)]
pub mod redis;
pub mod serde_shapes;
pub mod shapes;
pub mod states;
pub mod talk;
pub mod tokens;
#[cfg(unix)]
pub mod tunely;
#[cfg(unix)]
pub mod tunnel;
#[cfg(target_os = "linux")]
pub mod unread;
pub mod websocket;
pub mod wire;
pub mod world;

pub use cargo::cargo;
#[cfg(unix)]
pub use door::Door;
pub use golden::golden;
pub use hvym_yamux_testing::{lens, memory};
pub use keys::Key;
