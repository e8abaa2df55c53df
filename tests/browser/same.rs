//! The same seed and the same inputs give the same bytes, on this machine and in a browser.

use std::path::PathBuf;

use hvym_tunnel_tests::chromium::{Chromium, files};

use super::story;
use super::tab::made;

fn module() -> PathBuf {
    std::env::var_os("HVYM_TUNNEL_STORY").map_or_else(|| made(&["wasm", "--story"]), PathBuf::from)
}

#[test]
fn a_browser_tells_the_same_story() {
    let Some(chromium) = Chromium::shared() else { return };
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("browser");
    // What it imports from the package is not called here.
    let site = files(&[
        ("/story/error.js", &own.join("../../runner-wasm/js/error.js")),
        ("/story/", &module()),
        ("/", &own),
    ]);
    let tab = chromium.open(&format!("http://127.0.0.1:{}/blank.html", site.port));
    for seed in [1, 2] {
        let here = story::tell(seed);
        assert!(here.len() > 100_000, "{}", here.len());
        let there = tab.block(&format!(
            "const module = await import('/story/runner.js'); await module.default(); return module.story({seed});"
        ));
        let there = there.as_str().expect("text");
        let differs = here.lines().zip(there.lines()).find(|(here, there)| here != there);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(here.len(), there.len(), "seed {seed}");
    }
    assert_ne!(story::tell(1), story::tell(2));
}
