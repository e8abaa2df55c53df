//! `cargo xtask wasm --embed`: the files of the browser package that a relay serves, into the crate of the relay, so that who
//! builds it needs nothing but cargo.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::imports::{When, collect};
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
        collect(package, entry, When::Later, &mut names)?;
    }
    let mut list = String::from(
        "//! The files of the page, compressed (gzip). Written by `cargo xtask wasm --embed`.\n\n\
         /// Names and contents.\npub(super) const FILES: &[(&str, &[u8])] = &[\n",
    );
    for name in &names {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&without_map(fs::read(package.join(name)).with_context(|| name.clone())?))?;
        fs::write(folder.join(format!("{name}.gz")), gzip.finish()?)?;
        writeln!(list, "    ({name:?}, include_bytes!(\"../../sign-in/{name}.gz\")),")?;
    }
    list += "];\n";
    fs::write(crate_root.join("src/sign_in/files.rs"), list)?;
    Ok(())
}

/// A file without the line that leads to its source map, which a relay does not serve.
fn without_map(mut file: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"//# sourceMappingURL=";
    let found = file.windows(MARK.len()).rposition(|window| window == MARK);
    file.truncate(found.unwrap_or(file.len()));
    file
}
