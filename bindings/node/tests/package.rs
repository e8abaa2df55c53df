//! The package for Node.js with the native module beside it and without: one suite for both, which has to see the same.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hvym_tunnel_tests::http::nobody;
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::Program;
use hvym_tunnel_tests::tunnel::{PORTS, Relay};
use serde_json::{Value, json};

/// The line that tells which way it was; the last of a run.
const NATIVE: &str = "native";

fn own() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The package under test: that of `HVYM_TUNNEL_PACKAGE`, or one that is built now.
fn package() -> PathBuf {
    if let Some(path) = std::env::var_os("HVYM_TUNNEL_PACKAGE") {
        return PathBuf::from(path);
    }
    let output = hvym_tunnel_tests::cargo().args(["xtask", "wasm"]).stderr(Stdio::inherit()).output();
    let output = output.expect("cargo starts");
    assert!(output.status.success(), "cargo xtask wasm: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("cargo writes text");
    PathBuf::from(text.lines().last().expect("it names the folder"))
}

/// The module, as cargo built it for these tests.
fn module() -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    let name = format!("{}hvym_tunnel_node{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    program.parent().expect("it is in a folder").join(name)
}

/// Copies the files of a folder into another one, which is made.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder takes a folder");
    for entry in fs::read_dir(from).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a folder takes a file");
    }
}

/// A folder with the suite and the package, as npm would install it; with the module if it `is_native`.
fn installed(is_native: bool) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(if is_native { "native" } else { "wasm" });
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("a folder of these tests");
    }
    copy(&package(), &folder.join("node_modules/hvym-tunnel"));
    fs::copy(own().join("tests/suite.mjs"), folder.join("suite.mjs")).expect("a folder takes a file");
    if is_native {
        let native = folder.join("node_modules/hvym-tunnel-native");
        copy(&own().join("js"), &native);
        let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
        let system = if system == "macos" { "darwin" } else { system };
        let machine = if machine == "aarch64" { "arm64" } else { "x64" };
        fs::copy(module(), native.join(format!("hvym_tunnel-{system}-{machine}.node")))
            .expect("it was built");
    }
    folder
}

/// What the suite saw, by case. It has to end by itself.
fn seen(node: &Path, is_native: bool) -> BTreeMap<String, Value> {
    let other = nobody();
    let relay = Relay::start(&["--tcp-ports", PORTS, "--also-name", &format!("127.0.0.1:{other}")]);
    let mut command = Command::new(node);
    command
        .args(["suite.mjs", &relay.url(), &other.to_string()])
        .current_dir(installed(is_native))
        .env("NO_COLOR", "1");
    let mut suite = Program::start(command);
    let mut seen = BTreeMap::new();
    while !seen.contains_key(NATIVE) {
        let line = suite.line();
        let (name, result) =
            serde_json::from_str::<(String, Value)>(&line).unwrap_or_else(|_| panic!("{suite:?}"));
        seen.insert(name, result);
    }
    assert_eq!(suite.code(), 0, "{suite:?}");
    assert_eq!(seen.remove(NATIVE), Some(json!(is_native)), "which way it was");
    seen
}

#[test]
fn services_are_the_same_with_the_native_module_and_without() {
    let Some(node) = required_tool("node") else { return };
    let (native, wasm) = (seen(&node, true), seen(&node, false));
    assert!(native.len() > 10, "{native:?}");
    assert_eq!(native, wasm);
    assert_eq!(
        native["a lost link is restored"],
        json!(["connection_lost", "reconnecting", ["reconnecting", "connected"], [200, "GET /again "]])
    );
}
