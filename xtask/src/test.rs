//! `cargo xtask test`: everything that must hold, in the order in which it fails soonest.

mod output;
mod programs;
mod steps;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::cargo::cargo;
use crate::{peers, root, target};
use programs::{Filter, Programs};
use steps::Steps;

/// Targets that the pure crates must build for by themselves: one with no std at all, and the browser's.
const TARGETS: [&str; 2] = ["thumbv7em-none-eabi", "wasm32-unknown-unknown"];
/// How long each fuzz target runs on fresh inputs. The corpus is replayed by the tests; this finds that a target
/// still builds, starts and gets on, and now and then a bug.
const FUZZ_SECONDS: &str = "10";
/// Test programs of the fast form, beside those of the pure crates. The end-to-end tests run a debug build.
const QUICK: [&str; 5] = ["house", "formats", "session", "dialects", "e2e"];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::default();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => whole(&mut steps),
        ["--quick"] => quick(&mut steps),
        _ => bail!("usage: cargo xtask test [--quick]; for a part of it, use cargo test"),
    };
    steps.print();
    outcome?;
    println!("everything holds");
    Ok(())
}

fn quick(steps: &mut Steps) -> Result<()> {
    steps.command("format", cargo(["fmt", "--all", "--check"]))?;
    steps.command("check", cargo(["check", "--workspace", "--all-targets"]))?;
    let mut build = vec!["test".to_owned()];
    for package in pure_packages()? {
        build.extend(["--package".to_owned(), package]);
    }
    // One build for all of them: features are then the same, and nothing is built twice.
    build.extend(["--package".to_owned(), "hvym-tunnel-tests".to_owned()]);
    let mut programs = steps.run("build of the tests", || Programs::build(&build))?;
    programs.keep(&Filter { tests_of: "hvym-tunnel-tests", only: &QUICK })?;
    steps.command("the program", cargo(["build", "--package", "hvym-tunnel"]))?;
    steps.tests("tests", programs, |tests| {
        tests.env("HVYM_TUNNEL_BIN", target().join("debug/hvym-tunnel"));
    })
}

fn whole(steps: &mut Steps) -> Result<()> {
    steps.command("format", cargo(["fmt", "--all", "--check"]))?;
    let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.command("lints", cargo(lints))?;
    for package in pure_packages()? {
        // Alone, because a workspace build unifies features.
        let alone = ["clippy", "--package", &package, "--all-targets", "--", "-D", "warnings"];
        steps.command(&format!("lints of {package} alone"), cargo(alone))?;
        let mut tests = cargo(["test", "--quiet", "--package", &package]);
        tests.env(steps::SEED, steps::seed());
        steps.command(&format!("tests of {package} alone"), tests)?;
    }
    let mut docs = cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    steps.command("docs", docs)?;
    for target in TARGETS {
        // A toolchain without rustup must bring the target itself; the build says so if it does not.
        let _ = Command::new("rustup").args(["target", "add", target]).status();
        for package in pure_packages()? {
            let alone = ["build", "--package", &package, "--target", target];
            steps.command(&format!("{package} alone for {target}"), cargo(alone))?;
        }
    }
    steps.command("the program", cargo(["build", "--release", "--package", "hvym-tunnel"]))?;
    steps.command("the browser package", cargo(["xtask", "wasm"]))?;
    let programs = steps
        .run("build of the tests", || Programs::build(&["test".to_owned(), "--workspace".to_owned()]))?;
    let peers = steps.run("programs of others", || Ok(peers::installed()))?;
    // The steps after it are worth running all the same: who mends a test sees at once what else there is to mend.
    let tests = steps.tests("tests", programs, |tests| {
        tests.envs(peers.iter().map(|(variable, path)| (*variable, path)));
        tests.env("HVYM_TUNNEL_BIN", target().join("release/hvym-tunnel"));
        tests.env("HVYM_TUNNEL_PACKAGE", target().join("package"));
    });
    steps.needing("python3", "the Python package", || crate::python::test(&peers))?;
    let program = target().join("release/hvym-tunnel").display().to_string();
    // The tests of the C library have built it.
    let libraries = target().join("debug/deps").display().to_string();
    let packing =
        ["--check".to_owned(), "--program".to_owned(), program, "--libraries".to_owned(), libraries];
    steps.needing("dpkg-deb", "packages", || crate::dist::run(&packing))?;
    steps.command("examples in the docs", cargo(["test", "--quiet", "--doc", "--workspace"]))?;
    steps.needing("valgrind", "instructions", || crate::bench::run(&["instructions".to_owned()]))?;
    // From one seed, so that two runs over the same code try the same; `cargo xtask fuzz` tries others.
    let fuzzing = ["--seconds", FUZZ_SECONDS, "--seed", "1"].map(str::to_owned);
    steps.needing("c++", "fuzzing", || crate::fuzz::run(&fuzzing))?;
    tests?;
    steps.skipped()
}

/// The names of the packages below `core`, which know no operating system.
fn pure_packages() -> Result<Vec<String>> {
    let core = root().join("core");
    let mut manifests = vec![core.join("Cargo.toml")];
    for entry in fs::read_dir(&core)? {
        manifests.push(entry?.path().join("Cargo.toml"));
    }
    manifests.sort();
    let mut names = Vec::new();
    for manifest in manifests.iter().filter(|manifest| manifest.is_file()) {
        names.push(package_name(manifest)?);
    }
    ensure!(!names.is_empty(), "no package below {}", core.display());
    Ok(names)
}

fn package_name(manifest: &PathBuf) -> Result<String> {
    let text = fs::read_to_string(manifest)?;
    let line = text.lines().find_map(|line| line.strip_prefix("name = \""));
    match line.and_then(|line| line.strip_suffix('"')) {
        Some(name) => Ok(name.to_owned()),
        None => bail!("{} names no package", manifest.display()),
    }
}
