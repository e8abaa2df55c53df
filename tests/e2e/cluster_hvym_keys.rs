//! The records of tunnels that HVYM's server keeps in Redis, written by relays for programs that read them there.
#![cfg(unix)]

use std::time::Instant;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::redis::RedisServer;
use hvym_tunnel_tests::tunnel::Agent;
use serde_json::Value;

use super::cluster::{OWNER, relay, until, visit};

/// The text of one value; empty if there is none.
fn text(redis: &RedisServer, command: &str) -> String {
    let answer = redis.ask(command);
    let value = answer.split_once("\r\n").map(|(_, value)| value.trim_end().to_owned());
    value.filter(|_| answer.starts_with('$')).unwrap_or_default()
}

/// Waits until the record of `address` is one like this.
fn record(redis: &RedisServer, address: &str, is_wanted: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = text(redis, &format!("GET hvym_tunnel:{address}"));
        if is_wanted(&text) {
            return text;
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn is_active(redis: &RedisServer, address: &str) -> bool {
    redis.ask(&format!("SISMEMBER hvym_tunnel:active {address}")).starts_with(":1")
}

#[test]
fn programs_find_in_redis_who_is_connected_as_hvyms_server_says_it_while_the_tunnel_lives() {
    let Some(redis) = RedisServer::start() else { return };
    let [mut a, b] = [(); 2].map(|()| relay(&redis.url(), &["--cluster-hvym-keys"]));
    let origin = Origin::saying(b"here");
    let own = || Home::of(&Key::from_seed(OWNER));
    let mut first = Agent::start_in(own(), &a, origin.port, &["--service", "web"]);
    let address = first.ready["address"].as_str().expect("an address").to_owned();
    let text = record(&redis, &address, |text| !text.is_empty());
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let expected = format!(
        r#"{{"stellar_address": "{address}", "endpoint_url": "http://{address}.localhost:{}", "services": ["web"], "connected_at": {}, "expires_at": {}, "server_address": "{}"}}"#,
        a.port, value["connected_at"], value["expires_at"], a.address
    );
    assert_eq!(text.to_lowercase(), expected.to_lowercase());
    assert_eq!(value["stellar_address"], address.as_str());
    let at = value["connected_at"].as_str().expect("a time");
    assert!(at.len() == "2026-11-21T09:52:45.158753+00:00".len() && at.ends_with("+00:00"), "{at}");
    assert!(value["expires_at"].as_u64().is_some_and(|at| at > 1_700_000_000), "{text}");
    assert!(is_active(&redis, &address));
    let ttl = redis.ask(&format!("TTL hvym_tunnel:{address}"));
    let ttl: u64 = ttl.trim_start_matches(':').trim().parse().unwrap_or_else(|_| panic!("{ttl}"));
    assert!((1..=60).contains(&ttl), "{ttl}");
    // It moves to another relay: the end of the older session takes nothing away.
    let second = Agent::start_in(own(), &b, origin.port, &["--service", "web"]);
    let moved = record(&redis, &address, |other| !other.is_empty() && other != text);
    assert_eq!(first.program.code(), 5, "{:?}", first.program);
    until(&a, second.host(), "here");
    assert_eq!(record(&redis, &address, |_| true), moved);
    assert!(is_active(&redis, &address));
    // What a relay leaves behind that is killed, another one removes.
    let other = Agent::start(&a, origin.port, &[]);
    let lost = other.ready["address"].as_str().expect("an address").to_owned();
    record(&redis, &lost, |text| !text.is_empty());
    a.program.kill();
    record(&redis, &lost, str::is_empty);
    assert!(!is_active(&redis, &lost) && is_active(&redis, &address));
    drop(second);
    record(&redis, &address, str::is_empty);
    assert!(!is_active(&redis, &address));
}

#[test]
fn without_being_asked_a_relay_writes_nothing_beside_its_own_records() {
    let Some(redis) = RedisServer::start() else { return };
    let [a, b] = [(); 2].map(|()| relay(&redis.url(), &[]));
    let origin = Origin::saying(b"here");
    let agent = Agent::start(&a, origin.port, &[]);
    until(&b, agent.host(), "here");
    let keys = redis.ask("KEYS *");
    assert!(keys.contains("hvym_tunnel:{cluster}:services"), "{keys}");
    assert!(!keys.contains("hvym_tunnel:G") && !keys.contains("hvym_tunnel:active"), "{keys}");
}

/// Records a custom domain as HVYM's server does.
fn record_domain(redis: &RedisServer, domain: &str, owner: &str, status: &str) {
    let record = format!(
        r#"{{"domain": "{domain}", "stellar_address": "{owner}", "status": "{status}", "verification_method": "cname", "verification_token": "Pu14_PnHfJM8NOxRB3wbLwP6LAiU77qg8YZ5TNsFd00", "created_at": "2026-11-21T09:52:45.558886+00:00", "verified_at": null, "last_checked_at": null, "ssl_provisioned": false, "ssl_expires_at": null}}"#
    );
    let set = redis.ask(&format!("SET hvym_tunnel:domain:{domain} {}", Value::from(record)));
    assert!(set.starts_with("+OK"), "{set}");
    redis.ask(&format!("SADD hvym_tunnel:domains:{owner} {domain}"));
}

#[test]
fn custom_domains_that_hvyms_server_has_verified_lead_to_their_owners_through_each_relay() {
    let Some(redis) = RedisServer::start() else { return };
    let [a, b] = [(); 2].map(|()| relay(&redis.url(), &["--cluster-hvym-keys"]));
    let named = relay(&redis.url(), &["--cluster-hvym-keys", "--also-name", "relay.example.net"]);
    let alone = relay(&redis.url(), &[]);
    let agent = Agent::start(&a, Origin::saying(b"here").port, &[]);
    let owner = agent.ready["address"].as_str().expect("an address").to_owned();
    let away = Key::from_seed([34; 32]).address().to_string();
    record_domain(&redis, "pending.example.com", &owner, "pending_verification");
    for of_relay in ["app.localhost", "relay.example.net"] {
        record_domain(&redis, of_relay, &owner, "verified");
    }
    record_domain(&redis, "away.example.com", &away, "verified");
    record_domain(&redis, "gallery.example.com", &owner, "verified");
    for relay in [&a, &b] {
        until(relay, "gallery.example.com", "here");
        until(relay, "GALLERY.example.com", "here");
        until(relay, "away.example.com", "503");
        assert_eq!(visit(relay, "pending.example.com"), "421");
        assert_ne!(visit(relay, "app.localhost"), "here", "it is below the domain");
    }
    until(&named, "gallery.example.com", "here");
    assert_ne!(visit(&named, "relay.example.net"), "here", "agents dial it by this name");
    until(&alone, agent.host(), "here");
    assert_eq!(visit(&alone, "gallery.example.com"), "421", "nobody has asked for it");
    // It becomes somebody else's, and nobody's.
    let other = Agent::start(&b, Origin::saying(b"other").port, &[]);
    let newer = other.ready["address"].as_str().expect("an address");
    record_domain(&redis, "gallery.example.com", newer, "verified");
    [&a, &b].into_iter().for_each(|relay| until(relay, "gallery.example.com", "other"));
    redis.ask("DEL hvym_tunnel:domain:gallery.example.com");
    [&a, &b].into_iter().for_each(|relay| until(relay, "gallery.example.com", "421"));
    assert_eq!(visit(&a, other.host()), "other");
}
