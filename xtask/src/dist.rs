//! `cargo xtask dist`: what people install, from one commit, byte for byte the same each time.
//!
//! ```text
//!  programs --+--> archive per target   --+
//!  manual   --+--> Debian package         +--> SHA256SUMS --> install.sh, formula, PKGBUILD, winget's manifests
//!  licences --+--> list of components   --+
//!  wheels and npm package, if they are built
//! ```

mod archive;
mod c_library;
mod check;
mod components;
mod debian;
mod licences;
mod manifests;
mod sbom;
mod stage;
mod targets;
mod toolchain;
mod versions;
mod zip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::cargo::{cargo, succeed};
use crate::{root, target};
use archive::Packing;
use components::Components;
use stage::Stage;
use targets::Target;

const USAGE: &str = "usage: cargo xtask dist [--target TRIPLE].. [--check] [--program FILE] [--libraries FOLDER] \
    [--out FOLDER] [--base-url URL]";

/// What to make.
struct Options {
    targets: Vec<Target>,
    /// Pack a debug build, to see whether everything fits together.
    is_check: bool,
    /// In place of that build of this machine.
    program: Option<PathBuf>,
    /// Where the C library is, in place of one that is built.
    libraries: Option<PathBuf>,
    out: PathBuf,
    /// Where people download the files; without it there is nothing that names a place.
    base_url: Option<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let out = target().join("dist");
        let (program, libraries, base_url) = (None, None, None);
        let mut options = Self { targets: Vec::new(), is_check: false, program, libraries, out, base_url };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().context(USAGE);
            match argument.as_str() {
                "--check" => options.is_check = true,
                "--target" => options.targets.push(Target::parse(&value()?)?),
                "--program" => options.program = Some(PathBuf::from(value()?)),
                "--libraries" => options.libraries = Some(PathBuf::from(value()?)),
                "--out" => options.out = PathBuf::from(value()?),
                "--base-url" => options.base_url = Some(value()?.trim_end_matches('/').to_owned()),
                _ => bail!(USAGE),
            }
        }
        if options.is_check {
            if options.targets.is_empty() {
                options.targets = vec![Target::host()?];
            }
            options.base_url.get_or_insert_with(|| check::BASE_URL.to_owned());
        } else if options.targets.is_empty() {
            options.targets = Target::DEFAULT.into();
        }
        Ok(options)
    }
}

/// A file that was made.
struct Artifact {
    name: String,
    /// Of its archive; none for what is not installed by a manifest.
    target: Option<Target>,
    sha256: String,
}

/// Makes everything anew in the output folder, and says what that is.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    if options.is_check {
        return check::run(options);
    }
    print!("{}", make(&options)?);
    Ok(())
}

/// Makes everything. Returns the hashes of all files.
fn make(options: &Options) -> Result<String> {
    let version = versions::common()?;
    let packing = Packing { epoch: epoch()?, is_fast: options.is_check };
    if options.out.exists() {
        fs::remove_dir_all(&options.out)?;
    }
    fs::create_dir_all(&options.out)?;
    let own = options.program.clone().map_or_else(debug_program, Ok)?;
    let manual = stage::Manual::generate(&own, &target().join("dist-manual"))?;
    let mut made = Made { out: &options.out, artifacts: Vec::new() };
    for target in &options.targets {
        let is_own = Target::host().is_ok_and(|host| host == *target);
        let program = if is_own { own.clone() } else { program(*target, options.is_check)? };
        let components = Components::of(*target)?;
        let stage = Stage {
            version: &version,
            target: *target,
            program: &program,
            components: &components,
            manual: &manual,
        };
        let name = stage.name();
        let archive = format!("{name}.{}", target.archive_suffix());
        made.put(archive, Some(*target), &stage.archive(packing)?)?;
        made.put(format!("{name}.cdx.json"), None, &sbom::cyclone_dx(&version, *target, &components))?;
        if let Some(architecture) = target.debian_architecture() {
            let package = debian::package(&stage.debian()?, &version, architecture, packing)?;
            made.put(format!("hvym-tunnel_{version}_{architecture}.deb"), None, &package)?;
        }
    }
    if let Some((name, content)) = c_library_archive(options, &version, packing)? {
        made.put(name, None, &content)?;
    }
    for (name, content) in packages_of_others(&version, packing)? {
        made.put(name, None, &content)?;
    }
    if let Some(base_url) = &options.base_url {
        for (name, text) in manifests::all(&version, base_url, &made.artifacts)? {
            made.put(name, None, text.as_bytes())?;
        }
    }
    made.sums()
}

/// The C library, which is for this machine; none where only other systems are tried.
fn c_library_archive(
    options: &Options,
    version: &str,
    packing: Packing,
) -> Result<Option<(String, Vec<u8>)>> {
    let is_for_this = Target::host().is_ok_and(|host| options.targets.contains(&host));
    if options.is_check && !is_for_this {
        return Ok(None);
    }
    let libraries = options.libraries.clone();
    let libraries = libraries.map_or_else(|| c_library::build(options.is_check), Ok)?;
    c_library::archive(version, &libraries, packing).map(Some)
}

/// What was made so far.
struct Made<'a> {
    out: &'a Path,
    artifacts: Vec<Artifact>,
}

impl Made<'_> {
    fn put(&mut self, name: String, target: Option<Target>, content: &[u8]) -> Result<()> {
        fs::write(self.out.join(&name), content).with_context(|| name.clone())?;
        self.artifacts.push(Artifact { name, target, sha256: HEXLOWER.encode(&Sha256::digest(content)) });
        Ok(())
    }

    /// Writes the hashes as sha256sum checks them.
    fn sums(mut self) -> Result<String> {
        self.artifacts.sort_by(|one, other| one.name.cmp(&other.name));
        let line = |artifact: &Artifact| format!("{}  {}\n", artifact.sha256, artifact.name);
        let sums: String = self.artifacts.iter().map(line).collect();
        fs::write(self.out.join("SHA256SUMS"), &sums)?;
        Ok(sums)
    }
}

/// Builds the program as people get it, or quickly.
fn program(built_for: Target, is_quick: bool) -> Result<PathBuf> {
    let mut build = cargo(["build", "--locked", "--package", "hvym-tunnel", "--target"]);
    build.arg(built_for.triple()).envs(toolchain::environment(built_for, &target().join("dist-tools"))?);
    let profile = if is_quick { "debug" } else { "release" };
    if !is_quick {
        build.arg("--release");
    }
    succeed(&mut build)?;
    Ok(target().join(built_for.triple()).join(profile).join(built_for.program()))
}

/// Builds it quickly, for this machine: it writes its manual.
fn debug_program() -> Result<PathBuf> {
    succeed(&mut cargo(["build", "--quiet", "--locked", "--package", "hvym-tunnel"]))?;
    Ok(target().join("debug/hvym-tunnel"))
}

/// The time that is in every file: of the commit, or what `SOURCE_DATE_EPOCH` says (reproducible-builds.org).
fn epoch() -> Result<u64> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return epoch.parse().context("SOURCE_DATE_EPOCH is a number of seconds");
    }
    let output = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().context("without git, SOURCE_DATE_EPOCH says when this is from")
}

/// Where `cargo xtask wasm` and `cargo xtask node --release` leave npm packages, and what these are called.
const NPM_PACKAGES: [(&str, &str); 2] = [("package", "hvym-tunnel"), ("node-release", "hvym-tunnel-native")];

/// The wheels that `cargo xtask python --release` has left, and the npm packages.
fn packages_of_others(version: &str, packing: Packing) -> Result<Vec<(String, Vec<u8>)>> {
    let mut packages = Vec::new();
    let wheels = target().join("python/release");
    if wheels.exists() {
        for entry in stage::folder(&wheels, "")? {
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            if name.ends_with(".whl") {
                packages.push((name.to_owned(), entry.content));
            }
        }
    }
    for (folder, name) in NPM_PACKAGES {
        let npm = target().join(folder);
        if npm.join("package.json").exists() {
            let files = stage::folder(&npm, "package")?;
            packages.push((format!("{name}-{version}.tgz"), archive::tar_gz(&files, packing)?));
        }
    }
    packages.sort();
    Ok(packages)
}
