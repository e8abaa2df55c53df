//! The one version of everything that is published.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::root;

/// Files beside the workspace's own that say a version, and what stands before it.
const FILES: [(&str, &str); 2] = [
    ("bindings/python/modules/pyproject.toml", "version = \""),
    ("runner-wasm/js/package.json", "\"version\": \""),
];

/// The version of the workspace, which all parts have.
///
/// # Errors
/// One has another.
pub(super) fn common() -> Result<String> {
    let version = read("Cargo.toml", "version = \"")?;
    for (file, before) in FILES {
        let other = read(file, before)?;
        ensure!(other == version, "{file} has version {other}, and the workspace {version}");
    }
    Ok(version)
}

fn read(file: &str, before: &str) -> Result<String> {
    let text = fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?;
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(before));
    let version = line.and_then(|rest| rest.split('"').next());
    version.map(str::to_owned).with_context(|| format!("{file} says no version"))
}
