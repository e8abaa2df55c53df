//! What it takes to build for a system on this machine.
//!
//! | system | linked by | C compiled by |
//! |---|---|---|
//! | Linux, static | Rust's own linker and musl | `musl-gcc` for the processor of this machine, else zig |
//! | Windows | mingw-w64 | mingw-w64 |
//!
//! zig comes from PyPI, into a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::targets::{System, Target};
use crate::cargo::runs;
use crate::{peers, root, target};

/// What Rust and crates with parts in C call by default for Windows.
const MINGW: &str = "x86_64-w64-mingw32-gcc";
/// With this cargo builds the standard library from its source, and none has to be installed.
const BUILD_STD: &str = "CARGO_UNSTABLE_BUILD_STD";
/// Without checks at run time, for which zig would bring a library of its own.
const ZIG_CC: &str = "cc -fno-sanitize=undefined";

/// What cargo must be told to build for `built_for`. Scripts that it needs are written into `tools`.
///
/// # Errors
/// Something is missing on this machine: the error says what, and where it comes from.
pub(super) fn environment(built_for: Target, tools: &Path) -> Result<Vec<(String, String)>> {
    install_std(built_for)?;
    fs::create_dir_all(tools)?;
    let lower = built_for.triple().replace('-', "_");
    let upper = lower.to_uppercase();
    let linker = format!("CARGO_TARGET_{upper}_LINKER");
    let mut flags = remapping()?;
    let mut variables = Vec::new();
    match built_for.system {
        System::Linux => {
            variables.push((linker, "rust-lld".to_owned()));
            flags.push_str(" -Clink-self-contained=yes -Clinker-flavor=ld.lld");
            if built_for.is_own_processor() && runs(Command::new("musl-gcc").arg("--version")) {
                variables.push((format!("CC_{lower}"), "musl-gcc".to_owned()));
            } else {
                let zig = Zig::install(tools)?;
                let compile = format!("{ZIG_CC} -target {}-linux-musl", built_for.processor());
                variables.push((format!("CC_{lower}"), zig.script(built_for, "cc", &compile)?));
                variables.push((format!("AR_{lower}"), zig.script(built_for, "ar", "ar")?));
            }
        }
        System::Windows => {
            ensure!(
                runs(Command::new(MINGW).arg("--version")),
                "{} needs {MINGW} (Debian's gcc-mingw-w64-x86-64)",
                built_for.triple()
            );
            variables.push((linker, MINGW.to_owned()));
            // Its own would put the time into the program.
            flags.push_str(" -Clink-arg=-Wl,--no-insert-timestamp");
        }
    }
    variables.push((format!("CARGO_TARGET_{upper}_RUSTFLAGS"), flags));
    Ok(variables)
}

/// Flags of rustc, so that paths of this machine are in no program.
///
/// # Errors
/// A folder is missing.
pub(super) fn remapping() -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let target = target();
    fs::create_dir_all(&target)?;
    let folders = [
        (root().to_owned(), "/source"),
        // Some crates write code while they are built.
        (target, "/target"),
        (home.context("there is no home folder")?, "/cargo"),
    ];
    let mut flags = Vec::new();
    for (folder, name) in folders {
        let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
        flags.push(format!("--remap-path-prefix={}={name}", folder.display()));
    }
    Ok(flags.join(" "))
}

/// Has rustup get Rust's standard library for this target, if it is not there.
fn install_std(target: Target) -> Result<()> {
    if std::env::var_os(BUILD_STD).is_some() {
        return Ok(());
    }
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut ask = Command::new(rustc);
    ask.args(["--print", "target-libdir", "--target", target.triple()]).current_dir(root());
    let folder = String::from_utf8(ask.output()?.stdout)?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    let mut add = Command::new("rustup");
    add.args(["target", "add", target.triple()]).current_dir(root());
    if !add.status().is_ok_and(|status| status.success()) {
        bail!("Rust's standard library for {0} is missing: rustup target add {0}", target.triple());
    }
    Ok(())
}

/// zig, which has the headers and libraries of C of many systems.
struct Zig<'a> {
    python: PathBuf,
    scripts: &'a Path,
}

impl<'a> Zig<'a> {
    fn install(tools: &'a Path) -> Result<Self> {
        let folder = peers::absolute(&tools.join("zig"));
        let python = peers::venv(&folder, &[peers::ZIG]).context("zig comes from PyPI, as ziglang")?;
        Ok(Self { python, scripts: tools })
    }

    /// The path of a program that calls zig for a target.
    fn script(&self, target: Target, name: &str, arguments: &str) -> Result<String> {
        let path = self.scripts.join(format!("{name}-{}", target.triple()));
        fs::write(&path, script(&self.python, arguments))?;
        make_executable(&path)?;
        Ok(path.canonicalize()?.display().to_string())
    }
}

/// Crates name the target in clang's way, which zig does not know.
fn script(python: &Path, arguments: &str) -> String {
    format!(
        "#!/bin/sh\n\
         for word do\n\
         \x20   shift\n\
         \x20   case $word in\n\
         \x20       --target=*) ;;\n\
         \x20       *) set -- \"$@\" \"$word\" ;;\n\
         \x20   esac\n\
         done\n\
         exec {} -m ziglang {arguments} \"$@\"\n",
        python.display()
    )
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_script_leaves_out_what_zig_does_not_know_and_keeps_the_rest_as_it_is() {
        let folder = std::env::temp_dir().join(format!("hvym-tunnel-xtask-zig-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder takes a folder");
        let path = folder.join("cc");
        // In place of Python, a program that says what it was called with.
        fs::write(&path, script(Path::new("printf '%s\\n'"), "cc -target x")).expect("a folder takes a file");
        make_executable(&path).expect("its owner may change a mode");
        let words = ["--target=y", "-c", "a b.c", "-o", "a.o"];
        let output = Command::new(&path).args(words).output();
        fs::remove_dir_all(&folder).expect("the folder can be removed");
        let said = String::from_utf8(output.expect("there is sh").stdout).expect("text");
        let kept: Vec<&str> = said.lines().collect();
        assert_eq!(kept, ["-m", "ziglang", "cc", "-target", "x", "-c", "a b.c", "-o", "a.o"]);
    }
}
