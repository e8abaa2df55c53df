//! A relay that is cut off from its store and from the other relays, while another one takes its agents.
#![cfg(unix)]

use std::time::Instant;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Origin, nobody};
use hvym_tunnel_tests::partition::Partition;
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::redis::RedisServer;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};

use super::cluster::{Contested, OWNER, RELAYS, ask, until, visit};

/// A relay that others reach through the network, and its store at this URL.
fn relay(network: &Partition, store: &str, arguments: &[&str]) -> Relay {
    let port = nobody();
    let address = format!("ws://127.0.0.1:{}", network.before(port));
    let cluster = ["--cluster", store, "--cluster-address", &address];
    Relay::start_in(Home::of(&Key::from_seed(RELAYS)), port, &[&cluster, arguments].concat())
}

/// One that reaches the store and the other relay through the network, and one that reaches only the other relay through it.
fn two(network: &Partition, redis: &RedisServer, arguments: &[&str]) -> [Relay; 2] {
    let through = format!("redis://127.0.0.1:{}", network.before_socket(&redis.socket()));
    [relay(network, &through, arguments), relay(network, &redis.url(), arguments)]
}

#[test]
fn a_relay_that_is_cut_off_serves_no_name_beside_the_one_that_has_it_and_heals_by_itself() {
    let Some(redis) = RedisServer::start() else { return };
    let network = Partition::default();
    let [mut a, b] = two(&network, &redis, &[]);
    let Contested { mut first, witness, host, newer } = Contested::start(&a, &b);
    network.cut();
    let second = Agent::start_in(Home::of(&Key::from_seed(OWNER)), &b, newer.port, &[]);
    assert_eq!(visit(&b, second.host()), "newer");
    until(&a, &host, "503");
    // From here on nobody is told anything else by it, however long this goes on, and everybody by the other one.
    assert!(a.program.tells("cluster_lost", PATIENCE) && a.program.tells("cluster_cut_off", PATIENCE));
    until(&b, witness.host(), "503");
    for _ in 0..50 {
        let seen = [&host, witness.host()].map(|host| visit(&a, host));
        assert_eq!((seen, visit(&b, &host)), (["503", "503"].map(str::to_owned), "newer".to_owned()));
    }
    let is_ready =
        |relay: &Relay| ask(relay.port, &request("localhost", "GET", "/readyz", &["Connection: close"]));
    assert_eq!([&a, &b].map(|relay| is_ready(relay).expect("an answer").0), [503, 200]);
    network.heal();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = visit(&a, &host);
        if seen == "newer" {
            break;
        }
        assert!(seen == "503" && Instant::now() < deadline, "{seen}: {:?}", a.program);
    }
    until(&b, witness.host(), "other");
    assert_eq!(is_ready(&a).expect("an answer").0, 200);
    assert_eq!((visit(&a, witness.host()), visit(&b, &host)), ("other".to_owned(), "newer".to_owned()));
    assert_eq!(first.program.code(), 5, "its service was taken over: {:?}", first.program);
    assert!(a.program.tells("cluster_back", PATIENCE));
}

#[test]
fn a_relay_whose_operator_wants_it_so_goes_on_when_it_is_cut_off() {
    let Some(redis) = RedisServer::start() else { return };
    let network = Partition::default();
    let [mut a, b] = two(&network, &redis, &["--cluster-cut-off", "serve"]);
    let origin = Origin::saying(b"here");
    let agent = Agent::start(&a, origin.port, &[]);
    until(&b, agent.host(), "here");
    network.cut();
    assert!(a.program.tells("cluster_lost", PATIENCE));
    // The other one gives it up when its lease is over.
    until(&b, agent.host(), "503");
    for _ in 0..50 {
        assert_eq!(visit(&a, agent.host()), "here");
    }
    network.heal();
    until(&b, agent.host(), "here");
    assert!(a.program.tells("cluster_back", PATIENCE));
    assert!(!a.program.transcript().contains("cluster_cut_off"), "{:?}", a.program);
}

#[test]
fn a_relay_that_is_cut_off_leads_no_caller_to_a_private_service() {
    let Some(redis) = RedisServer::start() else { return };
    let network = Partition::default();
    let [mut a, b] = two(&network, &redis, &[]);
    let (origin, caller) = (Origin::saying(b"private"), Key::from_seed([33; 32]));
    let to = caller.address().to_string();
    let agent = Agent::start(&a, origin.port, &["--private", "--allow", &to]);
    let public = Agent::start(&a, origin.port, &[]);
    until(&b, public.host(), "private");
    let owner = agent.ready["address"].as_str().expect("an address").to_owned();
    let (home, url) = (Home::of(&caller), a.url());
    let mut forward = home.start(&["forward", &format!("{owner}/web"), "--json", "--relay", &url]);
    let listen = forward.event("forwarding")["listen"].as_str().expect("a place").to_owned();
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let call = || ask(port, &request("x", "GET", "/", &["Connection: close"])).ok();
    let answer = Some((200, "private".to_owned()));
    assert_eq!(call(), answer);
    network.cut();
    assert!(a.program.tells("cluster_cut_off", PATIENCE));
    assert_ne!(call(), answer);
    network.heal();
    assert!(a.program.tells("cluster_back", PATIENCE));
    until(&a, public.host(), "private");
    assert_eq!(call(), answer);
}
