//! Other implementations of what we speak, alive.

mod delegation;
mod hashicorp;
mod hashicorp_sessions;
mod replay;
mod sent;
mod tokens;
mod yamux;
mod yamux_sessions;
