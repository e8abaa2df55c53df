//! The real program, its relay and its agent, and visitors at its door.

mod abort;
mod coming_back;
mod conformance;
mod conformance_http2;
mod conformance_streams;
mod end;
mod expose;
mod gate;
mod h2;
mod h2_visitor;
mod h2c;
mod http;
mod kept_apart;
mod login;
mod ports;
mod proxy;
mod reach;
mod reuse;
mod secrets;
mod smuggling;
mod stalled;
mod strangers;
mod targets;
mod tcp;
mod tls;
mod visitors;
