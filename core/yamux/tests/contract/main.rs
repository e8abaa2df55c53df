//! The behaviour of a session, one question of the wire at a time, against a hand-written peer.

mod attacks;
mod basics;
mod config;
mod data;
mod edges;
mod end;
mod limits;
mod memory;
mod open;
mod session;
mod unread;
mod windows;

use hvym_yamux_testing::memory::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;
