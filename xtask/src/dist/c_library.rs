//! The C library for those who compile against it: header, shared and static library, and what pkg-config says about them.
//!
//! One archive, which may be unpacked anywhere: `tar -xzf FILE -C /usr/local --strip-components=1`. It is for the C library of
//! the system that builds it, or a later one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::archive::{Entry, Packing, tar_gz};
use super::components::Components;
use super::licences;
use super::targets::Target;
use super::toolchain::remapping;
use crate::cargo::{cargo, succeed};
use crate::{root, target};

/// How the name of the archive begins.
pub(super) const NAME: &str = "libhvym-tunnel";
const SHARED: &str = "libhvym_tunnel.so";
const STATIC: &str = "libhvym_tunnel.a";
/// Where files of the sources are in the archive.
const SOURCES: [(&str, &str); 5] = [
    ("bindings/c/include/hvym_tunnel.h", "include/hvym_tunnel.h"),
    ("bindings/c/README.md", "share/doc/hvym-tunnel-c/README.md"),
    ("bindings/c/examples/expose.c", "share/doc/hvym-tunnel-c/examples/expose.c"),
    ("LICENSE-APACHE", "share/doc/hvym-tunnel-c/LICENSE-APACHE"),
    ("LICENSE-MIT", "share/doc/hvym-tunnel-c/LICENSE-MIT"),
];

/// The name and the content of the archive, with the libraries of a folder.
///
/// # Errors
/// A file cannot be read, or this machine is one for which there is no archive.
pub(super) fn archive(version: &str, libraries: &Path, packing: Packing) -> Result<(String, Vec<u8>)> {
    let host = Target::host()?;
    let read = |path: PathBuf| fs::read(&path).with_context(|| path.display().to_string());
    let pkg_config = fs::read_to_string(root().join("packaging/hvym-tunnel.pc.in"))?;
    let mut entries = vec![
        Entry::new("lib/pkgconfig/hvym-tunnel.pc", pkg_config.replace("@VERSION@", version)),
        Entry::executable(format!("lib/{SHARED}"), read(libraries.join(SHARED))?),
        Entry::new(format!("lib/{STATIC}"), read(libraries.join(STATIC))?),
        Entry::new(
            "share/doc/hvym-tunnel-c/THIRD-PARTY-LICENSES.txt",
            licences::text(&Components::of(host)?)?,
        ),
    ];
    for (file, path) in SOURCES {
        entries.push(Entry::new(path, read(root().join(file))?));
    }
    let top = format!("{NAME}-{version}-{}", host.triple());
    for entry in &mut entries {
        entry.path = format!("{top}/{}", entry.path);
    }
    Ok((format!("{top}.tar.gz"), tar_gz(&entries, packing)?))
}

/// Builds the libraries, as people get them or as a debug build, and returns their folder.
///
/// # Errors
/// The build fails, or this machine is one for which there is no archive.
pub(super) fn build(is_debug: bool) -> Result<PathBuf> {
    let triple = Target::host()?.triple();
    let mut build = cargo(["build", "--quiet", "--locked", "--package", "hvym-tunnel-c"]);
    if is_debug {
        succeed(&mut build)?;
        return Ok(target().join("debug"));
    }
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.replace('-', "_").to_uppercase());
    build.args(["--release", "--target", triple]).env(variable, remapping()?);
    succeed(build.env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"))?;
    Ok(target().join(triple).join("release"))
}

/// Unpacks the archive into `folder`, compiles its example by what pkg-config says, with the shared library and with the
/// static one, and runs it.
///
/// # Errors
/// Any of it fails.
pub(super) fn check(archive: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    succeed(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder).arg("--strip-components=1"))?;
    let libraries = folder.join("lib").canonicalize()?;
    compile_and_run(folder, &libraries, &["--cflags", "--libs"])?;
    // The linker takes a static library where there is no shared one.
    fs::remove_file(libraries.join(SHARED))?;
    compile_and_run(folder, &libraries, &["--static", "--cflags", "--libs"])
}

fn compile_and_run(folder: &Path, libraries: &Path, asked: &[&str]) -> Result<()> {
    let mut pkg_config = Command::new("pkg-config");
    pkg_config.args(asked).arg("hvym-tunnel").env("PKG_CONFIG_PATH", libraries.join("pkgconfig"));
    let said = pkg_config.output().context("pkg-config")?;
    ensure!(said.status.success(), "pkg-config: {}", String::from_utf8_lossy(&said.stderr));
    let flags = String::from_utf8(said.stdout)?;
    let program = folder.join("expose");
    let mut compiler = Command::new("cc");
    compiler.arg(folder.join("share/doc/hvym-tunnel-c/examples/expose.c")).args(flags.split_whitespace());
    succeed(compiler.arg("-o").arg(&program))?;
    let output = Command::new(&program).env("LD_LIBRARY_PATH", libraries).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(2) && text.starts_with("usage: "), "the example: {output:?}");
    Ok(())
}
