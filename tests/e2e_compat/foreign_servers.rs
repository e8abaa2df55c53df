//! The real program as the agent of servers of older systems: real ones of tunely, and small ones that speak as the
//! others do.
#![cfg(unix)]

mod cloud;
mod hvym;
mod options;
mod tunely;
mod tunely_login;

use std::os::unix::fs::PermissionsExt;

use hvym_tunnel_tests::program::{Home, Program};
use serde_json::Value;

/// `expose` at a server of an older system.
#[derive(Debug)]
struct Exposed {
    program: Program,
    _home: Home,
}

impl Exposed {
    /// Starts it with `token` in a file that it alone can read.
    fn start(target: &str, relay: &str, dialect: &str, token: &str, more: &[&str]) -> Self {
        let home = Home::new();
        let file = home.path("token");
        std::fs::write(&file, format!("{token}\n")).expect("a folder takes a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its owner may");
        let file = file.display().to_string();
        let login = ["--relay", relay, "--dialect", dialect, "--token-file", &file];
        let program = home.start(&[&["expose", target, "--json"], &login[..], more].concat());
        Exposed { program, _home: home }
    }

    /// What it says when visitors can come.
    fn ready(&mut self) -> Value {
        self.program.event("ready")
    }
}
