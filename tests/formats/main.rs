//! The pure machines one by one: addresses, tokens, control messages and heads of HTTP/1.1.

mod address;
mod control_json;
mod jwt_golden;
mod token;
mod websocket;
