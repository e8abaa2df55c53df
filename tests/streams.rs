//! Streams and control messages through a whole link.

#[path = "streams/control.rs"]
mod control;
#[path = "streams/data.rs"]
mod data;
#[path = "streams/openings.rs"]
mod openings;
#[path = "streams/raw.rs"]
mod raw;
