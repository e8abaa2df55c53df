//! Agents' connections: the WebSocket upgrade, the session's registration, and streams from one agent to another.

mod bindings;
mod delegation;
pub(crate) mod name_requests;
mod peer_access;
mod peer_link;
mod registration;
mod websocket;

pub(crate) use websocket::{answer, answer_with_token};
