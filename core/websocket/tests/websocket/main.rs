//! The framing of WebSockets as sentences, by the groups of the Autobahn test suite, written from RFC 6455.

mod close;
mod cuts;
mod fragments;
mod frames;
mod memory;
mod output;
mod pings;
mod support;
mod utf8;
