//! How a tunnel behaves as its load grows: requests on 1 to 4096 connections, bodies of 0 to 16 MiB, 1 to 256 downloads.
//!
//! Failures are shown beside the speed: a path that is fast because it refuses would look good.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::load;
use super::nginx::Origin;
use super::others::Place;
use super::path::{OURS, Path};
use super::process::Folder;
use super::{open, record, sink};

const MIB: u64 = 1024 * 1024;
/// Kept connections; a number of a pool and one more, too.
const CONNECTIONS: [u32; 9] = [1, 2, 8, 64, 65, 128, 512, 1024, 4096];
/// Options of a relay that refuses none of them; by default it answers what exceeds 512 with 503.
const RAISED: [&str; 2] = ["--service-requests", "8192"];
/// Bytes of a body.
const BODIES: [u64; 6] = [1, 1024, 16 * 1024, 256 * 1024, MIB, 16 * MIB];
/// Downloads at once.
const DOWNLOADS: [usize; 5] = [1, 8, 32, 128, 256];
/// Bytes of all downloads together.
const TOGETHER: u64 = 512 * MIB;

/// One table: a row for each load, a column for each path.
struct Curve {
    text: String,
}

impl Curve {
    fn new(what: &str, paths: &[Path]) -> Self {
        let names: Vec<&str> = paths.iter().map(|path| path.name).collect();
        let text = format!("\n| {what} | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(paths.len()));
        Self { text }
    }

    fn row(&mut self, load: &str, paths: &[Path], once: impl Fn(&Path) -> Result<String>) {
        eprintln!("{load}");
        let _infallible = write!(self.text, "| {load} |");
        for path in paths {
            let found = once(path).unwrap_or_else(|error| format!("failed: {error:#}"));
            let _infallible = write!(self.text, " {found} |");
        }
        self.text.push('\n');
    }
}

/// Measures the curves, each load on each path in turn.
pub(super) fn run(seconds: u32) -> Result<()> {
    let program = super::tunnel::program()?;
    let folder = Folder::new()?;
    let origin = Origin::start(&folder, TOGETHER)?;
    let services = [origin.port, sink::start()?];
    let (mut paths, _) = open::paths(&folder, &program, services)?;
    let place = Place { folder: &folder, via: &|listen| Ok(listen), tls: None };
    let raised = open::ours_with("ours, limit raised", &place, &program, services, &RAISED)?.proven()?;
    let at = paths.iter().position(|path| path.name == OURS).map_or(0, |at| at + 1);
    paths.insert(at, raised);
    let mut text = "One run on one machine, which visitors and service share.\n".to_owned();

    let mut requests = Curve::new("requests/s (failures, links lost), kept connections", &paths);
    for connections in CONNECTIONS {
        requests.row(&connections.to_string(), &paths, |path| {
            let found = load::wrk(&path.files, "small", connections, false, seconds).context(path.name)?;
            Ok(with_failures(format!("{:.0}", found.requests), found.failures, path.lost_links()))
        });
    }
    text.push_str(&requests.text);

    let mut bodies = Curve::new("requests/s (failures), 64 connections, body of so many bytes", &paths);
    for bytes in BODIES {
        let file = format!("body{bytes}");
        origin.file(&file, bytes)?;
        bodies.row(&bytes.to_string(), &paths, |path| {
            let found = load::wrk(&path.files, &file, 64, false, seconds).context(path.name)?;
            Ok(with_failures(format!("{:.0}", found.requests), found.failures, 0))
        });
    }
    text.push_str(&bodies.text);

    let mut downloads = Curve::new("MiB/s together, downloads at once", &paths);
    for many in DOWNLOADS {
        downloads.row(&many.to_string(), &paths, |path| {
            let rate = load::download(&path.files, TOGETHER / many as u64, many)?;
            Ok(format!("{:.0}", rate / MIB as f64))
        });
    }
    text.push_str(&downloads.text);
    record("curves", &text)
}

fn with_failures(mut found: String, failures: u64, lost: usize) -> String {
    if failures > 0 || lost > 0 {
        let _infallible = write!(found, " ({failures}, {lost})");
    }
    found
}
