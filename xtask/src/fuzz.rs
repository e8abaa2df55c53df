//! `cargo xtask fuzz`: libFuzzer on the stable toolchain, with nothing to install.
//!
//! What `cargo fuzz` would do beyond this is a sanitizer, which code without `unsafe` has little use for, and which
//! needs a nightly toolchain. A C++ compiler is needed for libFuzzer itself.

mod coverage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, succeed};
use crate::{root, target};

/// Coverage as libFuzzer reads it: edges counted in eight bits, their addresses, and the operands of comparisons.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// How long each target runs unless told.
const SECONDS: u64 = 60;

struct Plan {
    targets: Vec<String>,
    seconds: u64,
    /// Where the random inputs begin; `None` is anywhere.
    seed: Option<u32>,
    input: Option<PathBuf>,
    /// Whether inputs that reach something new are added to the corpus.
    keep: bool,
}

/// Builds the program and runs the targets that are asked for; the first crash is an error.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if arguments == ["--coverage"] {
        return coverage::run();
    }
    let plan = plan(arguments, &targets()?)?;
    let binary = build()?;
    if let Some(input) = &plan.input {
        return replay(&binary, &plan.targets[0], input);
    }
    for target in &plan.targets {
        let paths = Paths::of(target)?;
        fuzz(&binary, target, &paths, &plan)?;
        if plan.keep {
            merge(&binary, target, &paths)?;
        }
    }
    Ok(())
}

/// Where the inputs of a target are.
struct Paths {
    /// Inputs that are kept in the repository, and replayed by the tests.
    corpus: PathBuf,
    /// Inputs that libFuzzer found since, which help it to go on.
    found: PathBuf,
    /// What it says, and inputs that broke a rule.
    artifacts: PathBuf,
}

impl Paths {
    fn of(name: &str) -> Result<Self> {
        let paths = Paths {
            corpus: corpus().join(name),
            found: target().join("fuzz/found").join(name),
            artifacts: target().join("fuzz/artifacts").join(name),
        };
        fs::create_dir_all(&paths.found)?;
        fs::create_dir_all(&paths.artifacts)?;
        Ok(paths)
    }
}

fn corpus() -> PathBuf {
    root().join("fuzz/corpus")
}

/// Every target has a folder in the corpus; a test sees to that.
fn targets() -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(corpus())? {
        all.push(entry?.file_name().to_string_lossy().into_owned());
    }
    all.sort();
    Ok(all)
}

fn plan(arguments: &[String], all: &[String]) -> Result<Plan> {
    let mut plan = Plan { targets: Vec::new(), seconds: SECONDS, seed: None, input: None, keep: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seed" => {
                let seed = arguments.next().context("--seed wants a number")?;
                plan.seed = Some(seed.parse().with_context(|| format!("{seed} is no seed"))?);
            }
            "--seconds" => {
                let seconds = arguments.next().context("--seconds wants a number")?;
                plan.seconds =
                    seconds.parse().with_context(|| format!("{seconds} is no number of seconds"))?;
            }
            "--input" => plan.input = Some(arguments.next().context("--input wants a file")?.into()),
            "--keep" => plan.keep = true,
            name => plan.targets.extend(named(name, all)?),
        }
    }
    if plan.targets.is_empty() {
        plan.targets = all.to_vec();
    }
    ensure!(plan.input.is_none() || plan.targets.len() == 1, "--input wants one target");
    Ok(plan)
}

/// The targets of this name or number: `f1` is `f1_raw`, and not `f10_cloud`.
fn named(name: &str, all: &[String]) -> Result<Vec<String>> {
    let fits = |target: &&String| *target == name || target.split('_').next() == Some(name);
    let found: Vec<String> = all.iter().filter(fits).cloned().collect();
    ensure!(!found.is_empty(), "no target is called {name}; there are {}", all.join(", "));
    Ok(found)
}

/// The built program. The flags must not reach build scripts, hence the explicit `--target`.
fn build() -> Result<PathBuf> {
    let triple = host()?;
    let folder = target().join("fuzz");
    let mut build = cargo(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &triple]);
    build.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &folder);
    succeed(&mut build).context("the fuzz targets do not build (libFuzzer needs a C++ compiler)")?;
    Ok(folder.join(triple).join("release/fuzz"))
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc cannot be asked for its host")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

fn program(binary: &Path, target: &str) -> Command {
    let mut command = Command::new(binary);
    command.env("HVYM_FUZZ_TARGET", target).stdin(Stdio::null());
    command
}

fn fuzz(binary: &Path, target: &str, paths: &Paths, plan: &Plan) -> Result<()> {
    let seconds = plan.seconds;
    let log = paths.artifacts.join("log.txt");
    println!("{target}: {seconds} s");
    let status = program(binary, target)
        .arg(format!("-max_total_time={seconds}"))
        // Zero is any.
        .arg(format!("-seed={}", plan.seed.unwrap_or(0)))
        .arg(format!("-artifact_prefix={}/", paths.artifacts.display()))
        .args(["-print_final_stats=1", "-timeout=60"])
        .args([&paths.found, &paths.corpus])
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
    let kept = crash.map(Path::new).map(|crash| keep(crash, paths)).transpose()?;
    let why: Vec<&str> = report.lines().skip_while(|line| !line.contains("panicked at")).take(20).collect();
    bail!(
        "{target} failed\n{}\nreplay: cargo xtask fuzz {target} --input {}\nlog: {}",
        why.join("\n"),
        kept.unwrap_or_else(|| "FILE".into()).display(),
        log.display()
    )
}

/// Copies an input that broke a rule into the corpus, so that the tests try it from now on.
fn keep(crash: &Path, paths: &Paths) -> Result<PathBuf> {
    let kept = paths.corpus.join(crash.file_name().unwrap_or_default());
    fs::copy(crash, &kept).with_context(|| kept.display().to_string())?;
    Ok(kept)
}

/// Adds to the corpus those found inputs that together reach what it does not reach by itself.
fn merge(binary: &Path, target: &str, paths: &Paths) -> Result<()> {
    let before = fs::read_dir(&paths.corpus)?.count();
    let merged = program(binary, target)
        .arg("-set_cover_merge=1")
        .args([&paths.corpus, &paths.found])
        .stderr(fs::File::create(paths.artifacts.join("merge.txt"))?)
        .status()?;
    ensure!(merged.success(), "{target}: the found inputs cannot be merged: {merged}");
    println!("{target}: {} inputs added to the corpus", fs::read_dir(&paths.corpus)?.count() - before);
    Ok(())
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

fn replay(binary: &Path, target: &str, input: &Path) -> Result<()> {
    let status = program(binary, target).arg(input).status()?;
    ensure!(status.success(), "{} still fails", input.display());
    println!("{} holds", input.display());
    Ok(())
}
