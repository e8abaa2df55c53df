//! What a program says of its own build: the commit, its time, the compiler and the target.
//!
//! Debug builds are of no commit, so that a commit does not build them anew.

use std::path::Path;
use std::process::Command;

/// Where a release that is built from an archive says which commit it is.
const COMMIT: &str = "HVYM_TUNNEL_COMMIT";
/// Seconds of the Unix epoch that a build is to be from (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for variable in [COMMIT, EPOCH] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let git = |arguments: &[&str]| is_release.then(|| output("git", arguments)).flatten();
    let commit = std::env::var(COMMIT).ok().or_else(|| git(&["rev-parse", "HEAD"])).unwrap_or_default();
    let time = std::env::var(EPOCH).ok().or_else(|| git(&["log", "-1", "--format=%ct"])).unwrap_or_default();
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    let rustc =
        std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"])).unwrap_or_default();
    let target = std::env::var("TARGET").unwrap_or_default();
    for (name, value) in [("COMMIT", commit), ("TIME", time), ("RUSTC", rustc), ("TARGET", target)] {
        println!("cargo:rustc-env=HVYM_TUNNEL_BUILD_{name}={value}");
    }
}

/// The first line that a program says, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}
