//! `expose` and `forward` beside a manager of the same user, and without one: what a person sees is the same.

use std::net::TcpStream;
use std::time::Instant;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use rustix::process::Signal;
use serde_json::Value;

/// A relay, and a home whose manager serves `web` there.
struct World {
    relay: Relay,
    home: Home,
    origin: Origin,
    manager: Program,
    web: String,
}

impl World {
    fn new(seed: u8) -> Self {
        let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([seed; 32])));
        let origin = Origin::saying(b"hello");
        let bind = format!("web={}", origin.port);
        let url = relay.url();
        let mut manager =
            home.start(&["manager", "--json", "--api-port", "0", "--relay", &url, "--bind", &bind]);
        let web = text(&manager.event("ready"), "url");
        Self { relay, home, origin, manager, web }
    }

    /// `expose`, in another terminal of the same user.
    fn expose(&self, service: &str, arguments: &[&str]) -> Program {
        let (target, url) = (self.origin.port.to_string(), self.relay.url());
        let command = ["expose", &target, "--service", service, "--relay", &url];
        self.home.start(&[&command, arguments].concat())
    }

    /// Somebody else at the same relay, who lets the manager's identity reach a service `db`; and where.
    fn owner(&self, seed: u8, friend: u8) -> (Program, String) {
        let owner = Home::of(&Key::from_seed([seed; 32]));
        let friend = Key::from_seed([friend; 32]).address().to_string();
        let (target, url) = (self.origin.port.to_string(), self.relay.url());
        let arguments = [
            "expose",
            &target,
            "--service",
            "db",
            "--private",
            "--allow",
            &friend,
            "--relay",
            &url,
            "--json",
        ];
        let mut program = owner.start(&arguments);
        let name = text(&program.event("ready"), "url");
        (program, name)
    }

    /// `forward`, in another terminal of the same user.
    fn forward(&self, to: &str, arguments: &[&str]) -> Program {
        let url = self.relay.url();
        self.home.start(&[&["forward", to, "--relay", &url, "--json"], arguments].concat())
    }

    /// What a command to the manager ends with.
    fn run(&self, words: &[&str]) -> i32 {
        self.home.start(words).code()
    }

    /// Waits until so many agents and callers have joined the relay, which has told of no more.
    fn joined(&self, expected: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let joined = self.relay.program.transcript().matches("\"agent_joined\"").count();
            assert!(joined <= expected && Instant::now() < deadline, "{joined}: {:?}", self.relay.program);
            if joined == expected {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn visit(&self, url: &str) -> u16 {
        visit(&self.relay, url)
    }

    /// The names of the manager's services.
    fn services(&self) -> Vec<String> {
        let output = self.home.command(&["status", "--json"]).output().expect("the program starts");
        let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let services = status["services"].as_array().expect("a list");
        services.iter().map(|service| text(service, "name")).collect()
    }
}

fn visit(relay: &Relay, url: &str) -> u16 {
    let mut visitor = Conversation::dial(relay.port);
    visitor.send(request(host_of(url), "GET", "/a?secret", &[])).expect("the relay reads");
    visitor.head().expect("it answers").status()
}

fn text(event: &Value, name: &str) -> String {
    event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}")).to_owned()
}

/// The names of an event's members, and what does not differ from run to run.
fn shape(event: &Value) -> (Vec<String>, [Value; 5]) {
    let members = event.as_object().expect("an object").keys().cloned().collect();
    (members, ["service", "target", "method", "path", "status"].map(|name| event[name].clone()))
}

#[test]
fn two_terminals_share_one_link_and_each_sees_what_it_would_alone() {
    let mut world = World::new(80);
    let mut docs = world.expose("docs", &["--json"]);
    let ready = docs.event("ready");
    assert_eq!(visit(&world.relay, &text(&ready, "url")), 200);
    let asked = docs.event("request");
    assert_eq!(world.services(), ["web", "docs"]);
    assert_eq!(world.manager.event("bound")["url"], ready["url"]);
    // The relay has one agent of this identity, and not two.
    assert!(!world.relay.program.transcript().contains("agent_left"), "{:?}", world.relay.program);
    assert_eq!(world.relay.program.transcript().matches("\"agent_joined\"").count(), 1);

    let alone = Home::of(&Key::from_seed([81; 32]));
    let (target, url) = (world.origin.port.to_string(), world.relay.url());
    let mut lone = alone.start(&["expose", &target, "--service", "docs", "--relay", &url, "--json"]);
    let lone_ready = lone.event("ready");
    assert_eq!(shape(&ready), shape(&lone_ready));
    assert_eq!(visit(&world.relay, &text(&lone_ready, "url")), 200);
    assert_eq!(shape(&asked), shape(&lone.event("request")));

    docs.signal(Signal::TERM);
    assert_eq!(docs.event("stopped")["reason"], "as asked");
    assert_eq!(docs.code(), 0, "{docs:?}");
    let mut again = world.expose("docs", &["--json"]);
    assert_eq!(again.event("ready")["url"], ready["url"], "the name is free again");
    again.kill();
    let mut third = world.expose("docs", &["--json"]);
    assert_eq!(third.event("ready")["url"], ready["url"], "also after a kill");
    assert_eq!(world.visit(&world.web), 200, "the manager's own service goes on");
}

#[test]
fn a_person_sees_the_same_lines_joined_and_alone() {
    let world = World::new(82);
    let mut joined = world.expose("docs", &[]);
    let mut alone = world.expose("other", &["--alone"]);
    // The address alone, then a line for each request.
    let lines = [&mut joined, &mut alone].map(|program| {
        let url = program.line();
        assert_eq!(world.visit(&url), 200);
        let line = program.line();
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        // But for the time of day, and how long it took.
        let said = [&words[1..4], &words[words.len() - 3..]].concat();
        (url.replace("docs--", "").replace("other--", ""), said)
    });
    assert_eq!(lines[0], lines[1]);
    for mut program in [joined, alone] {
        program.signal(Signal::INT);
        assert_eq!(program.code(), 0, "{program:?}");
    }
}

#[test]
fn the_end_of_the_manager_is_told_and_what_was_joined_goes_on_alone() {
    let mut world = World::new(83);
    let mut docs = world.expose("docs", &["--json"]);
    let url = text(&docs.event("ready"), "url");
    world.manager.kill();
    assert_eq!(docs.event("told")["code"], "manager_ended");
    assert_eq!(text(&docs.event("ready"), "url"), url);
    assert_eq!(world.visit(&url), 200);
    docs.signal(Signal::TERM);
    assert_eq!(docs.code(), 0, "{docs:?}");
}

#[test]
fn a_name_that_the_manager_has_is_refused_in_words() {
    let world = World::new(84);
    let mut second = world.expose("web", &["--json"]);
    let error = second.event("error");
    assert_eq!((error["exit"].as_u64(), second.code()), (Some(5), 5));
    assert!(text(&error, "message").contains("has a service web"), "{error}");
    assert!(text(&error, "hint").contains("--alone"), "{error}");
    assert_eq!(world.visit(&world.web), 200);
}

#[test]
fn another_identity_or_relay_is_not_shared() {
    let world = World::new(85);
    let other = Relay::start(&[]);
    let (target, url) = (world.origin.port.to_string(), other.url());
    let mut elsewhere = world.home.start(&["expose", &target, "--relay", &url, "--json"]);
    let ready = elsewhere.event("ready");
    assert_eq!(visit(&other, &text(&ready, "url")), 200);
    assert_eq!(world.services(), ["web"]);
    let key = world.home.path("other.key");
    std::fs::write(&key, Key::from_seed([86; 32]).secret()).expect("a folder takes a file");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
    let mut somebody = world.expose("docs", &["--identity", key.to_str().expect("text"), "--json"]);
    somebody.event("ready");
    assert_eq!(world.services(), ["web"]);
}

/// The port where a `forward` takes connections.
fn port_of(forwarding: &Value) -> u16 {
    let listen = text(forwarding, "listen");
    listen.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok()).expect("a port of this machine")
}

/// The status of the service to which a local port leads.
fn ask(port: u16) -> std::io::Result<u16> {
    let mut local = Conversation::dial(port);
    local.send(request("localhost", "GET", "/", &[]))?;
    Ok(local.head()?.status())
}

#[test]
fn a_forward_goes_by_the_link_of_a_manager_and_ends_with_its_command() {
    let mut world = World::new(90);
    let (mut owner, db) = world.owner(91, 90);
    world.joined(2);
    let mut forward = world.forward(&db, &[]);
    let forwarding = forward.event("forwarding");
    let port = port_of(&forwarding);
    assert_eq!(ask(port).expect("an answer"), 200);
    assert_eq!(text(&owner.event("reached"), "from"), Key::from_seed([90; 32]).address().to_string());
    assert_eq!(world.services(), ["web"]);

    let mut alone = world.forward(&db, &["--alone"]);
    let lone = alone.event("forwarding");
    // The first has no link of its own.
    world.joined(3);
    let members = |event: &Value| event.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&forwarding), members(&lone));
    for name in ["service", "address", "relay"] {
        assert_eq!(forwarding[name], lone[name]);
    }

    // Connections take the link that there is then.
    assert_eq!(world.run(&["restart"]), 0);
    world.manager.event("ready");
    assert_eq!(ask(port).expect("an answer"), 200);
    assert_eq!(world.run(&["stop"]), 0);
    ask(port).expect_err("there is no link");
    assert_eq!(text(&forward.event("not_reached"), "code"), "not_connected");
    assert_eq!(world.run(&["start"]), 0);
    world.manager.event("ready");
    assert_eq!(ask(port).expect("an answer"), 200);

    let mut held = Conversation::dial(port);
    forward.kill();
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(Instant::now() < deadline, "somebody still listens: {:?}", world.manager);
        std::thread::yield_now();
    }
    held.head().expect_err("what was open then ends soon");
    assert_eq!(world.visit(&world.web), 200, "the manager's own service goes on");
}

#[test]
fn what_a_forward_by_a_manager_cannot_have_is_said_as_alone() {
    let world = World::new(92);
    let (_owner, db) = world.owner(93, 92);
    let taken = format!("127.0.0.1:{}", world.origin.port);
    let mut busy = world.forward(&db, &[&taken]);
    let error = busy.event("error");
    assert_eq!((error["exit"].as_u64(), busy.code()), (Some(3), 3));
    assert!(text(&error, "hint").contains("--alone"), "{error}");
    let mut alone = world.forward(&db, &[&taken, "--alone"]);
    assert_eq!((text(&alone.event("error"), "message"), alone.code()), (text(&error, "message"), 3));

    let absent = format!("{}zz", db.strip_suffix("db").expect("it ends with the name"));
    let refused = [&[][..], &["--alone"]].map(|arguments| {
        let mut forward = world.forward(&absent, arguments);
        let port = port_of(&forward.event("forwarding"));
        ask(port).expect_err("there is no such service");
        let mut event = forward.event("not_reached");
        event["unix_ms"] = Value::Null;
        forward.signal(Signal::TERM);
        assert_eq!((text(&forward.event("stopped"), "reason"), forward.code()), ("as asked".to_owned(), 0));
        event
    });
    assert_eq!(refused[0], refused[1]);
    assert_eq!(refused[0]["code"], "not_reachable");
}

#[test]
fn the_agent_of_one_terminal_has_an_api_by_which_it_is_seen_started_again_and_ended() {
    let (relay, home, origin) =
        (Relay::start(&[]), Home::of(&Key::from_seed([89; 32])), Origin::saying(b"hello"));
    let (target, at) = (origin.port.to_string(), relay.url());
    let mut agent = home.start(&["expose", &target, "--relay", &at, "--json", "--api=127.0.0.1:0"]);
    let api = text(&agent.event("api"), "url");
    let url = text(&agent.event("ready"), "url");
    let ask = |method: &str, path: &str| -> Value {
        let mut conversation =
            Conversation::dial(api.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port"));
        conversation.send(request("localhost", method, path, &["Content-Length: 0"])).expect("it reads");
        let head = conversation.head().expect("it answers");
        assert_eq!(head.status(), 200, "{path}");
        serde_json::from_slice(&conversation.body(&head).expect("a body")).expect("JSON")
    };
    assert_eq!(ask("GET", "/api/status")["services"][0]["url"], url.as_str());
    assert_eq!(ask("POST", "/api/tunnel/restart")["status"], "success");
    assert_eq!(text(&agent.event("ready"), "url"), url);
    assert_eq!(visit(&relay, &url), 200);
    assert_eq!(ask("POST", "/api/tunnel/stop")["status"], "success");
    assert_eq!(agent.event("stopped")["reason"], "as asked");
    assert_eq!(agent.code(), 0, "{agent:?}");
}
