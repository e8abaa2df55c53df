//! `cargo xtask fuzz [TARGET] [--seconds N]`: libFuzzer on the stable toolchain, with nothing to install.
//!
//! What `cargo fuzz` would do beyond this is a sanitizer, which code without `unsafe` has little use for, and which
//! needs a nightly toolchain. A C++ compiler is needed for libFuzzer itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::cargo;

/// Coverage as libFuzzer reads it: edges counted in eight bits, their addresses, and the operands of comparisons.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// How long each target runs unless told.
const SECONDS: u64 = 60;

struct Plan {
    targets: Vec<String>,
    seconds: u64,
    input: Option<PathBuf>,
}

/// Builds every target and runs those that are asked for; the first crash is an error.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let all = targets(&root)?;
    let plan = plan(arguments, &all)?;
    let binaries = build(&root)?;
    if let Some(input) = &plan.input {
        return replay(&binaries.join(&plan.targets[0]), input);
    }
    for target in &plan.targets {
        fuzz(&root, &binaries.join(target), target, plan.seconds)?;
    }
    Ok(())
}

fn targets(root: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root.join("fuzz/targets"))? {
        if let Some(name) = entry?.path().file_stem() {
            all.push(name.to_string_lossy().into_owned());
        }
    }
    all.sort();
    Ok(all)
}

fn plan(arguments: &[String], all: &[String]) -> Result<Plan> {
    let mut plan = Plan { targets: Vec::new(), seconds: SECONDS, input: None };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let seconds = arguments.next().context("--seconds wants a number")?;
                plan.seconds =
                    seconds.parse().with_context(|| format!("{seconds} is no number of seconds"))?;
            }
            "--input" => plan.input = Some(arguments.next().context("--input wants a file")?.into()),
            name => {
                let found: Vec<_> = all.iter().filter(|target| target.starts_with(name)).cloned().collect();
                ensure!(!found.is_empty(), "no target is called {name}; there are {}", all.join(", "));
                plan.targets.extend(found);
            }
        }
    }
    if plan.targets.is_empty() {
        plan.targets = all.to_vec();
    }
    ensure!(plan.input.is_none() || plan.targets.len() == 1, "--input wants one target");
    Ok(plan)
}

/// The folder of the built targets. The flags must not reach build scripts, hence the explicit `--target`.
fn build(root: &Path) -> Result<PathBuf> {
    let triple = host()?;
    let folder = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder).join("fuzz"),
        None => root.join("fuzz/target"),
    };
    let status = cargo(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &triple])
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", &folder)
        .status()?;
    ensure!(status.success(), "the fuzz targets do not build (libFuzzer needs a C++ compiler)");
    Ok(folder.join(triple).join("release"))
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc cannot be asked for its host")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

fn fuzz(root: &Path, binary: &Path, target: &str, seconds: u64) -> Result<()> {
    let seeds = root.join("fuzz/corpus").join(target);
    let found = root.join("fuzz/found").join(target);
    let artifacts = root.join("fuzz/artifacts").join(target);
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let log = artifacts.join("log.txt");
    println!("{target}: {seconds} s");
    let status = Command::new(binary)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-timeout=60"])
        .args([&found, &seeds])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .status()
        .with_context(|| format!("{} cannot be started", binary.display()))?;
    let report = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    println!("{target}: {} executions, {}", executions(&report), coverage(&report));
    if status.success() {
        return Ok(());
    }
    let crash =
        report.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    let why: Vec<&str> = report.lines().skip_while(|line| !line.contains("panicked at")).take(20).collect();
    bail!(
        "{target} failed\n{}\nreplay: cargo xtask fuzz {target} --input {}\nlog: {}",
        why.join("\n"),
        crash.unwrap_or("FILE"),
        log.display()
    )
}

fn executions(report: &str) -> &str {
    let line = report.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    line.map_or("no", str::trim)
}

/// `cov: 1337 ft: 5550 corp: 546/54Kb`, from the last line that has it.
fn coverage(report: &str) -> String {
    let line = report.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or_default();
    let from = line.find("cov: ").map_or("", |at| &line[at..]);
    from.split(" lim:").next().unwrap_or(from).split(" exec/s").next().unwrap_or_default().to_owned()
}

fn replay(binary: &Path, input: &Path) -> Result<()> {
    let status = Command::new(binary).arg(input).status()?;
    ensure!(status.success(), "{} still fails", input.display());
    println!("{} holds", input.display());
    Ok(())
}
