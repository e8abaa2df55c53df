//! The cargo that runs the tests, called again without what it said about the tests.

use std::env;
use std::process::Command;

/// Variables that cargo sets for the programs it starts. Build scripts of some dependencies watch them, so a nested
/// cargo that inherits them builds these again, and so does the next cargo outside.
const INHERITED: [&str; 6] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_PKG_",
];

/// `cargo`, in the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if INHERITED.iter().any(|inherited| text.starts_with(inherited)) {
            command.env_remove(&name);
        }
    }
    command
}
