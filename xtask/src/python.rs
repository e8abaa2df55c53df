//! The Python package: its wheel, built by maturin, and its tests against the installed wheel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::succeed;
use crate::{peers, root, target};

/// What builds the wheel, what tests it, and the programs and libraries of others that the tests meet.
const PACKAGES: [&str; 15] = [
    "maturin==1.16.0",
    "setuptools==80.9.0",
    "pytest==9.2.0",
    "pytest-asyncio==1.5.0",
    "mypy==2.4.1",
    "hvym-stellar==0.23.0",
    "stellar-sdk==16.1.1",
    "tinydb==4.9.0",
    "PyQt5==5.15.11",
    "PyQt6==6.11.0",
    "PySide6-Essentials==6.12.0",
    "fastapi==0.165.0",
    "uvicorn==0.54.0",
    "websockets==17.4",
    "flask==3.1.3",
];
/// The wheel's goal in bytes: what people wait for when they install it.
const MAX_WHEEL: u64 = 6 * 1024 * 1024;

/// `cargo xtask python [--release]`: with `--release` the wheel that people get, and whether it is small enough.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => test(&peers::installed()),
        ["--release"] => release(),
        _ => bail!("usage: cargo xtask python [--release]"),
    }
}

/// Builds the wheel as a debug build, installs it, and runs its tests. `others` are programs of
/// others, by the variables in which the tests look for them.
pub(crate) fn test(others: &[(&str, PathBuf)]) -> Result<()> {
    let python = environment()?;
    let wheel = build(&python, &["--profile", "dev"])?;
    let modules = package().join("modules");
    let mut install =
        command(&python, &["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"]);
    // The modules are copied first: setuptools builds beside its sources.
    succeed(install.arg("--no-build-isolation").arg(&wheel).arg(copy(&modules)?))?;
    succeed(&mut command(&python, &["-m", "mypy"]))?;
    let mut pytest = command(&python, &["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    succeed(pytest.envs(others.iter().map(|(variable, path)| (*variable, path))))
}

fn release() -> Result<()> {
    let python = environment()?;
    let wheel = build(&python, &["--profile", "wheel"])?;
    let bytes = fs::metadata(&wheel)?.len();
    println!("{}: {bytes} bytes", wheel.display());
    ensure!(bytes <= MAX_WHEEL, "the wheel has more than {MAX_WHEEL} bytes");
    Ok(())
}

fn build(python: &Path, profile: &[&str]) -> Result<PathBuf> {
    let folder = target().join("python/wheels");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut build =
        command(python, &["-m", "maturin", "build", "--quiet", "--compatibility", "linux", "--out"]);
    // Where the files of the other builds are, so that nothing is compiled twice.
    succeed(build.arg(&folder).args(profile).env("CARGO_TARGET_DIR", target()))?;
    let wheel = fs::read_dir(&folder)?.next().context("maturin made no wheel")??;
    Ok(wheel.path())
}

fn copy(modules: &Path) -> Result<PathBuf> {
    let copy = target().join("python/modules");
    fs::create_dir_all(&copy)?;
    for entry in fs::read_dir(modules)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
    }
    Ok(copy)
}

fn environment() -> Result<PathBuf> {
    peers::venv(&peers::absolute(&target().join("python/venv")), &PACKAGES)
}

fn command(python: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.args(arguments).current_dir(package());
    command
}

fn package() -> PathBuf {
    root().join("bindings/python")
}
