//! Where the token comes from, and what makes no sense beside it.

use std::os::unix::fs::PermissionsExt;

use hvym_tunnel_tests::older::Port;
use hvym_tunnel_tests::program::{Home, Program};

const TOKEN: &str = "tun_0123456789";

/// Writes a token's file with this mode, and returns its path.
fn file(home: &Home, content: &str, mode: u32) -> String {
    let path = home.path("token");
    std::fs::write(&path, content).expect("a folder takes a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its owner may");
    path.display().to_string()
}

/// It ends with this code, says all of this, and never the token.
fn refused(mut program: Program, code: i32, words: &[&str]) {
    assert_eq!(program.code(), code, "{program:?}");
    let said = program.transcript();
    assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn a_token_may_come_by_a_variable_and_no_identity_is_made_for_it() {
    let (home, port) = (Home::new(), Port::default());
    let mut command = home.command(&["expose", "3000", "--relay", &port.url(), "--dialect", "cloud"]);
    command.env("HVYM_TUNNEL_TOKEN", TOKEN);
    let mut program = Program::start(command);
    let (_link, upgrade) = port.accept();
    assert_eq!(upgrade.headers()["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(program.line(), port.url().replace("ws://", "http://"));
    assert!(!home.path("config").exists(), "nobody asked who it is");
}

#[test]
fn a_token_that_others_could_read_or_that_is_none_is_refused_with_the_way_out() {
    let home = Home::new();
    let start = |path: &str| {
        home.start(&[
            "expose",
            "3000",
            "--relay",
            "ws://localhost:1",
            "--dialect",
            "tunely",
            "--token-file",
            path,
        ])
    };
    for mode in [0o644, 0o640, 0o604] {
        let path = file(&home, TOKEN, mode);
        refused(start(&path), 4, &["can be read by others", &format!("chmod 600 {path}")]);
    }
    for content in ["", "\n", "tun_0123456789 tun_0123456789", "tun_0123456789\nX-Other: 1"] {
        let path = file(&home, content, 0o600);
        refused(start(&path), 4, &[&path]);
    }
    refused(start("/nowhere/token"), 4, &["/nowhere/token"]);
}

#[test]
fn what_makes_no_sense_together_is_said_before_anything_is_dialled() {
    let home = Home::new();
    let path = file(&home, TOKEN, 0o600);
    let with_token = ["--dialect", "tunely", "--token-file", &path];
    let relay = ["--relay", "wss://server.example"];
    for (options, words) in [
        ([&relay[..], &["--dialect", "tunely"]].concat(), ["logs in with a token", "--token-file"]),
        ([&relay[..], &["--force"]].concat(), ["--force", "--dialect"]),
        ([&relay[..], &["--token-file", &path]].concat(), ["--token-file", "--dialect"]),
        (with_token.to_vec(), ["no", "--relay"]),
        ([&relay[..], &with_token, &["--private", "--allow", &address()]].concat(), ["--private", "older"]),
        ([&relay[..], &with_token, &["--bind", "api=3001"]].concat(), ["one service", "an agent for each"]),
    ] {
        refused(home.start(&[&["expose", "3000"], &options[..]].concat()), 3, &words);
    }
}

fn address() -> String {
    hvym_tunnel_tests::Key::from_seed([9; 32]).address().to_string()
}
