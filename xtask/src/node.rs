//! The native module for Node.js, as a package that npm takes.

use std::env::consts;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, succeed};
use crate::{root, target};

/// `cargo xtask node [--release]`: the package with the module of this system, at `target/node`; with `--release` as people get
/// it, at `target/node-release`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (profile, built, folder) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => ("dev", "debug", "node"),
        ["--release"] => ("release", "release", "node-release"),
        _ => bail!("usage: cargo xtask node [--release]"),
    };
    let mut build = cargo(["build", "--locked", "--package", "hvym-tunnel-node", "--profile", profile]);
    // Names of functions, which nobody reads there, are a third of it.
    succeed(build.env("CARGO_PROFILE_RELEASE_STRIP", "symbols"))?;
    let library = format!("{}hvym_tunnel_node{}", consts::DLL_PREFIX, consts::DLL_SUFFIX);
    let folder = target().join(folder);
    pack(&target().join(built).join(library), &folder)?;
    println!("{}", folder.display());
    Ok(())
}

fn pack(library: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut files = vec![(library.to_owned(), module_name())];
    for entry in fs::read_dir(root().join("bindings/node/js"))? {
        let entry = entry?;
        files.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
    }
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        files.push((root().join(licence), licence.to_owned()));
    }
    for (from, name) in files {
        fs::copy(&from, folder.join(name)).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

/// As Node.js names systems and processors.
fn module_name() -> String {
    let system = match consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let machine = match consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("hvym_tunnel-{system}-{machine}.node")
}
