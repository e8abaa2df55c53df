//! What fetches an archive from where it is published, and knows its hash: a script, and files for package managers.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::Artifact;
use super::targets::{LINUX_ARM, LINUX_X86, Target, WINDOWS_X86};
use crate::root;

/// A template of `packaging`, what the file is called that is made of it, and the archives that it cannot do without.
type Template = (&'static str, &'static str, &'static [Target]);

const TEMPLATES: [Template; 6] = [
    ("install.sh.in", "install.sh", &[]),
    ("homebrew.rb.in", "hvym-tunnel.rb", &[LINUX_X86, LINUX_ARM]),
    ("PKGBUILD.in", "PKGBUILD", &[LINUX_X86, LINUX_ARM]),
    ("winget/version.yaml.in", "HVYM.Tunnel.yaml", &[WINDOWS_X86]),
    ("winget/installer.yaml.in", "HVYM.Tunnel.installer.yaml", &[WINDOWS_X86]),
    ("winget/locale.yaml.in", "HVYM.Tunnel.locale.en-US.yaml", &[WINDOWS_X86]),
];

/// The name and text of each file. One that needs an archive that was not made is left out.
///
/// # Errors
/// A template cannot be read, or has a word that nothing is known for.
pub(super) fn all(version: &str, base_url: &str, artifacts: &[Artifact]) -> Result<Vec<(String, String)>> {
    let archives: Vec<(&str, &str)> = artifacts
        .iter()
        .filter_map(|artifact| Some((artifact.target?.triple(), artifact.sha256.as_str())))
        .collect();
    let mut files = Vec::new();
    for (template, name, needs) in TEMPLATES {
        if !needs.iter().all(|target| archives.iter().any(|(made, _)| *made == target.triple())) {
            eprintln!("{name} is left out: it is for archives that were not made");
            continue;
        }
        let path = root().join("packaging").join(template);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        files.push((name.to_owned(), fill(&text, version, base_url, &archives).context(template)?));
    }
    Ok(files)
}

/// A template with everything in its place. `archives` are names of targets with hashes.
fn fill(template: &str, version: &str, base_url: &str, archives: &[(&str, &str)]) -> Result<String> {
    let sums: Vec<String> = archives.iter().map(|(triple, sum)| format!("{triple} {sum}")).collect();
    let values = [("@VERSION@", version), ("@BASE_URL@", base_url), ("@ARCHIVES@", &sums.join("\n"))];
    let mut text = values.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value));
    for (triple, sum) in archives {
        text = text.replace(&format!("@SHA256 {triple}@"), sum);
    }
    for word in ["@VERSION", "@BASE_URL", "@ARCHIVES", "@SHA256"] {
        ensure!(!text.contains(word), "nothing is known for {word}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gets_the_hashes_of_its_archives_and_all_of_them_as_a_list() {
        let archives = [("x86_64-unknown-linux-musl", "ab"), ("x86_64-pc-windows-gnu", "cd")];
        let filled = |template| fill(template, "1.2.3", "https://x", &archives);
        let one = filled("@VERSION@ @BASE_URL@ @SHA256 x86_64-pc-windows-gnu@");
        assert_eq!(one.expect("a template"), "1.2.3 https://x cd");
        let list = filled("'@ARCHIVES@'").expect("a template");
        assert_eq!(list, "'x86_64-unknown-linux-musl ab\nx86_64-pc-windows-gnu cd'");
        filled("@SHA256 aarch64-unknown-linux-musl@").expect_err("it was not made");
    }

    #[test]
    fn every_template_can_be_filled_once_everything_was_made() {
        let archives = Target::ALL.map(|target| (target.triple(), "0f"));
        for (template, ..) in TEMPLATES {
            let text = fs::read_to_string(root().join("packaging").join(template)).expect("a template");
            let text = fill(&text, "1.2.3", "https://x", &archives).expect("a template");
            assert!(text.contains("1.2.3"), "{template}: {text}");
        }
    }
}
