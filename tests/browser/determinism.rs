//! The same seed and inputs give the same bytes in a native build, in a browser and in Node.js.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use hvym_tunnel_tests::chromium::{Chromium, files};
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::Home;

use super::page::built;
use super::transcript;

fn module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        std::env::var_os("HVYM_TUNNEL_TRANSCRIPT")
            .map_or_else(|| built(&["wasm", "--transcript"]), PathBuf::from)
    })
}

/// Compares what `other` gives for a seed with what this build does.
fn compare(other: impl Fn(u8) -> String) {
    for seed in [1, 2] {
        let native = transcript::record(seed);
        assert!(native.len() > 100_000, "{}", native.len());
        let other = other(seed);
        let difference = native.lines().zip(other.lines()).find(|(native, other)| native != other);
        assert_eq!(difference, None, "seed {seed}");
        assert_eq!(native.len(), other.len(), "seed {seed}");
    }
    assert_ne!(transcript::record(1), transcript::record(2));
}

#[test]
fn a_browser_and_a_native_build_give_the_same_transcript() {
    let Some(chromium) = Chromium::shared() else { return };
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("browser");
    // The module imports the package's error class, which the transcript does not use.
    let site = files(&[
        ("/transcript/error.js", &own.join("../../runner-wasm/js/error.js")),
        ("/transcript/", module()),
        ("/", &own),
    ]);
    let tab = chromium.open(&format!("http://127.0.0.1:{}/blank.html", site.port));
    compare(|seed| {
        let browser = tab.block(&format!(
            "const module = await import('/transcript/runner.js');
             await module.default({{ module_or_path: '/transcript/runner_bg.wasm' }});
             return module.transcript({seed});"
        ));
        browser.as_str().expect("text").to_owned()
    });
}

#[test]
fn node_and_a_native_build_give_the_same_transcript() {
    let Some(node) = required_tool("node") else { return };
    let home = Home::new();
    for name in ["runner.js", "runner_bg.wasm"] {
        fs::copy(module().join(name), home.path(name)).expect("a folder takes a file");
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(own.join("../runner-wasm/js/error.js"), home.path("error.js")).expect("a folder takes a file");
    fs::write(home.path("package.json"), r#"{"type":"module"}"#).expect("a folder takes a file");
    compare(|seed| {
        let script = format!(
            "import {{ readFileSync, writeSync }} from 'node:fs';
             import * as module from './runner.js';
             await module.default({{ module_or_path: readFileSync('runner_bg.wasm') }});
             const text = new TextEncoder().encode(module.transcript({seed}));
             for (let at = 0; at < text.length;) at += writeSync(1, text, at);"
        );
        fs::write(home.path("transcript.js"), script).expect("a folder takes a file");
        let output = Command::new(&node).arg("transcript.js").current_dir(home.path("")).output();
        let output = output.expect("node starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    });
}
