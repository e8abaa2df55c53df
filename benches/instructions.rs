//! A fixed amount of bulk work, for counting instructions: `instructions FRAMES` moves that many frames of 16 KiB
//! from one session to another in memory, on two streams, by a clock of its own.

use hvym_tunnel_benches::{Transport, Work, ours};
use hvym_tunnel_core::time::Instant;

fn main() {
    let chunks = std::env::args().nth(1).and_then(|n| n.parse().ok()).expect("usage: instructions FRAMES");
    let mut micros = 0;
    ours::run(Work::Bulk { streams: 2, chunks }, Transport::Memory, || {
        micros += 100;
        Instant::from_micros(micros)
    });
}
