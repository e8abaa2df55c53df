//! Which crate may name which, and the layers inside the core.

use crate::source::{bare, code, product, root, rust, text, words};

/// Every crate of the workspace, lowest first: its folder, its package, and the packages of the workspace that it may
/// depend on. What is not listed here is an error, so a new crate says where it belongs.
const CRATES: [(&str, &str, &[&str]); 30] = [
    ("core/yamux", "hvym-yamux", &[]),
    ("core/http1", "hvym-http1", &[]),
    ("core/websocket", "hvym-websocket", &[]),
    ("core/dns", "hvym-dns", &[]),
    ("core/pages", "hvym-tunnel-pages", &["hvym-http1"]),
    ("core/proxy", "hvym-proxy", &["hvym-yamux", "hvym-http1"]),
    ("core", "hvym-tunnel-core", &["hvym-yamux"]),
    ("core/compat", "hvym-tunnel-compat", &PURE),
    ("runner-native/net", "hvym-tunnel-net", &BELOW_NET),
    ("runner-native/acme", "hvym-tunnel-acme", &BELOW_ACME),
    ("runner-native/agent", "hvym-tunnel-agent", &BELOW_SIDES),
    ("runner-native/state", "hvym-tunnel-state", &["hvym-tunnel-net"]),
    ("runner-native/manager", "hvym-tunnel-manager", &BELOW_MANAGER),
    ("runner-native/inspector", "hvym-tunnel-inspector", &BELOW_INSPECTOR),
    ("runner-native/registry", "hvym-tunnel-registry", &["hvym-tunnel-core", "hvym-tunnel-net"]),
    ("runner-native/cluster", "hvym-tunnel-cluster", &["hvym-tunnel-core", "hvym-tunnel-net"]),
    ("runner-native/relay", "hvym-tunnel-relay", &BELOW_RELAY),
    ("runner-native/settings", "hvym-tunnel-settings", &BELOW_SETTINGS),
    ("runner-native/cli", "hvym-tunnel", &BELOW_CLI),
    ("runner-wasm", "hvym-tunnel-wasm", &BELOW_NET),
    ("bindings/json", "hvym-tunnel-json", &BELOW_JSON),
    ("bindings/c", "hvym-tunnel-c", &BELOW_BINDINGS),
    ("bindings/python", "hvym-tunnel-python", &BELOW_BINDINGS),
    ("bindings/node", "hvym-tunnel-node", &BELOW_BINDINGS),
    ("xtask", "xtask", &[]),
    // What measures and tests others may name everything.
    ("core/yamux/testing", "hvym-yamux-testing", &["hvym-yamux"]),
    ("tests", "hvym-tunnel-tests", &TESTED),
    ("examples", "hvym-tunnel-examples", &TESTED),
    ("benches", "hvym-tunnel-benches", &TESTED),
    ("fuzz", "hvym-tunnel-fuzz", &["hvym-tunnel-tests"]),
];
/// The pure crates without the older dialects, which a browser does not carry.
const PURE: [&str; 4] = ["hvym-yamux", "hvym-http1", "hvym-tunnel-pages", "hvym-tunnel-core"];
const BELOW_NET: [&str; 5] =
    ["hvym-yamux", "hvym-http1", "hvym-websocket", "hvym-tunnel-pages", "hvym-tunnel-core"];
const BELOW_SIDES: [&str; 7] = [
    "hvym-yamux",
    "hvym-http1",
    "hvym-proxy",
    "hvym-tunnel-pages",
    "hvym-tunnel-core",
    "hvym-tunnel-compat",
    "hvym-tunnel-net",
];
const BELOW_ACME: [&str; 3] = ["hvym-dns", "hvym-tunnel-core", "hvym-tunnel-net"];
const BELOW_RELAY: [&str; 11] = [
    "hvym-dns",
    "hvym-yamux",
    "hvym-http1",
    "hvym-proxy",
    "hvym-tunnel-pages",
    "hvym-tunnel-core",
    "hvym-tunnel-compat",
    "hvym-tunnel-net",
    "hvym-tunnel-acme",
    "hvym-tunnel-cluster",
    "hvym-tunnel-registry",
];
const BELOW_MANAGER: [&str; 5] =
    ["hvym-websocket", "hvym-tunnel-core", "hvym-tunnel-net", "hvym-tunnel-agent", "hvym-tunnel-state"];
const BELOW_INSPECTOR: [&str; 5] =
    ["hvym-http1", "hvym-websocket", "hvym-tunnel-core", "hvym-tunnel-net", "hvym-tunnel-agent"];
const BELOW_SETTINGS: [&str; 3] = ["hvym-tunnel-core", "hvym-tunnel-net", "hvym-tunnel-agent"];
const BELOW_CLI: [&str; 12] = [
    "hvym-yamux",
    "hvym-http1",
    "hvym-tunnel-pages",
    "hvym-tunnel-core",
    "hvym-tunnel-net",
    "hvym-tunnel-agent",
    "hvym-tunnel-manager",
    "hvym-tunnel-inspector",
    "hvym-tunnel-registry",
    "hvym-tunnel-relay",
    "hvym-tunnel-settings",
    "hvym-tunnel-state",
];
const BELOW_JSON: [&str; 4] =
    ["hvym-tunnel-core", "hvym-tunnel-net", "hvym-tunnel-agent", "hvym-tunnel-relay"];
const BELOW_BINDINGS: [&str; 6] = [
    "hvym-tunnel-core",
    "hvym-tunnel-net",
    "hvym-tunnel-agent",
    "hvym-tunnel-registry",
    "hvym-tunnel-relay",
    "hvym-tunnel-json",
];
const TESTED: [&str; 16] = [
    "hvym-dns",
    "hvym-yamux",
    "hvym-yamux-testing",
    "hvym-http1",
    "hvym-proxy",
    "hvym-websocket",
    "hvym-tunnel-pages",
    "hvym-tunnel-core",
    "hvym-tunnel-compat",
    "hvym-tunnel-net",
    "hvym-tunnel-agent",
    "hvym-tunnel-manager",
    "hvym-tunnel-inspector",
    "hvym-tunnel-cluster",
    "hvym-tunnel-registry",
    "hvym-tunnel-relay",
];

/// The layers of the core, lowest first. A module imports from its own folder and from below.
const LAYERS: [&[&str]; 14] = [
    &["json", "mux", "text", "time", "rng"],
    &["message"],
    &["machine", "reason"],
    &["stellar"],
    &["names"],
    &["access", "dialect"],
    &["event_rate", "recent_bytes"],
    &["keepalive"],
    &["plane"],
    &["handshake"],
    &["link", "backoff"],
    &["bundle"],
    &["agent", "relay"],
    &["std_support"],
];

/// The packages of the workspace that a manifest names outside of its development dependencies.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        } else if section.ends_with("dependencies") && !section.ends_with("dev-dependencies") {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            found.extend(name.starts_with("hvym-").then_some(name));
        }
    }
    found
}

/// The packages of the workspace that a source file names by a path.
fn named_packages(bare: &str) -> Vec<String> {
    let is_path = |at: usize, word: &str| bare[at + word.len()..].starts_with("::");
    let named = words(bare).into_iter().filter(|(at, word)| word.starts_with("hvym_") && is_path(*at, word));
    let mut names: Vec<String> = named.map(|(_, word)| word.replace('_', "-")).collect();
    names.sort();
    names.dedup();
    names
}

/// The modules that a line of code names by `crate::`.
fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, _)| {
        let rest = &line[at + "crate::".len()..];
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
    })
}

fn layer(layers: &[&[&str]], module: &str) -> usize {
    let layer = layers.iter().position(|modules| modules.contains(&module));
    layer.unwrap_or_else(|| panic!("the module {module} has no place in the layers"))
}

/// The modules that `bare`, a file of `module`, names and that do not lie below it.
fn upward<'a>(layers: &[&[&str]], module: &str, bare: &'a str) -> Vec<&'a str> {
    let is_upward = |target: &&str| *target != module && layer(layers, target) >= layer(layers, module);
    bare.lines().flat_map(named_modules).filter(is_upward).collect()
}

fn names_too_much<'a>(names: impl IntoIterator<Item = &'a str>, own: &str, allowed: &[&str]) -> Vec<&'a str> {
    names.into_iter().filter(|name| *name != own && !allowed.contains(name)).collect()
}

#[test]
fn every_crate_has_its_place() {
    let manifests =
        crate::source::files("", |path| path.file_name().is_some_and(|name| name == "Cargo.toml"));
    for (path, text) in manifests.iter().filter(|(_, text)| text.contains("[package]")) {
        let folder = path.trim_end_matches("/Cargo.toml");
        let (_, package, _) = CRATES
            .iter()
            .find(|(known, ..)| *known == folder)
            .unwrap_or_else(|| panic!("{folder} has no place among the crates"));
        assert!(text.contains(&format!("name = \"{package}\"")), "{path}");
    }
}

#[test]
fn crates_depend_only_on_those_below_them() {
    for (folder, package, allowed) in CRATES {
        let manifest = text(&format!("{folder}/Cargo.toml"));
        let above = names_too_much(dependencies(&manifest), package, allowed);
        assert!(above.is_empty(), "{folder}/Cargo.toml names {above:?}");
    }
}

#[test]
fn sources_name_only_the_crates_below_them() {
    for (folder, package, allowed) in CRATES {
        if !root().join(folder).join("src").is_dir() {
            continue;
        }
        for (path, bare) in product(&format!("{folder}/src")) {
            let named = named_packages(&bare);
            let above = names_too_much(named.iter().map(String::as_str), package, allowed);
            assert!(above.is_empty(), "{path} names {above:?}");
        }
    }
}

#[test]
fn imports_of_the_core_point_down() {
    let mut arrows = 0;
    for (path, text) in rust("core/src") {
        let module = path.trim_start_matches("core/src/").split(['/', '.']).next().expect("a name");
        if module != "lib" {
            let bare = bare(&text);
            arrows += bare.lines().flat_map(named_modules).count();
            assert_eq!(
                upward(&LAYERS, module, &bare),
                Vec::<&str>::new(),
                "{path} imports what is not below it"
            );
        }
    }
    assert!(arrows > 50, "{arrows} imports were found");
}

#[test]
fn the_pure_crates_have_no_clock_no_entropy_and_no_random_order() {
    const WORDS: [&str; 11] = [
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
    for (folder, ..) in
        CRATES.iter().filter(|(folder, ..)| folder.starts_with("core") && !folder.ends_with("testing"))
    {
        let lib = text(&format!("{folder}/src/lib.rs"));
        assert!(lib.contains("#![no_std]") && lib.contains("#![forbid(unsafe_code)]"), "{folder}");
        for (path, bare) in product(&format!("{folder}/src")) {
            // Conversions from and to the types of std are an addition that is switched on.
            let lines =
                code(&bare).filter(|_| !path.ends_with("/std.rs") && !path.ends_with("/std_support.rs"));
            let named = lines.flat_map(|line| WORDS.into_iter().filter(move |word| line.contains(word)));
            assert_eq!(named.collect::<Vec<_>>(), Vec::<&str>::new(), "{path}");
        }
    }
}

#[test]
fn runners_do_not_know_each_other() {
    let named = |folder: &str, words: &[&str]| -> Vec<String> {
        let files = product(folder).into_iter();
        files.filter(|(_, bare)| words.iter().any(|word| bare.contains(word))).map(|(path, _)| path).collect()
    };
    assert_eq!(
        named("runner-native", &["hvym_tunnel_wasm", "wasm_bindgen", "web_sys"]),
        Vec::<String>::new()
    );
    assert_eq!(named("runner-wasm/src", &["smol::", "rustls::"]), Vec::<String>::new());
}

#[test]
fn an_upward_import_is_found() {
    let layers: [&[&str]; 2] = [&["low"], &["high", "beside"]];
    assert_eq!(upward(&layers, "low", "use crate::high::X;"), ["high"]);
    assert_eq!(upward(&layers, "high", "use crate::low::X; let y = crate::beside::z();"), ["beside"]);
    assert_eq!(upward(&layers, "high", "use crate::low::X;\nuse crate::high::Y;"), Vec::<&str>::new());
}

#[test]
fn a_dependency_on_a_crate_above_is_found() {
    let manifest = "[dependencies]\nhvym-low.workspace = true\nbytes = \"1\"\n[target.'cfg(unix)'.dependencies]\n\
                    hvym-high = { workspace = true }\n[dev-dependencies]\nhvym-tests.workspace = true\n";
    assert_eq!(names_too_much(dependencies(manifest), "hvym-own", &["hvym-low"]), ["hvym-high"]);
    let source = "use hvym_low::a; fn b() { hvym_high::c(hvym_own::d); let hvym_local = 1; }";
    let named = named_packages(source);
    let above = names_too_much(named.iter().map(String::as_str), "hvym-own", &["hvym-low"]);
    assert_eq!(above, ["hvym-high"]);
}
