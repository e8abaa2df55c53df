//! `cargo xtask dist --check`: packs a debug build of this machine, or of other systems, and tries everything as people would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use super::targets::{System, Target};
use super::{Options, c_library, make};
use crate::target;

/// Where nothing is published: the script is told another place.
pub(super) const BASE_URL: &str = "https://downloads.invalid/hvym-tunnel";

/// Makes everything twice, and installs it in folders of its own.
///
/// # Errors
/// The two differ, or what was made does not work.
pub(super) fn run(mut options: Options) -> Result<()> {
    let folder = target().join("dist-check");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    options.out = folder.join("first");
    let first = make(&options)?;
    options.out = folder.join("second");
    let second = make(&options)?;
    ensure!(first == second, "two builds differ:\n{first}\n{second}");
    let out = folder.join("first").canonicalize()?;
    succeeds(
        Command::new("sha256sum").args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&out),
    )?;
    succeeds(Command::new("sh").arg("-n").arg(out.join("install.sh")))?;
    print!("{first}");
    println!("what is packed twice is the same");
    for target in &options.targets {
        if Target::host().is_ok_and(|host| host == *target) {
            unpack_package(&out, &folder.join("root"))?;
            install(&out, &folder.join("prefix"))?;
            c_library::check(&find(&out, c_library::NAME, ".tar.gz")?, &folder.join("c"))?;
            println!(
                "the package is one, install.sh installs what it should and nothing else, and a program in C finds the library"
            );
        } else {
            run_packed(&out, *target, &folder.join(target.triple()))?;
        }
    }
    Ok(())
}

/// Unpacks the archive for another system, and runs the program in it if something here can.
fn run_packed(out: &Path, target: Target, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let archive = find(out, "hvym-tunnel-", &format!("{}.{}", target.triple(), target.archive_suffix()))?;
    let mut unpack = match target.system {
        System::Windows => {
            let mut python = Command::new("python3");
            python.args(["-m", "zipfile", "-e"]).arg(&archive).arg(folder);
            python
        }
        System::Linux => {
            let mut tar = Command::new("tar");
            tar.arg("-xzf").arg(&archive).arg("-C").arg(folder);
            tar
        }
    };
    succeeds(&mut unpack)?;
    let top = fs::read_dir(folder)?.next().context("an empty archive")??;
    let program = top.path().join(target.program());
    let Some(mut run) = target.runner() else {
        println!("{}: packed, and nothing here can run it", target.triple());
        return Ok(());
    };
    let said = succeeds(run.arg(program).arg("--version"))?;
    ensure!(said.starts_with("hvym-tunnel "), "{said}");
    println!("{}: {}", target.triple(), said.trim());
    Ok(())
}

/// The only file whose name begins and ends like this.
fn find(out: &Path, begin: &str, ending: &str) -> Result<PathBuf> {
    let files = fs::read_dir(out)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = files.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(begin) && name.ends_with(ending)
    });
    found.next().with_context(|| format!("no file {begin}*{ending}"))
}

/// Unpacks the Debian package, and runs the program in it.
fn unpack_package(out: &Path, root: &Path) -> Result<()> {
    let package = find(out, "hvym-tunnel_", ".deb")?;
    let fields =
        succeeds(Command::new("dpkg-deb").arg("--field").arg(&package).args(["Package", "Version"]))?;
    ensure!(fields.starts_with("Package: hvym-tunnel\n"), "{fields}");
    succeeds(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(root))?;
    let control = root.with_extension("control");
    succeeds(Command::new("dpkg-deb").arg("--control").arg(&package).arg(&control))?;
    for script in ["postinst", "prerm", "postrm"] {
        succeeds(Command::new("sh").arg("-n").arg(control.join(script)))?;
    }
    ensure!(fs::read_to_string(control.join("conffiles"))? == "/etc/hvym-tunnel/relay.toml\n");
    for file in [
        "usr/lib/systemd/system/hvym-tunnel-relay.service",
        "usr/lib/systemd/user/hvym-tunnel-manager.socket",
        "usr/share/man/man1/hvym-tunnel-expose.1.gz",
        "usr/share/bash-completion/completions/hvym-tunnel",
    ] {
        ensure!(root.join(file).is_file(), "no {file} in the package");
    }
    let said = succeeds(Command::new(root.join("usr/bin/hvym-tunnel")).arg("--version"))?;
    ensure!(said.starts_with("hvym-tunnel "), "{said}");
    Ok(())
}

/// Runs `install.sh` with the archives of this folder, and with one that somebody has changed.
fn install(out: &Path, prefix: &Path) -> Result<()> {
    fs::create_dir_all(prefix)?;
    let prefix = prefix.canonicalize()?;
    let run = |from: &Path, prefix: &Path| {
        let mut script = Command::new("sh");
        script.arg(out.join("install.sh")).env("HVYM_TUNNEL_PREFIX", prefix);
        script.env("HVYM_TUNNEL_BASE_URL", format!("file://{}", from.display()));
        script.output().context("there is no sh")
    };
    checked("install.sh", run(out, &prefix)?)?;
    let said = succeeds(Command::new(prefix.join("bin/hvym-tunnel")).arg("--version"))?;
    ensure!(said.starts_with("hvym-tunnel "), "{said}");
    ensure!(prefix.join("share/man/man1/hvym-tunnel-relay.1").is_file(), "no manual");

    let (other, nowhere) = (prefix.join("other"), prefix.join("nowhere"));
    fs::create_dir_all(&other)?;
    let archive = find(out, "hvym-tunnel-", ".tar.gz")?;
    let mut bytes = fs::read(&archive)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(other.join(archive.file_name().unwrap_or_default()), bytes)?;
    let refused = run(&other, &nowhere)?;
    ensure!(!refused.status.success() && !nowhere.exists(), "a changed archive was installed: {refused:?}");
    let text = String::from_utf8_lossy(&refused.stderr);
    ensure!(text.contains("is not the archive that it should be"), "{text}");
    Ok(())
}

fn succeeds(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    checked(&format!("{command:?}"), output)
}

fn checked(what: &str, output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("{what}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
