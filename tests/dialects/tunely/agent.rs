//! Our agent in the place of the recorded clients.

use hvym_tunnel_tests::dialects::{content, conversation, local_answer, visits};
use serde_json::{Value, json};

use super::agent_up;

#[test]
fn real_servers_get_every_text_body_byte_for_byte() {
    let mut answered = 0;
    for (name, capabilities) in [("10_http_s012_py012", Some(&[][..])), ("13_http_s021_py021", None)] {
        let mut agent = agent_up(capabilities);
        for visit in visits(&conversation(&format!("tunely/ws/{name}.jsonl"))) {
            let (Some(asked), Some(request), Some(response)) =
                (visit.asked.first(), &visit.local_request, &visit.local_response)
            else {
                continue;
            };
            let label = visit.label();
            if !asked.contains("\"type\":\"request\"")
                || label.contains("/abort")
                || content(response).is_none()
            {
                continue;
            }
            agent.hear_text(asked);
            let (id, opening) = agent.opened.pop().unwrap_or_else(|| panic!("{label}: nothing opened"));
            assert_eq!(opening.service, "web");
            let (bytes, _) = agent.read(id);
            let text = String::from_utf8(bytes).expect("text");
            assert_eq!(text.lines().next(), request["start"].as_str(), "{label}");
            let body = text.split_once("\r\n\r\n").expect("a head").1;
            let asked: Value = serde_json::from_str(asked).expect("JSON");
            let theirs = content(request).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
            let same_json = serde_json::from_str::<Value>(body).ok() == serde_json::from_str(&theirs).ok();
            // We do better: numbers, `true` and the spelling of JSON survive.
            assert!(body == theirs || same_json || theirs.is_empty(), "{label}: {body:?} {theirs:?}");
            agent.write(
                id,
                &match label.starts_with("HEAD") {
                    true => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
                    false => local_answer(response),
                },
            );
            let said = agent.said();
            assert_eq!(
                (said.len(), &said[0]["type"], &said[0]["id"]),
                (1, &json!("response"), &asked["id"]),
                "{label}"
            );
            assert!(
                said[0]["headers"].get("content-length").is_none(),
                "{label}: the server counts for itself"
            );
            let shown: Value =
                serde_json::from_str(said[0]["body"].as_str().expect("a text")).expect("a JSON string");
            if said[0]["error"].is_null() {
                let status =
                    response["status"].as_str().and_then(|status| status.get(..3)?.parse::<u64>().ok());
                assert_eq!(said[0]["status"].as_u64(), status, "{label}");
                let expected = content(response).expect("short");
                if !label.starts_with("HEAD") && !label.contains("latin1") {
                    assert_eq!(shown.as_str().map(str::as_bytes), Some(&expected[..]), "{label}");
                }
            } else {
                assert!(
                    ["/bin", "/png", "/gzip"].iter().any(|path| label.contains(path)),
                    "{label}: {}",
                    said[0]
                );
            }
            answered += 1;
        }
    }
    assert!(answered > 50, "{answered}");
}

#[test]
fn events_are_sent_as_they_come_to_visitors_who_asked_for_them() {
    let mut agent = agent_up(None);
    agent.hear(&json!({"type": "request", "id": "s", "method": "GET", "path": "/sse", "timeout": 300.0,
                       "headers": {"accept": "text/event-stream"}}));
    let (id, _) = agent.opened.pop().expect("opened");
    agent.write(
        id,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let start = agent.said();
    assert_eq!((&start[0]["type"], &start[0]["status"]), (&json!("stream_start"), &json!(200)));
    // A character is never cut in two, wherever the bytes are.
    agent.write(id, b"8\r\ndata: \xE2\x98\r\n");
    assert_eq!(agent.said()[0]["data"], "data: ");
    agent.write(id, b"3\r\n\x83\n\n\r\n");
    let chunk = agent.said().remove(0);
    assert_eq!((&chunk["data"], &chunk["sequence"]), (&json!("\u{2603}\n\n"), &json!(1)));
    agent.write(id, b"0\r\n\r\n");
    let end = agent.said().remove(0);
    assert_eq!(
        (&end["type"], &end["total_chunks"], &end["error"]),
        (&json!("stream_end"), &json!(2), &Value::Null)
    );
}

#[test]
fn events_for_a_visitor_who_did_not_ask_for_them_come_whole_because_servers_lose_them_otherwise() {
    let mut agent = agent_up(None);
    agent.hear(&json!({"type": "request", "id": "s", "method": "GET", "path": "/sse", "timeout": 300.0}));
    let (id, _) = agent.opened.pop().expect("opened");
    agent.write(id, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    assert_eq!(agent.said(), Vec::<Value>::new());
    use hvym_tunnel_core::link::Streams;
    agent.machine.stream(id).expect("it lives").finish(agent.now).expect("it lives");
    assert_eq!(agent.said()[0]["body"], "\"data: 1\\n\\n\"");
}

#[test]
fn a_request_ends_when_its_visitor_has_stopped_waiting() {
    let mut agent = agent_up(None);
    agent.hear(&json!({"type": "request", "id": "s", "method": "GET", "path": "/", "timeout": 5}));
    let (id, _) = agent.opened.pop().expect("opened");
    agent.wait(5);
    let said = agent.said().remove(0);
    assert_eq!(
        (&said["status"], &said["error"]),
        (&json!(504), &json!("the service did not answer in time"))
    );
    assert_eq!(agent.resets, [id]);
}
