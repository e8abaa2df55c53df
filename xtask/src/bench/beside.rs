//! Small requests beside bulk transfers through a slow bottleneck that all share.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::load;
use super::network::{medians, push_row};
use super::nginx::Origin;
use super::others::Place;
use super::path::{DIRECT, Path};
use super::process::Folder;
use super::wire::{self, Conditions};
use super::{open, record, sink};

/// 10 Mbit/s, and 20 ms there and back.
const CONDITIONS: Conditions =
    Conditions { round_trip: Duration::from_millis(20), loss: 0.0, rate: Some(1.25e6) };
/// Bytes of all downloads together: some twelve seconds.
const BYTES: u64 = 15_000_000;
const DOWNLOADS: [usize; 2] = [1, 8];
/// How long the downloads are alone, so that the queue is as full as it becomes.
const HEAD_START: Duration = Duration::from_secs(2);
const SECONDS: u32 = 5;

/// Measures `runs` times how long a small request takes beside downloads, and prints one table of ratios.
pub(super) fn run(runs: usize) -> Result<()> {
    let program = super::tunnel::program()?;
    let folder = Folder::new()?;
    let origin = Origin::start(&folder, BYTES)?;
    let place = Place { folder: &folder, via: &|port| wire::open(CONDITIONS, port), tls: None };
    let paths = open::dialling(&place, &program, [origin.port, sink::start()?], None)?;
    let mut rows = String::new();
    for downloads in DOWNLOADS {
        let case = format!("beside {downloads} download{}", if downloads == 1 { "" } else { "s" });
        eprintln!("{case}");
        let found = medians(&paths, runs, |path| latency(path, downloads)).context(case.clone())?;
        push_row(&mut rows, &case, &format!("{:.1} ms", found[0] * 1e3), &found);
    }
    let others: Vec<&str> = paths[1..].iter().map(|path| path.name).collect();
    let text = format!(
        "The median of a small request on one connection, beside downloads over the same bottleneck between agent and relay, \
         which is simulated (`xtask/src/bench/wire.rs`): 10 Mbit/s, 20 ms there and back. Medians of {runs}. Tunnels as \
         multiples of the same without a tunnel.\n\n| | {DIRECT} | {} |\n|---|{}\n{rows}",
        others.join(" | "),
        "---|".repeat(paths.len())
    );
    record("network --beside", &text)
}

/// The median of a small request beside so many downloads, seconds.
fn latency(path: &Path, downloads: usize) -> Result<f64> {
    let door = path.files.clone();
    let bulk = thread::spawn(move || load::download(&door, BYTES / downloads as u64, downloads));
    thread::sleep(HEAD_START);
    let seen = load::wrk(&path.files, "small", 1, false, SECONDS);
    bulk.join().map_err(|_| anyhow!("a download panicked"))??;
    Ok(seen?.p50)
}
