//! Connections, as text and as binary messages.

use bytes::Bytes;
use data_encoding::BASE64;
use hvym_tunnel_core::dialect::{Proto, Service, StreamHeader};
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_tests::dialects::Owner;
use serde_json::{Value, json};

use super::{PYTHON, agent_up, door, node_up, python_up, up};

fn name(message: &Value) -> String {
    message["conn_id"].as_str().expect("a name").to_owned()
}

/// The one connection that was opened, after its announcement.
fn connected(relay: &mut Owner<Session>) -> (StreamId, String) {
    let id = relay.open().expect("room");
    let said = relay.said();
    assert_eq!((said.len(), &said[0]["type"]), (1, &json!("tcp_connect")));
    (id, name(&said[0]))
}

#[test]
fn clients_in_python_get_the_bytes_themselves_even_for_http() {
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\x00\xFF\x80\x01";
    // The newer ones in binary messages, the older ones in text.
    let mut relay = python_up();
    let (id, conn) = connected(&mut relay);
    relay.write(id, request);
    let [Message::Binary(frame)] = &relay.sent()[..] else { panic!("one binary message") };
    assert_eq!((&frame[..2], &frame[18..]), (&[2, 1][..], &request[..]));
    let mut back = frame[..18].to_vec();
    back.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xFE\xFD");
    relay.hear_message(Message::Binary(back.into()));
    relay.hear(&json!({"type": "tcp_close", "conn_id": conn, "error": null}));
    assert_eq!(relay.answer(id).body, [0xFE, 0xFD]);

    let mut relay = up(Some(PYTHON), &json!({"type": "auth", "token": "t", "client_version": "0.1.0"}));
    let (id, conn) = connected(&mut relay);
    relay.write(id, request);
    let said = relay.said();
    assert_eq!((&said[0]["type"], &said[0]["data"]), (&json!("tcp_data"), &json!(BASE64.encode(request))));
    relay.hear(&json!({"type": "tcp_data", "conn_id": conn, "data": BASE64.encode(b"answer")}));
    assert_eq!(relay.read(id), (b"answer".to_vec(), false));
}

#[test]
fn an_older_client_can_be_the_end_of_a_service_that_carries_bytes_and_one_on_node_cannot() {
    let opening = StreamHeader { service: "db".into(), proto: Proto::Tcp, ..StreamHeader::default() };
    let mut relay = door(Some(PYTHON));
    relay.hear(&json!({"type": "auth", "token": "t"}));
    relay.admit_token(Service::tcp("db"));
    assert!(relay.machine.open(&opening, relay.now).is_ok());
    let mut relay = node_up();
    assert!(relay.machine.open(&opening, relay.now).is_err());
}

#[test]
fn a_large_upload_is_cut_into_messages_that_every_client_takes_and_waits_for_the_socket() {
    let mut relay = up(Some(PYTHON), &json!({"type": "auth", "token": "t"}));
    let (id, _) = connected(&mut relay);
    let mut left = Bytes::from(vec![7; 3 << 20]);
    let mut got = 0;
    while !left.is_empty() {
        let taken =
            relay.machine.stream(id).expect("it lives").write(&mut left, relay.now).expect("it lives");
        assert!(taken > 0, "it never blocks for ever");
        for message in relay.sent() {
            assert!(message.payload().len() < 1 << 20);
            let value: Value = serde_json::from_slice(message.payload()).expect("JSON");
            got += BASE64.decode(value["data"].as_str().expect("data").as_bytes()).expect("base64").len();
        }
        relay.listen();
    }
    assert_eq!(got, 3 << 20);
    // Without a socket that takes it, it does.
    let mut left = Bytes::from(vec![7; 3 << 20]);
    let mut stream = relay.machine.stream(id).expect("it lives");
    stream.write(&mut left, relay.now).expect("it lives");
    assert_eq!((left.is_empty(), stream.writable()), (false, 0));
}

#[test]
fn connections_take_turns() {
    let mut relay = up(Some(PYTHON), &json!({"type": "auth", "token": "t"}));
    let ids = [relay.open().expect("room"), relay.open().expect("room")];
    relay.said();
    for id in ids {
        relay.write(id, &[1; 100_000]);
    }
    let order: Vec<String> = relay.said().iter().map(name).collect();
    assert!(order.windows(2).take(4).all(|pair| pair[0] != pair[1]), "{order:?}");
}

#[test]
fn a_question_that_ends_before_its_answer_still_gets_it() {
    let mut relay = python_up();
    let (id, conn) = connected(&mut relay);
    relay.write(id, b"question");
    relay.machine.stream(id).expect("it lives").finish(relay.now).expect("it lives");
    let sent = relay.sent();
    // An end would end both directions there.
    assert_eq!(sent.len(), 1);
    relay.wait(30);
    relay.hear(&json!({"type": "tcp_data", "conn_id": conn, "data": BASE64.encode(b"answer")}));
    relay.wait(59);
    assert_eq!(relay.read(id), (b"answer".to_vec(), false));
    relay.wait(2);
    let close = relay.said().into_iter().find(|said| said["type"] == "tcp_close");
    assert_eq!(close, Some(json!({"type": "tcp_close", "conn_id": conn, "error": null})));
    assert!(relay.read(id).1);
}

#[test]
fn a_service_that_cannot_be_reached_is_explained_to_who_speaks_http_and_torn_down_for_others() {
    let mut relay = python_up();
    let (id, conn) = connected(&mut relay);
    relay.hear(&json!({"type": "tcp_close", "conn_id": conn, "error": "Connection refused"}));
    let answer = relay.answer(id);
    assert_eq!(answer.status, 502);
    assert!(String::from_utf8(answer.body).expect("text").contains("Connection refused"));

    let opening = StreamHeader { service: "db".into(), proto: Proto::Tcp, ..StreamHeader::default() };
    let id = relay.machine.open(&opening, relay.now).expect("room");
    let conn = name(&relay.said().remove(0));
    relay.hear(&json!({"type": "tcp_close", "conn_id": conn, "error": "Connection refused"}));
    assert_eq!(relay.resets, [id]);
}

#[test]
fn a_visitor_who_leaves_is_told_at_once_and_one_who_reads_nothing_has_an_end() {
    let mut relay = python_up();
    let (id, conn) = connected(&mut relay);
    relay.machine.stream(id).expect("it lives").reset(0, relay.now);
    assert_eq!(relay.said(), [json!({"type": "tcp_close", "conn_id": conn, "error": null})]);
    relay.hear(&json!({"type": "tcp_close", "conn_id": conn, "error": null}));

    let (id, conn) = connected(&mut relay);
    let data = BASE64.encode(&[0; 1 << 20]);
    for _ in 0..17 {
        relay.hear(&json!({"type": "tcp_data", "conn_id": conn, "data": data}));
    }
    assert_eq!(relay.resets, [id]);
    assert_eq!(relay.said()[0]["error"], "its reader is too slow");
    assert!(relay.machine.is_up());
}

#[test]
fn what_has_been_read_so_far_survives_the_end_of_the_connection() {
    let mut relay = python_up();
    let (id, conn) = connected(&mut relay);
    relay.hear(&json!({"type": "tcp_data", "conn_id": conn, "data": BASE64.encode(b"last words")}));
    relay.hear(&json!({"type": "tcp_close", "conn_id": conn, "error": null}));
    // A writer that has not noticed yet does not lose what it can still read.
    relay.write(id, b"late");
    assert_eq!(relay.read(id), (b"last words".to_vec(), true));
}

#[test]
fn an_agent_of_ours_serves_the_connections_of_real_servers() {
    for binary in [true, false] {
        let mut agent = agent_up(if binary { Some(&["binary_frames"]) } else { None });
        let conn = "00010203-0405-4607-8809-0a0b0c0d0e0f";
        agent.hear(&json!({"type": "tcp_connect", "conn_id": conn}));
        let (id, opening) = agent.opened.pop().expect("opened");
        // No message says what is carried; the service knows.
        assert_eq!((opening.service.as_str(), opening.proto), ("web", Proto::Http));
        // Both spellings are taken, whatever was agreed on.
        agent.hear(&json!({"type": "tcp_data", "conn_id": conn, "data": BASE64.encode(b"he")}));
        let mut frame = vec![2, 1, 0, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15];
        frame.extend_from_slice(b"llo");
        agent.hear_message(Message::Binary(frame.into()));
        assert_eq!(agent.read(id), (b"hello".to_vec(), false));
        agent.write(id, b"world");
        agent.machine.stream(id).expect("it lives").finish(agent.now).expect("it lives");
        let sent = agent.sent();
        assert_eq!((sent.len(), matches!(sent[0], Message::Binary(_))), (2, binary));
        let close: Value = serde_json::from_slice(sent[1].payload()).expect("JSON");
        assert_eq!(close["type"], "tcp_close");
        assert!(agent.read(id).1);
        assert!(agent.machine.stream(id).is_err());
    }
}

#[test]
fn two_of_ours_carry_bytes_exactly() {
    let mut agent =
        hvym_tunnel_tests::dialects::token_agent(hvym_tunnel_compat::dialect::Dialect::Tunely, "t");
    let mut relay = up(None, &agent.said().remove(0));
    agent.hear(
        &json!({"type": "auth_ok", "domain": "agent", "tunnel_id": "1", "capabilities": ["binary_frames"]}),
    );
    let id = relay.open().expect("room");
    let data: Vec<u8> = (0..200_000u32).map(|n| (n * 7 + (n >> 8)) as u8).collect();
    relay.write(id, &data);
    for message in relay.sent() {
        agent.hear_message(message);
    }
    let (local, _) = agent.opened.pop().expect("opened");
    assert_eq!(agent.read(local).0, data);
    agent.write(local, &data);
    for message in agent.sent() {
        relay.hear_message(message);
    }
    assert_eq!(relay.read(id).0, data);
    let Read::Empty = relay.machine.stream(id).expect("it lives").read(1, relay.now).expect("no reset")
    else {
        panic!("nothing is left")
    };
}
