//! A relay in the place of tunely's server: the same variables, its database, and its agents.

use std::process::Command;

use hvym_tunnel_tests::guests::Guest;
use hvym_tunnel_tests::installed::tunely_folder;
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunely::{NEW, OLD, python_tool};
use hvym_tunnel_tests::tunnel::Relay;
use rustix::process::Signal;
use serde_json::Value;

use super::asking::{ask, read};

const KEY: &str = "the-operators-own-key";
const FIELD: &str = "X-Api-Key: the-operators-own-key";

/// What an operator has in the file of its container.
fn variables(home: &Home) -> Vec<(&'static str, String)> {
    let database = format!("sqlite+aiosqlite:///{}", home.path("tunely.db").display());
    vec![
        ("WS_TUNNEL_ADMIN_API_KEY", KEY.to_owned()),
        ("WS_TUNNEL_DATABASE_URL", database),
        ("TUNELY_HOST", "127.0.0.1".to_owned()),
        ("TUNELY_PORT", "0".to_owned()),
    ]
}

/// The token of a tunnel that the real server was asked for.
fn tunnel_of(version: &str, home: &Home) -> Option<String> {
    let folder = tunely_folder()?;
    let mut serve: Command = python_tool(&folder, version, "tunely", home);
    // It takes neither from a variable, and the older one no key.
    serve.args(["serve", "--host", "127.0.0.1", "--port", "0", "--api-key", KEY, "--database"]);
    serve.arg(&variables(home)[1].1);
    let mut server = Program::start(serve);
    let line = server.says("Uvicorn running on");
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port");
    let mut create = python_tool(&folder, version, "tunely", home);
    create.args([
        "tunnel",
        "create",
        "shop",
        "--api-key",
        KEY,
        "--server",
        &format!("http://127.0.0.1:{port}"),
    ]);
    let output = create.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_token = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let at = said.find("tun_").unwrap_or_else(|| panic!("{version}: no token: {said}"));
    Some(said[at..].chars().take_while(is_token).collect())
}

fn start(home: Home, more: &[(&str, &str)]) -> Relay {
    let mut command = home.command(&["relay", "--json", "--tunely-env"]);
    command.envs(variables(&home)).envs(more.iter().copied());
    Relay::started(Program::start(command), home)
}

fn stop(mut relay: Relay) -> (Home, String) {
    relay.program.signal(Signal::INT);
    assert_eq!(relay.program.code(), 0);
    let said = relay.program.transcript();
    (relay.home, said)
}

#[test]
fn a_relay_takes_the_place_of_tunelys_server_with_its_variables_and_tunnels() {
    for version in [NEW, OLD] {
        let home = Home::new();
        let Some(token) = tunnel_of(version, &home) else { return };
        let relay = start(home, &[("WS_TUNNEL_REDIS_URL", "redis://:hush@host"), ("TUNELY_DOMIAN", "hush")]);
        let guest = Guest::tunely(&relay, &token, false);
        let (status, list) = read(&relay, "/api/tunnels", &[FIELD]);
        let names: Vec<&Value> =
            list.as_array().expect("a list").iter().map(|tunnel| &tunnel["domain"]).collect();
        assert_eq!((status, names), (200, vec![&Value::from("shop")]), "{version}");
        drop(guest);
        assert_eq!(ask(&relay, "DELETE", "/api/tunnels/shop", &[FIELD], "").0.status(), 200);
        let (home, said) = stop(relay);
        for words in
            ["1 tunnel(s) of sqlite", "without effect at this relay: WS_TUNNEL_REDIS_URL", "TUNELY_DOMIAN"]
        {
            assert!(said.contains(words), "{version}: {words}: {said}");
        }
        assert!(!said.contains("hush") && !said.contains(KEY) && !said.contains(&token), "{said}");
        let relay = start(home, &[]);
        let list = read(&relay, "/api/tunnels", &[FIELD]);
        assert_eq!(list, (200, Value::Array(Vec::new())), "{version}: what is deleted does not come back");
    }
}

#[test]
fn with_tunelys_variables_and_no_tunnels_the_database_is_made_where_they_say() {
    let relay = start(Home::new(), &[]);
    let body = "{\"domain\": \"shop\"}";
    let created = ask(&relay, "POST", "/api/tunnels", &[FIELD, "Content-Type: application/json"], body);
    assert_eq!(created.0.status(), 200);
    assert!(relay.home.path("tunely.db").exists());
    let (home, _) = stop(relay);
    let relay = start(home, &[]);
    assert_eq!(read(&relay, "/api/tunnels/shop", &[FIELD]).0, 200);
    // Identities are strangers to those agents.
    let url = relay.url();
    let mut agent = Home::new().into_program(&["expose", "1", "--relay", &url, "--no-retry"]);
    assert_eq!(agent.code(), 4, "{agent:?}");
    assert!(agent.transcript().contains("listed agents only"), "{agent:?}");
    let mut wrong = relay.home.command(&["relay", "--tunely-env"]);
    wrong.env("WS_TUNNEL_ADMIN_API_KEY", "too-short");
    let mut wrong = Program::start(wrong);
    assert_eq!(wrong.code(), 3);
    let said = wrong.transcript();
    assert!(said.contains("WS_TUNNEL_ADMIN_API_KEY is too short") && !said.contains("too-short"), "{said}");
}
