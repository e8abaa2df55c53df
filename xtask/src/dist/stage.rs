//! Which files are in an archive and in a Debian package, and where.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::archive::{Entry, Packing, gzip, tar_gz};
use super::components::Components;
use super::targets::{System, Target};
use super::zip::zip;
use super::{licences, sbom};
use crate::root;

/// Each shell with the name of its script in an archive.
const SHELLS: [(&str, &str); 4] = [
    ("bash", "hvym-tunnel.bash"),
    ("zsh", "_hvym-tunnel"),
    ("fish", "hvym-tunnel.fish"),
    ("powershell", POWERSHELL),
];
/// The one that Windows has.
const POWERSHELL: &str = "_hvym-tunnel.ps1";
/// Where Debian looks for them.
const DEBIAN_SHELLS: [(&str, &str); 3] = [
    ("hvym-tunnel.bash", "usr/share/bash-completion/completions/hvym-tunnel"),
    ("_hvym-tunnel", "usr/share/zsh/vendor-completions/_hvym-tunnel"),
    ("hvym-tunnel.fish", "usr/share/fish/vendor_completions.d/hvym-tunnel.fish"),
];
/// What is in an archive as it is in the sources.
const TEXTS: [&str; 5] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "docs/DEPLOY.md"];
/// The folders of `packaging` that people may want to copy from.
const EXAMPLES: [&str; 4] = ["systemd", "nginx", "caddy", "container"];

/// Manual pages and completions, which the program writes itself.
pub(super) struct Manual {
    pages: Vec<Entry>,
    completions: Vec<Entry>,
}

impl Manual {
    /// Those of `program`, which runs here.
    ///
    /// # Errors
    /// It fails.
    pub(super) fn generate(program: &Path, folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let folder_text = folder.to_str().context("the target folder has no UTF-8 name")?;
        said(program, &["man", folder_text])?;
        let pages = self::folder(folder, "man")?;
        ensure!(pages.len() > 20, "there are only {} pages", pages.len());
        let completions = SHELLS
            .iter()
            .map(|(shell, name)| {
                Ok(Entry::new(format!("completions/{name}"), said(program, &["completions", shell])?))
            })
            .collect::<Result<_>>()?;
        Ok(Self { pages, completions })
    }
}

/// What is packed for a target.
pub(super) struct Stage<'a> {
    pub(super) version: &'a str,
    pub(super) target: Target,
    pub(super) program: &'a Path,
    pub(super) components: &'a Components,
    pub(super) manual: &'a Manual,
}

impl Stage<'_> {
    /// What its archive is called, without a suffix.
    pub(super) fn name(&self) -> String {
        format!("hvym-tunnel-{}-{}", self.version, self.target.triple())
    }

    /// Its archive, as people on that system unpack it.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn archive(&self, packing: Packing) -> Result<Vec<u8>> {
        let entries = self.files()?;
        match self.target.system {
            System::Windows => zip(&entries, packing),
            System::Linux => tar_gz(&entries, packing),
        }
    }

    /// The files of an archive, all in one folder.
    fn files(&self) -> Result<Vec<Entry>> {
        let mut entries = vec![
            Entry::executable(self.target.program(), fs::read(self.program)?),
            Entry::new("THIRD-PARTY-LICENSES.txt", licences::text(self.components)?),
            Entry::new("sbom.cdx.json", sbom::cyclone_dx(self.version, self.target, self.components)),
        ];
        for file in TEXTS {
            let name = file.rsplit('/').next().unwrap_or(file);
            entries.push(Entry::new(name, read(file)?));
        }
        if self.target.system == System::Linux {
            entries.push(Entry::new("packaging/relay.toml", read("packaging/relay.toml")?));
            for name in EXAMPLES {
                entries.extend(folder(&root().join("packaging").join(name), &format!("packaging/{name}"))?);
            }
        }
        let Manual { pages, completions } = self.manual;
        if self.target.system == System::Windows {
            entries.extend(completions.iter().filter(|entry| entry.path.ends_with(POWERSHELL)).cloned());
        } else {
            entries.extend(pages.iter().chain(completions).cloned());
        }
        let top = self.name();
        Ok(entries
            .into_iter()
            .map(|entry| Entry { path: format!("{top}/{}", entry.path), ..entry })
            .collect())
    }

    /// The files of a Debian package.
    ///
    /// # Errors
    /// One cannot be read.
    pub(super) fn debian(&self) -> Result<Vec<Entry>> {
        const DOC: &str = "usr/share/doc/hvym-tunnel";
        let licences = licences::text(self.components)?;
        let mut entries = vec![
            Entry::executable("usr/bin/hvym-tunnel", fs::read(self.program)?),
            Entry::new(format!("{DOC}/copyright"), copyright()?),
            Entry::new(format!("{DOC}/THIRD-PARTY-LICENSES.txt.gz"), gzip(licences.as_bytes())?),
            Entry::new(format!("{DOC}/changelog.gz"), gzip(&read("CHANGELOG.md")?)?),
            Entry::new(format!("{DOC}/README.md"), read("README.md")?),
            Entry::new(format!("{DOC}/DEPLOY.md"), read("docs/DEPLOY.md")?),
            Entry::new("etc/hvym-tunnel/relay.toml", read("packaging/relay.toml")?),
            Entry::new("usr/lib/sysusers.d/hvym-tunnel.conf", read("packaging/systemd/sysusers.conf")?),
        ];
        for (unit, manager) in [("relay", "system"), ("manager", "user")] {
            for kind in ["service", "socket"] {
                let name = format!("hvym-tunnel-{unit}.{kind}");
                let content = read(&format!("packaging/systemd/{name}"))?;
                entries.push(Entry::new(format!("usr/lib/systemd/{manager}/{name}"), content));
            }
        }
        for name in ["nginx", "caddy"] {
            let from = root().join("packaging").join(name);
            entries.extend(folder(&from, &format!("{DOC}/examples/{name}"))?);
        }
        for page in &self.manual.pages {
            let name = page.path.rsplit('/').next().unwrap_or(&page.path);
            entries.push(Entry::new(format!("usr/share/man/man1/{name}.gz"), gzip(&page.content)?));
        }
        for (name, path) in DEBIAN_SHELLS {
            let script = self.manual.completions.iter().find(|entry| entry.path.ends_with(name));
            entries.push(Entry::new(path, script.context("a script is missing")?.content.clone()));
        }
        Ok(entries)
    }
}

/// The files below a folder, with `begin` before their paths.
///
/// # Errors
/// One cannot be read.
pub(super) fn folder(path: &Path, begin: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let path: PathBuf = entry?.path();
        let name = format!("{begin}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            entries.extend(folder(&path, &name)?);
        } else {
            entries.push(Entry::new(name, fs::read(&path)?));
        }
    }
    entries.sort();
    Ok(entries)
}

fn copyright() -> Result<String> {
    let [mit, apache] = ["LICENSE-MIT", "LICENSE-APACHE"].map(read);
    let (mit, apache) = (String::from_utf8(mit?)?, String::from_utf8(apache?)?);
    Ok(format!(
        "hvym-tunnel is under the MIT licence or the Apache License 2.0, at your choice. Components of others are listed\n\
         in THIRD-PARTY-LICENSES.txt.gz.\n\n{mit}\n{apache}"
    ))
}

fn read(file: &str) -> Result<Vec<u8>> {
    fs::read(root().join(file)).with_context(|| file.to_owned())
}

/// What the program prints in an environment that says nothing.
fn said(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program).args(arguments).env_clear().env("HOME", "/nonexistent").output();
    let output = output.with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
