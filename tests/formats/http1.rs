//! HTTP/1.1 as values: what is read, what is refused, and what an observer sees.

mod body;
mod head;
mod message;
mod page;
mod tap;
mod tap_cuts;
