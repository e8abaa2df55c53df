//! Updates as they happen.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use hvym_websocket::{Input, Received, WebSocket};
use serde_json::Value;

use crate::world::{Managed, Ollama, PATIENCE, World, service};

/// A listener over a WebSocket.
struct Live {
    tcp: TcpStream,
    websocket: WebSocket,
    input: Input,
}

impl Live {
    /// Connects as a page does, with the token as a subprotocol.
    fn open(managed: &Managed) -> Self {
        let mut tcp = TcpStream::connect(managed.at).expect("it listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let protocol = format!("token-{}", managed.token);
        write!(
            tcp,
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {protocol}\r\nOrigin: http://{}\r\n\r\n",
            managed.at, managed.at
        )
        .expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).expect("it answers");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        // RFC 6455 section 1.3 has this key and this answer.
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        assert!(
            head.contains(&format!("sec-websocket-protocol: {}\r\n", protocol.to_ascii_lowercase())),
            "{head}"
        );
        Self { tcp, websocket: WebSocket::client([7; 32], 1 << 20), input: Input::new(Vec::new()) }
    }

    fn next(&mut self) -> Value {
        loop {
            match self.websocket.read(&mut self.input).expect("frames") {
                Some(Received::Text(text)) => return serde_json::from_slice(&text).expect("JSON"),
                Some(other) => panic!("{other:?}"),
                None => {
                    let mut buffer = vec![0; 64 * 1024];
                    let count = self.tcp.read(&mut buffer).expect("an update");
                    assert!(count > 0, "it ended");
                    buffer.truncate(count);
                    self.input = Input::new(buffer);
                }
            }
        }
    }

    /// The next update of this kind that is as wanted.
    fn until(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let update = self.next();
            if update["type"] == kind && wanted(&update) {
                return update;
            }
            assert!(Instant::now() < deadline, "{kind} does not come");
        }
    }
}

#[test]
fn a_service_that_dies_and_returns_is_told_at_once_with_an_alert_that_is_cleared() {
    let (world, ollama) = (World::new(), Ollama::start(0));
    let port = ollama.port;
    let mut llm = service("ollama", port);
    llm.probe = hvym_tunnel_manager::settings::ServiceProbe::Ollama;
    let managed = world.manage(vec![world.link("home", vec![llm])]);
    managed.wait("the checks", |status| status["connections"]["ollama"]["connected"] == true);
    let mut live = Live::open(&managed);
    let first = live.next();
    assert_eq!(
        (&first["type"], &first["status"]["connections"]["ollama"]["connected"]),
        (&"status_update".into(), &true.into())
    );
    assert!(first["latency"].is_number() && first["timestamp"].is_string(), "{first:#}");

    drop(ollama);
    let of_ollama = |update: &Value| update["connection"] == "ollama";
    let lost = live.until("status_update", |update| {
        of_ollama(update) && update["status"]["connections"]["ollama"]["connected"] == false
    });
    assert_eq!(lost["status"]["connections"]["ollama"]["quality"], "Critical");
    let alert = live.until("alert", |update| update["alert"]["subject"] == "ollama");
    assert_eq!(
        (&alert["alert"]["kind"], &alert["alert"]["cleared_at"]),
        (&"disconnected".into(), &Value::Null)
    );

    let _again = Ollama::start(port);
    live.until("alert", |update| update["alert"]["cleared_at"].is_string());
    let alerts = managed.manager.alerts();
    assert!(alerts.active.iter().all(|alert| alert.subject != "ollama"), "{alerts:?}");
    world.end(managed);
}

#[test]
fn updates_are_numbered_and_tell_requests_models_states_and_metrics() {
    let (world, ollama) = (World::new(), Ollama::start(0));
    let managed = world.manage(vec![world.link("home", vec![service("web", ollama.port)])]);
    let url = managed.url("web");
    let mut live = Live::open(&managed);
    let first = live.next()["sequence"].as_u64().expect("a number");
    world.visit(&url);
    let request = live.until("request", |_| true);
    assert_eq!((&request["request"]["service"], &request["request"]["status"]), (&"web".into(), &200.into()));
    assert!(request["sequence"].as_u64() > Some(first));
    let new = format!(r#"{{"name":"llm","target":"127.0.0.1:{}","probe":"ollama"}}"#, ollama.port);
    assert_eq!(managed.call("POST", "/api/v1/services", &new).status, 201);
    let models = live.until("model_update", |update| update["connection"] == "llm");
    assert_eq!(models["models"][0], "llama2:latest");
    assert_eq!(managed.call("POST", "/api/tunnel/stop", "").status, 200);
    live.until("state", |update| update["state"] == "disconnected" && update["link"]["name"] == "home");
    let metrics = live.until("metrics_update", |_| true);
    assert!(metrics["metrics"]["tunnel_metrics"]["memoryUsageMB"].is_number(), "{metrics:#}");
    world.end(managed);
}

#[test]
fn updates_come_as_server_sent_events_too() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let mut tcp = TcpStream::connect(managed.at).expect("it listens");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (at, token) = (managed.at, &managed.token);
    write!(tcp, "GET /api/v1/events HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .expect("it reads");
    let mut lines = BufReader::new(&tcp).lines().map(|line| line.expect("a line"));
    assert!(lines.by_ref().any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")));
    let first =
        lines.by_ref().find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).expect("an event");
    let first: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(first["type"], "status_update");
    assert_eq!(managed.call("POST", "/api/tunnel/stop", "").status, 200);
    assert!(lines.any(|line| line.starts_with("data: ") && line.contains("\"type\":\"state\"")));
    drop(tcp);
    world.end(managed);
}

#[test]
fn what_is_no_websocket_is_told_so() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let answer = managed.call("GET", "/ws", "");
    assert_eq!((answer.status, answer.field("upgrade")), (426, Some("websocket")));
    world.end(managed);
}
