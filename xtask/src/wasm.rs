//! `cargo xtask wasm`: the browser package, from Rust and `runner-wasm/js` to a folder that npm and browsers take.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::cargo::{cargo, succeed};
use crate::imports::{When, collect};
use crate::shorten::shorten;
use crate::{embed, minify, root, target};

/// The most that a browser may have to compile before a page can dial. Checking a relay's proof, and the delegations of who
/// calls, takes 45 KB of it.
const MAX_RAW: usize = 384 * 1024;
/// The same, as servers send it: a second of a slow mobile line.
const MAX_GZIPPED: usize = 150 * 1024;
/// The scripts that a page needs before its own code runs, as a bundler joins them: half of it is what wasm-bindgen makes around the
/// module, and the rest logs in.
const MAX_SCRIPTS: usize = 12 * 1024;
/// The same with all parts that are loaded beside the module, or when they are asked for.
const MAX_ALL_SCRIPTS: usize = 24 * 1024;
/// The module beside the scripts.
const MODULE: &str = "runner_bg.wasm";
/// The target of browsers.
const TARGET: &str = "wasm32-unknown-unknown";

/// Makes the package at `target/package`, or the module whose transcript a test compares, at `target/transcript`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => package(&target().join("package")),
        ["--embed"] => {
            package(&target().join("package"))?;
            embed::run(&target().join("package"))
        }
        ["--transcript"] => {
            let folder = target().join("transcript");
            bind(&compile(&["--features", "transcript"])?, &folder)?;
            println!("{}", folder.display());
            Ok(())
        }
        _ => bail!("usage: cargo xtask wasm [--embed | --transcript]"),
    }
}

fn package(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    let module = compile(&[])?;
    let sources = target().join("package-sources");
    if sources.exists() {
        fs::remove_dir_all(&sources).with_context(|| format!("{}", sources.display()))?;
    }
    bind(&module, &sources)?;
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(root().join("runner-wasm/js"))? {
        let path = entry?.path();
        let is_script = path.extension().is_some_and(|extension| extension == "js");
        let to = if is_script { &sources } else { folder };
        fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
    }
    minify::run(&sources, folder)?;
    fs::copy(sources.join(MODULE), folder.join(MODULE))?;
    fs::write(folder.join("inline-module.js"), inline(&fs::read(folder.join(MODULE))?)?)?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(root().join(name), folder.join(name))?;
    }
    check_size(&folder.join(MODULE))?;
    check_scripts(folder)?;
    println!("{}", folder.display());
    Ok(())
}

/// The script that has the module in it, compressed.
fn inline(module: &[u8]) -> Result<String> {
    let text = BASE64.encode(&compressed(module)?);
    Ok(format!("// The WebAssembly module: gzip, base64.\n\nexport const MODULE = \"{text}\";\n"))
}

/// Builds the browser runner; the path of what came out.
fn compile(more: &[&str]) -> Result<PathBuf> {
    // A toolchain without rustup must bring the target itself; the build says so if it does not.
    let _ = Command::new("rustup").args(["target", "add", TARGET]).status();
    let build = ["build", "--package", "hvym-tunnel-wasm", "--lib", "--profile", "wasm", "--target", TARGET];
    succeed(cargo(build).args(more).env("RUSTFLAGS", flags()))?;
    Ok(target().join(TARGET).join("wasm/hvym_tunnel_wasm.wasm"))
}

/// The small implementation of SHA-512, which signs a login no slower than a person notices; and source paths in panic
/// messages without the folders of this machine, which are also 2 KB of the module.
fn flags() -> String {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap_or_default();
    let root = root().canonicalize().unwrap_or_default();
    let mut flags = format!(
        "--cfg sha2_backend_soft=\"compact\" --remap-path-prefix={}=. --remap-path-prefix={}=cargo",
        root.display(),
        cargo.display(),
    );
    // The last match counts: sources of a registry begin with the name of their crate.
    for registry in fs::read_dir(cargo.join("registry/src")).into_iter().flatten().flatten() {
        flags += &format!(" --remap-path-prefix={}=", registry.path().display());
    }
    flags
}

/// Writes the module and the JavaScript that loads it.
fn bind(module: &Path, folder: &Path) -> Result<()> {
    Bindgen::new()
        .input_path(module)
        .out_name("runner")
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)?;
    shorten_names(folder)?;
    hide_exports(&folder.join("runner.js"))
}

fn shorten_names(folder: &Path) -> Result<()> {
    let (module, script) = (folder.join(MODULE), folder.join("runner.js"));
    let (short, renamed) = shorten(&fs::read(&module)?, &fs::read_to_string(&script)?)?;
    fs::write(module, short)?;
    fs::write(script, renamed)?;
    Ok(())
}

/// Keeps the module's exports to its own scripts: its memory is among them, and keys are in there.
fn hide_exports(script: &Path) -> Result<()> {
    const EXPORTED: &str = "return wasm;";
    let text = fs::read_to_string(script).with_context(|| format!("{}", script.display()))?;
    ensure!(text.contains(EXPORTED), "{} exports nothing in the known way", script.display());
    fs::write(script, text.replace(EXPORTED, "return;"))?;
    Ok(())
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

fn gzipped(bytes: &[u8]) -> Result<usize> {
    Ok(compressed(bytes)?.len())
}

/// What a page loads before it dials: `index.js` and what that imports at once, as files and as a bundler joins them. The other
/// entries have their own pages, and what is imported later comes when a page asks for it.
fn check_scripts(folder: &Path) -> Result<()> {
    for entry in ["index.js", "bridge.js", "bridge-worker.js", "shared-worker.js", "sign-in.js"] {
        let mut names = BTreeSet::new();
        collect(folder, entry, When::AtOnce, &mut names)?;
        let files = names.iter().map(|name| gzipped(&fs::read(folder.join(name))?));
        let files: usize = files.sum::<Result<usize>>()?;
        let bundle = minify::bundled(folder, entry, When::AtOnce)?;
        let joined = gzipped(&bundle)?;
        let all = gzipped(&minify::bundled(folder, entry, When::Later)?)?;
        println!(
            "{entry}: {} bytes, {joined} gzipped in a bundle, {files} gzipped as {} files; {all} with what comes later",
            bundle.len(),
            names.len()
        );
        ensure!(
            entry != "index.js" || (joined <= MAX_SCRIPTS && all <= MAX_ALL_SCRIPTS),
            "at most {MAX_SCRIPTS} bytes of scripts are allowed when gzipped, and {MAX_ALL_SCRIPTS} with what comes later"
        );
    }
    Ok(())
}

fn check_size(module: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("{}", module.display()))?;
    let gzipped = gzipped(&bytes)?;
    println!("runner_bg.wasm: {} bytes, {gzipped} gzipped", bytes.len());
    ensure!(bytes.len() <= MAX_RAW, "at most {MAX_RAW} bytes are allowed");
    ensure!(gzipped <= MAX_GZIPPED, "at most {MAX_GZIPPED} bytes are allowed when gzipped");
    Ok(())
}
