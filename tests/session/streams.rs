//! Streams and control messages through a whole link.

mod control;
mod data;
mod openings;
mod raw;
mod shutdown;
mod slow;
mod strangers;
