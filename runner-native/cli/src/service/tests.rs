//! The definitions, against files that were looked at.

use std::path::{Path, PathBuf};

use super::*;

fn definition(scope: Scope, command: &[&str]) -> Definition {
    Definition {
        scope,
        name: "hvym-tunnel".to_owned(),
        program: PathBuf::from("/usr/local/bin/hvym-tunnel"),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        folder: PathBuf::from("/home/ann/my site"),
        writable: match scope {
            Scope::User => {
                [".config", ".local/state"].map(|at| format!("/home/ann/{at}/hvym-tunnel").into()).into()
            }
            Scope::System => Vec::new(),
        },
    }
}

/// Compares with the file of this name; `HVYM_TUNNEL_WRITE_GOLDEN` writes it instead.
fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("HVYM_TUNNEL_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, golden, "{name}");
}

#[test]
fn definitions_are_as_they_were_looked_at() {
    let expose = ["expose", "./my \"site\"", "--relay", "tunnel.example", "--name", "50%$"];
    let relay = ["relay", "--domain", "tunnel.example", "--acme", "you@mail.example"];
    let home = std::env::var("HOME").unwrap_or_default();
    for (name, platform, definition) in [
        ("expose-user.service", Platform::Systemd, definition(Scope::User, &expose)),
        ("up-system.service", Platform::Systemd, definition(Scope::System, &["up"])),
        ("relay-system.service", Platform::Systemd, definition(Scope::System, &relay)),
        ("expose-user.plist", Platform::Launchd, definition(Scope::User, &expose)),
        ("relay-system.plist", Platform::Launchd, definition(Scope::System, &relay)),
        ("expose-user.xml", Platform::Windows, definition(Scope::User, &expose)),
        ("relay-system.xml", Platform::Windows, definition(Scope::System, &relay)),
    ] {
        let text = text(&definition, platform)
            .replace(&format!("<string>{home}/Library"), "<string>/home/ann/Library");
        compare(name, &text);
    }
}
