//! Several relays behind one domain, as processes that share a Redis: visitors reach an agent through each of them, whatever happens to any.
#![cfg(unix)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, answer, nobody, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::redis::RedisServer;
use hvym_tunnel_tests::tunnel::{Agent, Relay, host_of, request};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

/// The identity that all relays have.
pub(super) const RELAYS: [u8; 32] = [31; 32];
pub(super) const OWNER: [u8; 32] = [32; 32];

/// One more relay, of this store.
pub(super) fn relay(store: &str, arguments: &[&str]) -> Relay {
    let port = nobody();
    let address = format!("ws://127.0.0.1:{port}");
    let cluster = ["--cluster", store, "--cluster-address", &address];
    Relay::start_in(Home::of(&Key::from_seed(RELAYS)), port, &[&cluster, arguments].concat())
}

/// Asks once, by `message`. Returns the status and the body; an error if the relay goes away meanwhile.
pub(super) fn ask(port: u16, message: &str) -> std::io::Result<(u16, String)> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut visitor = Conversation::over(stream);
    visitor.send(message)?;
    let head = visitor.head()?;
    let body = visitor.body(&head)?;
    Ok((head.status(), String::from_utf8_lossy(&body).into_owned()))
}

/// What is served at this host; the status, if it is not 200.
pub(super) fn visit(relay: &Relay, host: &str) -> String {
    let asked = ask(relay.port, &request(host, "GET", "/", &["Connection: close"]));
    let (status, body) = asked.expect("the relay answers");
    if status == 200 { body } else { status.to_string() }
}

/// Waits until visitors of `host` see this.
pub(super) fn until(relay: &Relay, host: &str, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = visit(relay, host);
        if seen == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{seen}, not {wanted}: {:?}", relay.program);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A service that tells who asks, echoes bodies and WebSockets, and streams events as `next` lets it.
fn service(next: std::sync::mpsc::Receiver<()>) -> Origin {
    let next = Mutex::new(next);
    Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            match head.target() {
                "/ws" => {
                    connection.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
                    let (mut from, mut to) = (connection.writer(), connection.writer());
                    return std::io::copy(&mut from, &mut to).map(drop);
                }
                "/events" => {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                    for event in ["data: 1\n\n", "data: 2\n\n"] {
                        connection.send(format!("{:x}\r\n{event}\r\n", event.len()))?;
                        next.lock().expect("nobody panics here").recv().expect("the visitor goes on");
                    }
                    connection.send("0\r\n\r\n")?;
                }
                _ => {
                    let body = connection.body(&head)?;
                    let from = head.field("x-forwarded-for").unwrap_or_default();
                    let scheme = head.field("x-forwarded-proto").unwrap_or_default();
                    let told =
                        format!("{} {from} {scheme} {}", head.method(), String::from_utf8_lossy(&body));
                    connection.send(ok(told.as_bytes()))?;
                }
            }
        }
    })
}

/// A visitor from another address of this machine.
pub(super) fn visitor_from(from: [u8; 4], port: u16) -> Conversation {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("an address of this machine");
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("the relay listens");
    Conversation::over(socket.into())
}

pub(super) fn stop(relay: &mut Relay) {
    relay.program.signal(Signal::TERM);
    assert_eq!(relay.program.code(), 0, "{:?}", relay.program);
}

#[test]
fn an_agent_at_one_of_three_relays_is_visited_through_each_and_logged_once() {
    let Some(redis) = RedisServer::start() else { return };
    let homes = [(); 3].map(|()| Home::new());
    let logs = homes.each_ref().map(|home| home.path("access.log").display().to_string());
    let mut relays = logs.each_ref().map(|log| relay(&redis.url(), &["--access-log", log]));
    let (step, next) = channel();
    let agent = Agent::start(&relays[0], service(next).port, &["--service", "web"]);
    let host = agent.host();
    for (at, relay) in relays.iter().enumerate() {
        until(relay, host, "GET 127.0.0.1 http ");
        let mut visitor = visitor_from([127, 0, 0, 7], relay.port);
        let post = request(
            host,
            "POST",
            &format!("/through/{at}"),
            &["Content-Length: 4", "X-Forwarded-For: 6.6.6.6"],
        );
        visitor.send(post + "data").expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let body = visitor.body(&head).expect("a whole answer");
        assert_eq!(String::from_utf8_lossy(&body), "POST 127.0.0.7 http data");
        // Events come one by one.
        visitor.send(request(host, "GET", "/events", &[])).expect("the relay reads");
        assert_eq!(visitor.head().expect("an answer").status(), 200);
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            assert_eq!(visitor.chunk().expect("an event"), event.as_bytes());
            step.send(()).expect("the service waits");
        }
        assert!(visitor.chunk().expect("the end").is_empty());
        let upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let mut socket = relay.visit();
        socket.send(request(host, "GET", "/ws", &upgrade)).expect("the relay reads");
        assert_eq!(socket.head().expect("an answer").status(), 101);
        for message in ["first", "other"] {
            socket.send(message).expect("the service reads");
            assert_eq!(socket.take(5).expect("an echo"), message.as_bytes());
        }
    }
    drop(agent);
    relays.iter_mut().for_each(stop);
    for (at, log) in logs.iter().enumerate() {
        let text = fs::read_to_string(log).expect("a log");
        let posts: Vec<&str> = text.lines().filter(|line| line.contains("POST /through/")).collect();
        assert_eq!(posts.len(), 1, "{posts:?}");
        assert!(
            posts[0].starts_with("127.0.0.7 ") && posts[0].contains(&format!("POST /through/{at} ")),
            "{posts:?}"
        );
    }
}

#[test]
fn when_the_relay_of_an_agent_is_killed_another_one_has_it_and_visitors_find_it_there() {
    let Some(redis) = RedisServer::start() else { return };
    let [mut a, b, c] = [(); 3].map(|()| relay(&redis.url(), &[]));
    let origin = Origin::saying(b"here");
    let agent = Agent::start(&a, origin.port, &["--standby-relay", &b.url()]);
    let host = agent.host();
    until(&b, host, "here");
    until(&c, host, "here");
    a.program.kill();
    // Before the link is gone, a visitor may see that.
    until(&b, host, "here");
    until(&c, host, "here");
    for _ in 0..20 {
        assert_eq!((visit(&b, host), visit(&c, host)), ("here".to_owned(), "here".to_owned()));
    }
}

#[test]
fn what_is_connected_goes_on_without_redis_and_is_registered_again_when_it_is_back() {
    let Some(mut redis) = RedisServer::start() else { return };
    let [mut a, mut b] = [(); 2].map(|()| relay(&redis.url(), &[]));
    let origin = Origin::saying(b"here");
    let agent = Agent::start(&a, origin.port, &[]);
    let visit_both = || assert_eq!([visit(&a, agent.host()), visit(&b, agent.host())], ["here", "here"]);
    until(&b, agent.host(), "here");
    redis.kill();
    visit_both();
    assert!(a.program.tells("cluster_lost", PATIENCE) && b.program.tells("cluster_lost", PATIENCE));
    let visit_both = || assert_eq!([visit(&a, agent.host()), visit(&b, agent.host())], ["here", "here"]);
    visit_both();
    // One that logs in meanwhile is the relay's own for now.
    let other = Agent::start(&b, origin.port, &[]);
    assert_eq!([visit(&a, other.host()), visit(&b, other.host())], ["503", "here"]);
    redis.restart();
    let deadline = Instant::now() + PATIENCE;
    while visit(&a, other.host()) != "here" {
        visit_both();
        assert!(Instant::now() < deadline, "{:?}", b.program);
    }
    visit_both();
    for transcript in [&a, &b].map(|relay| relay.program.transcript()) {
        let count = |event: &str| transcript.matches(&format!("\"{event}\"")).count();
        assert_eq!((count("cluster_lost"), count("cluster_back")), (1, 1), "{transcript}");
    }
}

/// A service at one relay whose owner starts it anew at another one, beside one of somebody else. Visitors of the other one reach both.
pub(crate) struct Contested {
    pub(crate) first: Agent,
    pub(crate) witness: Agent,
    /// Of the first agent.
    pub(crate) host: String,
    /// What the next one is to serve.
    pub(crate) newer: Origin,
}

impl Contested {
    pub(crate) fn start(at: &Relay, other: &Relay) -> Self {
        let [older, newer, beside] = [&b"older"[..], b"newer", b"other"].map(Origin::saying);
        let first = Agent::start_in(Home::of(&Key::from_seed(OWNER)), at, older.port, &[]);
        let witness = Agent::start(at, beside.port, &[]);
        let host = first.host().to_owned();
        until(other, &host, "older");
        until(other, witness.host(), "other");
        Self { first, witness, host, newer }
    }
}

#[test]
fn a_relay_that_stood_still_serves_nothing_that_another_one_has_taken_over() {
    let Some(redis) = RedisServer::start() else { return };
    let [a, b] = [(); 2].map(|()| relay(&redis.url(), &[]));
    let Contested { mut first, witness, host, newer } = Contested::start(&a, &b);
    a.program.signal(Signal::STOP);
    let second = Agent::start_in(Home::of(&Key::from_seed(OWNER)), &b, newer.port, &[]);
    assert_eq!(
        (second.host().split(':').next(), visit(&b, &host).as_str()),
        (host.split(':').next(), "newer")
    );
    // Nobody is led to the relay that stands still any more.
    until(&b, witness.host(), "503");
    // These wait in its queue, and are the first that it sees.
    let waiting: Vec<Conversation> = (0..8)
        .map(|_| {
            let mut visitor = a.visit();
            visitor.send(request(&host, "GET", "/", &["Connection: close"])).expect("the system takes it");
            visitor
        })
        .collect();
    a.program.signal(Signal::CONT);
    for mut visitor in waiting {
        let head = visitor.head().expect("an answer");
        let body = visitor.body(&head).expect("a whole answer");
        assert!(head.status() == 503 || body == b"newer", "{}", String::from_utf8_lossy(&body));
    }
    until(&a, &host, "newer");
    until(&b, witness.host(), "other");
    assert_eq!(first.program.code(), 5, "its service was taken over: {:?}", first.program);
    assert_eq!((visit(&a, &host), visit(&b, &host)), ("newer".to_owned(), "newer".to_owned()));
}

#[test]
fn only_relays_of_the_cluster_are_linked_and_callers_reach_private_services_through_each() {
    let Some(redis) = RedisServer::start() else { return };
    let [a, b] = [(); 2].map(|()| relay(&redis.url(), &[]));
    // One with another identity, which nobody has named.
    let (url, port) = (redis.url(), nobody());
    let address = format!("ws://127.0.0.1:{port}");
    let stranger = Relay::start_in(Home::new(), port, &["--cluster", &url, "--cluster-address", &address]);
    let origin = Origin::answering(|_, _| answer("200 OK", &[], b"private"));
    let caller = Key::from_seed([33; 32]);
    let to = caller.address().to_string();
    let agent = Agent::start(&a, origin.port, &["--private", "--allow", &to]);
    let public = Agent::start(&a, origin.port, &[]);
    until(&b, public.host(), "private");
    let owner = agent.ready["address"].as_str().expect("an address").to_owned();
    let home = Home::of(&caller);
    let mut forward: Program =
        home.start(&["forward", &format!("{owner}/web"), "--json", "--relay", &b.url()]);
    let listen = forward.event("forwarding")["listen"].as_str().expect("a place").to_owned();
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let asked = ask(port, &request("x", "GET", "/", &["Connection: close"])).expect("an answer");
    assert_eq!(asked, (200, "private".to_owned()));
    assert_eq!(visit(&stranger, public.host()), "503");
    assert!(redis.ask("HLEN hvym_tunnel:{cluster}:relays").starts_with(":3"));
}

#[test]
fn an_agent_whose_settings_name_standby_relays_moves_to_one_when_its_relay_is_killed() {
    let Some(redis) = RedisServer::start() else { return };
    let [mut a, b] = [(); 2].map(|()| relay(&redis.url(), &[]));
    let (origin, home) = (Origin::saying(b"here"), Home::new());
    let settings = format!(
        "[[link]]\nrelay = \"{}\"\nstandby_relays = [\"{}\"]\n\n[[service]]\nname = \"web\"\ntarget = \"{}\"\n",
        a.url(),
        b.url(),
        origin.port
    );
    fs::create_dir_all(home.path("config/hvym-tunnel")).expect("a folder takes a folder");
    fs::write(home.path("config/hvym-tunnel/config.toml"), settings).expect("a folder takes a file");
    let mut agent = home.start(&["up", "--json"]);
    let ready = agent.event("ready");
    let host = host_of(ready["url"].as_str().expect("a URL"));
    until(&b, host, "here");
    a.program.kill();
    until(&b, host, "here");
    // By a session of its own: the lease of the other is over.
    until_alone(&redis);
    until(&b, host, "here");
}

/// Waits until one relay is left.
fn until_alone(redis: &RedisServer) {
    let deadline = Instant::now() + PATIENCE;
    while !redis.ask("HLEN hvym_tunnel:{cluster}:relays").starts_with(":1") {
        assert!(Instant::now() < deadline, "there are more");
        std::thread::sleep(Duration::from_millis(20));
    }
}
