//! What neither a visitor, nor a client, nor a relay can do to the others.

use hvym_http1::RequestHead;
use hvym_tunnel_compat::bridge::{BridgeConfig, BridgeLimits, MessageBridge};
use hvym_tunnel_compat::dialect::{CallId, CallMessage, Dialect, Request};
use hvym_tunnel_core::link::OpenStreamError;
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::OpenError;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::talk::{steps, talk};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{agent_up, relay_up};

fn get(target: &str, extra: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{extra}\r\n")
}

#[test]
fn requests_that_two_readers_could_read_differently_never_leave() {
    let cases = [
        ("an absolute target", get("http://evil/", ""), 400),
        ("a host in front of the path", get("@evil/", ""), 400),
        ("no path", get("*", ""), 400),
        ("two lengths", get("/", "Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
        ("length and coding", get("/", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("another coding", get("/", "Transfer-Encoding: gzip, chunked\r\n"), 400),
        ("a bare control byte", get("/", "X: a\u{1}b\r\n"), 400),
        ("a folded line", get("/", "X: a\r\n b\r\n"), 400),
        ("a websocket", get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), 501),
        ("a proxy's connect", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501),
        ("no http", "\u{16}\u{3}\u{1}hello".to_owned(), 400),
    ];
    for (what, request, status) in cases {
        let mut relay = relay_up(None);
        let id = relay.ask(request.as_bytes());
        assert_eq!(relay.said(), Vec::<Value>::new(), "{what}");
        assert_eq!(relay.answer(id).status, status, "{what}");
        assert!(relay.machine.is_up(), "{what}");
    }
}

#[test]
fn what_a_visitor_encodes_stays_encoded_and_what_concerns_a_connection_stays_behind() {
    let mut relay = relay_up(None);
    let extra = "Connection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nExpect: 100-continue\r\n\
                 Proxy-Authorization: secret\r\nX-UPPER: Kept\r\nCookie: a=1\r\nCookie: b=2\r\nX-Latin: caf\u{e9}\r\n";
    relay.ask(get("/a/..%2f..%2fetc?x=%2F#y", extra).as_bytes());
    let asked = relay.said().remove(0);
    let request = &asked["request"];
    assert_eq!(request["path"], "/a/..%2f..%2fetc");
    assert_eq!(request["query_string"], "x=%2F%23y");
    let expected = json!({"x-upper": "Kept", "cookie": "a=1; b=2", "accept-encoding": "identity"});
    assert_eq!(request["headers"], expected);
}

#[test]
fn a_message_above_the_clients_limit_is_never_sent() {
    let mut relay = relay_up(None);
    let body = "a".repeat(2 << 20);
    let id = relay.ask(
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
    );
    assert_eq!(relay.answer(id).status, 413);
    // It fits as it is, and not as JSON.
    let body = "\u{1}".repeat(400_000);
    let id = relay.ask(
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
    );
    assert_eq!(relay.answer(id).status, 413);
    assert_eq!(relay.said(), Vec::<Value>::new());
    let body = "a".repeat(1_000_000);
    relay.ask(
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
    );
    assert_eq!(relay.said().len(), 1);
}

#[test]
fn an_answer_above_the_relays_limit_is_an_explanation_instead() {
    let mut agent = agent_up(None);
    agent.said();
    agent.hear(&json!({"type": "tunnel_request", "stream_id": 1, "request": {"method": "GET", "path": "/"}}));
    let (id, _) = agent.opened.pop().expect("opened");
    agent.write(id, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    for _ in 0..17 {
        agent.write(id, &vec![b'a'; 1 << 20]);
    }
    let said = agent.said();
    assert_eq!((said.len(), &said[0]["response"]["status_code"]), (1, &json!(502)));
    assert!(agent.machine.is_up());
}

#[test]
fn answers_that_no_visitor_may_see_become_an_explanation_at_once() {
    let response = |response: Value| response;
    let cases = [
        response(json!({"status_code": 999})),
        response(json!({"status_code": 101})),
        response(json!({"status_code": 0})),
        response(json!({"status_code": -1})),
        response(json!({"status_code": "200"})),
        response(json!({"headers": {"X-A": "1\r\nX-Evil: 2"}})),
        response(json!({"headers": {"X-A\r\nX-Evil": "1"}})),
        response(json!({"headers": {"X-A\n": "1"}})),
        response(json!({"headers": {"": "1"}})),
        response(json!({"headers": {"X-A": ["1"]}})),
        response(json!({"headers": {"X-A": "\u{2603}"}})),
        response(json!({"headers": [1]})),
        response(json!({"body": {"no": "text"}})),
        response(json!("nothing")),
        Value::Null,
    ];
    let mut relay = relay_up(None);
    for (case, n) in cases.into_iter().zip(1..) {
        let id = relay.ask(get("/", "").as_bytes());
        assert_eq!(relay.said().len(), 1);
        relay.hear(&json!({"type": "tunnel_response", "stream_id": n, "response": case}));
        let answer = relay.answer(id);
        assert_eq!(answer.status, 502, "{case}");
        assert!(answer.fields.iter().all(|(name, _)| !name.contains("Evil")), "{case}");
    }
    // A surrogate without its other half is no text; a stream that is closed has no answer.
    for text in [
        r#"{"type":"tunnel_response","stream_id":16,"response":{"status_code":200,"body":"\ud800"}}"#,
        r#"{"type":"stream_close","stream_id":17}"#,
    ] {
        let id = relay.ask(get("/", "").as_bytes());
        relay.said();
        relay.hear_text(text);
        assert_eq!(relay.answer(id).status, 502, "{text}");
    }
}

#[test]
fn lengths_and_codings_of_an_answer_are_said_anew() {
    let mut relay = relay_up(None);
    let lies = json!({"Content-Length": "10", "content-length": "2", "Transfer-Encoding": "chunked", "KEEP-ALIVE": "x",
                      "Te": "y", "Connection": "X-Own", "X-Own": "1", "Content-Encoding": "gzip", "X-Ok": "1"});
    let id = relay.ask(get("/", "").as_bytes());
    relay.said();
    relay.hear(
        &json!({"type": "tunnel_response", "stream_id": 1, "response": {"headers": lies, "body": "abc"}}),
    );
    let answer = relay.answer(id);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(answer.fields, [pair("X-Ok", "1"), pair("Content-Length", "3"), pair("Connection", "close")]);
    for (method, status, body) in [("HEAD", 200, ""), ("GET", 204, "abc"), ("GET", 304, "abc")] {
        let id = relay.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let stream_id = relay.said().remove(0)["stream_id"].clone();
        relay.hear(&json!({"type": "tunnel_response", "stream_id": stream_id,
                           "response": {"status_code": status, "headers": {"content-length": "7"}, "body": body}}));
        let (bytes, ended) = relay.read(id);
        assert!(ended && bytes.ends_with(b"\r\n\r\n"), "{method} {status}");
    }
}

#[test]
fn requests_from_a_relay_that_are_no_requests_are_refused_and_reach_no_service() {
    let cases = [
        json!({"method": "GET", "path": "@evil/"}),
        json!({"method": "GET", "path": ""}),
        json!({"method": "GET", "path": "http://evil/"}),
        json!({"method": "GET\r\nX: 1", "path": "/"}),
        json!({"method": "", "path": "/"}),
        json!({"method": "CONNECT", "path": "/"}),
        json!({"method": "GET", "path": "/", "query_string": "a b\r\nX: 1"}),
        json!({"method": "GET", "path": "/", "headers": {"X": "1\r\nY: 2"}}),
        json!({"method": "GET", "path": "/", "headers": {"X\nY": "1"}}),
        json!({"method": "GET", "path": "/", "headers": {"Host": "a\r\nX: 1"}}),
        json!({"method": "GET", "path": "/", "headers": {"upgrade": "websocket"}}),
        json!({"method": "GET", "path": "/", "headers": 5}),
        json!({"path": "/"}),
        json!({"method": "GET", "path": "/", "body": {}}),
    ];
    let mut agent = agent_up(None);
    agent.said();
    for (case, n) in cases.into_iter().zip(1..) {
        agent.hear(&json!({"type": "tunnel_request", "stream_id": n, "request": case}));
        assert_eq!(agent.opened, [], "{case}");
        let said = agent.said();
        assert_eq!((said.len(), &said[0]["stream_id"]), (1, &json!(n)), "{case}");
        assert!(said[0]["response"]["status_code"].as_u64() >= Some(400), "{case}");
    }
    let odd = json!({"method": "get", "path": "/a/../../b c", "query_string": "x=1",
                     "headers": {"Transfer-Encoding": "chunked", "content-length": "99", "Host": "h", "X-A": "1"}, "body": "é"});
    agent.hear(&json!({"type": "tunnel_request", "stream_id": 50, "request": odd}));
    let (id, opening) = agent.opened.pop().expect("opened");
    assert_eq!(opening.host.as_deref(), Some("h"));
    let (bytes, _) = agent.read(id);
    let expected = "GET /b%20c?x=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nAccept-Encoding: identity\r\nContent-Length: 2\r\n\
                    Connection: close\r\n\r\né";
    assert_eq!(String::from_utf8(bytes).expect("text"), expected);
}

#[test]
fn a_name_used_twice_opens_nothing_and_answers_go_to_the_first() {
    let mut agent = agent_up(None);
    agent.said();
    for path in ["/first", "/second"] {
        agent.hear(
            &json!({"type": "tunnel_request", "stream_id": 7, "request": {"method": "GET", "path": path}}),
        );
    }
    assert_eq!(agent.opened.len(), 1);
}

#[test]
fn there_is_an_end_to_requests_at_once_and_room_is_told() {
    let mut relay = relay_up(None);
    let ids: Vec<_> = (0..256).map(|_| relay.ask(get("/", "").as_bytes())).collect();
    assert!(matches!(relay.open(), Err(OpenStreamError::Refused(OpenError::TooMany))));
    use hvym_tunnel_core::link::Streams;
    relay.machine.stream(ids[0]).expect("it lives").reset(0, relay.now);
    relay.listen();
    assert!(relay.events.contains(&hvym_tunnel_core::relay::SessionEvent::OpenReady));
    assert!(relay.open().is_ok());
    // What was taken back before it left is never said.
    assert_eq!(relay.said().len(), 255);

    let mut agent = agent_up(None);
    agent.said();
    for n in 0..300 {
        agent.hear(
            &json!({"type": "tunnel_request", "stream_id": n, "request": {"method": "GET", "path": "/"}}),
        );
    }
    assert_eq!(agent.opened.len(), 256);
    let said = agent.said();
    assert_eq!((said.len(), &said[0]["response"]["status_code"]), (44, &json!(503)));
}

#[test]
fn what_a_peer_asks_and_never_reads_has_an_end() {
    let config = BridgeConfig {
        limits: BridgeLimits { max_buffered: 10_000, ..BridgeLimits::default() },
        ..BridgeConfig::new(Dialect::HvymJson, Side::Agent, "web")
    };
    let mut bridge = MessageBridge::new(config, 1, [3; 32], Instant::ZERO);
    let ask = |n| {
        let request = Request { head: RequestHead::new("GET", "not a path"), body: bytes::Bytes::new() };
        CallMessage::Request { id: CallId::Number(n), request, timeout: 30 }
    };
    let ended = (0..1000).position(|n| bridge.handle_call(ask(n), Instant::ZERO).is_err()).expect("an end");
    assert!(ended > 50 && bridge.held() < 21_000, "{ended}, {} bytes", bridge.held());
    while bridge.poll_transmit().is_some() {}
    assert_eq!((bridge.held(), bridge.len()), (0, 0));
}

#[test]
fn a_binary_message_ends_the_link_with_a_reason() {
    let mut relay = relay_up(None);
    relay.hear_message(Message::Binary(bytes::Bytes::from_static(&[0, 1])));
    relay.said();
    assert_eq!(relay.closed.expect("closed").code, 4000);
}

#[test]
fn head_and_body_may_be_written_in_any_pieces() {
    let whole = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    for size in 1..whole.len() {
        let mut relay = relay_up(None);
        let id = relay.open().expect("room");
        for piece in whole.chunks(size) {
            relay.write(id, piece);
        }
        let said = relay.said();
        assert_eq!((said.len(), &said[0]["request"]["body"]), (1, &json!("hello world")), "{size}");
    }
}

proptest! {
    #[test]
    fn whatever_is_said_and_done_both_ends_keep_their_rules(input in steps(any_message())) {
        prop_assert_eq!(talk(Dialect::HvymJson, &input), Ok(()));
    }

    #[test]
    fn any_text_leaves_both_roles_whole(texts in proptest::collection::vec(any_message(), 1..20)) {
        let (mut relay, mut agent) = (relay_up(None), agent_up(None));
        let id = relay.ask(get("/", "").as_bytes());
        for text in &texts {
            relay.hear_text(text);
            agent.hear_text(text);
        }
        relay.read(id);
        relay.said();
        agent.said();
        relay.wait(100);
        agent.wait(100);
        relay.said();
        agent.said();
    }
}

/// Messages that are nearly right, and some that are not.
fn any_message() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec![
        "tunnel_request",
        "tunnel_response",
        "stream_data",
        "stream_close",
        "tunnel_request_encrypted",
        "tunnel_response_encrypted",
        "enable_encryption",
        "bind",
        "ping",
        "pong",
        "error",
        "what",
    ]);
    let value = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        (100..600i64).prop_map(|code| json!({"status_code": code, "body": "x"})),
        ("[A-Z]{3,4}", "/?.{0,9}")
            .prop_map(|(method, path)| json!({"method": method, "path": path, "headers": {}})),
    ];
    let made = (kind, 0..4i64, value.clone(), value).prop_map(|(kind, id, a, b)| {
        json!({"type": kind, "stream_id": id, "request": a, "response": b, "payload": a, "service": "x"})
            .to_string()
    });
    prop_oneof![9 => made, 1 => ".*"]
}
