//! `cargo xtask bench`: how fast the multiplexer is beside the crate `yamux`, how many instructions it takes, and how
//! fast the whole tunnel is beside others.
//!
//! Times depend on the machine, so only ratios of runs side by side are compared; instructions do not, so they are
//! held to what `benches/instructions.txt` says.

#[cfg(unix)]
mod attack;
#[cfg(unix)]
mod beside;
#[cfg(unix)]
mod certificate;
#[cfg(unix)]
mod curves;
mod instructions;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod network;
#[cfg(unix)]
mod nginx;
#[cfg(unix)]
mod open;
#[cfg(unix)]
mod others;
#[cfg(unix)]
mod path;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod sink;
#[cfg(unix)]
mod table;
#[cfg(unix)]
pub(crate) mod targets;
#[cfg(unix)]
mod tunnel;
#[cfg(unix)]
mod wire;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::cargo::{cargo, succeed};
use crate::target;

const USAGE: &str = "usage: cargo xtask bench mux [RUNS] | instructions [--record] | tunnel [RUNS] [--quick] [--tls] | curves [SECONDS] | \
                     network [RUNS] [--quick|--beside] | attack [SECONDS]";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mux"] => ratios(&[]),
        ["mux", runs] => ratios(&[runs]),
        ["instructions"] => instructions::instructions(false),
        ["instructions", "--record"] => instructions::instructions(true),
        #[cfg(unix)]
        ["tunnel", ref rest @ ..] => tunnel::run(rest),
        #[cfg(unix)]
        ["curves"] => curves::run(3),
        #[cfg(unix)]
        ["curves", seconds] => curves::run(seconds.parse()?),
        #[cfg(unix)]
        ["attack"] => attack::run(5),
        #[cfg(unix)]
        ["attack", seconds] => attack::run(seconds.parse()?),
        #[cfg(unix)]
        ["network"] => network::run(3, false),
        #[cfg(unix)]
        ["network", "--quick"] => network::run(1, true),
        #[cfg(unix)]
        ["network", "--beside"] => beside::run(3),
        #[cfg(unix)]
        ["network", runs] => network::run(runs.parse()?, false),
        #[cfg(unix)]
        ["network", runs, "--beside"] => beside::run(runs.parse()?),
        #[cfg(unix)]
        ["network", runs, "--quick"] => network::run(runs.parse()?, true),
        _ => bail!(USAGE),
    }
}

/// Paired runs of the same work, as a table of ratios.
fn ratios(arguments: &[&str]) -> Result<()> {
    let status = Command::new(build("ratio")?).args(arguments).status()?;
    ensure!(status.success(), "ratio: {status}");
    Ok(())
}

/// Prints a result, and keeps it as the last one of its kind in `benches/results`.
#[cfg(unix)]
fn record(name: &str, text: &str) -> Result<()> {
    println!("{text}");
    let folder = crate::root().join("benches/results");
    std::fs::create_dir_all(&folder)?;
    let title = format!("# The last run of `cargo xtask bench {name}`\n\n");
    Ok(std::fs::write(folder.join(format!("{}.md", name.replace(" --", "-"))), title + text)?)
}

/// Builds a program of the benches as they are measured.
fn build(name: &str) -> Result<PathBuf> {
    cargo_build(&["--release", "--package", "hvym-tunnel-benches", "--bin", name])?;
    Ok(target().join("release").join(name))
}

fn cargo_build(arguments: &[&str]) -> Result<()> {
    succeed(cargo(["build"]).args(arguments))
}
