//! The same seed and inputs give the same bytes in a native build, in a browser and in Node.js, and those that other programs give.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use hvym_tunnel_tests::chromium::{Chromium, files};
use hvym_tunnel_tests::golden::{golden, list, text};
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::Home;

use serde_json::{Value, json};

use super::installed;
use super::page::{Page, built};
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

/// A script that makes of each of `vectors` what the golden file says, with the package's `Identity`.
const IDENTITIES: &str = "
    const toBytes = (hex) => Uint8Array.from(hex.match(/../g), (byte) => Number.parseInt(byte, 16));
    const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
    const seen = await Promise.all(vectors.map(async ({ secret, message_hex, signing_input }) => {
        const identity = await Identity.fromSecret(secret);
        const signature = await identity.sign(new TextEncoder().encode(signing_input));
        const [address, exported] = [identity.address, identity.exportSecret()];
        const signed = toHex(await identity.sign(toBytes(message_hex)));
        return { address, secret: exported, signature_hex: signed, token: `${signing_input}.${toBase64(signature)}` };
    }));";

/// Compares what [`IDENTITIES`] gave with the golden file.
fn compare_identities(vectors: &[Value], seen: &Value) {
    let seen = seen.as_array().expect("a list");
    assert_eq!(seen.len(), vectors.len());
    for (vector, seen) in vectors.iter().zip(seen) {
        for member in ["address", "secret", "signature_hex", "token"] {
            assert_eq!(text(seen, member), text(vector, member), "{}", vector["seed_hex"]);
        }
    }
}

#[test]
fn a_page_gives_the_keys_signatures_and_tokens_of_the_golden_file() {
    let Some(page) = Page::open() else { return };
    let golden = golden("identity/vectors.json");
    let vectors = list(&golden, "vectors");
    compare_identities(
        vectors,
        &page.block(&format!("const vectors = {};{IDENTITIES} return seen;", json!(vectors))),
    );
}

#[test]
fn node_gives_the_keys_signatures_and_tokens_of_the_golden_file() {
    let (Some(node), Some(folder)) = (required_tool("node"), installed::folder()) else { return };
    let golden = golden("identity/vectors.json");
    let vectors = list(&golden, "vectors");
    let script = format!(
        "import {{ Identity }} from 'hvym-tunnel';
         const vectors = {};{IDENTITIES} console.log(JSON.stringify(seen));",
        json!(vectors)
    );
    fs::write(folder.join("identities.mjs"), script).expect("a folder takes a file");
    let output = Command::new(node).arg("identities.mjs").current_dir(folder).output().expect("node starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    compare_identities(vectors, &serde_json::from_slice(&output.stdout).expect("JSON"));
}
