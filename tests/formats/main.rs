//! The pure machines one by one: addresses, tokens, control messages, WebSocket frames, DNS answers and what is forwarded of HTTP/1.1.

mod address;
mod agent_list;
mod control_json;
mod delegation;
mod dns;
mod forwarded;
mod identity_golden;
mod jwt_golden;
mod names;
mod token;
mod websocket;

use hvym_tunnel_tests::memory::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;
