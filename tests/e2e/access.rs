//! Which identities may be agents of a relay, what each may have, and what its operator reads about those who may not.
#![cfg(unix)]

use std::fs;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, request};
use rustix::process::Signal;

fn key(seed: u8) -> Key {
    Key::from_seed([seed; 32])
}

/// `expose` of `key`, which the relay is expected to refuse.
fn refused(key: &Key, relay: &Relay, sentence: &str) -> Program {
    let home = Home::of(key);
    let mut agent = home.start(&["expose", "3000", "--relay", &relay.url()]);
    agent.says(sentence);
    assert_eq!(agent.code(), 4, "{agent:?}");
    agent
}

#[test]
fn a_stranger_is_told_why_and_so_is_the_operator() {
    let [friend, stranger] = [key(81), key(82)];
    let list = friend.address().to_string();
    let mut relay = Relay::start(&["--allow-agent", &list]);
    refused(&stranger, &relay, "this relay serves listed agents only");
    let event = relay.program.event("audit");
    assert_eq!((&event["action"], &event["peer"]), (&"login_refused".into(), &"127.0.0.1".into()));
    assert_eq!(event["address"], stranger.address().to_string());
    let detail = event["detail"].as_str().expect("a text");
    assert!(detail.contains("not allowed"), "{event}");
    let _served = Agent::start_in(Home::of(&friend), &relay, Origin::echo().port, &[]);
    let mut relay = Relay::start(&["--deny-agent", &stranger.address().to_string()]);
    refused(&stranger, &relay, "does not let this identity in");
    relay.program.event("audit");
}

#[test]
fn a_list_that_changes_ends_the_sessions_of_those_it_names_no_more() {
    let [friend, other] = [key(83), key(84)];
    let home = Home::new();
    let path = home.path("agents");
    let file = path.to_str().expect("a path").to_owned();
    fs::write(&path, format!("# friends\n{} names=abc\n", friend.address())).expect("a file");
    let mut relay = Relay::start_in(home, 0, &["--allow-agents-file", &file]);
    let mut agent = Agent::start_in(Home::of(&friend), &relay, Origin::echo().port, &[]);

    fs::write(&path, format!("{}\n{} port=1\n", other.address(), friend.address())).expect("a file");
    relay.program.signal(Signal::HUP);
    let kept = relay.program.event("audit");
    assert_eq!(kept["action"], "list_kept");
    assert!(kept["detail"].as_str().is_some_and(|text| text.contains("line 2, column 58")), "{kept}");
    assert!(agent.program.runs());

    fs::write(&path, format!("{}\n", other.address())).expect("a file");
    relay.program.signal(Signal::HUP);
    assert_eq!(relay.program.event("audit")["action"], "list_loaded");
    let kicked = relay.program.event("audit");
    assert_eq!(
        (&kicked["action"], &kicked["address"]),
        (&"kicked".into(), &friend.address().to_string().into())
    );
    assert_eq!(agent.program.code(), 4);
    let _served = Agent::start_in(Home::of(&other), &relay, Origin::echo().port, &[]);
}

#[test]
fn a_list_says_how_many_ports_and_services_an_agent_has() {
    let [few, none] = [key(85), key(86)];
    let rules = [format!("{} max-services=1", few.address()), format!("{} tcp-ports=0", none.address())];
    let mut relay =
        Relay::start(&["--tcp-ports", PORTS, "--allow-agent", &rules[0], "--allow-agent", &rules[1]]);
    let target = format!("tcp://localhost:{}", Origin::echo().port);
    let second = format!("second={target}");
    let home = Home::of(&few);
    let mut agent =
        home.start(&["expose", &target, "--service", "db", "--bind", &second, "--relay", &relay.url()]);
    agent.says("your limit of services at this relay is 1");
    let given = relay.program.event("audit");
    assert_eq!(given["action"], "port_given");
    assert!(given["detail"].as_str().is_some_and(|text| text.contains("for the service db")), "{given}");
    let home = Home::of(&none);
    let mut agent = home.start(&["expose", &target, "--service", "db", "--relay", &relay.url()]);
    agent.says("your limit of TCP ports at this relay is 0");
}

#[test]
fn the_audit_log_is_on_the_screen_or_in_a_file_of_the_operators() {
    let stranger = key(87);
    let list = key(88).address().to_string();
    let home = Home::new();
    let mut relay = home.start(&["relay", "--listen", "0", "--allow-agent", &list]);
    let line = relay.line();
    let url = line.trim().trim_end_matches('/').replace("http", "ws");
    let agent_home = Home::of(&stranger);
    let mut agent = agent_home.start(&["expose", "3000", "--relay", &url]);
    assert_eq!(agent.code(), 4, "{agent:?}");
    let line = relay.says("audit: login refused");
    assert!(line.contains(&stranger.address().to_string()) && line.contains("127.0.0.1"), "{line}");

    let home = Home::new();
    let path = home.path("audit.log");
    let file = path.to_str().expect("a path").to_owned();
    let mut relay = Relay::start_in(home, 0, &["--allow-agent", &list, "--audit-file", &file]);
    refused(&stranger, &relay, "listed agents only");
    relay.program.signal(Signal::TERM);
    assert_eq!(relay.program.code(), 0);
    let text = fs::read_to_string(&path).expect("a file");
    assert!(
        text.starts_with("{\"event\":\"audit\",\"action\":\"login_refused\"") && text.ends_with("}\n"),
        "{text}"
    );
    assert!(!relay.program.transcript().contains("audit"), "{relay:?}");
}

#[test]
fn a_list_says_how_many_requests_the_visitors_of_an_agent_have() {
    let slow = key(89);
    let rule = format!("{} rate=1", slow.address());
    let relay = Relay::start(&["--allow-agent", &rule]);
    let agent = Agent::start_in(Home::of(&slow), &relay, Origin::saying(b"ok").port, &[]);
    let ask = || {
        let mut visitor = relay.visit();
        visitor.send(request(agent.host(), "GET", "/", &[])).expect("the relay reads");
        visitor.head().expect("an answer").status()
    };
    let answers: Vec<u16> = (0..100).map(|_| ask()).collect();
    // Five at once, and one for each second that this takes.
    assert_eq!(answers[..5], [200; 5]);
    assert!(answers.iter().filter(|status| **status == 429).count() > 30, "{answers:?}");
}

#[test]
fn a_name_in_a_list_is_kept_for_its_agent_where_no_names_are_given() {
    let [friend, other] = [key(90), key(91)];
    let rules = [format!("{} names=shop", friend.address()), other.address().to_string()];
    let relay = Relay::start(&["--allow-agent", &rules[0], "--allow-agent", &rules[1]]);
    let (home, url) = (Home::of(&other), relay.url());
    let ask = |name: &str| {
        let mut agent = home.start(&["expose", "3000", "--json", "--relay", &url, "--name", name]);
        agent.event("name_refused")["code"].as_str().expect("a code").to_owned()
    };
    assert_eq!([ask("shop"), ask("stall")], ["not_allowed", "not_offered"]);
    let agent = Agent::start_in(Home::of(&friend), &relay, Origin::echo().port, &["--name", "shop"]);
    assert_eq!(agent.url(), format!("http://shop.localhost:{}/", relay.port));
}
