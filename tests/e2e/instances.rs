//! Several agents that are one identity: takeover, refusal, pool and standby, as processes of the real program.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::yield_now;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, request};
use rustix::process::Signal;

use crate::h2c;

const KEY: [u8; 32] = [21; 32];
const POOL: [&str; 2] = ["--on-conflict", "pool"];
const STANDBY: [&str; 2] = ["--on-conflict", "standby"];

/// Another process of the same identity.
fn agent(relay: &Relay, port: u16, arguments: &[&str]) -> Agent {
    Agent::start_in(Home::of(&Key::from_seed(KEY)), relay, port, arguments)
}

/// A process of the same identity that does not get as far as to be ready.
fn doomed(relay: &Relay, port: u16, arguments: &[&str]) -> (Home, Program) {
    let (home, url, port) = (Home::of(&Key::from_seed(KEY)), relay.url(), port.to_string());
    let arguments = [&["expose", &port, "--json", "--relay", &url], arguments].concat();
    let program = home.start(&arguments);
    (home, program)
}

/// Says its name, connection after connection, and takes any body.
fn saying(name: &'static [u8]) -> Origin {
    Origin::start(move |mut connection| {
        while let Ok(head) = connection.head() {
            connection.body(&head)?;
            connection.send(ok(name))?;
        }
        Ok(())
    })
}

/// What a new visitor is told at this host; the status, if it is not 200.
fn visit(relay: &Relay, host: &str) -> String {
    let mut visitor = relay.visit();
    visitor.send(request(host, "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    if head.status() == 200 { String::from_utf8(body).expect("text") } else { head.status().to_string() }
}

#[test]
fn two_services_and_two_forwards_of_one_key_live_side_by_side() {
    let relay = Relay::start(&[]);
    let other = Agent::start(&relay, saying(b"another identity").port, &[]);
    let owner = other.ready["address"].as_str().expect("an address").to_owned();
    let mut web = agent(&relay, saying(b"web").port, &[]);
    let api = agent(&relay, saying(b"api").port, &["--service", "api"]);
    let forwards = [(), ()].map(|()| {
        let home = Home::of(&Key::from_seed(KEY));
        let mut program =
            home.start(&["forward", &format!("{owner}/web"), "--json", "--relay", &relay.url()]);
        let event = program.event("forwarding");
        let port = event["listen"].as_str().and_then(|listen| listen.rsplit_once(':')).expect("a place").1;
        (port.parse::<u16>().expect("a port"), program, home)
    });
    let reach = || {
        for (port, ..) in &forwards {
            let mut connection = Conversation::dial(*port);
            connection.send(request("x", "GET", "/", &[])).expect("it reads");
            let head = connection.head().expect("an answer");
            assert_eq!(connection.body(&head).expect("a whole one"), b"another identity");
        }
    };
    let (web_host, api_host) = (web.host().to_owned(), api.host().to_owned());
    assert_eq!((visit(&relay, &web_host), visit(&relay, &api_host)), ("web".to_owned(), "api".to_owned()));
    reach();
    // A connection of the other one is not even looked at.
    let mut kept = relay.visit();
    let mut ask_again = || {
        kept.send(request(&api_host, "GET", "/", &[])).expect("the relay reads");
        let head = kept.head().expect("an answer");
        assert_eq!(kept.body(&head).expect("a whole answer"), b"api");
    };
    ask_again();
    web.program.kill();
    ask_again();
    reach();
    let back = agent(&relay, saying(b"web again").port, &[]);
    assert_eq!((back.host(), visit(&relay, &web_host).as_str()), (&*web_host, "web again"));
    ask_again();
    reach();
    assert_eq!(visit(&relay, &api_host), "api");
}

#[test]
fn a_restarted_agent_does_not_wait_for_its_ghost() {
    let mut relay = Relay::start(&[]);
    let mut ghost = agent(&relay, saying(b"ghost").port, &[]);
    ghost.program.signal(Signal::STOP);
    let mut back = agent(&relay, saying(b"back").port, &["--tell-process"]);
    assert_eq!(visit(&relay, back.host()), "back");
    assert!(!relay.program.transcript().contains("agent_left"), "it waited: {relay:?}");
    ghost.program.signal(Signal::CONT);
    let unbound = ghost.program.event("unbound");
    assert_eq!((&unbound["service"], &unbound["code"]), (&"web".into(), &"replaced".into()), "{unbound}");
    assert!(unbound["by"].as_str().is_some_and(|by| by.contains(", process ")), "{unbound}");
    let error = ghost.program.event("error");
    assert_eq!((&error["exit"], &error["code"]), (&5.into(), &"name_conflict".into()), "{error}");
    let said = error["message"].as_str().expect("a text");
    assert!(said.starts_with("another agent of this identity serves web now ("), "{said}");
    assert_eq!(ghost.program.code(), 5);
    assert!(!ghost.program.transcript().contains("reconnected"), "it fought back: {ghost:?}");
    // What cleans up after the older one must not take the newer one with it.
    relay.program.event("agent_left");
    assert_eq!(visit(&relay, back.host()), "back");
    assert!(back.program.runs());
}

#[test]
fn an_agent_keeps_what_others_did_not_take_and_ends_when_they_took_all() {
    let relay = Relay::start(&[]);
    let docs = format!("docs={}", saying(b"docs").port);
    let mut older = agent(&relay, saying(b"older").port, &["--bind", &docs]);
    let bound = older.program.event("bound");
    let docs_host = bound["url"].as_str().and_then(|url| url.split('/').nth(2)).expect("a URL").to_owned();
    let newer = agent(&relay, saying(b"newer").port, &[]);
    let unbound = older.program.event("unbound");
    assert_eq!((&unbound["service"], unbound.get("by")), (&"web".into(), None), "it did not allow to tell");
    assert_eq!((visit(&relay, newer.host()).as_str(), visit(&relay, &docs_host).as_str()), ("newer", "docs"));
    assert!(older.program.runs());
    let _last = agent(&relay, saying(b"new docs").port, &["--service", "docs"]);
    assert_eq!(older.program.code(), 5);
    assert_eq!(visit(&relay, &docs_host), "new docs");
}

#[test]
fn an_agent_that_asks_for_it_is_refused_where_another_serves() {
    let relay = Relay::start(&[]);
    let older = agent(&relay, saying(b"older").port, &["--tell-process"]);
    let (_home, mut refused) = doomed(&relay, saying(b"newer").port, &["--on-conflict", "reject"]);
    assert_eq!(refused.code(), 5, "{refused:?}");
    assert!(refused.transcript().contains("another agent of this identity serves it ("), "{refused:?}");
    assert_eq!(visit(&relay, older.host()), "older");
}

/// Visitors who ask all the time, new ones and old ones, until `acts` is over; each answer must be whole. Returns who
/// answered, and how many times somebody did.
fn under_load(
    relay: &Relay,
    host: &str,
    methods: &[&'static str],
    acts: impl FnOnce(&dyn Fn(usize)),
) -> (BTreeSet<String>, usize) {
    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = |method: &str, visitor: &mut Conversation| {
        let (line, data) = if method == "GET" { (&[][..], "") } else { (&["Content-Length: 4"][..], "data") };
        visitor.send(request(host, method, "/", line) + data).expect("the relay reads");
        let head = visitor.head().unwrap_or_else(|error| panic!("{method}: {error}"));
        let body = visitor.body(&head).unwrap_or_else(|error| panic!("{method}: {error}"));
        assert_eq!(head.status(), 200, "{method}: {}", String::from_utf8_lossy(&body));
        asked.fetch_add(1, Ordering::Relaxed);
        String::from_utf8(body).expect("text")
    };
    let names = std::thread::scope(|scope| {
        let visitors: Vec<_> = methods
            .iter()
            .map(|method| {
                let (ask, is_over, port) = (&ask, &is_over, relay.port);
                scope.spawn(move || {
                    let (mut visitor, mut names) = (Conversation::dial(port), BTreeSet::new());
                    while !is_over.load(Ordering::Relaxed) {
                        names.insert(ask(method, &mut visitor));
                        // A visitor who comes for the first time.
                        names.insert(ask(method, &mut Conversation::dial(port)));
                    }
                    names
                })
            })
            .collect();
        let more = |count: usize| {
            let before = asked.load(Ordering::Relaxed);
            while asked.load(Ordering::Relaxed) < before + count
                && visitors.iter().all(|one| !one.is_finished())
            {
                yield_now();
            }
        };
        acts(&more);
        is_over.store(true, Ordering::Relaxed);
        visitors.into_iter().flat_map(|one| one.join().expect("nothing was lost")).collect()
    });
    (names, asked.into_inner())
}

#[test]
fn a_pool_of_three_loses_no_request_that_can_be_asked_again_when_one_is_killed() {
    let relay = Relay::start(&[]);
    let names: [&[u8]; 3] = [b"one", b"two", b"three"];
    let mut agents = names.map(|name| agent(&relay, saying(name).port, &POOL));
    let host = agents[0].host().to_owned();
    assert!(agents.iter().all(|agent| agent.host() == host));
    let (answered, _) = under_load(&relay, &host, &["GET"; 4], |more| {
        more(100);
        agents[1].program.kill();
        more(100);
        agents[0].program.kill();
        more(50);
    });
    assert_eq!(answered.len(), 3, "{answered:?}");
    assert_eq!(visit(&relay, &host), "three");
}

#[test]
fn a_pool_of_http2_services_loses_no_request_that_can_be_asked_again_when_one_is_killed() {
    let relay = Relay::start(&[]);
    let services = [h2c::service(), h2c::service()];
    let [mut one, two] = services.each_ref().map(|(port, _)| {
        let target = format!("h2c://127.0.0.1:{port}");
        Agent::exposing(Home::of(&Key::from_seed(KEY)), &relay, &target, &POOL)
    });
    under_load(&relay, two.host(), &["GET"; 4], |more| {
        more(60);
        one.program.kill();
        more(60);
    });
    for (_, peers) in services {
        assert!(!peers.lock().expect("nobody panics here").is_empty(), "one was never asked");
    }
}

#[test]
fn an_agent_of_a_pool_that_is_asked_to_stop_loses_nothing_at_all() {
    let relay = Relay::start(&[]);
    let names: [&[u8]; 2] = [b"one", b"two"];
    let [mut one, mut two] = names.map(|name| agent(&relay, saying(name).port, &POOL));
    let host = one.host().to_owned();
    let (_, asked) = under_load(&relay, &host, &["GET", "POST", "GET", "POST"], |more| {
        for _ in 0..2 {
            more(60);
            one.program.signal(Signal::TERM);
            assert_eq!(one.program.code(), 0);
            more(30);
            one = agent(&relay, saying(b"one").port, &POOL);
        }
        more(30);
        two.program.signal(Signal::TERM);
        assert_eq!(two.program.code(), 0);
        more(30);
    });
    assert!(asked >= 250, "{asked}");
}

#[test]
fn requests_one_after_the_other_are_spread_over_a_pool() {
    let relay = Relay::start(&[]);
    let names: [&[u8]; 2] = [b"one", b"two"];
    let agents = names.map(|name| agent(&relay, saying(name).port, &POOL));
    let mut counts = [0, 0];
    let mut visitor = relay.visit();
    for _ in 0..20 {
        visitor.send(request(agents[0].host(), "GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        counts[usize::from(visitor.body(&head).expect("a whole one") == b"two")] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 8), "{counts:?}");
}

#[test]
fn a_standby_serves_at_once_when_the_one_before_it_goes() {
    let relay = Relay::start(&[]);
    let names: [&[u8]; 3] = [b"one", b"two", b"three"];
    let mut agents = names.map(|name| agent(&relay, saying(name).port, &STANDBY));
    let host = agents[0].host().to_owned();
    let (answered, _) = under_load(&relay, &host, &["GET"; 2], |more| {
        more(50);
        agents[0].program.kill();
        more(50);
        agents[1].program.signal(Signal::TERM);
        assert_eq!(agents[1].program.code(), 0);
        more(50);
    });
    assert_eq!(answered.len(), 3, "{answered:?}");
    let newest = agent(&relay, saying(b"four").port, &STANDBY);
    assert_eq!(visit(&relay, newest.host()), "three", "the oldest serves");
}

#[test]
fn visitors_of_a_port_are_spread_and_the_port_outlives_its_agents() {
    let relay = Relay::with_ports(PORTS);
    let greeting = |name: &'static [u8]| Origin::start(move |mut connection| connection.send(name));
    let carrying = |origin: &Origin| {
        let target = format!("tcp://localhost:{}", origin.port);
        let arguments = ["--service", "db", "--on-conflict", "pool"];
        Agent::exposing(Home::of(&Key::from_seed(KEY)), &relay, &target, &arguments)
    };
    let origins = [b"one" as &[u8], b"two"].map(greeting);
    let [mut one, two] = origins.each_ref().map(carrying);
    let port = one.port();
    assert_eq!(two.port(), port, "it belongs to the service");
    let greeted = || Conversation::dial(port).rest().unwrap_or_default();
    let all: BTreeSet<Vec<u8>> = (0..8).map(|_| greeted()).collect();
    assert_eq!(all, BTreeSet::from([b"one".to_vec(), b"two".to_vec()]));
    one.program.kill();
    while greeted() != b"two" {}
    assert!((0..8).all(|_| greeted() == b"two"));
    let again = carrying(&origins[0]);
    assert_eq!(again.port(), port);
    drop(two);
    while greeted() != b"one" {}
}

#[test]
fn identities_reach_whoever_is_left_of_a_pool() {
    let relay = Relay::start(&[]);
    let names: [&[u8]; 2] = [b"one", b"two"];
    let mut agents = names.map(|name| agent(&relay, saying(name).port, &POOL));
    let owner = agents[0].ready["address"].as_str().expect("an address").to_owned();
    let home = Home::new();
    let mut forward = home.start(&["forward", &format!("{owner}/web"), "--json", "--relay", &relay.url()]);
    let event = forward.event("forwarding");
    let port = event["listen"].as_str().and_then(|listen| listen.rsplit_once(':')).expect("a place").1;
    let port: u16 = port.parse().expect("a port");
    let ask = || {
        let mut connection = Conversation::dial(port);
        connection.send(request("x", "GET", "/", &[])).ok()?;
        let head = connection.head().ok()?;
        connection.body(&head).ok()
    };
    let all: BTreeSet<_> = (0..8).filter_map(|_| ask()).collect();
    assert_eq!(all.len(), 2, "{all:?}");
    agents[0].program.kill();
    while ask().as_deref() != Some(b"two") {}
    assert!((0..8).all(|_| ask().as_deref() == Some(b"two")));
}
