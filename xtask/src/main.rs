//! The developer's commands: `cargo xtask <command>`.

mod bench;
mod book;
mod browsers;
mod cargo;
mod dist;
#[cfg(feature = "wasm")]
mod embed;
mod fuzz;
#[cfg(any(test, feature = "wasm"))]
mod imports;
mod matrix;
#[cfg(feature = "wasm")]
mod minify;
mod node;
mod peers;
mod python;
#[cfg(any(test, feature = "wasm"))]
mod shorten;
mod test;
#[cfg(feature = "wasm")]
mod wasm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  test        everything that must hold: format, lints, docs, targets without std, all tests; CI=true makes a skipped
              test an error. --quick: format, check, the pure crates, the rules of the house and a few end-to-end
              tests, in under three minutes when built before
  matrix      older agents on the relay, and the agent on older relays: the real programs, as a table; browsers: engines,
              bundlers and runtimes against the browser package, written to runner-wasm/MATRIX.md
  bench       mux [RUNS]: the multiplexer beside the crate yamux; instructions [--record]: what it takes, counted;
              tunnel [RUNS] [--quick]: the program beside two nginx, and beside other tunnels that are installed
  targets     [--program FILE]: what a manager takes, idle and under load, beside what it may take at most
  fuzz        [TARGET..] [--seconds N] [--keep]: every target for a minute, or those named; with --keep, inputs that reach
              something new are added to fuzz/corpus. TARGET --input FILE: replays FILE. --coverage: which functions
              the corpus reaches
  python      the Python package: its wheel as a debug build, and its tests; --release: the wheel that people get, and its size
  node        the native module for Node.js as an npm package, at target/node; --release: as people get it, at
              target/node-release
  dist        [--target TRIPLE].. [--base-url URL] [--out FOLDER]: archives, Debian packages, lists of components and their
              hashes, in target/dist; with a URL also what installs from there. Without a target: static programs for Linux.
              --check: packs a debug build, and installs it; with a target, packs one for that, and runs it if something here can
  llms        llms.txt, from the chapters of the book in docs/book
  wasm        the browser package, made at target/package; with --embed also what a relay serves of it, in runner-native/relay
  demo        the browser package in a page, served by the program; what follows is passed on to it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let outcome = match command {
        "test" => test::run(rest),
        "matrix" if rest == ["browsers"] => browsers::run(),
        "matrix" => matrix::run(rest),
        "bench" => bench::run(rest),
        #[cfg(unix)]
        "targets" => bench::targets::run(rest),
        "fuzz" => fuzz::run(rest),
        "node" => node::run(rest),
        "python" => python::run(rest),
        "dist" => dist::run(rest),
        "llms" if rest.is_empty() => book::run(),
        "wasm" => wasm(rest),
        "demo" => demo(rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "wasm")]
fn wasm(arguments: &[String]) -> anyhow::Result<()> {
    wasm::run(arguments)
}

/// What makes the package takes a minute to build, so only this command has it in.
#[cfg(not(feature = "wasm"))]
fn wasm(arguments: &[String]) -> anyhow::Result<()> {
    let wasm = ["run", "--quiet", "--package", "xtask", "--features", "wasm", "--", "wasm"];
    cargo::succeed(cargo::cargo(wasm).args(arguments))
}

/// Makes the package and shows it.
fn demo(arguments: &[String]) -> anyhow::Result<()> {
    wasm(&[])?;
    let demo = ["run", "--release", "--package", "hvym-tunnel", "--", "demo"];
    cargo::succeed(cargo::cargo(demo).args(arguments))
}

/// The workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
