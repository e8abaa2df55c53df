//! HTTP/1.1 messages: what is accepted, what is refused, and what an observer reports.

mod body;
mod head;
mod limits;
mod message;
mod tap;
mod tap_cuts;
