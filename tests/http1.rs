//! HTTP/1.1 as values: what is read, what is refused, and what an observer sees.

#[path = "http1/body.rs"]
mod body;
#[path = "http1/head.rs"]
mod head;
#[path = "http1/message.rs"]
mod message;
#[path = "http1/page.rs"]
mod page;
#[path = "http1/tap.rs"]
mod tap;
#[path = "http1/tap_cuts.rs"]
mod tap_cuts;
