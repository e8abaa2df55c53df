//! `cargo xtask wasm --embed`: the files of the browser package that a relay serves, into the crate of the relay, so that who
//! builds it needs nothing but cargo.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::root;

/// What a page loads by name; the rest is what these import.
const ENTRIES: [&str; 2] = ["sign-in.js", "bridge-worker.js"];
/// What no script imports.
const BESIDE: [&str; 2] = ["sign-in.css", "runner_bg.wasm"];
/// The page itself, which the relay fills in.
const PAGE: &str = "sign-in.html";

/// Copies what is needed of the package in `package`.
pub(crate) fn run(package: &Path) -> Result<()> {
    let crate_root = root().join("runner-native/relay");
    let folder = crate_root.join("sign-in");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    fs::copy(package.join(PAGE), folder.join(PAGE))?;
    let mut names = BESIDE.map(str::to_owned).into_iter().collect();
    for entry in ENTRIES {
        collect(package, entry, &mut names)?;
    }
    let mut list = String::from(
        "//! The files of the page, compressed (gzip). Written by `cargo xtask wasm --embed`.\n\n\
         /// Names and contents.\npub(super) const FILES: &[(&str, &[u8])] = &[\n",
    );
    for name in &names {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&fs::read(package.join(name)).with_context(|| name.clone())?)?;
        fs::write(folder.join(format!("{name}.gz")), gzip.finish()?)?;
        writeln!(list, "    ({name:?}, include_bytes!(\"../../sign-in/{name}.gz\")),")?;
    }
    list += "];\n";
    fs::write(crate_root.join("src/sign_in/files.rs"), list)?;
    Ok(())
}

/// Adds `name` and what it imports.
pub(crate) fn collect(package: &Path, name: &str, names: &mut BTreeSet<String>) -> Result<()> {
    if !names.insert(name.to_owned()) {
        return Ok(());
    }
    let text = fs::read_to_string(package.join(name)).with_context(|| name.to_owned())?;
    let imported = text.lines().filter_map(|line| {
        let (_, after) = line.split_once(" from ")?;
        after.trim_matches(['"', '\'', ';']).strip_prefix("./")
    });
    imported.into_iter().try_for_each(|other| collect(package, other, names))
}
