//! A Debian package (deb(5)): two archives in one.

use std::fs;

use anyhow::{Context, Result};

use super::archive::{Entry, Packing, ar, tar_gz};
use crate::root;

/// Scripts that dpkg runs (deb-postinst(5) and its like).
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// The package with these files.
///
/// # Errors
/// A file of `packaging/debian` cannot be read.
pub(super) fn package(
    files: &[Entry],
    version: &str,
    architecture: &str,
    packing: Packing,
) -> Result<Vec<u8>> {
    let kibibytes = files.iter().map(|entry| entry.content.len().div_ceil(1024)).sum::<usize>();
    let configuration: String = files
        .iter()
        .filter(|entry| entry.path.starts_with("etc/"))
        .map(|entry| format!("/{}\n", entry.path))
        .collect();
    let mut control = vec![
        Entry::new("control", self::control(version, architecture, kibibytes)?),
        Entry::new("conffiles", configuration),
    ];
    for script in SCRIPTS {
        control.push(Entry::executable(script, read(script)?));
    }
    let (control, data) = (tar_gz(&control, packing)?, tar_gz(files, packing)?);
    Ok(ar(
        &[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.gz", &data)],
        packing.epoch,
    ))
}

fn control(version: &str, architecture: &str, kibibytes: usize) -> Result<String> {
    let text = read("control")?;
    let values = [
        ("@VERSION@", version.to_owned()),
        ("@ARCHITECTURE@", architecture.to_owned()),
        ("@INSTALLED_SIZE@", kibibytes.to_string()),
    ];
    Ok(values.iter().fold(text, |text, (name, value)| text.replace(name, value)))
}

fn read(name: &str) -> Result<String> {
    let path = root().join("packaging/debian").join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}
