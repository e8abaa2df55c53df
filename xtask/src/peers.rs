//! Programs of others that tests meet, installed once below `target/peers`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::target;

/// The package that existing programs make and check their tokens with, the one that signs as wallets do, the one their agents ask services with, two
/// whose visitors and services meet, a validator of JSON schemas, a file server (WebDAV) with its HTTP server, D-Bus for the desktop that
/// shows notifications, what asks an API everything that its description allows, and more, and the clients of assistants.
const PYTHON_PACKAGES: [&str; 11] = [
    "hvym-stellar==0.23.0",
    "jsonschema==4.25.1",
    "stellar-sdk==16.1.1",
    "httpx==0.28.1",
    "grpcio==1.85.1",
    "websockets==17.4",
    "wsgidav==4.4.0",
    "cheroot==11.1.2",
    "jeepney==0.9.0",
    "schemathesis==4.32.5",
    "mcp==2.3.0",
];
/// A compiler of C that builds for other systems, and for old versions of this one.
pub(crate) const ZIG: &str = "ziglang==0.17.0";
/// Versions of tunely, as PyPI has them: the last, and the last that speaks the protocol before.
const TUNELY_PYTHON: [&str; 2] = ["0.12.0", "0.2.1"];
/// The version of tunely's agent for Node.
const TUNELY_NODE: &str = "0.2.1";
/// The version of Socket.IO, whose chat opens in a browser.
const SOCKET_IO: &str = "4.8.4";

/// What could be installed, as variables for tests. The tests that need what is missing say so, and fail in CI.
pub(crate) fn installed() -> Vec<(&'static str, PathBuf)> {
    let peers = [
        ("HVYM_TUNNEL_PYTHON", python()),
        ("HVYM_TUNNEL_TUNELY", tunely()),
        ("HVYM_TUNNEL_SOCKET_IO", socket_io()),
    ];
    let there = peers.into_iter().filter_map(|(variable, peer)| match peer {
        Ok(peer) => Some((variable, peer)),
        Err(error) => {
            eprintln!("no {variable}: {error:#}");
            None
        }
    });
    there.collect()
}

/// A Python with the real packages.
fn python() -> Result<PathBuf> {
    venv(&peers().join("venv"), &PYTHON_PACKAGES)
}

/// A folder with the programs of tunely: `python-VERSION/bin/tunely` and `node-VERSION/node_modules/.bin/tunely`.
fn tunely() -> Result<PathBuf> {
    let folder = peers().join("tunely");
    for version in TUNELY_PYTHON {
        venv(&folder.join(format!("python-{version}")), &[&format!("tunely=={version}")])?;
    }
    npm(&folder.join(format!("node-{TUNELY_NODE}")), "tunely", TUNELY_NODE)?;
    Ok(folder)
}

/// A folder in which Node finds Socket.IO.
fn socket_io() -> Result<PathBuf> {
    let folder = peers().join(format!("socket.io-{SOCKET_IO}"));
    npm(&folder, "socket.io", SOCKET_IO)?;
    Ok(folder)
}

/// Installs a package into a folder. npm links its programs by relative paths, so it may move.
pub(crate) fn npm(folder: &Path, package: &str, version: &str) -> Result<()> {
    let installed = folder.join("node_modules").join(package);
    if installed.exists() {
        return Ok(());
    }
    let wanted = format!("{package}@{version}");
    quiet(
        Command::new("npm")
            .args(["install", "--silent", "--no-fund", "--no-audit", "--prefix"])
            .arg(folder)
            .arg(wanted),
    )
}

/// The Python of a folder that has these packages.
pub(crate) fn venv(folder: &Path, packages: &[&str]) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    // Written last, so that an installation that was cut short is done again.
    let stamp = folder.join("installed.txt");
    let wanted = packages.join("\n");
    if is_whole(folder) && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    quiet(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
    fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())?;
    Ok(python)
}

/// Whether a virtual environment is there, was made at this place, and its Python still starts: its scripts name the
/// folder by an absolute path, so one that came along with a moved checkout leads nowhere.
fn is_whole(folder: &Path) -> bool {
    let made_here = fs::read_to_string(folder.join("bin/activate"))
        .is_ok_and(|script| script.contains(&*folder.to_string_lossy()));
    let starts = Command::new(folder.join("bin/python")).arg("--version").stdout(Stdio::null()).status();
    made_here && starts.is_ok_and(|status| status.success())
}

fn quiet(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn peers() -> PathBuf {
    absolute(&target().join("peers"))
}

/// Absolute, because the scripts that pip writes name the folder.
pub(crate) fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_environment_that_was_moved_or_whose_python_is_gone_is_made_again() {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-xtask-{}", std::process::id()));
        let bin = folder.join("bin");
        fs::create_dir_all(&bin).expect("the temporary folder takes a folder");
        let activate = |place: &Path| {
            let script = format!("VIRTUAL_ENV={}\n", place.display());
            fs::write(bin.join("activate"), script).expect("a folder takes a file");
        };
        activate(&folder);
        assert!(!is_whole(&folder), "there is no Python");
        // A program that starts and ends well is all that is asked of it.
        fs::write(bin.join("python"), "#!/bin/sh\n").expect("a folder takes a file");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(bin.join("python"), executable).expect("its owner may change a mode");
        let whole = is_whole(&folder);
        activate(Path::new("/elsewhere/peers/venv"));
        let moved = is_whole(&folder);
        fs::remove_dir_all(&folder).expect("the folder can be removed");
        assert!(whole, "its Python starts");
        assert!(!moved, "its scripts lead elsewhere");
    }
}
