//! The units of systemd in `packaging`: that systemd takes them, and how well they confine.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, binary};

/// Ten times the most that `systemd-analyze security` may find.
const MOST_EXPOSED: &str = "--threshold=20";

fn unit(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(name);
    fs::read_to_string(path).expect("it is there")
}

/// A unit in a file of its own name, with the program where it is now.
fn installed(home: &Home, name: &str) -> String {
    let text = unit(name).replace("/usr/bin/hvym-tunnel", binary().to_str().expect("text"));
    fs::write(home.path(name), text).expect("a folder takes a file");
    home.path(name).to_str().expect("text").to_owned()
}

#[test]
fn systemd_takes_the_packaged_units_and_finds_the_relay_well_confined() {
    let Some(analyze) = required_tool("systemd-analyze") else { return };
    for (manager, name) in [("--system", "hvym-tunnel-relay"), ("--user", "hvym-tunnel-manager")] {
        let home = Home::new();
        let files = ["service", "socket"].map(|kind| installed(&home, &format!("{name}.{kind}")));
        let mut verify = Command::new(&analyze);
        verify.args(["verify", manager, "--man=no"]).args(&files).env("XDG_RUNTIME_DIR", home.path(""));
        let verified = verify.output().expect("it starts");
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{name}: {said}");
    }
    let home = Home::new();
    let relay = installed(&home, "hvym-tunnel-relay.service");
    let mut security = Command::new(&analyze);
    security.args(["security", "--offline=true", MOST_EXPOSED, "--no-pager", &relay]);
    let rated = security.output().expect("it starts");
    assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
}

#[test]
fn the_packaged_relay_is_confined_as_the_one_that_the_program_installs() {
    let home = Home::new();
    let arguments =
        ["service", "install", "--print", "--platform", "systemd", "--system", "--", "relay", "--open"];
    let printed = home.command(&arguments).output().expect("the program starts");
    let printed = String::from_utf8(printed.stdout).expect("text");
    /// What is about where something lies, and what is stricter in a package.
    const OTHERS: [&str; 9] = [
        "# ",
        "PrivateUsers",
        "DynamicUser",
        "Description",
        "ExecStart",
        "WorkingDirectory",
        "StateDirectory=",
        "Environment",
        "ProtectHome",
    ];
    let lines = |text: &str| -> BTreeSet<String> {
        let is_setting =
            |line: &&str| line.contains('=') && !OTHERS.iter().any(|other| line.starts_with(other));
        text.lines().filter(is_setting).map(str::to_owned).collect()
    };
    let packaged = unit("hvym-tunnel-relay.service");
    let missing: Vec<_> = lines(&printed).difference(&lines(&packaged)).cloned().collect();
    assert!(missing.is_empty() && lines(&printed).len() > 20, "{missing:?}");
    assert!(packaged.contains("\nProtectHome=yes\n"), "{packaged}");
}
