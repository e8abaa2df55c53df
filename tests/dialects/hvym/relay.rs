//! Our relay in the place of the recorded one: what it says to the real client, and what it makes of the answers.

use std::collections::BTreeMap;

use hvym_tunnel_tests::dialects::{Visit, content, conversation, fields, visits};
use serde_json::{Value, json};

use super::relay_up;

/// What differs from the recorded relay, and why that is better.
const BETTER: [(&str, &str); 5] = [
    ("host", "the client removes it"),
    ("connection", "it is about the visitor's own connection"),
    ("content-length", "the client's library counts the bytes that it sends"),
    ("transfer-encoding", "the body is not chunked any more"),
    ("accept-encoding", "the client decodes a body and does not say so: nothing compressed is asked for"),
];

/// The header fields that pass, as the recorded relay spelled them.
fn passing(headers: &Value) -> BTreeMap<String, String> {
    let all = headers.as_object().expect("an object").iter();
    let value = |value: &Value| value.as_str().expect("texts").to_owned();
    all.map(|(name, text)| (name.clone(), value(text)))
        .filter(|(name, _)| BETTER.iter().all(|(better, _)| better != name))
        // We do better: one field outside ASCII makes the client's library fail the whole request.
        .filter(|(_, value)| value.is_ascii())
        .collect()
}

fn target(visit: &Visit) -> Option<String> {
    let start = visit.request["start"].as_str()?;
    Some(start.split(' ').nth(1)?.strip_prefix("/proxy")?.to_owned())
}

fn replay(recording: &str) -> Vec<(Visit, u16, Vec<u8>)> {
    let mut relay = relay_up(None);
    let mut outcomes = Vec::new();
    for visit in visits(&conversation(recording)) {
        let (Some(target), Some(asked)) = (target(&visit), visit.asked.first()) else { continue };
        let label = visit.label();
        let recorded: Value = serde_json::from_str(asked).expect("a message");
        let id = relay.ask(&visit.bytes(&target));
        let Some(said) = relay.said().pop() else {
            let answer = relay.answer(id);
            outcomes.push((visit, answer.status, answer.body));
            continue;
        };
        let (ours, theirs) = (&said["request"], &recorded["request"]);
        assert_eq!((&said["type"], &ours["method"]), (&recorded["type"], &theirs["method"]), "{label}");
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        // We do better: they decode the path and write the query anew, so that %2F, %3F, %23 and + are lost.
        assert_eq!(
            (ours["path"].as_str(), ours["query_string"].as_str()),
            (Some(path), Some(query)),
            "{label}"
        );
        if !target.contains(['%', '+']) && !target.ends_with("flag") {
            assert_eq!(ours["path"], theirs["path"], "{label}");
        }
        if label.contains("request headers seen by origin") {
            // We do better: the second of two fields is not lost, and what is the connection's own stays there.
            assert_eq!(
                (&ours["headers"]["cookie"], &ours["headers"]["x-dup"]),
                (&json!("a=1; b=2"), &json!("one, two"))
            );
            assert!(
                ["te", "keep-alive", "proxy-authorization"]
                    .iter()
                    .all(|name| ours["headers"].get(name).is_none())
            );
        } else {
            assert_eq!(passing(&ours["headers"]), passing(&theirs["headers"]), "{label}");
        }
        assert_eq!(ours["headers"]["accept-encoding"], "identity", "{label}");
        assert_eq!(ours["body"], theirs["body"], "{label}");
        let answered = visit.answered.last().expect("the client answered");
        let mut response: Value = serde_json::from_str(answered).expect("a message");
        response["stream_id"] = said["stream_id"].clone();
        relay.hear(&response);
        let answer = relay.answer(id);
        assert!(relay.machine.stream_is_gone(id));
        for (name, value) in fields(visit.local_response.as_ref().unwrap_or(&Value::Null)) {
            if name.eq_ignore_ascii_case("set-cookie") {
                assert!(answer.all("set-cookie").contains(&value.as_str()), "{label}: {value}");
            }
        }
        outcomes.push((visit, answer.status, answer.body));
    }
    outcomes
}

trait Gone {
    fn stream_is_gone(&mut self, id: hvym_tunnel_core::mux::StreamId) -> bool;
}

impl Gone for hvym_tunnel_core::relay::Session {
    /// After its end was read, only the owner's own half is left.
    fn stream_is_gone(&mut self, id: hvym_tunnel_core::mux::StreamId) -> bool {
        use hvym_tunnel_core::link::Streams;
        let now = hvym_tunnel_core::time::Instant::ZERO;
        if let Ok(mut stream) = self.stream(id) {
            stream.finish(now).expect("it lives");
        }
        self.stream(id).is_err()
    }
}

#[test]
fn the_real_client_is_asked_what_it_was_asked_and_visitors_get_what_the_service_said() {
    let outcomes = replay("hvym/ws/01_handshake_bind_get_post.jsonl");
    assert!(outcomes.len() > 12, "{}", outcomes.len());
    for (visit, status, body) in outcomes {
        let local = visit.local_response.as_ref().expect("the service answered");
        let expected = local["status"].as_str().and_then(|s| s.get(..3)?.parse().ok());
        assert_eq!(Some(status), expected, "{}", visit.label());
        if !visit.label().starts_with("HEAD") {
            assert_eq!(body, content(local).expect("short"), "{}", visit.label());
        }
    }
}

#[test]
fn what_the_recorded_relay_cut_or_broke_arrives_whole_or_is_refused_with_a_reason() {
    let mut seen = 0;
    for (visit, status, body) in replay("hvym/ws/02_http_quirks.jsonl") {
        let label = visit.label();
        let expected: Option<u16> = match () {
            // The bytes were lost in the client; the recorded relay sent a head and none of them.
            () if label.contains("png response") => Some(502),
            // It would have arrived as other bytes.
            () if label.contains("binary request") => Some(415),
            // The client decoded it, and its length was that of the compressed bytes.
            () if label.contains("gzip") => None,
            // The recorded client failed the whole request for one field.
            () if label.contains("latin-1 request header") => None,
            // One answer of the client itself.
            () if label.contains("origin closes") => None,
            () => {
                let local = visit.local_response.as_ref().expect("the service answered");
                if label.contains("binary response") || label.contains("SSE") {
                    None
                } else {
                    assert_eq!(body, content(local).expect("short"), "{label}");
                    local["status"].as_str().and_then(|status| status.get(..3)?.parse().ok())
                }
            }
        };
        seen += 1;
        if let Some(expected) = expected {
            assert_eq!(status, expected, "{label}: {}", String::from_utf8_lossy(&body));
        }
    }
    assert!(seen > 25, "{seen}");
}

#[test]
fn an_answer_of_the_client_itself_reaches_the_visitor() {
    let outcomes = replay("hvym/ws/14_local_service_down.jsonl");
    let [(_, 502, body)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(String::from_utf8_lossy(body).starts_with("Local service error: "));
}

#[test]
fn every_recorded_control_message_is_taken_or_ignored_and_none_ends_the_link() {
    let records = conversation("hvym/ws/08_control_messages_synthetic.jsonl");
    let mut relay = relay_up(None);
    let mut heard = 0;
    for record in records.iter().filter(|record| record["dir"] == "c2s" && record["ev"] == "text") {
        let text = record["text"].as_str().expect("a text");
        if !text.contains("auth_response") {
            relay.hear_text(text);
            relay.agree();
            heard += 1;
        }
    }
    assert!(heard > 30, "{heard}");
    assert!(relay.machine.is_up() && relay.closed.is_none());
    let said: Vec<_> =
        relay.said().iter().map(|said| said["type"].as_str().unwrap_or_default().to_owned()).collect();
    // Without a key it says so, where the recorded relay had one.
    assert!(
        said.contains(&"encryption_unavailable".to_owned())
            && said.contains(&"encryption_disabled".to_owned())
    );
    assert!(said.iter().filter(|kind| *kind == "bind_ok").count() >= 3, "{said:?}");
}

#[test]
fn requests_do_not_wait_for_each_other_and_answers_may_come_in_any_order() {
    let mut relay = relay_up(None);
    let ids: Vec<_> =
        (0..5).map(|n| relay.ask(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())).collect();
    let said = relay.said();
    assert_eq!(said.len(), 5);
    for (said, id) in said.iter().zip(&ids).rev() {
        let body = said["request"]["path"].clone();
        relay.hear(
            &json!({"type": "tunnel_response", "stream_id": said["stream_id"], "response": {"body": body}}),
        );
        let answer = relay.answer(*id);
        assert_eq!((answer.status, json!(String::from_utf8(answer.body).expect("text"))), (200, body));
    }
}

#[test]
fn a_visitor_who_waits_too_long_is_told_and_a_late_answer_is_dropped() {
    let mut relay = relay_up(None);
    let id = relay.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let stream_id = relay.said().remove(0)["stream_id"].clone();
    // Something else proves that the agent lives.
    relay.wait(30);
    relay.hear(&json!({"type": "pong"}));
    relay.wait(31);
    let answer = relay.answer(id);
    assert_eq!(answer.status, 504);
    relay.hear(&json!({"type": "tunnel_response", "stream_id": stream_id, "response": {"body": "late"}}));
    assert!(relay.machine.is_up());
}

#[test]
fn a_busy_client_is_not_given_up_and_a_silent_one_is() {
    let mut relay = relay_up(None);
    relay.wait(30);
    assert_eq!(relay.said(), [json!({"type": "ping"})]);
    relay.wait(44);
    assert!(relay.machine.is_up());
    relay.hear(&json!({"type": "pong"}));
    relay.wait(30);
    relay.wait(45);
    assert!(!relay.machine.is_up());
}

#[test]
fn streams_of_a_lost_link_are_closed_at_once() {
    use hvym_tunnel_core::link::Streams;
    use hvym_tunnel_core::machine::Machine;
    use hvym_tunnel_core::message::Close;
    let mut relay = relay_up(None);
    let id = relay.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    relay.machine.handle_close(Close::abnormal("gone"), relay.now);
    relay.listen();
    assert!(relay.machine.stream(id).is_err());
    assert_eq!(relay.events.len(), 1, "one terminal event");
}
