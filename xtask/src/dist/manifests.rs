//! What fetches an archive from where it is published, and knows its hash: a script, and files for package managers.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::Artifact;
use super::targets::Target;
use crate::root;

/// Each template of `packaging`, and what the file is called that is made of it.
const TEMPLATES: [(&str, &str); 3] =
    [("install.sh.in", "install.sh"), ("homebrew.rb.in", "hvym-tunnel.rb"), ("PKGBUILD.in", "PKGBUILD")];

/// The name and text of each file. One that names an archive that was not made is left out.
///
/// # Errors
/// A template cannot be read, or has a word that nothing is known for.
pub(super) fn all(version: &str, base_url: &str, artifacts: &[Artifact]) -> Result<Vec<(String, String)>> {
    let sum = |target: Target| {
        let archive = artifacts.iter().find(|artifact| artifact.target == Some(target));
        archive.map(|archive| archive.sha256.clone())
    };
    let archives: Vec<String> = artifacts
        .iter()
        .filter_map(|artifact| Some(format!("{} {}", artifact.target?.triple(), artifact.sha256)))
        .collect();
    let mut values = vec![
        ("@VERSION@".to_owned(), version.to_owned()),
        ("@BASE_URL@".to_owned(), base_url.to_owned()),
        ("@ARCHIVES@".to_owned(), archives.join("\n")),
    ];
    for target in Target::STATIC {
        if let Some(sum) = sum(target) {
            values.push((format!("@SHA256 {}@", target.triple()), sum));
        }
    }
    let mut files = Vec::new();
    for (template, name) in TEMPLATES {
        let path = root().join("packaging").join(template);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let text = values.iter().fold(text, |text, (word, value)| text.replace(word, value));
        if text.contains("@SHA256 ") {
            eprintln!("{name} is left out: it is for archives that were not made");
            continue;
        }
        ensure!(!text.contains("@VERSION@") && !text.contains("@BASE_URL@"), "{template}");
        files.push((name.to_owned(), text));
    }
    Ok(files)
}
