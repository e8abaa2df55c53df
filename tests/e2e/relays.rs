//! What an operator is told of the relays of a domain, and of who is at each.
#![cfg(unix)]

use std::time::{Duration, Instant};

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Origin, nobody};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::redis::RedisServer;
use hvym_tunnel_tests::tunnel::{Agent, Relay};
use serde_json::{Value, json};

fn relays(relay: &Relay) -> Value {
    let output = relay.home.command(&["admin", "--json", "relays"]).output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {output:?}"))
}

/// Waits until this is told.
fn until(relay: &Relay, what: &str, is_so: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = relays(relay);
        if is_so(&told) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {told:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_relay_that_is_alone_tells_of_itself() {
    let relay = Relay::start(&[]);
    let agent = Agent::start(&relay, Origin::echo().port, &[]);
    let told = relays(&relay);
    assert_eq!(told["store_available"], Value::Null, "{told}");
    let [own] = &told["relays"].as_array().expect("a list")[..] else { panic!("one relay: {told}") };
    assert_eq!((&own["own"], &own["agents"]), (&json!(true), &json!([agent.ready["address"]])), "{told}");
    assert_eq!(own["url"].as_str(), Some(&*format!("ws://localhost:{}", relay.port)));
}

#[test]
fn each_of_several_relays_tells_of_the_others_and_of_who_is_there() {
    let Some(redis) = RedisServer::start() else { return };
    let start = |_| {
        let (url, port) = (redis.url(), nobody());
        let address = format!("ws://127.0.0.1:{port}");
        let cluster = ["--cluster", &url, "--cluster-address", &address];
        Relay::start_in(Home::of(&Key::from_seed([33; 32])), port, &cluster)
    };
    let [first, mut second] = [0, 1].map(start);
    let agent = Agent::start(&second, Origin::echo().port, &["--service", "web"]);
    until(&first, "the agent at the other relay", |told| {
        let relays = told["relays"].as_array().expect("a list");
        let other = relays.iter().find(|relay| relay["own"] == false);
        let is_there = other.is_some_and(|other| {
            other["linked"] == true && other["agents"] == json!([agent.ready["address"]])
        });
        told["store_available"] == true && relays.len() == 2 && relays[0]["agents"] == json!([]) && is_there
    });
    second.program.kill();
    until(&first, "the other relay is gone", |told| told["relays"].as_array().map(Vec::len) == Some(1));
}
