//! Our relay in the place of the recorded servers, toward clients that know messages alone.

use hvym_tunnel_tests::dialects::{Visit, content, conversation, visits};
use serde_json::{Value, json};

use super::node_up;

fn target(visit: &Visit) -> Option<String> {
    let start = visit.request["start"].as_str()?.split(' ').nth(1)?;
    Some(start.strip_prefix("/t/agent").filter(|rest| rest.starts_with('/')).unwrap_or(start).to_owned())
}

#[test]
fn clients_are_asked_for_what_the_visitor_asked_and_the_visitor_gets_what_the_service_said() {
    let mut compared = 0;
    for name in ["11_http_s012_npm021", "14_http_s021_npm021"] {
        for visit in visits(&conversation(&format!("tunely/ws/{name}.jsonl"))) {
            let (Some(target), Some(asked), Some(answered)) =
                (target(&visit), visit.asked.first(), visit.answered.first())
            else {
                continue;
            };
            let label = visit.label();
            let (theirs, mut response): (Value, Value) =
                (serde_json::from_str(asked).expect("JSON"), serde_json::from_str(answered).expect("JSON"));
            if label.contains("/forward") || theirs["type"] != "request" || response["type"] != "response" {
                continue;
            }
            let mut relay = node_up();
            let id = relay.ask(&visit.bytes(&target));
            let Some(ours) = relay.said().pop() else {
                // We do better: what cannot be text is refused, where theirs sends other bytes.
                assert!(label.contains("binary request"), "{label}");
                assert_eq!(relay.answer(id).status, 415, "{label}");
                continue;
            };
            assert_eq!((&ours["type"], &ours["method"]), (&theirs["type"], &theirs["method"]), "{label}");
            // We do better: nothing is decoded, nothing written anew.
            assert_eq!(ours["path"].as_str(), Some(target.as_str()), "{label}");
            let body = content(&visit.request).expect("short");
            let sent = ours["body"].as_str().unwrap_or_default().as_bytes();
            // We do better: their server sends JSON, which this client hands on as it is, quotes included.
            assert!(label.contains("chunked") || sent == body, "{label}");
            let kept = |headers: &Value| {
                let all = headers.as_object().expect("an object").clone();
                let own = [
                    "connection",
                    "te",
                    "keep-alive",
                    "accept-encoding",
                    "transfer-encoding",
                    "upgrade",
                    "proxy-authorization",
                    "expect",
                    "cookie",
                    "x-dup",
                    "sec-websocket-key",
                    "content-length",
                ];
                all.into_iter().filter(|(name, _)| !own.contains(&name.as_str())).collect::<Vec<_>>()
            };
            assert_eq!(kept(&ours["headers"]), kept(&theirs["headers"]), "{label}");
            response["id"] = ours["id"].clone();
            relay.hear(&response);
            let answer = relay.answer(id);
            let Some(local) = &visit.local_response else { continue };
            let lossy = ["/bin", "/png", "/latin1", "/gzip", "/abort", "/302"]
                .iter()
                .any(|path| label.contains(path));
            if lossy {
                // A redirect was followed by the client itself; the others lost their bytes there.
                assert!([200, 502].contains(&answer.status), "{label}: {}", answer.status);
                continue;
            }
            let status: Option<u16> =
                local["status"].as_str().and_then(|status| status.get(..3)?.parse().ok());
            assert_eq!(Some(answer.status), status, "{label}");
            if !label.starts_with("HEAD") {
                assert_eq!(answer.body, content(local).expect("short"), "{label}");
            }
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn events_reach_any_visitor_as_they_come_with_their_own_status_and_framing() {
    let mut replayed = 0;
    for name in ["20_sse_s012", "21_sse_s021"] {
        for visit in visits(&conversation(&format!("tunely/ws/{name}.jsonl"))) {
            let parts: Vec<Value> =
                visit.answered.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
            let name = parts.first().map(|part| part["id"].clone());
            let parts: Vec<&Value> = parts.iter().filter(|part| Some(&part["id"]) == name.as_ref()).collect();
            let is_stream = parts.first().is_some_and(|part| part["type"] == "stream_start")
                && parts.last().is_some_and(|part| part["type"] == "stream_end");
            if !is_stream {
                continue;
            }
            let mut relay = node_up();
            let id = relay.ask(b"GET /sse HTTP/1.1\r\nHost: a\r\n\r\n");
            let asked = relay.said().remove(0);
            let (mut expected, mut got) = (String::new(), Vec::new());
            for part in parts {
                expected.push_str(part["data"].as_str().unwrap_or_default());
                let mut part = part.clone();
                part["id"] = asked["id"].clone();
                relay.hear(&part);
                let (bytes, ended) = relay.read(id);
                assert!(!bytes.is_empty() || part["type"] != "stream_chunk", "a piece waits for nothing");
                assert_eq!(ended, part["type"] == "stream_end");
                got.extend(bytes);
            }
            let answer = hvym_tunnel_tests::dialects::Answer::parse(&got);
            assert_eq!(answer.all("content-type").len(), 1);
            assert_eq!((answer.status, String::from_utf8(answer.body).expect("text")), (200, expected));
            replayed += 1;
        }
    }
    assert!(replayed >= 2, "{replayed}");
}

#[test]
fn pieces_in_base64_arrive_byte_for_byte() {
    let mut relay = node_up();
    let id = relay.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let name = relay.said().remove(0)["id"].clone();
    relay.hear(
        &json!({"type": "stream_start", "id": name, "status": 206, "headers": {"content-type": "image/png"}}),
    );
    relay.hear(&json!({"type": "stream_chunk", "id": name, "data": "AP+A", "encoding": "base64"}));
    relay.hear(&json!({"type": "stream_end", "id": name}));
    let answer = relay.answer(id);
    assert_eq!((answer.status, &answer.body[..]), (206, &[0, 255, 128][..]));
}

#[test]
fn an_answer_that_breaks_off_is_never_passed_off_as_whole() {
    for end in [json!({"error": "boom"}), Value::Null] {
        let mut relay = node_up();
        let id = relay.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let name = relay.said().remove(0)["id"].clone();
        relay.hear(&json!({"type": "stream_start", "id": name, "status": 200}));
        relay.hear(&json!({"type": "stream_chunk", "id": name, "data": "half"}));
        relay.read(id);
        if end.is_null() {
            relay.wait(299);
            relay.hear(&json!({"type": "pong"}));
            relay.wait(1);
        } else {
            relay.hear(&json!({"type": "stream_end", "id": name, "error": "boom"}));
        }
        assert_eq!(relay.resets, [id]);
    }
}

#[test]
fn a_client_that_cannot_reach_its_service_says_so_and_the_visitor_reads_it() {
    let mut relay = node_up();
    for (status, error, expected) in
        [(503, "All connection attempts failed", 503), (500, "fetch failed", 502)]
    {
        let id = relay.ask(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
        let name = relay.said().remove(0)["id"].clone();
        relay.hear(&json!({"type": "response", "id": name, "status": status, "headers": {}, "body": null, "error": error}));
        let answer = relay.answer(id);
        assert_eq!(answer.status, expected);
        assert!(String::from_utf8(answer.body).expect("text").contains(error));
    }
}
