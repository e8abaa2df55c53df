//! A runtime with sockets and timers, TLS, proxies, and the driver of any core machine on them.
//!
//! Knows no control message and no frame.

pub mod clock;
pub mod coarse_timer;
pub mod config;
pub mod copy;
pub mod events;
pub mod files;
pub mod hyper;
pub mod hyper_rt;
pub mod key;
pub mod link_driver;
pub mod log_writer;
pub mod observer;
#[cfg_attr(target_os = "linux", path = "epoll.rs")]
#[cfg_attr(not(target_os = "linux"), path = "poller_elsewhere.rs")]
mod poller;
pub mod proxy;
mod reactor;
pub mod runtime;
pub mod secret;
pub mod shutdown;
mod size_limit;
pub mod socket;
mod strain;
pub mod stream;
pub mod target;
pub mod tcp;
pub mod thread_buffer;
pub mod timer;
pub mod tls;
mod workers;
