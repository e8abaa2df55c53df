//! What visitors of real tunely servers get of a service that our agent exposes there.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use hvym_tunnel_tests::Door;
use hvym_tunnel_tests::apps::pattern;
use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer, nobody, ok};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunely::{Mode, NEW, OLD, Server};
use serde_json::{Value, json};

use super::Exposed;

const MIB: usize = 1024 * 1024;

/// What the local service is told by the test, and tells it.
struct Service {
    origin: Origin,
    /// Opened, it lets the slow request be answered.
    slow: Door,
    /// Events for whoever asked for them.
    events: Sender<String>,
    /// A request of the slow kind has arrived.
    asked: Mutex<Receiver<()>>,
}

impl Service {
    fn start() -> Self {
        let (slow, (events, coming), (tell, asked)) = (Door::default(), channel::<String>(), channel());
        let (door, coming) = (slow.clone(), Mutex::new(coming));
        let origin = Origin::start(move |mut connection| {
            loop {
                let head = connection.head()?;
                let body = connection.body(&head)?;
                match head.target() {
                    "/slow" => {
                        let _nobody = tell.send(());
                        door.pass();
                        connection.send(ok(b"at last"))?;
                    }
                    "/events" => {
                        let head =
                            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
                        connection.send(head)?;
                        let coming = coming.lock().expect("no other request panicked");
                        while let Ok(event) = coming.recv_timeout(PATIENCE) {
                            if event.is_empty() {
                                return connection.finish();
                            }
                            connection.send(format!("data: {event}\n\n"))?;
                        }
                        return Ok(());
                    }
                    _ => connection.send(answered(&head, &body))?,
                }
            }
        });
        Service { origin, slow, events, asked: Mutex::new(asked) }
    }

    fn target(&self) -> String {
        self.origin.port.to_string()
    }
}

/// What the service answers to everything that is neither slow nor a stream.
fn answered(head: &Head, body: &[u8]) -> Vec<u8> {
    let text = ("Content-Type", "text/plain; charset=utf-8");
    match head.target() {
        "/cookies" => {
            let cookies = [text, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; HttpOnly")];
            answer("200 OK", &cookies, b"two")
        }
        "/large" => answer("200 OK", &[text], &large()),
        "/binary" => answer("200 OK", &[("Content-Type", "application/octet-stream")], &pattern(3, 100_000)),
        "/coding" => {
            let coding = head.field("accept-encoding").unwrap_or("none").to_owned();
            answer("200 OK", &[text], coding.as_bytes())
        }
        "/gone" => answer("410 Gone", &[text], b"no more"),
        _ => answer("200 OK", &[("Content-Type", "application/json")], body),
    }
}

/// 3 MiB of text that does not repeat soon.
fn large() -> Vec<u8> {
    pattern(7, 3 * MIB).into_iter().map(|byte| b'a' + byte % 26).collect()
}

/// A server with a tunnel, and our agent there.
fn tunnelled(version: &'static str, mode: Mode, service: &Service) -> Option<(Server, Exposed)> {
    let server = Server::start(version)?;
    let token = server.tunnel(mode);
    let mut exposed = Exposed::start(&service.target(), &server.url(), "tunely", &token, &[]);
    let ready = exposed.ready();
    // The older one has no paths for tunnels, and a domain.
    let place = match version {
        OLD => format!("agent.localhost:{}", server.port),
        _ => format!("127.0.0.1:{}/t/agent/", server.port),
    };
    assert_eq!(ready["url"], format!("http://{place}"));
    assert!(ready.get("address").is_none(), "an identity that nobody is told: {ready}");
    assert_eq!(server.tunnel_info()["connected"], true);
    Some((server, exposed))
}

/// What every visitor gets, whatever carries it.
fn text_passes(server: &Server, mode: Mode) {
    let get = |target: &str| server.ask(mode, "GET", target, &[], b"").expect("an answer");
    // Spelled as the server would spell it: by messages it reads a question that is JSON, and writes it anew.
    let spaced = br#"{"a": 1.0, "b": [1, 2], "c": "\u00e9"}"#;
    let lines = ["Content-Type: application/json"];
    let (head, body) = server.ask(mode, "POST", "/echo", &lines, spaced).expect("an answer");
    assert_eq!((head.status(), &body[..]), (200, &spaced[..]));
    assert_eq!(head.field("content-type"), Some("application/json"));
    let (head, body) = get("/gone");
    assert_eq!((head.status(), &body[..]), (410, &b"no more"[..]));
    let (head, body) = get("/large");
    assert_eq!(head.status(), 200);
    assert!(body == large(), "{} bytes", body.len());
}

/// Nine quick requests beside one that is not answered yet.
fn nobody_waits_for_another(server: &Server, mode: Mode, service: &Service) {
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| server.ask(mode, "GET", "/slow", &[], b""));
        service.asked.lock().expect("no panic").recv_timeout(PATIENCE).expect("the slow one arrives");
        let quick: Vec<_> = (0..9)
            .map(|n| {
                let sent = format!("{{\"n\": {n}}}");
                scope.spawn(move || {
                    let (head, body) =
                        server.ask(mode, "POST", "/echo", &[], sent.as_bytes()).expect("an answer");
                    assert_eq!((head.status(), body), (200, sent.into_bytes()));
                })
            })
            .collect();
        for thread in quick {
            thread.join().expect("each quick one is answered while the slow one waits");
        }
        service.slow.open();
        let (head, body) = slow.join().expect("no panic").expect("an answer");
        assert_eq!((head.status(), &body[..]), (200, &b"at last"[..]));
    });
}

#[test]
fn a_visitor_of_a_servers_tcp_port_has_every_byte_as_the_service_sent_it() {
    let service = Service::start();
    let Some((server, mut exposed)) = tunnelled(NEW, Mode::Tcp, &service) else { return };
    let mode = Mode::Tcp;
    text_passes(&server, mode);
    let sent: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let (_, body) = server.ask(mode, "POST", "/echo", &[], &sent).expect("an answer");
    assert!(body == sent, "{} bytes", body.len());
    let (_, body) = server.ask(mode, "GET", "/binary", &[], b"").expect("an answer");
    assert!(body == pattern(3, 100_000), "{} bytes", body.len());
    let (head, _) = server.ask(mode, "GET", "/cookies", &[], b"").expect("an answer");
    assert_eq!(head.all("set-cookie"), ["a=1; Path=/", "b=2; HttpOnly"]);
    let (_, coding) = server.ask(mode, "GET", "/coding", &["Accept-Encoding: gzip"], b"").expect("an answer");
    assert_eq!(coding, b"gzip");
    let (mut visitor, head) = server.visit(mode, "GET", "/events", &[]);
    visitor.send(head).expect("the server reads");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
    for event in ["one", "two"] {
        service.events.send(event.to_owned()).expect("the service waits");
        assert_eq!(visitor.line().expect("an event"), format!("data: {event}"));
        assert_eq!(visitor.line().expect("its end"), "");
    }
    service.events.send(String::new()).expect("the service waits");
    assert_eq!(visitor.rest().expect("an end"), b"");
    nobody_waits_for_another(&server, mode, &service);
    let told = exposed.program.event("request");
    assert_eq!(
        (&told["method"], &told["path"], &told["status"]),
        (&json!("POST"), &json!("/echo"), &json!(200))
    );
}

/// What the server would have to keep for a visitor who reads nothing: more than 64 messages of 1 MiB.
const DOWNLOAD: usize = 100 * MIB;

#[test]
fn a_visitor_who_reads_nothing_until_all_is_sent_gets_a_download_of_a_hundred_mebibytes() {
    let Some(server) = Server::start(NEW) else { return };
    let token = server.tunnel(Mode::Tcp);
    let (sent, all_sent) = channel();
    let part = pattern(11, MIB);
    let origin = Origin::start(move |mut connection| {
        connection.head()?;
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD}\r\n\r\n"))?;
        (0..DOWNLOAD / MIB).try_for_each(|_| connection.send(&part))?;
        let _nobody = sent.send(());
        // The visitor's end, or the server's, ends it.
        connection.rest().map(drop)
    });
    let mut exposed = Exposed::start(&origin.port.to_string(), &server.url(), "tunely", &token, &[]);
    exposed.ready();
    let (mut visitor, head) = server.visit(Mode::Tcp, "GET", "/", &[]);
    visitor.send(head).expect("the server reads");
    all_sent.recv_timeout(PATIENCE).expect("the agent takes all of it");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
    let part = pattern(11, MIB);
    for number in 0..DOWNLOAD / MIB {
        let got = visitor.take(MIB).unwrap_or_else(|error| panic!("cut off after {number} MiB: {error}"));
        assert!(got == part, "MiB {number}");
    }
}

#[test]
fn a_visitor_by_messages_has_every_text_as_the_service_sent_it() {
    for version in [NEW, OLD] {
        let (service, mode) = (Service::start(), Mode::Http);
        let Some((server, _exposed)) = tunnelled(version, mode, &service) else { return };
        text_passes(&server, mode);
        // What is compressed is no text: nothing compressed is asked for, whatever the visitor can take.
        let (_, coding) =
            server.ask(mode, "GET", "/coding", &["Accept-Encoding: gzip"], b"").expect("an answer");
        assert_eq!(coding, b"identity", "{version}");
        let (head, page) = server.ask(mode, "GET", "/binary", &[], b"").expect("an answer");
        let page = String::from_utf8(page).expect("text");
        assert!(head.status() == 502 && page.contains("no text in UTF-8"), "{version}: {head:?} {page}");
        nobody_waits_for_another(&server, mode, &service);
        events_come_one_by_one(&server, &service);
    }
}

#[test]
fn an_upload_that_fits_no_message_is_refused_and_the_agent_stays() {
    for version in [NEW, OLD] {
        let (service, mode) = (Service::start(), Mode::Http);
        let Some((server, exposed)) = tunnelled(version, mode, &service) else { return };
        let body = vec![b'x'; 17 * MIB];
        let (head, page) = server.ask(mode, "POST", "/echo", &[], &body).expect("an answer");
        let page = String::from_utf8(page).expect("text");
        assert!(head.status() == 413 && page.contains("16 MiB"), "{version}: {head:?} {page}");
        let (head, body) = server.ask(mode, "POST", "/echo", &[], b"small").expect("an answer");
        assert_eq!((head.status(), &body[..]), (200, &b"small"[..]), "{version}");
        assert!(!exposed.program.transcript().contains("disconnected"), "{version}: {exposed:?}");
    }
}

/// The server wraps each event in one of its own, and sends it when it comes.
fn events_come_one_by_one(server: &Server, service: &Service) {
    let (mut visitor, head) = server.visit(Mode::Http, "GET", "/events", &["Accept: text/event-stream"]);
    visitor.send(head).expect("the server reads");
    let head = visitor.head().expect("an answer");
    assert_eq!(head.status(), 200);
    for event in ["one", "two"] {
        service.events.send(event.to_owned()).expect("the service waits");
        until(&mut visitor, event).expect("the event, before the next is sent");
    }
    service.events.send(String::new()).expect("the service waits");
    until(&mut visitor, "event: done").expect("the end");
}

fn until(visitor: &mut Conversation, words: &str) -> io::Result<()> {
    const MOST_LINES: usize = 100;
    for _ in 0..MOST_LINES {
        if visitor.line()?.contains(words) {
            return Ok(());
        }
    }
    Err(io::Error::other(format!("no {words} in {MOST_LINES} lines")))
}

#[test]
fn a_service_that_is_not_there_is_said_to_visitors_and_to_its_owner() {
    for (version, mode) in [(NEW, Mode::Tcp), (NEW, Mode::Http), (OLD, Mode::Http)] {
        let Some(server) = Server::start(version) else { return };
        let (token, target) = (server.tunnel(mode), nobody().to_string());
        let mut exposed = Exposed::start(&target, &server.url(), "tunely", &token, &[]);
        exposed.ready();
        let (head, page) = server.ask(mode, "GET", "/", &[], b"").expect("an answer");
        let page = String::from_utf8(page).expect("text");
        assert_eq!(head.status(), 502, "{version} {mode:?}: {page}");
        assert!(page.contains("HT-502-refused") && !page.contains(&target), "{version} {mode:?}: {page}");
        let told: Value = exposed.program.event("upstream_unreachable");
        assert!(told["target"].as_str().is_some_and(|at| at.contains(&target)), "{told}");
    }
}

#[test]
fn a_service_that_takes_too_long_is_given_up_and_holds_nobody_up() {
    for version in [NEW, OLD] {
        let (service, mode) = (Service::start(), Mode::Http);
        let Some(server) = Server::start_with(version, &[("TUNELY_REQUEST_TIMEOUT", "2")]) else { return };
        let token = server.tunnel(mode);
        let mut exposed = Exposed::start(&service.target(), &server.url(), "tunely", &token, &[]);
        exposed.ready();
        let (head, _) = server.ask(mode, "GET", "/slow", &[], b"").expect("an answer");
        assert_eq!(head.status(), 504, "{version}");
        // The agent knows how long the visitor waits, and lets the service go too.
        let told = exposed.program.event("request");
        assert_eq!((&told["path"], &told["status"]), (&json!("/slow"), &json!(499)), "{version}: {told}");
        let (head, _) = server.ask(mode, "GET", "/gone", &[], b"").expect("an answer");
        assert_eq!(head.status(), 410, "{version}");
        service.slow.open();
    }
}

#[test]
fn bytes_of_a_service_that_is_no_http_pass_by_the_servers_tcp_port() {
    let Some(server) = Server::start(NEW) else { return };
    let token = server.tunnel(Mode::Tcp);
    let target = format!("tcp://localhost:{}", Origin::echo().port);
    let mut exposed = Exposed::start(&target, &server.url(), "tunely", &token, &[]);
    assert_eq!(exposed.ready()["url"], "agent");
    let mut visitor = Conversation::dial(server.tcp_port);
    let sent = pattern(5, MIB);
    let mut writer = visitor.writer();
    std::thread::scope(|scope| {
        scope.spawn(|| io::Write::write_all(&mut writer, &sent).expect("it is read"));
        let back = visitor.take(sent.len()).expect("it comes back");
        assert!(back == sent);
    });
    drop((visitor, writer));
    let told = exposed.program.event("connection");
    assert_eq!((&told["received"], &told["sent"]), (&json!(MIB), &json!(MIB)));
}
