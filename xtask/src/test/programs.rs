//! Test programs: built together, then run side by side, each with a time limit of its own.
//!
//! It does what `cargo test` does, but for two things: programs that mostly wait do not wait for each other, and one
//! that hangs is ended and named.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::output;
use crate::cargo::cargo;
use crate::target;

/// How long a test program may run. The slowest takes a minute and a half on two cores.
const LIMIT: Duration = Duration::from_secs(600);
/// How often a running program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(20);
/// Programs whose tests measure memory or time, and run after the others, one by one.
const ALONE: [&str; 1] = ["e2e_load"];

/// One test program.
struct Program {
    /// The package and the target, as in `hvym-tunnel-tests::login`.
    name: String,
    package: String,
    target: String,
    executable: PathBuf,
    /// The folder of the package, in which its tests run.
    folder: PathBuf,
}

/// Which programs run: all those of other packages, and of one package only some.
pub(super) struct Filter<'a> {
    /// The package.
    pub(super) tests_of: &'a str,
    /// The names of its programs.
    pub(super) only: &'a [&'a str],
}

/// Test programs, built.
pub(super) struct Programs(Vec<Program>);

/// How a program ended.
struct Outcome {
    name: String,
    time: Duration,
    /// Passed, failed and ignored tests.
    counts: Option<[usize; 3]>,
    /// What went wrong, with all that the program printed.
    failure: Option<String>,
}

impl Programs {
    /// Builds what `cargo` with these arguments would run.
    pub(super) fn build(arguments: &[String]) -> Result<Self> {
        let output = cargo(arguments.iter().map(String::as_str))
            .args(["--no-run", "--message-format", "json-render-diagnostics"])
            .stderr(Stdio::inherit())
            .output()
            .context("cargo test")?;
        ensure!(output.status.success(), "the tests do not build: {}", output.status);
        let text = String::from_utf8(output.stdout)?;
        let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut programs: Vec<Program> = messages.filter_map(|message| Program::read(&message)).collect();
        ensure!(!programs.is_empty(), "no test program was built");
        programs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Programs(programs))
    }

    /// Leaves out what `filter` does not name.
    pub(super) fn keep(&mut self, filter: &Filter<'_>) -> Result<()> {
        for name in filter.only {
            let there = |program: &Program| program.package == filter.tests_of && program.target == *name;
            ensure!(self.0.iter().any(there), "{} has no test program {name}", filter.tests_of);
        }
        self.0.retain(|program| {
            program.package != filter.tests_of || filter.only.contains(&program.target.as_str())
        });
        Ok(())
    }

    /// Runs all of them; an error if a test failed or a program did not end.
    pub(super) fn run(self, prepare: impl Fn(&mut Command) + Sync) -> Result<()> {
        let (alone, together): (VecDeque<_>, VecDeque<_>) =
            self.0.into_iter().partition(|program| ALONE.contains(&program.target.as_str()));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut outcomes = run_all(together, cores, &prepare);
        outcomes.extend(run_all(alone, 1, &prepare));
        outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.time));
        println!("the slowest:");
        for outcome in outcomes.iter().take(12) {
            println!("  {:6.1} s  {}", outcome.time.as_secs_f64(), outcome.name);
        }
        let failed: Vec<&str> = outcomes
            .iter()
            .filter(|outcome| outcome.failure.is_some())
            .map(|outcome| outcome.name.as_str())
            .collect();
        let sum = |which: usize| -> usize {
            outcomes.iter().filter_map(|outcome| outcome.counts).map(|counts| counts[which]).sum()
        };
        println!(
            "{} programs: {} tests passed, {} failed, {} ignored",
            outcomes.len(),
            sum(0),
            sum(1),
            sum(2)
        );
        ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
        Ok(())
    }
}

impl Program {
    /// From a message of cargo, if it tells of a test program.
    fn read(message: &Value) -> Option<Self> {
        if message["profile"]["test"] != true {
            return None;
        }
        let executable = PathBuf::from(message["executable"].as_str()?);
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
        let target = message["target"]["name"].as_str()?.to_owned();
        let package = package(message["package_id"].as_str()?, &folder);
        Some(Program { name: format!("{package}::{target}"), package, target, executable, folder })
    }

    fn run(&self, prepare: &impl Fn(&mut Command)) -> Result<Outcome> {
        let log = target().join("test-output");
        fs::create_dir_all(&log)?;
        let log = log.join(format!("{}.txt", self.name.replace("::", "-")));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        prepare(&mut command);
        let start = Instant::now();
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let ended = wait(&mut child)?;
        let time = start.elapsed();
        let printed = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let counts = output::counts(&printed);
        let failure = match ended {
            Some(status) if status.success() && counts.is_some() => None,
            Some(status) => Some(format!("{printed}\n{}: {status}", self.name)),
            None => Some(format!(
                "{printed}\n{} was ended after {} s; it hangs in: {}",
                self.name,
                LIMIT.as_secs(),
                output::unfinished(&printed).join(", ")
            )),
        };
        Ok(Outcome { name: self.name.clone(), time, counts, failure })
    }
}

/// The name in a package id such as `path+file:///a/tests#hvym-tunnel-tests@0.1.0` or `path+file:///a/xtask#0.1.0`.
fn package(id: &str, folder: &Path) -> String {
    match id.rsplit_once('#').and_then(|(_, rest)| rest.split_once('@')) {
        Some((name, _)) => name.to_owned(),
        None => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

fn run_all(
    programs: VecDeque<Program>,
    at_once: usize,
    prepare: &(impl Fn(&mut Command) + Sync),
) -> Vec<Outcome> {
    let (waiting, outcomes) = (Mutex::new(programs), Mutex::new(Vec::new()));
    let lock =
        |queue: &Mutex<VecDeque<Program>>| queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(program) = lock(&waiting) {
                    let outcome = program.run(prepare).unwrap_or_else(|error| Outcome {
                        name: program.name.clone(),
                        time: Duration::ZERO,
                        counts: None,
                        failure: Some(format!("{}: {error:#}", program.name)),
                    });
                    print(&outcome);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn print(outcome: &Outcome) {
    match (&outcome.failure, outcome.counts) {
        (Some(failure), _) => println!("{failure}"),
        (None, Some([passed, _, ignored])) => {
            let ignored = if ignored == 0 { String::new() } else { format!(", {ignored} ignored") };
            println!("  {}: {passed} passed{ignored}, {:.1} s", outcome.name, outcome.time.as_secs_f64());
        }
        (None, None) => println!("  {}", outcome.name),
    }
}

/// How the process ended, or `None` after it was killed at its limit.
fn wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    // What it started would go on, and hold ports and memory. Looked up before its parent is gone.
    for process in descendants(child.id()) {
        kill(process);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The processes that `parent` started, and those that these started. Linux tells; elsewhere there are none.
fn descendants(parent: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let process = entry.ok()?.file_name().to_string_lossy().parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // The name in parentheses may contain anything.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect();
    let mut found = vec![parent];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
        at += 1;
    }
    found.split_off(1)
}

#[cfg(unix)]
fn kill(process: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    // Already gone is as good.
    let _gone = pid.map(|pid| kill_process(pid, Signal::KILL));
}

#[cfg(not(unix))]
fn kill(_process: u32) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_by_its_id_or_by_its_folder() {
        let folder = Path::new("/a/xtask");
        assert_eq!(package("path+file:///a/tests#hvym-tunnel-tests@0.1.0", folder), "hvym-tunnel-tests");
        assert_eq!(package("path+file:///a/xtask#0.1.0", folder), "xtask");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_processes_that_a_process_started_are_found() {
        let mut shell = Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().expect("there is a shell");
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut found = Vec::new();
        while found.is_empty() && Instant::now() < deadline {
            found = descendants(shell.id());
        }
        found.iter().for_each(|process| kill(*process));
        let status = shell.wait().expect("a child can be waited for");
        assert_eq!(found.len(), 1);
        assert!(status.success(), "the shell waits for its child: {status}");
    }
}
