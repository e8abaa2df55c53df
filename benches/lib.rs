//! Work for multiplexers, and two that do it: ours and the crate `yamux`. Benches and the table of ratios share it. Beside it,
//! the head of a request that is forwarded.
//!
//! What is compared, and how it is kept fair:
//!
//! - One thread does everything for both ends, so that a measurement is the cost of both ends together. What is taken is
//!   the CPU time of the process, which other processes disturb least.
//! - Neither side looks at the bytes. Our application hands over and gets `Bytes`; theirs hands over a slice, which is
//!   all that can be written, and gets their own chunks through `Stream`, which costs them no copy.
//! - In memory, ours hands its batches over as they are, as messages of a WebSocket are; theirs needs a byte stream, and
//!   gets a pipe of 64 KiB. Its two copies are part of what an application of theirs pays.
//! - Over TCP both have the same two non-blocking loopback sockets and ask them again and again, so that nobody pays
//!   for a reactor.
//! - Ours runs in a plain loop, theirs on the single-threaded executor of `futures`.

pub mod heads;
pub mod ours;
#[path = "../tests/harness/pipe.rs"]
pub mod pipe;
pub mod sockets;
pub mod theirs;
pub mod websocket;
pub mod work;

use std::time::Duration;

pub use work::{Contender, Transport, Work};

/// Has the work done, and says how much CPU time that took.
pub fn measure(work: Work, contender: Contender, transport: Transport) -> Duration {
    match contender {
        Contender::Ours => ours::measure(work, transport),
        Contender::Theirs => theirs::measure(work, transport),
    }
}
