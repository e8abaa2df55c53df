//! The package as npm installs it from its tarball, beside compilers, bundlers and small programs that use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use hvym_tunnel_tests::installed::skip;

use super::page::package;

/// The folder of the programs, `bundlers`, with what they need; `None` after reporting the skip.
pub(crate) fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bundlers");
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&own.join("browser/bundlers"), &folder);
        copy(&own.join("../examples/node"), &folder.join("examples"));
        let packed = npm(&folder, &["pack", "--silent", &package().display().to_string()])?;
        let name = String::from_utf8(packed.stdout).expect("npm writes text");
        fs::rename(folder.join(name.trim()), folder.join("hvym-tunnel.tgz")).expect("npm has packed it");
        install(&folder).then_some(folder)
    });
    if folder.is_none() {
        skip("npm cannot install the bundlers");
    }
    folder.as_deref()
}

/// The same with the bundlers that take minutes to install, in a folder below it.
pub(crate) fn more() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = folder()?.join("more");
        for name in ["main.js", "tell.js", "index.html"] {
            fs::copy(folder.join("..").join(name), folder.join(name)).expect("a folder takes a file");
        }
        install(&folder).then_some(folder)
    });
    if folder.is_none() {
        skip("npm cannot install the larger bundlers");
    }
    folder.as_deref()
}

/// A program that npm has installed in `folder`, about to start there.
pub(crate) fn program(folder: &Path, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(folder.join("node_modules/.bin").join(name));
    command.args(arguments).current_dir(folder);
    // Some tell their makers of every build, and ask for newer versions.
    command.envs([("NEXT_TELEMETRY_DISABLED", "1"), ("CI", "1"), ("NO_UPDATE_NOTIFIER", "1")]);
    command
}

/// Runs it to its end; an error with what it said if that is not well.
pub(crate) fn run(mut command: Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}

/// Installs what the folder's `package.json` names; the package under test anew, whose version says nothing.
fn install(folder: &Path) -> bool {
    let modules = folder.join("node_modules");
    for stale in
        [modules.join("hvym-tunnel"), modules.join(".package-lock.json"), folder.join("package-lock.json")]
    {
        // Not there at first.
        let _gone = fs::remove_dir_all(&stale).or_else(|_| fs::remove_file(&stale));
    }
    npm(folder, &["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"]).is_some()
}

fn npm(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let output = Command::new("npm").args(arguments).current_dir(folder).output().ok()?;
    if output.status.success() {
        return Some(output);
    }
    eprintln!("npm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    None
}

/// Copies a folder into another one, which may have more.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder takes a folder");
    for entry in fs::read_dir(from).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.ends_with("node_modules") {
            continue;
        }
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).expect("a folder takes a file");
        }
    }
}
