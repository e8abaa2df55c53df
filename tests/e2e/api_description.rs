//! The API of a manager against its own description, by a program that makes requests of that: what is allowed, what is not, and
//! what is on the edge.
#![cfg(unix)]

use std::process::Command;

use hvym_tunnel_tests::installed::packaged_python;
use hvym_tunnel_tests::managed::Managed;

/// What would last for as long as it is asked for, and what leaves the manager without a link to ask for.
const LEFT_OUT: [&str; 4] = ["/ws", "/api/v1/events", "/api/v1/join", "/api/v1/settings/reset"];

#[test]
fn every_request_gets_a_response_that_the_description_has() {
    let Some(python) = packaged_python() else { return };
    let managed = Managed::start("");
    let mut asking = Command::new(python.with_file_name("schemathesis"));
    asking
        .arg("run")
        .arg(managed.url("/api/openapi.json"))
        .args(["-H", &format!("Authorization: Bearer {}", managed.token)])
        // A name that is free and a place that is understood are more than a schema says.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--phases", "coverage", "--seed", "1", "--no-color"])
        .args(LEFT_OUT.iter().flat_map(|path| ["--exclude-path", path]))
        .current_dir(managed.folder());
    let asked = asking.output().expect("it starts");
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{said}{}", String::from_utf8_lossy(&asked.stderr));
    assert!(said.contains("Operations:"), "{said}");
}
