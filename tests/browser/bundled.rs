//! The package installed by npm, type-checked by TypeScript and bundled by Vite.

use std::fs;

use hvym_tunnel_tests::chromium::{Chromium, files};
use hvym_tunnel_tests::tunnel::Relay;

use super::installed::{folder, program, run};

#[test]
fn a_page_in_typescript_is_bundled_and_connects() {
    let Some(chromium) = Chromium::shared() else { return };
    let Some(folder) = folder() else { return };
    run(program(folder, "tsc", &["--project", "."])).expect("no mistake");
    let build = "import { build } from 'vite';
        await build({ logLevel: 'error', build: { outDir: 'dist', rollupOptions: { input: 'types.html' } } });";
    fs::write(folder.join("types.mjs"), build).expect("a folder takes a file");
    let mut node = std::process::Command::new("node");
    node.arg("types.mjs").current_dir(folder);
    run(node).expect("Vite builds it");
    let site = files(&[("/", &folder.join("dist"))]);
    let tab = chromium.open(&format!("http://127.0.0.1:{}/types.html", site.port));
    let relay = Relay::start(&[]);
    let said = tab.run(&format!("connect('{}', '{}')", relay.url(), relay.address));
    let said = said.as_str().expect("text");
    assert!(said.starts_with("http://") && said.ends_with(" connected echo"), "{said}");
    assert_eq!(tab.noise(), Vec::<String>::new());
}

#[test]
fn the_types_are_those_of_typescript_5_0_and_of_programs_for_node() {
    let Some(folder) = folder() else { return };
    for (compiler, project) in [("typescript-5.0", "tsconfig.json"), ("typescript", "tsconfig.node.json")] {
        let mut node = std::process::Command::new("node");
        node.arg(format!("node_modules/{compiler}/bin/tsc")).args(["--project", project]);
        node.current_dir(folder);
        run(node).unwrap_or_else(|said| panic!("{compiler}, {project}: {said}"));
    }
}
