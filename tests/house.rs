//! The rules of the house: what may import what, what the core may not know, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers of the core, lowest first. A module imports from its own folder and from below.
const LAYERS: [&[&str]; 10] = [
    &["json", "mux", "time", "rng"],
    &["message"],
    &["machine", "reason"],
    &["http1", "stellar"],
    &["access", "dialect"],
    &["keepalive"],
    &["plane"],
    &["handshake"],
    &["link", "backoff"],
    &["agent", "relay"],
];
/// The crates without I/O.
const PURE: [&str; 5] = ["core/src", "core/compat/src", "core/http1/src", "core/pages/src", "core/yamux/src"];
/// The crates of the native side, lowest first; `agent` and `relay` do not know each other.
const NATIVE: [&str; 4] = ["net", "agent", "relay", "cli"];
/// Lines of code of a file; beyond it, a file is two.
const MAX_LINES: usize = 400;
/// What is not ours, or made by a tool.
const SKIPPED: [&str; 5] = ["target", ".git", "node_modules", "pkg", "corpus"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tests lie in the workspace")
}

/// All files below `folder` for which `wanted` holds, as path and text. Files that are no text are left out.
fn files(folder: &str, wanted: fn(&Path) -> bool) -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if wanted(&path)
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

fn rust(folder: &str) -> Vec<(String, String)> {
    let found = files(folder, |path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(!found.is_empty(), "no Rust below {folder}: the check would check nothing");
    found
}

/// The lines that are code: not empty, and no comment.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//") && !line.trim().is_empty())
}

fn layer(module: &str) -> usize {
    let layer = LAYERS.iter().position(|modules| modules.contains(&module));
    layer.unwrap_or_else(|| panic!("the module {module} has no place in the layers"))
}

/// The modules that a line of code names by `crate::`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, _)| {
        let rest = &line[at + "crate::".len()..];
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
    })
}

fn violations<'a>(files: &'a [(String, String)], words: &[&'a str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        for line in code(text) {
            found.extend(
                words.iter().filter(|word| line.contains(**word)).map(|word| format!("{path}: {word}")),
            );
        }
    }
    found
}

#[test]
fn imports_of_the_core_point_down() {
    let mut arrows = 0;
    for (path, text) in rust("core/src") {
        let module =
            path.trim_start_matches("core/src/").split(['/', '.']).next().expect("a name").to_owned();
        if module == "lib" {
            continue;
        }
        for target in code(&text).flat_map(named) {
            arrows += 1;
            let down = target == module || layer(target) < layer(&module);
            assert!(down, "{path} imports {target}, which is not below it");
        }
    }
    assert!(arrows > 50, "{arrows} imports were found");
}

#[test]
fn the_core_has_no_clock_no_entropy_and_no_random_order() {
    let words = [
        "std::",
        "HashMap",
        "HashSet",
        "SystemTime",
        "Instant::now",
        "getrandom",
        "thread_rng",
        "OsRng",
        "async ",
        ".await",
        "unsafe ",
    ];
    for folder in PURE {
        assert_eq!(violations(&rust(folder), &words), Vec::<String>::new());
        let lib = fs::read_to_string(root().join(folder).join("lib.rs")).expect("a crate has a root");
        assert!(lib.contains("#![no_std]") && lib.contains("#![forbid(unsafe_code)]"));
    }
}

#[test]
fn the_multiplexer_knows_nothing_of_tunnels() {
    assert_eq!(violations(&rust("core/yamux"), &["hvym_tunnel"]), Vec::<String>::new());
    let manifest = fs::read_to_string(root().join("core/yamux/Cargo.toml")).expect("a manifest");
    assert!(!manifest.contains("hvym-tunnel"));
}

#[test]
fn runners_do_not_know_each_other() {
    let (native, wasm) = (rust("runner-native"), rust("runner-wasm"));
    assert_eq!(violations(&native, &["hvym_tunnel_wasm", "wasm_bindgen", "web_sys"]), Vec::<String>::new());
    assert_eq!(violations(&wasm, &["hvym_tunnel::", "smol::", "rustls::"]), Vec::<String>::new());
    let manifest =
        |package: &str| fs::read_to_string(root().join(package).join("Cargo.toml")).expect("a manifest");
    for package in NATIVE {
        let manifest = manifest(&format!("runner-native/{package}"));
        assert!(!manifest.contains("runner-wasm") && !manifest.contains("tunnel-wasm"), "{package}");
    }
    assert!(!manifest("runner-wasm").contains("runner-native"));
    for runner in ["runner-native", "runner-wasm"] {
        assert!(!manifest("core").contains(runner));
    }
}

#[test]
fn native_crates_import_only_from_below() {
    let crates = ["hvym_tunnel_net", "hvym_tunnel_agent", "hvym_tunnel_relay"];
    for (package, above) in [("net", &crates[1..]), ("agent", &crates[2..]), ("relay", &crates[1..2])] {
        assert_eq!(violations(&rust(&format!("runner-native/{package}/src")), above), Vec::<String>::new());
    }
}

#[test]
fn runners_do_not_know_the_wire() {
    let words = [
        "auth_challenge",
        "auth_response",
        "\"auth_ok",
        "\"auth_failed",
        "challenge_id",
        "\"bind_ok",
        "\"bind_failed",
        "Signal::Auth",
        "Signal::Bind",
        "Signal::Ping",
        "Dialect::",
        "Frame::Mux",
        "INITIAL_WINDOW",
        "WindowUpdate",
        "GoAway",
        "HEADER_BYTES",
    ];
    let sources = [rust("runner-native"), rust("runner-wasm/src")].concat();
    assert_eq!(violations(&sources, &words), Vec::<String>::new());
}

#[test]
fn no_file_is_two_files() {
    let long: Vec<String> = rust("")
        .iter()
        .map(|(path, text)| (code(text).count(), path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{path}: {lines}"))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn every_source_file_says_what_it_is() {
    for (path, text) in rust("") {
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        assert!(first.starts_with("//!"), "{path} begins with {first:?}");
    }
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // Put together here, so that this file does not name them either.
    let words =
        [concat!("/wo", "rk/"), concat!("/tmp/", "wt-"), concat!("/tmp/", "target-"), concat!("/ro", "ot/")];
    for (path, text) in files("", |_| true) {
        for word in words {
            assert!(!text.contains(word), "{path} names {word}");
        }
    }
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    for line in lock.lines().filter(|line| line.starts_with("source = ")) {
        assert_eq!(line, r#"source = "registry+https://github.com/rust-lang/crates.io-index""#);
    }
    for (path, text) in files(".cargo", |_| true) {
        for word in ["replace-with", "[source", "[registries", "proxy"] {
            assert!(!text.contains(word), "{path} sets {word}");
        }
    }
}
