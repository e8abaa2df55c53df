//! Paired runs of ours and of the crate `yamux`, and the table of what came out.
//!
//! usage: ratio [RUNS], or `ratio idle ours|theirs` for the memory of one idle stream

use std::env;
use std::fs;
use std::process::Command;

use hvym_tunnel_benches::{Contender, Transport, Work, measure, ours, theirs};

/// Streams whose memory is measured together.
const IDLE_STREAMS: usize = 20_000;
/// Runs of each work, unless told otherwise.
const RUNS: usize = 7;

/// A line of the table: the work, and how many times faster ours must be.
const LINES: [(&str, Work, Transport, f64); 12] = [
    ("bulk, memory, 1 stream", Work::Bulk { streams: 1, chunks: 16_384 }, Transport::Memory, 3.0),
    ("bulk, memory, 100 streams", Work::Bulk { streams: 100, chunks: 16_384 }, Transport::Memory, 3.0),
    ("bulk, TCP, 1 stream", Work::Bulk { streams: 1, chunks: 8_192 }, Transport::Tcp, 2.0),
    ("bulk, TCP, 100 streams", Work::Bulk { streams: 100, chunks: 8_192 }, Transport::Tcp, 2.0),
    ("echo 64 B, memory, 1 stream", Work::Echo { streams: 1, messages: 100_000 }, Transport::Memory, 4.0),
    (
        "echo 64 B, memory, 100 streams",
        Work::Echo { streams: 100, messages: 200_000 },
        Transport::Memory,
        4.0,
    ),
    ("echo 64 B, TCP, 1 stream", Work::Echo { streams: 1, messages: 10_000 }, Transport::Tcp, 1.0),
    ("echo 64 B, TCP, 100 streams", Work::Echo { streams: 100, messages: 20_000 }, Transport::Tcp, 10.0),
    ("open+echo+close, memory, 1", Work::Cycle { streams: 1, cycles: 30_000 }, Transport::Memory, 4.0),
    ("open+echo+close, memory, 100", Work::Cycle { streams: 100, cycles: 60_000 }, Transport::Memory, 4.0),
    ("open+echo+close, TCP, 1", Work::Cycle { streams: 1, cycles: 5_000 }, Transport::Tcp, 1.0),
    ("open+echo+close, TCP, 100", Work::Cycle { streams: 100, cycles: 10_000 }, Transport::Tcp, 4.0),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["idle", who] => println!("{}", idle_bytes(who)),
        [] => table(RUNS),
        [runs] => table(runs.parse().expect("a number of runs")),
        _ => panic!("usage: ratio [RUNS]"),
    }
}

fn table(runs: usize) {
    println!("| work | ours, ns each | yamux 0.14, ns each | ratio, median (min..max) | wanted |");
    println!("|---|---|---|---|---|");
    for (name, work, transport, wanted) in LINES {
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        let mut ratios = Vec::new();
        for run in 0..runs {
            let measure =
                |contender| measure(work, contender, transport).as_nanos() as f64 / work.amount() as f64;
            // Whoever comes second finds a warm machine.
            let (our, their) = if run % 2 == 0 {
                let our = measure(Contender::Ours);
                (our, measure(Contender::Theirs))
            } else {
                let their = measure(Contender::Theirs);
                (measure(Contender::Ours), their)
            };
            ours.push(our);
            theirs.push(their);
            ratios.push(their / our);
        }
        let [our, their, ratio] = [&mut ours, &mut theirs, &mut ratios].map(|values| {
            values.sort_by(f64::total_cmp);
            (values[0], values[values.len() / 2], values[values.len() - 1])
        });
        let verdict = if ratio.1 >= wanted { "" } else { " (missed)" };
        println!(
            "| {name} | {:.0} ({:.0}..{:.0}) | {:.0} ({:.0}..{:.0}) | {:.1} ({:.1}..{:.1}) | >= {wanted}{verdict} |",
            our.1, our.0, our.2, their.1, their.0, their.2, ratio.1, ratio.0, ratio.2,
        );
    }
    let [our, their] = ["ours", "theirs"].map(idle_in_a_process_of_its_own);
    println!(
        "| idle stream, both sides, bytes | {our} | {their} | {:.1} | <= 512 |",
        their as f64 / our as f64
    );
}

fn idle_in_a_process_of_its_own(who: &str) -> usize {
    let program = env::current_exe().expect("this runs");
    let output = Command::new(program).args(["idle", who]).output().expect("this runs again");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number of bytes")
}

/// Memory of one idle stream, both sides together.
fn idle_bytes(who: &str) -> usize {
    // What is there only once is there before.
    let measure = |run: &dyn Fn(usize) -> usize| {
        assert_eq!(run(1), 1);
        let before = resident_bytes();
        let streams = run(IDLE_STREAMS);
        assert_eq!(streams, IDLE_STREAMS);
        (before, resident_bytes())
    };
    let (before, after) = match who {
        "ours" => measure(&|n| {
            let idle = ours::idle(n);
            let streams = idle.streams();
            // It must live until the memory has been looked at.
            std::mem::forget(idle);
            streams
        }),
        "theirs" => measure(&|n| {
            let idle = theirs::idle(n);
            let streams = idle.streams();
            std::mem::forget(idle);
            streams
        }),
        other => panic!("{other} is nobody"),
    };
    after.saturating_sub(before) / IDLE_STREAMS
}

/// Memory of this process, in pages that are really there.
fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * rustix::param::page_size()
}
