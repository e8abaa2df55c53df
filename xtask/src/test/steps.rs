//! The steps of the test command: what each took, and what was skipped.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::programs::Programs;
use crate::cargo::succeed;
use crate::target;

/// The variable with the seed of all property tests.
pub(super) const SEED: &str = "PROPTEST_RNG_SEED";

/// The seed of the property tests: what [`SEED`] says, or one number, so that two runs over the same code try the same.
/// New cases come from fuzzing, and from `cargo test`, which chooses a new seed each time.
pub(super) fn seed() -> String {
    std::env::var(SEED).unwrap_or_else(|_| "1".to_owned())
}

/// Steps done so far.
#[derive(Default)]
pub(super) struct Steps {
    done: Vec<(String, Duration, bool)>,
    skipped: Vec<String>,
}

impl Steps {
    /// Does `work` as the step `name`.
    pub(super) fn run<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("== {name}");
        let start = Instant::now();
        let outcome = work();
        self.done.push((name.to_owned(), start.elapsed(), outcome.is_ok()));
        outcome.with_context(|| name.to_owned())
    }

    /// Runs one command as a step.
    pub(super) fn command(&mut self, name: &str, mut command: Command) -> Result<()> {
        self.run(name, || succeed(&mut command))
    }

    /// A step that needs a program which a machine may lack. A run that must be complete fails without it.
    pub(super) fn needing(
        &mut self,
        program: &str,
        name: &str,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut version = Command::new(program);
        let found = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_ok_and(|status| status.success()) {
            return self.run(name, work);
        }
        self.skipped.push(format!("{name}: {program} is not installed"));
        Ok(())
    }

    /// Runs test programs side by side.
    pub(super) fn tests(
        &mut self,
        name: &str,
        programs: Programs,
        prepare: impl Fn(&mut Command) + Sync,
    ) -> Result<()> {
        let list = target().join("skipped-tests");
        // Tests append to it, and those of another day are not skipped today.
        std::fs::write(&list, "").with_context(|| list.display().to_string())?;
        let outcome = self.run(name, || {
            programs.run(|command| {
                command.env("HVYM_TUNNEL_SKIPPED", &list).env(SEED, seed());
                prepare(command);
            })
        });
        self.skipped.extend(std::fs::read_to_string(&list)?.lines().map(str::to_owned));
        self.skipped.sort();
        self.skipped.dedup();
        outcome
    }

    /// The time of each step, and what was skipped.
    pub(super) fn print(&self) {
        let width = self.done.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        println!("\n{:width$}  seconds", "step");
        for (name, time, held) in &self.done {
            let mark = if *held { "" } else { "  FAILED" };
            println!("{name:width$}  {:7.1}{mark}", time.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        println!("{:width$}  {:7.1}", "together", total.as_secs_f64());
        if !self.skipped.is_empty() {
            println!("\n{} skipped:", self.skipped.len());
            self.skipped.iter().for_each(|what| println!("  {what}"));
        }
    }

    /// An error if anything was skipped in a run that must be complete.
    pub(super) fn skipped(&self) -> Result<()> {
        let complete = !matches!(std::env::var("CI").as_deref(), Err(_) | Ok("" | "0" | "false"));
        ensure!(self.skipped.is_empty() || !complete, "{} skipped, and CI is set", self.skipped.len());
        Ok(())
    }
}
