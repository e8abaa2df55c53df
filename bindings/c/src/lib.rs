//! The C library of the tunnel: agents, relays and identities as opaque handles, settings and events as JSON texts.
//!
//! What C calls is in `ffi`, with the only `unsafe` code. The rest is safe, and knows no pointer. No panic crosses the border, and
//! nothing is global but the threads that all handles share.

mod agent;
mod error;
mod event_queue;
#[allow(
    unsafe_code,
    clippy::missing_safety_doc,
    reason = "C passes pointers, and the module says what they are"
)]
pub mod ffi;
mod identity;
mod outcome;
mod relay;
mod running;
mod runtime;
mod settings;
