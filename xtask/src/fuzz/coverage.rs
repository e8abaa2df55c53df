//! `cargo xtask fuzz --coverage`: which functions of the pure crates the fuzz corpus reaches.
//!
//! The corpus is replayed by its test program, built with the compiler's own coverage. `llvm-profdata` and `llvm-cov`
//! must be those of the compiler: `rustup component add llvm-tools`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::cargo;
use crate::{root, target};

/// What the targets must reach, every function of it: the machines that a peer's bytes go through first.
const REQUIRED: [&str; 4] =
    ["core/src/agent", "core/src/link", "core/src/handshake", "core/src/relay/session"];

/// Functions of these files that no input of a target can reach, by a text of their first line.
const EXCEPTIONS: [(&str, &str, &str); 8] = [
    ("core/src/agent.rs", "pub fn transitions()", TABLE),
    ("core/src/agent/states.rs", "pub(super) fn rows()", TABLE),
    ("core/src/handshake/agent.rs", "pub fn transitions()", TABLE),
    ("core/src/handshake/agent_states.rs", "pub(super) fn rows()", TABLE),
    ("core/src/handshake/relay.rs", "pub fn transitions()", TABLE),
    ("core/src/handshake/relay_states.rs", "pub(super) fn rows()", TABLE),
    (
        "core/src/handshake/mod.rs",
        "fn admit(&mut self, _url",
        "only relays admit, and their logins have their own",
    ),
    (
        "core/src/link/dispatch.rs",
        "fn is_current(&self, (): ())",
        "agents and sessions own links, no runner does",
    ),
];
/// Why the tables of transitions need no input.
const TABLE: &str = "a table for the documentation, which takes no input";

/// For each function, by file and line: whether an input reached it.
type Functions = BTreeMap<(String, u64), bool>;

pub(super) fn run() -> Result<()> {
    let folder = target().join("coverage");
    let program = build(&folder)?;
    let raw = folder.join("corpus.profraw");
    let replayed = Command::new(&program)
        .arg("every_input_that_is_kept_holds")
        .current_dir(root().join("tests"))
        .env("LLVM_PROFILE_FILE", &raw)
        .stdout(Stdio::null())
        .status()?;
    ensure!(replayed.success(), "the corpus does not hold: {replayed}");
    let profile = folder.join("corpus.profdata");
    output(
        Command::new(tool("llvm-profdata")?).args(["merge", "-sparse"]).arg(&raw).arg("-o").arg(&profile),
    )?;
    let mut export = Command::new(tool("llvm-cov")?);
    export
        .args(["export", "--format=lcov"])
        .arg(format!("--instr-profile={}", profile.display()))
        .arg(&program);
    let functions = read(&output(&mut export)?, &root().canonicalize()?.join("core"));
    ensure!(!functions.is_empty(), "llvm-cov tells of no function of the core");
    let missed = print(&functions);
    ensure!(missed == 0, "{missed} functions that must be reached were not");
    Ok(())
}

/// The test program of the corpus, with coverage. Its own target folder, because the flags concern everything.
fn build(folder: &Path) -> Result<PathBuf> {
    let mut build = cargo(["test", "--package", "hvym-tunnel-tests", "--test", "fuzz_corpus", "--no-run"]);
    build.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    build.env("RUSTFLAGS", "-Cinstrument-coverage").env("CARGO_TARGET_DIR", folder);
    let text = output(&mut build)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages.filter(|message| message["target"]["name"] == "fuzz_corpus");
    let path = programs.find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    path.context("cargo names no program")
}

/// A tool of the compiler's own LLVM.
fn tool(name: &str) -> Result<PathBuf> {
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir"]).current_dir(root()))?;
    let path = Path::new(libraries.trim()).with_file_name("bin").join(name);
    ensure!(path.is_file(), "{name} is missing: rustup component add llvm-tools");
    Ok(path)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The functions below `folder` in a report of llvm-cov. One that was compiled several times is reached if one of its
/// copies is.
fn read(report: &str, folder: &Path) -> Functions {
    let mut functions = Functions::new();
    let (mut file, mut lines) = (None, BTreeMap::new());
    for line in report.lines() {
        let Some((kind, rest)) = line.split_once(':') else { continue };
        match kind {
            "SF" => {
                let path = Path::new(rest).strip_prefix(folder).ok();
                file = path.map(|path| format!("core/{}", path.display()));
                lines = BTreeMap::new();
            }
            "FN" => {
                let mut parts = rest.split(',');
                let line = parts.next().and_then(|line| line.parse::<u64>().ok());
                lines.insert(parts.next_back().unwrap_or_default(), line);
            }
            "FNDA" => {
                let (count, name) = rest.split_once(',').unwrap_or_default();
                if let (Some(file), Some(Some(line))) = (&file, lines.get(name)) {
                    *functions.entry((file.clone(), *line)).or_default() |= count != "0";
                }
            }
            _ => {}
        }
    }
    functions
}

/// A table by file, and the functions that must be reached and were not; how many these are.
fn print(functions: &Functions) -> usize {
    let mut files: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for ((file, _), reached) in functions {
        let (count, all) = files.entry(file).or_default();
        *count += usize::from(*reached);
        *all += 1;
    }
    println!("{:40} reached", "file");
    for (file, (reached, all)) in files {
        println!("{file:40} {reached:3} of {all:3}");
    }
    let unreached = functions.iter().filter(|((file, _), reached)| {
        !**reached && REQUIRED.iter().any(|required| file.starts_with(required))
    });
    let mut missed = 0;
    for ((file, line), _) in unreached {
        let source = fs::read_to_string(root().join(file)).unwrap_or_default();
        let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let text = source.lines().nth(index).unwrap_or_default().trim();
        match exception(file, text) {
            Some(why) => println!("not reached, {why}: {file}:{line}: {text}"),
            None => {
                println!("not reached: {file}:{line}: {text}");
                missed += 1;
            }
        }
    }
    missed
}

/// Why the function that begins with `text` need not be reached.
fn exception(file: &str, text: &str) -> Option<&'static str> {
    let found = EXCEPTIONS.iter().find(|(of, begin, _)| *of == file && text.starts_with(begin));
    found.map(|(_, _, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_reached_if_one_of_its_copies_is() {
        let report = "SF:/a/core/src/agent.rs\nFN:3,a1\nFN:3,a2\nFN:9,b\nFNDA:0,a1\nFNDA:7,a2\nFNDA:0,b\nend_of_record\n\
                      SF:/a/tests/x.rs\nFN:1,c\nFNDA:1,c\n";
        let file = || "core/src/agent.rs".to_owned();
        let expected = Functions::from([((file(), 3), true), ((file(), 9), false)]);
        assert_eq!(read(report, Path::new("/a/core")), expected);
    }
}
