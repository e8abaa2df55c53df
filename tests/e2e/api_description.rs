//! The API of a manager against its own description, by a program that makes requests of that: what is allowed, what is not, and
//! what is on the edge.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use hvym_tunnel_tests::installed::packaged_python;
use hvym_tunnel_tests::managed::Managed;

/// Leaves the manager without a link to ask for, so that it is asked for last.
const RESET: &str = "/api/v1/settings/reset";

#[test]
fn every_request_gets_a_response_that_the_description_has() {
    let Some(python) = packaged_python() else { return };
    let (managed, peers) = (Managed::start(""), Path::new(env!("CARGO_MANIFEST_DIR")).join("peers"));
    for which in [["--exclude-path", RESET], ["--include-path", RESET]] {
        let mut asking = Command::new(python.with_file_name("schemathesis"));
        asking
            .arg("--config-file")
            .arg(peers.join("schemathesis.toml"))
            .arg("run")
            .arg(managed.url("/api/openapi.json"))
            .args(["-H", &format!("Authorization: Bearer {}", managed.token)])
            .args(["--checks", "all", "--phases", "coverage", "--seed", "1", "--no-color"])
            .args(which)
            .env("SCHEMATHESIS_HOOKS", peers.join("api_formats.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(managed.folder());
        let asked = asking.output().expect("it starts");
        let said = String::from_utf8_lossy(&asked.stdout);
        assert!(asked.status.success(), "{which:?}: {said}{}", String::from_utf8_lossy(&asked.stderr));
        assert!(said.contains("Operations:"), "{said}");
    }
}
