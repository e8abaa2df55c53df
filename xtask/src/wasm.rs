//! `cargo xtask wasm`: the browser package, from Rust and `runner-wasm/js` to a folder that npm and browsers take.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::cargo::{cargo, succeed};
use crate::{embed, root, target};

/// The most that a browser may have to compile before a page can dial. Checking a relay's proof, and the delegations of who
/// calls, takes 45 KB of it.
const MAX_RAW: usize = 384 * 1024;
/// The same, as servers send it: a second of a slow mobile line.
const MAX_GZIPPED: usize = 150 * 1024;
/// The scripts as a bundler joins them, not minified: a third loads the module, and the rest is requests, sockets, events and
/// files.
const MAX_SCRIPTS: usize = 28 * 1024;
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
    bind(&compile(&[])?, folder)?;
    let source = root().join("runner-wasm/js");
    for entry in fs::read_dir(&source).with_context(|| format!("{}", source.display()))? {
        let path = entry?.path();
        fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
    }
    strip_scripts(folder)?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(root().join(name), folder.join(name))?;
    }
    check_size(&folder.join("runner_bg.wasm"))?;
    let mut names = BTreeSet::new();
    embed::collect(folder, "index.js", &mut names)?;
    let scripts =
        names.iter().map(|name| Ok(fs::read(folder.join(name))?)).collect::<Result<Vec<_>>>()?.concat();
    let gzipped = gzipped(&scripts)?;
    println!("index.js and what it imports: {} bytes, {gzipped} gzipped", scripts.len());
    ensure!(gzipped <= MAX_SCRIPTS, "at most {MAX_SCRIPTS} bytes of scripts are allowed when gzipped");
    println!("{}", folder.display());
    Ok(())
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
        // Without it, loading needs to be told where the module is, and bundlers do not see it.
        .omit_default_module_path(false)
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)?;
    hide_exports(&folder.join("runner.js"))
}

/// Keeps the module's exports to its own scripts: its memory is among them, and keys are in there.
fn hide_exports(script: &Path) -> Result<()> {
    const EXPORTED: &str = "return wasm;";
    let text = fs::read_to_string(script).with_context(|| format!("{}", script.display()))?;
    ensure!(text.contains(EXPORTED), "{} exports nothing in the known way", script.display());
    fs::write(script, text.replace(EXPORTED, "return;"))?;
    Ok(())
}

/// Leaves out the comments and the indentation of all scripts, which `index.d.ts` makes unnecessary.
fn strip_scripts(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "js") {
            fs::write(&path, stripped(&fs::read_to_string(&path)?))?;
        }
    }
    Ok(())
}

/// A script without comments on lines of their own, empty lines and indentation. One that has a text of several lines stays as
/// it is.
fn stripped(script: &str) -> String {
    let (mut kept, mut is_comment) = (String::new(), false);
    for line in script.lines().map(str::trim) {
        is_comment |= line.starts_with("/*");
        if is_comment {
            is_comment = !line.ends_with("*/");
        } else if !line.is_empty() && !line.starts_with("//") {
            if line.matches('`').count() % 2 != 0 {
                return script.to_owned();
            }
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

fn gzipped(bytes: &[u8]) -> Result<usize> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?.len())
}

fn check_size(module: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("{}", module.display()))?;
    let gzipped = gzipped(&bytes)?;
    println!("runner_bg.wasm: {} bytes, {gzipped} gzipped", bytes.len());
    ensure!(bytes.len() <= MAX_RAW, "at most {MAX_RAW} bytes are allowed");
    ensure!(gzipped <= MAX_GZIPPED, "at most {MAX_GZIPPED} bytes are allowed when gzipped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_code_stays() {
        let script = "// a\n/** b\n * c */\nlet x = \"// d\";\n  /* e */\n\n  x(`f`); // g\n";
        assert_eq!(stripped(script), "let x = \"// d\";\nx(`f`); // g\n");
        assert_eq!(stripped(" x(`a\n b`)"), " x(`a\n b`)");
    }
}
