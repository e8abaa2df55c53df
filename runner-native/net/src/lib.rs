//! A runtime with sockets and timers, TLS, proxies, and the driver of any core machine on them.
//!
//! Knows no control message and no frame.

pub mod api_routes;
mod client_upgrade;
pub mod clock;
pub mod coarse_timer;
pub mod concurrency_limit;
pub mod config;
pub mod connection_slots;
pub mod copy;
mod cpu_usage;
pub mod date;
pub mod deadline;
pub mod dial_error;
pub mod embedded_page;
pub mod error_text;
pub mod events;
pub mod exposition;
pub mod external_signer;
#[cfg(target_os = "linux")]
pub mod fd_passing;
pub mod files;
mod happy_eyeballs;
pub mod host_connect;
#[cfg_attr(not(target_os = "linux"), path = "host_events_elsewhere.rs")]
pub mod host_events;
pub mod http_get;
pub mod hyper;
pub mod hyper_rt;
pub mod key;
pub mod known_relays;
mod leader_watch;
pub mod link_driver;
mod link_pacing;
mod link_sockets;
pub mod link_task;
pub mod listener;
pub mod log_writer;
pub mod observer;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod passphrase;
#[cfg_attr(target_os = "linux", path = "epoll.rs")]
#[cfg_attr(not(target_os = "linux"), path = "poller_elsewhere.rs")]
mod poller;
pub mod proxy;
mod reactor;
#[cfg_attr(not(target_os = "linux"), path = "registration_elsewhere.rs")]
mod registration;
pub mod rlimit;
pub mod runtime;
mod runtime_handle;
pub mod sealed;
pub mod seconds;
pub mod secret;
pub mod shutdown;
pub mod signer;
pub mod socket;
pub mod socket_table;
pub mod state_dir;
pub mod stream;
pub mod target;
pub mod tcp;
pub mod thread_buffer;
pub mod timeout;
pub mod timer;
mod timer_queue;
pub mod tls;
pub mod tls_server;
pub mod trace;
pub mod udp;
#[cfg(unix)]
pub mod unix_listener;
pub mod validity;
mod websocket;
mod wire;
mod workers;

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExample;
