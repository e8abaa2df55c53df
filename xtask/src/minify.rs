//! The scripts of the browser package, minified one by one by esbuild, with source maps that contain what they were made of.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::succeed;
use crate::imports::{When, collect, imports};
use crate::{root, target};

/// What all browsers know that have keys of their own (Ed25519 in WebCrypto): private methods among it.
const LANGUAGE: &str = "--target=es2022";

/// Writes all scripts of `sources` into `folder`, minified, and a map beside each.
pub(crate) fn run(sources: &Path, folder: &Path) -> Result<()> {
    let scripts = fs::read_dir(sources)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let scripts = scripts.iter().filter(|path| path.extension() == Some(OsStr::new("js")));
    let mut minify = Command::new(esbuild()?);
    minify.args(["--minify", "--sourcemap", "--format=esm", "--log-level=warning", LANGUAGE]);
    succeed(minify.args(scripts).arg(format!("--outdir={}", folder.display())))
}

/// The script `entry` of `folder` and all that it imports up to `until`, as a bundler joins them.
pub(crate) fn bundled(folder: &Path, entry: &str, until: When) -> Result<Vec<u8>> {
    let mut names = BTreeSet::new();
    if until == When::AtOnce {
        collect(folder, entry, When::AtOnce, &mut names)?;
    }
    let mut bundle = Command::new(esbuild()?);
    bundle.args(["--bundle", "--minify", "--format=esm", "--log-level=warning", LANGUAGE]);
    for name in names {
        for (later, _) in
            imports(&fs::read_to_string(folder.join(name))?).filter(|(_, when)| *when == When::Later)
        {
            bundle.arg(format!("--external:./{later}"));
        }
    }
    let output = bundle.arg(folder.join(entry)).output().context("esbuild")?;
    ensure!(output.status.success(), "esbuild: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// The program, installed once below `target/esbuild` as `runner-wasm/build` says.
fn esbuild() -> Result<PathBuf> {
    let folder = std::path::absolute(target().join("esbuild"))?;
    let program = folder.join("node_modules/.bin/esbuild");
    let lock = "package-lock.json";
    let wanted = root().join("runner-wasm/build");
    let is_current = || Ok::<_, std::io::Error>(fs::read(folder.join(lock))? == fs::read(wanted.join(lock))?);
    if program.exists() && is_current().unwrap_or(false) {
        return Ok(program);
    }
    fs::create_dir_all(&folder)?;
    for name in ["package.json", lock] {
        fs::copy(wanted.join(name), folder.join(name)).with_context(|| name.to_owned())?;
    }
    let npm = ["ci", "--silent", "--no-fund", "--no-audit"];
    succeed(Command::new("npm").args(npm).current_dir(&folder)).context("esbuild is installed by npm")?;
    Ok(program)
}
