//! The same seed and inputs give the same bytes in a native build and in a browser.

use std::path::PathBuf;

use hvym_tunnel_tests::chromium::{Chromium, files};

use super::page::built;
use super::transcript;

fn module() -> PathBuf {
    std::env::var_os("HVYM_TUNNEL_TRANSCRIPT").map_or_else(|| built(&["wasm", "--transcript"]), PathBuf::from)
}

#[test]
fn a_browser_and_a_native_build_give_the_same_transcript() {
    let Some(chromium) = Chromium::shared() else { return };
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("browser");
    // The module imports the package's error class, which the transcript does not use.
    let site = files(&[
        ("/transcript/error.js", &own.join("../../runner-wasm/js/error.js")),
        ("/transcript/", &module()),
        ("/", &own),
    ]);
    let tab = chromium.open(&format!("http://127.0.0.1:{}/blank.html", site.port));
    for seed in [1, 2] {
        let native = transcript::record(seed);
        assert!(native.len() > 100_000, "{}", native.len());
        let browser = tab.block(&format!(
            "const module = await import('/transcript/runner.js'); await module.default(); return module.transcript({seed});"
        ));
        let browser = browser.as_str().expect("text");
        let difference = native.lines().zip(browser.lines()).find(|(native, browser)| native != browser);
        assert_eq!(difference, None, "seed {seed}");
        assert_eq!(native.len(), browser.len(), "seed {seed}");
    }
    assert_ne!(transcript::record(1), transcript::record(2));
}
