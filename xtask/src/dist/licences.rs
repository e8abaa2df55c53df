//! The licences of all components, with their texts, as these licences want them to come along.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::components::{Component, Components};

/// How the names of such files begin.
const NAMES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// One text of everything. A text that many components have is there once.
///
/// # Errors
/// A file cannot be read.
pub(super) fn text(components: &Components) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut out =
        String::from("hvym-tunnel contains these components of others. Their licences follow the list.\n\n");
    for component in &components.all {
        let Component { name, version, license, .. } = component;
        out.push_str(&format!("{name} {version}: {}\n", license.as_deref().unwrap_or("see below")));
        for text in texts_of(&component.folder)? {
            texts.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    for (text, users) in texts {
        out.push_str(&format!("\n{}\n{}\n\n{text}\n", "-".repeat(78), users.join(", ")));
    }
    Ok(out)
}

fn texts_of(folder: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_file() && NAMES.iter().any(|begin| name.starts_with(begin)) {
            texts.push(String::from_utf8_lossy(&fs::read(&path)?).trim().replace("\r\n", "\n"));
        }
    }
    texts.sort();
    texts.dedup();
    Ok(texts)
}
