//! Bulk transfers through tunnels whose agents dial over a simulated network, beside the same over that network directly.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};

use super::load;
use super::nginx::Origin;
use super::others::Place;
use super::path::{DIRECT, OURS, Path};
use super::process::Folder;
use super::wire::{self, Conditions};
use super::{open, record, sink};

const MIB: u64 = 1024 * 1024;
/// Milliseconds there and back.
const ROUND_TRIPS: [u64; 4] = [1, 20, 100, 300];
/// Of one segment.
const LOSSES: [f64; 3] = [0.0, 0.001, 0.01];
/// Bytes per second of the bottleneck: 200 Mbit/s, so that the machine itself is none.
const RATE: f64 = 25e6;
/// Downloads at once.
const PARALLEL: usize = 8;
/// Bytes of a transfer: what a path without loss carries in about so many seconds.
const SECONDS: f64 = 2.0;

/// One kind of transfer.
#[derive(Copy, Clone)]
enum Transfer {
    Download,
    Parallel,
    Upload,
}

impl Transfer {
    const ALL: [Transfer; 3] = [Transfer::Download, Transfer::Parallel, Transfer::Upload];

    fn name(self) -> &'static str {
        match self {
            Transfer::Download => "1 download",
            Transfer::Parallel => "8 downloads",
            Transfer::Upload => "1 upload",
        }
    }

    /// Bytes per second.
    fn run(self, path: &Path, origin: &Origin, bytes: u64) -> Result<f64> {
        match self {
            Transfer::Download => load::download(&path.files, bytes, 1),
            Transfer::Parallel => load::download(&path.files, bytes / 2, PARALLEL),
            Transfer::Upload => load::upload(&path.sink, &origin.large),
        }
    }
}

/// A transfer is smaller where the path is slow, so that each takes about as long.
fn bytes(conditions: Conditions) -> u64 {
    // The throughput of a window that loses now and then (Mathis et al. 1997).
    let lossy = if conditions.loss > 0.0 {
        1448.0 * 1.3 / (conditions.round_trip.as_secs_f64() * conditions.loss.sqrt())
    } else {
        RATE
    };
    // Several losses are in each transfer, so that what it gets depends little on when the first one comes.
    let seconds = if conditions.loss > 0.0 { SECONDS * 2.0 } else { SECONDS };
    ((lossy.min(RATE) * seconds) as u64).clamp(MIB, 64 * MIB)
}

/// Measures each kind of transfer under each condition, `runs` times, and prints one table of ratios.
pub(super) fn run(runs: usize, is_quick: bool) -> Result<()> {
    let program = super::tunnel::program()?;
    let mut rows = String::new();
    let mut columns = Vec::new();
    for milliseconds in ROUND_TRIPS {
        for loss in LOSSES {
            if is_quick && (milliseconds != 20 || loss == 0.01) {
                continue;
            }
            let round_trip = Duration::from_millis(milliseconds);
            let conditions = Conditions { round_trip, loss, rate: Some(RATE) };
            let bytes = bytes(conditions);
            let folder = Folder::new()?;
            let origin = Origin::start(&folder, bytes)?;
            let place = Place { folder: &folder, via: &|port| wire::open(conditions, port), tls: None };
            let paths = open::dialling(&place, &program, [origin.port, sink::start()?], None)?;
            columns = paths.iter().map(|path| path.name).collect();
            for transfer in Transfer::ALL {
                let case = format!("{milliseconds} ms, {} %, {}", loss * 100.0, transfer.name());
                eprintln!("{case}");
                let found =
                    medians(&paths, runs, |path| transfer.run(path, &origin, bytes)).context(case.clone())?;
                push_row(&mut rows, &case, &format!("{:.2} MiB/s", found[0] / MIB as f64), &found);
            }
        }
    }
    let others = columns[1..].join(" | ");
    let text = format!(
        "Medians of {runs}. The network between agent and relay is simulated (`xtask/src/bench/wire.rs`): round trip, loss \
         of a segment, 200 Mbit/s. Tunnels as multiples of the same transfer over that network without a tunnel.\n\n\
         | | {DIRECT} | {others} |\n|---|---|{}\n{rows}",
        "---|".repeat(columns.len() - 1)
    );
    record("network", &text)
}

/// Appends a row: what was found without a tunnel, and each of the others as a multiple of it.
pub(super) fn push_row(rows: &mut String, case: &str, direct: &str, found: &[f64]) {
    let _infallible = write!(rows, "| {case} | {direct} |");
    for other in &found[1..] {
        let _infallible = match other.is_nan() {
            true => write!(rows, " failed |"),
            false => write!(rows, " {:.2} |", other / found[0]),
        };
    }
    rows.push('\n');
}

/// What is found in the middle on each path; the paths take turns. Of another tunnel that failed it is no number.
pub(super) fn medians(paths: &[Path], runs: usize, once: impl Fn(&Path) -> Result<f64>) -> Result<Vec<f64>> {
    let mut found = vec![Vec::new(); paths.len()];
    for _ in 0..runs {
        for (path, found) in paths.iter().zip(&mut found) {
            found.push(match once(path).context(path.name) {
                Err(error) if ![DIRECT, OURS].contains(&path.name) => {
                    eprintln!("{error:#}");
                    f64::NAN
                }
                value => value?,
            });
        }
    }
    Ok(found
        .into_iter()
        .map(|mut values| {
            values.sort_by(f64::total_cmp);
            // One that is no number comes last.
            let is_whole = values.last().is_some_and(|value| !value.is_nan());
            if is_whole { values[values.len() / 2] } else { f64::NAN }
        })
        .collect())
}
