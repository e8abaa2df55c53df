//! `cargo xtask test`: everything that must hold, in the order in which it fails soonest.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::root;

/// Targets that the core must build for by itself: one with no std at all, and the browser's.
const TARGETS: [&str; 2] = ["thumbv7em-none-eabi", "wasm32-unknown-unknown"];
/// How long each fuzz target runs on fresh inputs. The corpus is replayed by the tests; this finds that a target
/// still builds, starts and gets on, and now and then a bug.
const FUZZ_SECONDS: &str = "10";
const FUZZED: [&str; 10] = [
    "f1_raw",
    "f2_frames",
    "f3_two_sessions",
    "f4_man_in_the_middle",
    "f5_timers",
    "f6_parser",
    "f7_memory",
    "f8_hvym",
    "f9_tunely",
    "f10_cloud",
];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "test takes no arguments; for a part of it, use cargo test");
    step("format", cargo(["fmt", "--all", "--check"]))?;
    step("lints", cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // Everything together has every feature; a browser's core has none.
    let core = ["clippy", "--package", "hvym-tunnel-core", "--all-targets", "--", "-D", "warnings"];
    step("lints of the core alone", cargo(core))?;
    step("tests of the core alone", cargo(["test", "--package", "hvym-tunnel-core"]))?;
    step("tests of Yamux alone", cargo(["test", "--package", "hvym-yamux"]))?;
    let mut docs = cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    step("docs", docs)?;
    for target in TARGETS {
        // A toolchain without rustup must bring the target itself; the build says so if it does not.
        let _ = Command::new("rustup").args(["target", "add", target]).status();
        // Alone, because a workspace build unifies features and hides a lost `no_std`.
        let yamux = ["build", "--package", "hvym-yamux", "--target", target];
        step(&format!("Yamux alone for {target}"), cargo(yamux))?;
        let alone = ["build", "--package", "hvym-tunnel-core", "--target", target];
        step(&format!("core alone for {target}"), cargo(alone))?;
        let mut foreign = cargo(alone);
        foreign.args(["--features", "foreign"]);
        step(&format!("core alone for {target}, with the dialects of others"), foreign)?;
    }
    step("the program", cargo(["build", "--release", "--package", "hvym-tunnel"]))?;
    step("the browser package", cargo(["xtask", "wasm"]))?;
    let mut tests = cargo(["test", "--workspace", "--no-fail-fast"]);
    tests.env("HVYM_TUNNEL_BIN", root().join("target/release/hvym-tunnel"));
    tests.env("HVYM_TUNNEL_PACKAGE", root().join("target/package"));
    crate::peers::lead_to_peers(&mut tests);
    step("tests", tests)?;
    needing("valgrind", "instructions", || crate::bench::run(&["instructions".to_owned()]))?;
    let fuzzing: Vec<String> =
        FUZZED.into_iter().chain(["--seconds", FUZZ_SECONDS]).map(str::to_owned).collect();
    needing("c++", "fuzzing", || crate::fuzz::run(&fuzzing))?;
    println!("everything holds");
    Ok(())
}

/// A step that needs a program which a machine may lack. A test run that must be complete fails without it.
fn needing(program: &str, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        println!("== {name}");
        let start = Instant::now();
        work().with_context(|| name.to_owned())?;
        println!("== {name}: {} s", start.elapsed().as_secs());
        return Ok(());
    }
    ensure!(std::env::var_os("CI").is_none(), "{name} needs {program}, which is not installed");
    eprintln!("== SKIPPED {name}: it needs {program}, which is not installed");
    Ok(())
}

fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

fn step(name: &str, mut command: Command) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    println!("== {name}: {} s", start.elapsed().as_secs());
    Ok(())
}
