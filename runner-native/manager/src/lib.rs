//! Many links and services of an agent in one process: started, stopped and changed by name, checked, reported, and served to
//! the person's own programs and pages over a local API.
//!
//! Reads no command line and no settings file, and prints nothing.

pub mod alerts;
pub mod api;
pub mod client;
mod context;
mod definition;
mod error;
pub mod feed;
pub mod health;
pub mod histogram;
pub mod history;
mod hooks;
mod journal;
mod link;
mod manager;
mod notifications;
pub mod places;
mod probe;
pub mod process;
pub mod quality;
pub mod remembered;
pub mod rolling;
pub mod settings;
pub mod settings_store;
pub mod shapes;
mod timestamp;
pub mod traffic;
pub mod uptime;

pub use error::ManagerError;
pub use manager::{JoinedProgram, STOP_LIMIT, TunnelManager};
