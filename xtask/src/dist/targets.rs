//! The systems that programs are built for, and what that takes here.
//!
//! A static program for Linux is linked by Rust's own linker against Rust's own musl. Its parts in C need a compiler
//! with musl's headers: Debian's `musl-gcc` for the processor of this machine, and for others zig, which PyPI has (`ziglang`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A system.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    triple: &'static str,
    debian: &'static str,
}

const LINUX_X86: Target = Target { triple: "x86_64-unknown-linux-musl", debian: "amd64" };
const LINUX_ARM: Target = Target { triple: "aarch64-unknown-linux-musl", debian: "arm64" };
/// Those of the machines on which this may run, for `--check`. A debug build is for nobody else.
const HOSTS: [Target; 2] = [
    Target { triple: "x86_64-unknown-linux-gnu", debian: "amd64" },
    Target { triple: "aarch64-unknown-linux-gnu", debian: "arm64" },
];

impl Target {
    /// Those that are built unless others are named.
    pub(super) const STATIC: [Target; 2] = [LINUX_X86, LINUX_ARM];

    /// The target of this name.
    ///
    /// # Errors
    /// None is known.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let known = Self::STATIC.into_iter().find(|target| target.triple == text);
        known.with_context(|| {
            format!("{text} is not built: {}", Self::STATIC.map(|target| target.triple).join(" and "))
        })
    }

    /// This machine.
    ///
    /// # Errors
    /// It has no packages.
    pub(super) fn host() -> Result<Self> {
        let is_own = |target: &Target| {
            cfg!(target_os = "linux") && target.triple.split('-').next() == Some(std::env::consts::ARCH)
        };
        HOSTS.into_iter().find(is_own).context("packages are made on Linux")
    }

    /// Rust's name.
    pub(super) const fn triple(self) -> &'static str {
        self.triple
    }

    /// Debian's name of the processor.
    pub(super) const fn debian_architecture(self) -> &'static str {
        self.debian
    }

    /// What cargo must be told to build for it. Compilers of others get a script in `tools`.
    ///
    /// # Errors
    /// There is no compiler.
    pub(super) fn build_environment(self, tools: &Path) -> Result<Vec<(String, String)>> {
        let compilers = self.compilers(tools)?;
        let [lower, upper] = [self.triple.replace('-', "_"), self.triple.replace('-', "_").to_uppercase()];
        let mut environment = vec![
            (format!("CARGO_TARGET_{upper}_LINKER"), "rust-lld".to_owned()),
            (
                format!("CARGO_TARGET_{upper}_RUSTFLAGS"),
                // Paths of this machine are in no program.
                format!(
                    "-Clink-self-contained=yes -Clinker-flavor=ld.lld --remap-path-prefix={}=/source \
                     --remap-path-prefix={}=/cargo",
                    crate::root().canonicalize()?.display(),
                    cargo_home()?.display()
                ),
            ),
        ];
        for (name, path) in compilers {
            environment.push((format!("{name}_{lower}"), path.display().to_string()));
        }
        Ok(environment)
    }

    /// A compiler of C for this target, and what makes libraries of its output.
    fn compilers(self, tools: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
        let architecture = self.triple.split('-').next().unwrap_or_default();
        if architecture == std::env::consts::ARCH && runs(Command::new("musl-gcc").arg("--version")) {
            return Ok(vec![("CC", PathBuf::from("musl-gcc"))]);
        }
        let python = std::env::var("HVYM_TUNNEL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        if !runs(Command::new(&python).args(["-m", "ziglang", "version"])) {
            bail!(
                "{} needs zig for its parts in C: pip install ziglang, in the python that HVYM_TUNNEL_PYTHON names",
                self.triple
            );
        }
        fs::create_dir_all(tools)?;
        let zig_target = format!("{architecture}-linux-musl");
        // Rust names the target in its own way, which zig does not know.
        let compile = format!(
            "#!/bin/sh\nfor word do shift; case $word in --target=*) ;; *) set -- \"$@\" \"$word\" ;; esac; done\n\
             exec {python} -m ziglang cc -target {zig_target} -fno-sanitize=undefined \"$@\"\n"
        );
        let collect = format!("#!/bin/sh\nexec {python} -m ziglang ar \"$@\"\n");
        let mut paths = Vec::new();
        for (variable, name, text) in [("CC", "cc", compile), ("AR", "ar", collect)] {
            let path = tools.join(format!("{name}-{}", self.triple));
            fs::write(&path, text)?;
            make_executable(&path)?;
            paths.push((variable, path.canonicalize()?));
        }
        Ok(paths)
    }
}

/// Where cargo keeps the sources of others.
fn cargo_home() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).context("there is no home folder")
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> Result<()> {
    Ok(())
}
