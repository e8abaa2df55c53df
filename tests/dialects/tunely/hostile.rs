//! What neither a visitor, nor a client, nor a server can do to the others.

use bytes::Bytes;
use hvym_tunnel_compat::dialect::Dialect;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_tests::talk::{steps, talk};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{agent_up, node_up, python_up};

fn get(target: &str, extra: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{extra}\r\n")
}

#[test]
fn nothing_of_a_visitors_connection_reaches_a_client_that_would_choke_on_it() {
    let mut relay = node_up();
    relay.ask(
        get(
            "/a/..%2f..%2fetc?x=%2F#y",
            "Connection: keep-alive\r\nTE: trailers\r\nKeep-Alive: 5\r\n\
                   Expect: 100-continue\r\nTransfer-Encoding: chunked\r\nX: 1\r\n",
        )
        .as_bytes(),
    );
    relay.said();
    let id = relay.ask(
        format!(
            "{}0\r\n\r\n",
            get("/a/..%2f..%2fetc?x=%2F#y", "Transfer-Encoding: chunked\r\nTE: x\r\nX: 1\r\n")
        )
        .as_bytes(),
    );
    let said = relay.said().remove(0);
    assert_eq!(said["path"], "/a/..%2f..%2fetc?x=%2F%23y");
    assert_eq!(said["headers"], json!({"x": "1", "accept-encoding": "identity"}));
    assert_eq!(said["body"], Value::Null);
    assert_eq!(relay.read(id), (Vec::new(), false));
}

#[test]
fn requests_that_two_readers_could_read_differently_never_leave() {
    for (request, status) in [
        (get("@evil/", ""), 400),
        (get("http://evil/", ""), 400),
        (get("/", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        (get("/", "Upgrade: websocket\r\nConnection: upgrade\r\n"), 501),
    ] {
        let mut relay = node_up();
        let id = relay.ask(request.as_bytes());
        assert_eq!((relay.said().len(), relay.answer(id).status), (0, status), "{request}");
    }
}

#[test]
fn answers_that_no_visitor_may_see_become_an_explanation_at_once() {
    let mut relay = node_up();
    for case in [
        json!({"status": 999}),
        json!({"status": 101}),
        json!({"status": "200"}),
        json!({"status": 200.0}),
        json!({"status": true}),
        json!({}),
        json!({"status": 200, "headers": {"a": "1\r\nb: 2"}}),
        json!({"status": 200, "headers": {"a\r\nb": "1"}}),
        json!({"status": 200, "headers": {"set-cookie": ["a=1"]}}),
        json!({"status": 200, "body": {"a": 1}}),
    ] {
        let id = relay.ask(get("/", "").as_bytes());
        let mut message = case.clone();
        message["type"] = "response".into();
        message["id"] = relay.said().remove(0)["id"].clone();
        relay.hear(&message);
        assert_eq!(relay.answer(id).status, 502, "{case}");
    }
}

#[test]
fn requests_from_a_server_that_are_no_requests_reach_no_service() {
    let mut agent = agent_up(None);
    for case in [
        json!({"method": "GET", "path": "@host/x"}),
        json!({"method": "GET", "path": ""}),
        json!({"method": "GET\r\nX: 1", "path": "/"}),
        json!({"method": "GET", "path": "/", "headers": {"a\nb": "1"}}),
        json!({"method": "GET", "path": "/", "headers": {"a": "\r\n\r\nGET /"}}),
        json!({"method": "GET", "path": "/", "body": {"a": 1}}),
        json!({"path": "/"}),
    ] {
        let mut message = case.clone();
        message["type"] = "request".into();
        message["id"] = "x".into();
        agent.hear(&message);
        assert_eq!(agent.opened, [], "{case}");
        let said = agent.said();
        assert_eq!((said.len(), &said[0]["id"]), (1, &json!("x")), "{case}");
        assert!(said[0]["status"].as_u64() >= Some(400) && said[0]["error"].is_string(), "{case}");
    }
    let smuggled = json!({"type": "request", "id": "y", "method": "POST", "path": "/a/../../b c", "body": "\"two\"",
                          "headers": {"Transfer-Encoding": "chunked", "content-length": "9", "te": "x"}});
    agent.hear(&smuggled);
    let (id, _) = agent.opened.pop().expect("opened");
    let (bytes, _) = agent.read(id);
    assert_eq!(
        String::from_utf8(bytes).expect("text"),
        "POST /b%20c HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo"
    );
}

#[test]
fn a_body_of_many_megabytes_is_never_sent_and_never_costs_the_link() {
    let mut relay = node_up();
    let body = "a".repeat(17 << 20);
    let id = relay.ask(
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
    );
    assert_eq!((relay.said().len(), relay.answer(id).status), (0, 413));
    assert!(relay.machine.is_up());
}

#[test]
fn garbage_after_the_login_is_ignored() {
    for mut relay in [node_up(), python_up()] {
        for text in [
            "hello",
            "[1]",
            "null",
            "",
            "{\"type\":\"nope\"}",
            "{\"type\":\"response\",\"id\":5}",
            "{\"type\":5}",
        ] {
            relay.hear_text(text);
        }
        for binary in [
            &b""[..],
            b"\x02",
            b"\x01\x01",
            &[2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0; 18],
        ] {
            relay.hear_message(Message::Binary(Bytes::copy_from_slice(binary)));
        }
        assert!(relay.machine.is_up() && relay.said().is_empty());
        relay.hear(&json!({"type": "ping"}));
        assert_eq!(relay.said(), [json!({"type": "pong"})]);
    }
}

proptest! {
    #[test]
    fn whatever_is_said_and_done_both_ends_keep_their_rules(
        input in steps(any_message().prop_map(|message| String::from_utf8_lossy(message.payload()).into_owned()))
    ) {
        prop_assert_eq!(talk(Dialect::Tunely, &input), Ok(()));
    }

    #[test]
    fn any_messages_leave_all_roles_whole(messages in proptest::collection::vec(any_message(), 1..30)) {
        let mut relays = [node_up(), python_up()];
        let mut agent = agent_up(Some(&["binary_frames"]));
        for relay in &mut relays {
            relay.ask(get("/", "").as_bytes());
        }
        for message in messages {
            for relay in &mut relays {
                relay.hear_message(message.clone());
            }
            agent.hear_message(message);
        }
        for relay in &mut relays {
            relay.said();
            relay.wait(400);
            relay.said();
        }
        agent.said();
        agent.wait(400);
        agent.said();
    }
}

/// Messages that are nearly right, and some that are not.
fn any_message() -> impl Strategy<Value = Message> {
    let kind = prop::sample::select(vec![
        "request",
        "response",
        "stream_start",
        "stream_chunk",
        "stream_end",
        "tcp_connect",
        "tcp_data",
        "tcp_close",
        "udp_open",
        "ping",
        "pong",
        "auth",
        "auth_ok",
        "auth_error",
        "what",
    ]);
    let value = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        (100..600i64).prop_map(Value::from),
        Just(json!({})),
        Just(json!("QUJD")),
    ];
    let made = (kind, 0..3i64, value.clone(), value).prop_map(|(kind, id, a, b)| {
        let text =
            json!({"type": kind, "id": format!("{id}"), "conn_id": format!("{id}"), "status": a, "body": b,
                          "data": b, "method": "GET", "path": "/", "token": b})
            .to_string();
        Message::Text(text.into())
    });
    prop_oneof![
        8 => made,
        1 => ".*".prop_map(|text| Message::Text(text.into())),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| Message::Binary(data.into())),
    ]
}
