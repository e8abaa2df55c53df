//! The whole tunnel beside other ways to the same service: the same visitors on each path in turn, never two at once.
//!
//! nginx is the service, wrk and curl are the visitors, everything runs on this machine. Ratios are made within a run,
//! and the middle one counts.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::certificate::Certificate;
use super::load::{self, Wrk};
use super::nginx::Origin;
use super::others::Place;
use super::path::{OURS, Path};
use super::process::Folder;
use super::table::{Measure, Table};
use super::{cargo_build, open, record, sink};
use crate::target;

const MIB: u64 = 1024 * 1024;
/// Kept connections of the measurement under load.
const CONNECTIONS: u32 = 64;
/// Kept connections of the measurement under more load.
const MANY_CONNECTIONS: u32 = 512;
/// Downloads at once.
const PARALLEL: usize = 8;

/// How much is measured.
struct Plan {
    runs: usize,
    /// How long wrk asks, seconds.
    seconds: u32,
    /// One large body, bytes.
    large: u64,
    /// Each of several large bodies at once, bytes.
    shared: u64,
    /// Whether agents and visitors speak TLS.
    has_tls: bool,
}

impl Plan {
    const FULL: Plan = Plan { runs: 5, seconds: 5, large: 1024 * MIB, shared: 256 * MIB, has_tls: false };
    const QUICK: Plan = Plan { runs: 1, seconds: 1, large: 128 * MIB, shared: 32 * MIB, has_tls: false };

    fn read(arguments: &[&str]) -> Result<Self> {
        let mut plan = if arguments.contains(&"--quick") { Self::QUICK } else { Self::FULL };
        plan.has_tls = arguments.contains(&"--tls");
        for argument in arguments.iter().filter(|argument| !argument.starts_with("--")) {
            plan.runs = argument.parse().with_context(|| format!("{argument} is no number of runs"))?;
        }
        ensure!(plan.runs > 0, "at least one run is needed");
        Ok(plan)
    }
}

/// Notes what the processes of each path hold, apart and together.
fn weigh(paths: &[Path], measures: [Measure; 2], table: &mut Table) {
    for path in paths {
        for (measure, bytes) in measures.into_iter().zip(path.memory()) {
            if bytes > 0 {
                table.add(path.name, measure, bytes as f64);
            }
        }
    }
}

/// Measures every path, and prints one table.
pub(super) fn run(arguments: &[&str]) -> Result<()> {
    let plan = Plan::read(arguments)?;
    let program = program()?;
    let folder = Folder::new()?;
    let origin = Origin::start(&folder, plan.large)?;
    let services = [origin.port, sink::start()?];
    let (certificate, encrypted);
    let (paths, absent) = if plan.has_tls {
        certificate = Certificate::new(&folder)?;
        encrypted = origin.encrypted(&folder, services[1], &certificate)?;
        let place = Place { folder: &folder, via: &|listen| Ok(listen), tls: Some(&certificate) };
        (open::dialling(&place, &program, services, Some(encrypted.ports))?, Vec::new())
    } else {
        open::paths(&folder, &program, services)?
    };
    let mut table = Table::new(paths.iter().map(|path| path.name).collect());
    weigh(&paths, [Measure::IdleApart, Measure::Idle], &mut table);
    for run in 1..=plan.runs {
        eprintln!("run {run} of {}", plan.runs);
        measure(&plan, &paths, &origin, &mut table).with_context(|| format!("run {run}"))?;
    }
    weigh(&paths, [Measure::AfterApart, Measure::After], &mut table);
    let size = program.metadata().with_context(|| format!("{}", program.display()))?.len();
    table.add(OURS, Measure::Size, size as f64);
    let (text, missed) = table.show();
    let runs = if plan.runs == 1 { "One run".to_owned() } else { format!("Medians of {} runs", plan.runs) };
    let absent =
        if absent.is_empty() { String::new() } else { format!("Not found: {}.\n", absent.join(", ")) };
    record(
        if plan.has_tls { "tunnel-tls" } else { "tunnel" },
        &format!("{runs}; ratios are made within a run.\n\n{text}\n{absent}Goals missed: {missed}.\n"),
    )
}

/// The program that is measured: what `HVYM_TUNNEL_BIN` names, or a release build.
pub(super) fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("HVYM_TUNNEL_BIN") {
        return Ok(program.into());
    }
    cargo_build(&["--release", "--package", "hvym-tunnel"])?;
    Ok(target().join("release/hvym-tunnel"))
}

/// One run: each kind of work on each path in turn, so that what compares is as close in time as it can be.
fn measure(plan: &Plan, paths: &[Path], origin: &Origin, table: &mut Table) -> Result<()> {
    for path in paths {
        let found = wrk(path, CONNECTIONS, false, plan)?;
        table.add(path.name, Measure::Requests, found.requests);
    }
    for path in paths {
        let found = wrk(path, MANY_CONNECTIONS, false, plan)?;
        table.add(path.name, Measure::ManyRequests, found.requests);
    }
    for path in paths {
        let found = wrk(path, CONNECTIONS, true, plan)?;
        table.add(path.name, Measure::Connections, found.requests);
    }
    for path in paths {
        let found = wrk(path, 1, false, plan)?;
        table.add(path.name, Measure::P50, found.p50);
        table.add(path.name, Measure::P99, found.p99);
    }
    for path in paths {
        let down = load::download(&path.files, plan.large, 1).with_context(|| path.name)?;
        table.add(path.name, Measure::Down, down);
    }
    for path in paths {
        let up = load::upload(&path.sink, &origin.large).with_context(|| path.name)?;
        table.add(path.name, Measure::Up, up);
    }
    for path in paths {
        let down = load::download(&path.files, plan.shared, PARALLEL).with_context(|| path.name)?;
        table.add(path.name, Measure::Parallel, down);
    }
    Ok(())
}

/// Failures are said: a path that is fast because it refuses would look good.
fn wrk(path: &Path, connections: u32, fresh: bool, plan: &Plan) -> Result<Wrk> {
    let found =
        load::wrk(&path.files, "small", connections, fresh, plan.seconds).with_context(|| path.name)?;
    if found.requests == 0.0 {
        bail!("{}: nothing came through", path.name);
    }
    if found.failures > 0 {
        eprintln!("{}: {} failures beside {:.0} requests/s", path.name, found.failures, found.requests);
    }
    Ok(found)
}
