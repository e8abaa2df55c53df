//! Many links and services of an agent in one process: started, stopped and changed by name, checked, reported, and served to
//! the person's own programs and pages over a local API.
//!
//! Reads no command line and no settings file, and prints nothing.

pub mod alerts;
pub mod api;
pub mod client;
mod error;
pub mod feed;
pub mod health;
pub mod histogram;
mod hooks;
mod link;
mod manager;
pub mod places;
mod probe;
pub mod process;
pub mod quality;
pub mod rolling;
pub mod settings;
pub mod settings_store;
pub mod shapes;
mod timestamp;
pub mod traffic;
pub mod uptime;

pub use error::ManagerError;
pub use manager::{STOP_LIMIT, TunnelManager};
