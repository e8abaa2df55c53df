//! The connections of an HTTP/1.1 reverse proxy as state machines: facts and the time come in by `handle_*`, bytes and
//! decisions come out.
//!
//! Nothing here knows sockets, clocks or threads; the crate is `no_std` and needs `alloc`. Which service a request is for,
//! and which connections there are, its runner knows.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

mod body_reader;
mod config;
mod downstream;
mod exchange;
mod facts;
mod history;
pub mod limits;
mod min_rate;
pub mod pool;
mod read_buffer;
mod reuse;
mod send_queue;
mod upstream;

pub use body_reader::BodyMode;
pub use config::ProxyConfig;
pub use downstream::{Closing, HeadRefusal, RequestBody};
pub use exchange::{
    Exchange, ExchangeError, ExchangeEvent, HttpDate, LocalBody, MAX_MOVES, Released, RetryAction,
};
pub use facts::{MethodKind, RequestFacts, ResponseFacts};
pub use history::{Choice, ConnHistory};
pub use min_rate::{MinRate, RateMeter};
pub use reuse::{Reuse, names_connection_login};
pub use send_queue::SendQueue;
pub use upstream::{Upstream, UpstreamEvent, UpstreamFailure};
