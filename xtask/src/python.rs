//! The Python package: its wheels, built by maturin, and its tests against the installed wheel.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, succeed};
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
    // 6.12.0 gives up a reference to True at each signal, and then the process.
    "PySide6-Essentials==6.11.3",
    "fastapi==0.165.0",
    "uvicorn==0.54.0",
    "websockets==17.4",
    "flask==3.1.3",
];
/// What builds the wheels that people get: zig links against the C libraries of old systems.
const RELEASE_PACKAGES: [&str; 2] = ["maturin==1.16.0", peers::ZIG];
/// Where the wheels run: with glibc from 2.17 on, and with musl from 1.2 on, as in Alpine Linux.
const PLATFORMS: [(&str, &str); 2] =
    [("x86_64-unknown-linux-gnu", "manylinux2014"), ("x86_64-unknown-linux-musl", "musllinux_1_2")];
/// The version of the type checker of editors, beside mypy.
const PYRIGHT: &str = "1.1.414";
/// An interpreter without a global lock, for which no stable interface is there: each of its versions needs a wheel of its own.
const FREE_THREADED: &str = "\
implementation=CPython
version=3.14
shared=true
abi3=false
build_flags=Py_GIL_DISABLED
";
/// The wheel's goal in bytes: what people wait for when they install it.
const MAX_WHEEL: u64 = 6 * 1024 * 1024;

/// `cargo xtask python [--release]`: with `--release` the wheels that people get, in `target/python/release`, and whether they
/// are small enough.
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
    let wheel =
        build(&python, &target().join("python/wheels"), &["--profile", "dev", "--compatibility", "linux"])?;
    let modules = package().join("modules");
    let mut install =
        command(&python, &["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"]);
    // The modules are copied first: setuptools builds beside its sources.
    succeed(install.arg("--no-build-isolation").arg(&wheel).arg(copy(&modules)?))?;
    succeed(&mut command(&python, &["-m", "mypy"]))?;
    succeed(command(&pyright()?, &["--warnings", "--pythonpath"]).arg(&python))?;
    check_free_threaded()?;
    let mut pytest = command(&python, &["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    succeed(pytest.envs(others.iter().map(|(variable, path)| (*variable, path))))
}

fn release() -> Result<()> {
    let python = peers::venv(&peers::absolute(&target().join("python/release-venv")), &RELEASE_PACKAGES)?;
    for (platform, libraries) in PLATFORMS {
        let arguments = ["--profile", "wheel", "--zig", "--target", platform, "--compatibility", libraries];
        let wheel = build(&python, &target().join("python/release").join(libraries), &arguments)?;
        let bytes = fs::metadata(&wheel)?.len();
        println!("{}: {bytes} bytes", wheel.display());
        ensure!(bytes <= MAX_WHEEL, "the wheel has more than {MAX_WHEEL} bytes");
    }
    Ok(())
}

/// The only wheel in the folder, which is emptied first.
fn build(python: &Path, folder: &Path, arguments: &[&str]) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let mut build = command(python, &["-m", "maturin", "build", "--quiet", "--out"]);
    // Where maturin looks for a Python that has zig.
    let own = python.parent().map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    build.env("PATH", env::join_paths(own.into_iter().chain(env::split_paths(&path)))?);
    // Where the files of the other builds are, so that nothing is compiled twice.
    succeed(build.arg(folder).args(arguments).env("CARGO_TARGET_DIR", target()))?;
    let wheel = fs::read_dir(folder)?.next().context("maturin made no wheel")??;
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

/// Whether the native module compiles for a free-threaded interpreter, which need not be installed for that.
fn check_free_threaded() -> Result<()> {
    let interpreter = peers::absolute(&target().join("python/free-threaded.txt"));
    fs::write(&interpreter, FREE_THREADED)?;
    let mut check = cargo(["check", "--quiet", "--package", "hvym-tunnel-python"]);
    succeed(check.env("PYO3_CONFIG_FILE", interpreter))
}

/// Installs it once; it runs on Node.js.
fn pyright() -> Result<PathBuf> {
    let folder = peers::absolute(&target().join(format!("python/pyright-{PYRIGHT}")));
    peers::npm(&folder, "pyright", PYRIGHT)?;
    Ok(folder.join("node_modules/.bin/pyright"))
}

fn environment() -> Result<PathBuf> {
    peers::venv(&peers::absolute(&target().join("python/venv")), &PACKAGES)
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(package());
    command
}

fn package() -> PathBuf {
    root().join("bindings/python")
}
