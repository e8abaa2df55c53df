//! A fixed amount of work in memory, for counting instructions: `instructions WORK AMOUNT`. It goes by a clock of its own,
//! so that it is the same every time.

use hvym_tunnel_benches::{Transport, Work, heads, ours, websocket};
use hvym_tunnel_core::time::Instant;

const USAGE: &str = "usage: instructions frame|echo|cycle|head|websocket_SIZE|tungstenite_SIZE AMOUNT";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().expect(USAGE);
    let amount = arguments.next().and_then(|n| n.parse().ok()).expect(USAGE);
    if kind == "head" {
        heads::forward(amount);
        return;
    }
    match kind.split_once('_') {
        Some(("websocket", size)) => return websocket::ours(size.parse().expect(USAGE), amount),
        Some(("tungstenite", size)) => return websocket::theirs(size.parse().expect(USAGE), amount),
        _ => {}
    }
    let work = match kind.as_str() {
        "frame" => Work::Bulk { streams: 2, chunks: amount },
        "echo" => Work::Echo { streams: 2, messages: amount },
        "cycle" => Work::Cycle { streams: 2, cycles: amount },
        _ => panic!("{USAGE}"),
    };
    let mut micros = 0;
    ours::run(work, Transport::Memory, || {
        micros += 100;
        Instant::from_micros(micros)
    });
}
