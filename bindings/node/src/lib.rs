//! The native module of the package for Node.js: agents whose services are forwarded without JavaScript.
//!
//! It knows no promise and no class of events: options come in as objects, events go out as JSON, and `native.js` of the package
//! makes of them what the package promises. No panic crosses the border.

mod agent;
#[path = "../../../runner-wasm/src/down.rs"]
mod down;
mod error;
mod event;
mod event_forwarder;
mod runtime;
mod spec;

pub use agent::Agent;
pub use spec::{AgentOptions, ServiceOptions};
