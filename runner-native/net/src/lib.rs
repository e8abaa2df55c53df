//! Sockets, TLS, clock and executor, and the driver of any core machine on them.
//!
//! Knows no control message and no frame.

pub mod clock;
pub mod coarse_timer;
pub mod config;
pub mod copy;
pub mod events;
pub mod executor;
pub mod files;
pub mod hyper;
pub mod hyper_rt;
pub mod key;
pub mod link_driver;
pub mod observer;
pub mod proxy;
#[cfg_attr(not(target_os = "linux"), path = "readiness_elsewhere.rs")]
pub mod readiness;
pub mod secret;
mod size_limit;
pub mod socket;
pub mod stream;
pub mod target;
pub mod tcp;
pub mod thread_buffer;
pub mod tls;
