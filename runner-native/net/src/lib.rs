//! Sockets, TLS, clock and executor, and the driver of any core machine on them.
//!
//! Knows no control message and no frame.

pub mod alarm;
mod bursts;
pub mod clock;
pub mod config;
pub mod driver;
pub mod executor;
pub mod exit;
pub mod files;
mod gauge;
mod human;
pub mod hyper;
pub mod hyper_rt;
pub mod key;
pub mod pipe;
pub mod proxy;
#[cfg_attr(not(target_os = "linux"), path = "readiness_elsewhere.rs")]
pub mod readiness;
pub mod report;
pub mod scratch;
pub mod secret;
pub mod signals;
pub mod socket;
pub mod stream;
pub mod target;
pub mod tcp;
pub mod tls;
