//! What visitors and strangers should not get through, toward every kind of agent.

use std::net::TcpStream;

use hvym_tunnel_tests::guests::{Guest, PYTHON, cloud_relay, relay_with};
use hvym_tunnel_tests::http::Conversation;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::{Value, json};
use tungstenite::Message;

use super::{TOKEN, TUNELY, answer, ask, hvym};

/// One kind of agent that is let in, and its visitors' way to it.
struct Place {
    relay: Relay,
    agent: Guest,
    host: String,
    kind: &'static str,
}

impl Place {
    /// All kinds that carry requests in messages.
    fn all() -> Vec<Place> {
        let mut places = Vec::new();
        let relay = relay_with(TUNELY, &[]);
        let agent = Guest::tunely(&relay, TOKEN, false);
        places.push(Place { relay, agent, host: "app.localhost".to_owned(), kind: "request" });
        let relay = cloud_relay("");
        let agent = Guest::cloud(&relay, &super::cloud::good("app"));
        let mut place = Place { relay, agent, host: "app.localhost".to_owned(), kind: "http_request" };
        place.relay.program.event("agent_joined");
        places.push(place);
        let relay = Relay::start(&[]);
        let (mut agent, _) = hvym::logged_in(&relay);
        hvym::bind(&mut agent);
        places.push(Place { relay, agent, host: hvym::host(), kind: "tunnel_request" });
        places
    }

    /// What the agent is asked: its target and its fields.
    fn asked(&mut self) -> (String, Value) {
        let asked = self.agent.hears(self.kind);
        let request = if self.kind == "tunnel_request" { &asked["request"] } else { &asked };
        let mut target = request["path"].as_str().expect("a path").to_owned();
        if let Some(query) = request["query_string"].as_str().filter(|query| !query.is_empty()) {
            target = format!("{target}?{query}");
        }
        let fields = request["headers"].clone();
        let id = asked["id"].clone();
        self.agent.tell(&match self.kind {
            "request" => json!({"type": "response", "id": id, "status": 200, "headers": {}, "body": "ok"}),
            "http_request" => {
                json!({"type": "http_response", "id": id, "status": 200, "headers": {}, "body": "ok"})
            }
            _ => json!({"type": "tunnel_response", "stream_id": asked["stream_id"],
                        "response": {"status_code": 200, "headers": {}, "body": "ok"}}),
        });
        (target, fields)
    }

    fn visit(&self, head: &str) -> Conversation {
        let mut visitor = self.relay.visit();
        visitor.send(head.replace("{host}", &self.host)).expect("the relay reads");
        visitor
    }
}

#[test]
fn a_path_reaches_the_agent_as_it_was_sent_or_not_at_all() {
    for mut place in Place::all() {
        for target in [
            "/..%2f..%2fetc/passwd",
            "/a/../b",
            "/%2e%2e/",
            "//evil.example/x",
            "/x@evil.example/",
            "/a?b=c%20d&e",
        ] {
            let mut visitor = ask(&place.relay, &place.host, "GET", target, &[]);
            assert_eq!(place.asked().0, target, "{}", place.kind);
            assert_eq!(answer(&mut visitor).0.status(), 200);
        }
        // One agent puts a path behind its own address as it is: what does not begin with / would change the host.
        for target in ["@evil.example/", "evil.example:80", "*", "x"] {
            let mut visitor = ask(&place.relay, &place.host, "GET", target, &[]);
            let status = visitor.head().expect("an answer").status();
            assert!((400..500).contains(&status), "{} {target}: {status}", place.kind);
        }
        let absolute = format!("http://{}/whole", place.host);
        let mut visitor = ask(&place.relay, "evil.example", "GET", &absolute, &[]);
        assert_eq!(place.asked().0, "/whole", "{}", place.kind);
        assert_eq!(answer(&mut visitor).0.status(), 200);
    }
}

#[test]
fn what_two_programs_would_read_differently_reaches_nobody() {
    for mut place in Place::all() {
        for head in [
            "POST /smuggled HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST /smuggled HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
            "POST /smuggled HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "GET /smuggled HTTP/1.1\r\nHost: {host}\r\nX-A: b\rX-Evil: c\r\n\r\n",
            "GET /smuggled HTTP/1.1\r\nHost: {host}\r\nX-A: b\n X-Evil: c\r\n\r\n",
            "GET /smuggled HTTP/1.1\r\nHost: {host}\r\nHost: other.localhost\r\n\r\n",
            "GET /smuggled HTTP/1.1\r\nHost: {host}\r\nX-A : b\r\n\r\n",
            "GET /smuggled\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        ] {
            let status = place.visit(head).head().expect("an answer").status();
            assert!((400..502).contains(&status), "{} {head:?}: {status}", place.kind);
        }
        // Nothing of it came: the next thing that the agent hears is what comes now.
        let mut visitor = ask(
            &place.relay,
            &place.host,
            "GET",
            "/next",
            &["X-Forwarded-For: 1.2.3.4", "Connection: x-mine", "X-Mine: 1"],
        );
        let (target, fields) = place.asked();
        assert_eq!(target, "/next", "{}", place.kind);
        assert!(!fields.to_string().contains("1.2.3.4") && fields.get("x-mine").is_none(), "{fields}");
        assert_eq!(answer(&mut visitor).0.status(), 200);
    }
}

#[test]
fn an_answer_cannot_put_fields_or_answers_of_its_own_beside_it() {
    for mut place in Place::all() {
        for (status, headers) in [
            (json!(200), json!({"X-A": "b\r\nX-Evil: c"})),
            (json!(200), json!({"X-A\r\nX-Evil": "c"})),
            (json!(200), json!({"Content-Length": "0", "Transfer-Encoding": "chunked"})),
            (json!(101), json!({"Upgrade": "evil"})),
            (json!(0), json!({})),
            (json!("200 OK\r\nX-Evil: c"), json!({})),
        ] {
            let mut visitor = ask(&place.relay, &place.host, "GET", "/", &["Connection: close"]);
            let asked = place.agent.hears(place.kind);
            let id = asked["id"].clone();
            place.agent.tell(&match place.kind {
                "request" => json!({"type": "response", "id": id, "status": status, "headers": headers, "body": "body"}),
                "http_request" => {
                    json!({"type": "http_response", "id": id, "status": status, "headers": headers, "body": "body"})
                }
                _ => json!({"type": "tunnel_response", "stream_id": asked["stream_id"],
                            "response": {"status_code": status, "headers": headers, "body": "body"}}),
            });
            let head = visitor.head().expect("an answer");
            assert!(
                head.all("x-evil").is_empty() && head.status() != 101,
                "{} {headers}: {head:?}",
                place.kind
            );
            let body = visitor.body(&head).expect("the whole of it");
            assert!(head.status() != 200 || body == b"body", "{} {headers}: {head:?}", place.kind);
            assert!(visitor.rest().is_ok_and(|rest| rest.is_empty()), "{} {headers}", place.kind);
        }
    }
}

#[test]
fn a_stranger_at_the_door_gets_no_room_and_no_answer_of_use() {
    let relay = relay_with(TUNELY, &[]);
    for message in [
        Message::text("x".repeat(3 << 20)),
        Message::binary(vec![0; 3 << 20]),
        Message::text("[]"),
        Message::text("{\"type\":\"auth\"}"),
        Message::text("{\"type\":\"auth\",\"token\":7}"),
        Message::binary(vec![2, 1, 0]),
        Message::text("\u{0}"),
    ] {
        let mut stranger = Guest::dial(&relay, "/ws/tunnel", &[PYTHON]);
        let shown = format!("{message:?}").chars().take(40).collect::<String>();
        stranger.say(message);
        let (said, code, _) = stranger.end();
        assert!(said.iter().all(|word| word["type"] == "auth_error"), "{shown}: {said:?}");
        assert!((1002..=4999).contains(&code), "{shown}: {code}");
    }
    let mut agent = Guest::tunely(&relay, TOKEN, false);
    let mut visitor = ask(&relay, "app.localhost", "GET", "/", &[]);
    let asked = agent.hears("request");
    agent.tell(&json!({"type": "response", "id": asked["id"], "status": 204, "headers": {}, "body": ""}));
    assert_eq!(visitor.head().expect("an answer").status(), 204);
}

#[test]
fn without_guests_there_is_no_door_for_them() {
    let relay = Relay::start(&[]);
    let (head, _) = answer(&mut ask(&relay, "localhost", "GET", "/ws/tunnel", &[]));
    assert_eq!(head.status(), 404);
    assert!(Guest::try_dial(&relay, "/ws/tunnel", &[]).is_err());
    let relay = relay_with(TUNELY, &[]);
    let (head, _) = answer(&mut ask(&relay, "localhost", "GET", "/ws/tunnel", &[]));
    assert_eq!(head.status(), 426, "only a WebSocket is taken there");
    // Under a guest's own name the path is the guest's.
    let mut agent = Guest::tunely(&relay, TOKEN, false);
    let mut visitor = ask(&relay, "app.localhost", "GET", "/ws/tunnel", &[]);
    assert_eq!(agent.hears("request")["path"], "/ws/tunnel");
    drop(agent);
    assert_eq!(visitor.head().expect("an answer").status(), 503);
}

#[test]
fn no_token_comes_into_the_logs_however_much_is_logged() {
    let home = Home::new();
    let path = hvym_tunnel_tests::guests::write_config(&home, TUNELY);
    std::fs::write(home.path("jwks.json"), include_bytes!("../../golden/guests/jwks.json")).expect("a file");
    let mut command = home.command(&["relay", "--json", "--listen", "0", "--config", &path, "-vvv"]);
    command.env("HVYM_TUNNEL_LOG", "trace");
    let mut program = hvym_tunnel_tests::program::Program::start(command);
    let listening = program.event("listening");
    let port =
        listening["listen"].as_str().and_then(|at| at.rsplit(':').next()?.parse().ok()).expect("a port");
    let address = listening["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    let mut relay = Relay { program, port, address, home };
    let wrong = "tun_wrong-token-that-is-long-enough";
    let mut stranger = Guest::dial(&relay, &format!("/ws/tunnel?token={wrong}"), &[]);
    stranger.knock(wrong, true);
    stranger.end();
    let agent = Guest::tunely(&relay, TOKEN, true);
    relay.program.event("agent_joined");
    drop(agent);
    relay.program.event("agent_left");
    relay.program.signal(rustix::process::Signal::TERM);
    relay.program.event("stopped");
    assert_eq!(relay.program.code(), 0);
    let said = relay.program.transcript();
    assert!(said.contains("agent") && !said.contains(wrong) && !said.contains(TOKEN), "{said}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
