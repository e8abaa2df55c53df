//! Backups of a relay and of an agent: what is restored elsewhere is the same, and nothing is overwritten.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use hvym_tunnel_tests::guests::write_config;
use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use serde_json::Value;

const CONFIG: &str = "claim_names = true\n[tunely]\nadmin_key = \"the-operators-own-key\"\n";

/// What a command prints that succeeds.
fn said(home: &Home, arguments: &[&str]) -> String {
    let output = home.command(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn relay(home: Home) -> Relay {
    let config = write_config(&home, CONFIG);
    let arguments = ["--config", &config];
    Relay::start_in(home, 0, &arguments)
}

/// What an operator sees that is to be there again: names, bans, and the tunnels with the hashes of their tokens.
fn kept(home: &Home) -> Vec<Value> {
    let asked = |what: &str| -> Value {
        serde_json::from_str(&said(home, &["admin", what, "--json"])).expect("JSON")
    };
    let mut names = asked("names")["names"].clone();
    for name in names.as_array_mut().expect("a list") {
        // Who is there now is no state.
        name.as_object_mut().expect("a name").remove("connected");
    }
    let export: Value = serde_json::from_str(&said(home, &["relay", "db", "export"])).expect("JSON");
    let kept = vec![names, asked("bans")["bans"].clone(), export["tunnels"].clone()];
    assert!(kept.iter().all(|list| list.as_array().is_some_and(|list| !list.is_empty())), "{kept:?}");
    kept
}

#[test]
fn a_relay_is_restored_with_its_identity_names_bans_and_tunnels_while_the_first_one_runs() {
    let mut first = relay(Home::new());
    let agent = Agent::start(&first, Origin::saying(b"hello").port, &["--name", "cool-app"]);
    assert!(agent.url().contains("cool-app"), "{}", agent.url());
    said(&first.home, &["admin", "ban", "192.0.2.0/24", "--for", "1h", "--reason", "spam"]);
    let server = format!("http://localhost:{}", first.port);
    let key = hvym_tunnel_tests::guests::write_private(&first.home, "admin.key", "the-operators-own-key");
    let created =
        said(&first.home, &["tunnel", "create", "shop", "--server", &server, "--api-key-file", &key]);
    let file = first.home.path("relay.tar");
    let file = file.to_str().expect("text");
    assert!(said(&first.home, &["relay", "backup", file]).contains("file(s)"));
    let metadata = fs::metadata(file).expect("it is there");
    assert_eq!(metadata.mode() & 0o777, 0o600);
    let archive = fs::read(file).expect("it is there");
    let token = created.split_whitespace().find(|word| word.starts_with("tun_")).expect("a token");
    assert!(!String::from_utf8_lossy(&archive).contains(token), "tokens are hashes");
    let again = first.home.command(&["relay", "backup", file]).output().expect("the program starts");
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    assert_eq!(fs::metadata(file).expect("it is there").len(), metadata.len());

    let (before, home) = (kept(&first.home), Home::new());
    said(&home, &["relay", "restore", file]);
    let second_time = home.command(&["relay", "restore", file]).output().expect("the program starts");
    assert_eq!(second_time.status.code(), Some(3), "{second_time:?}");
    let address = first.address;
    first.program.kill();
    let second = relay(home);
    assert_eq!(second.address, address);
    assert_eq!(kept(&second.home), before);
    // The name is its owner's alone.
    let stranger = Home::new();
    let target = Origin::saying(b"x").port.to_string();
    let mut stranger =
        stranger.start(&["expose", &target, "--json", "--relay", &second.url(), "--name", "cool-app"]);
    assert_eq!(stranger.event("name_refused")["code"], "taken");
}

#[test]
fn an_agent_is_restored_on_another_machine_with_its_address_and_settings() {
    let home = Home::new();
    let address = said(&home, &["identity", "new"]);
    let config = home.path("config/hvym-tunnel/config.toml");
    fs::write(&config, "version = 1\n\n[[link]]\nname = \"home\"\nrelay = \"tunnel.example\"\n")
        .expect("a folder");
    let file = home.path("laptop.tar");
    let file = file.to_str().expect("text");
    said(&home, &["backup", file]);
    let other = Home::new();
    said(&other, &["restore", file]);
    assert_eq!(said(&other, &["identity"]), address);
    assert_eq!(
        fs::read(other.path("config/hvym-tunnel/config.toml")).expect("it is restored"),
        fs::read(config).expect("it is there")
    );
    let relay = Relay::start(&[]);
    let agent = Agent::start_in(other, &relay, Origin::saying(b"hello").port, &[]);
    let mut visitor = Conversation::dial(relay.port);
    visitor.send(request(agent.host(), "GET", "/", &[])).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
    let (relay_home, kind) = (Home::new(), ["relay", "restore", file]);
    assert_eq!(relay_home.command(&kind).output().expect("the program starts").status.code(), Some(3));
}
