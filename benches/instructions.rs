//! A fixed amount of work in memory, for counting instructions: `instructions frame|echo|cycle AMOUNT`. It goes by a
//! clock of its own, so that it is the same every time.

use hvym_tunnel_benches::{Transport, Work, ours};
use hvym_tunnel_core::time::Instant;

const USAGE: &str = "usage: instructions frame|echo|cycle AMOUNT";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let work = match arguments.next().as_deref() {
        Some("frame") => Work::Bulk { streams: 2, chunks: 0 },
        Some("echo") => Work::Echo { streams: 2, messages: 0 },
        Some("cycle") => Work::Cycle { streams: 2, cycles: 0 },
        _ => panic!("{USAGE}"),
    };
    let amount = arguments.next().and_then(|n| n.parse().ok()).expect(USAGE);
    let mut micros = 0;
    ours::run(work.with_amount(amount), Transport::Memory, || {
        micros += 100;
        Instant::from_micros(micros)
    });
}
