//! The package installed by npm, type-checked by TypeScript and bundled by Vite.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hvym_tunnel_tests::chromium::{Chromium, files};
use hvym_tunnel_tests::installed::skip;
use hvym_tunnel_tests::tunnel::Relay;

use super::page::package;

/// A copy of the page in a new folder with its dependencies installed; `None` after reporting the skip.
fn installed() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vite");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/vite");
    for (from, to) in [(source.as_path(), folder.clone()), (package(), folder.join("hvym-tunnel"))] {
        fs::create_dir_all(&to).expect("a folder takes a folder");
        for entry in fs::read_dir(from).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a folder takes a file");
        }
    }
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--install-links"])
        .current_dir(&folder)
        .status();
    if npm.is_ok_and(|status| status.success()) {
        return Some(folder);
    }
    skip("npm cannot install TypeScript and Vite");
    None
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(folder.join("node_modules/.bin").join(program))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("npm installed it");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn a_page_in_typescript_is_bundled_and_connects() {
    let Some(chromium) = Chromium::shared() else { return };
    let Some(folder) = installed() else { return };
    run(&folder, "tsc", &["--project", "."]);
    run(&folder, "vite", &["build", "--logLevel", "error"]);
    let site = files(&[("/", &folder.join("dist"))]);
    let tab = chromium.open(&format!("http://127.0.0.1:{}/index.html", site.port));
    let relay = Relay::start(&[]);
    let said = tab.run(&format!("connect('{}', '{}')", relay.url(), relay.address));
    let said = said.as_str().expect("text");
    assert!(said.starts_with("http://") && said.ends_with(" connected echo"), "{said}");
    assert_eq!(tab.noise(), Vec::<String>::new());
}
