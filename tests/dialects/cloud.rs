//! CloudToLocalLLM's messages: the recorded verdicts, the recorded requests in both roles, and what is done better.

use bytes::Bytes;
use hvym_tunnel_compat::CompatAgent;
use hvym_tunnel_compat::dialect::{CallMessage, CompatFrame, Dialect};
use hvym_tunnel_core::agent::{Agent, AgentEvent};
use hvym_tunnel_core::dialect::{Service, Signal};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Session, SessionEvent};
use hvym_tunnel_tests::dialects::{Owner, content, conversation, guest, local_answer, token_agent, visits};
use hvym_tunnel_tests::golden::{golden, list, text};
use hvym_tunnel_tests::talk::{steps, talk};
use proptest::prelude::*;
use serde_json::{Value, json};

fn door() -> Owner<Session> {
    guest(CompatAgent::CloudLlm { token: "e.y.J".into() })
}

fn relay_up() -> Owner<Session> {
    let mut relay = door();
    relay.admit_token(Service::http("ollama"));
    relay
}

fn agent_up() -> Owner<Agent> {
    token_agent(Dialect::CloudLlm, "e.y.J")
}

/// Texts of which we think otherwise than the real parser, and why.
const OTHERWISE: [(&str, &str); 5] = [
    ("http_response status 99", "judged later, and the visitor is told at once instead of after 30 s"),
    ("http_response status 600", "the same"),
    ("http_response status 200.5 (accepted)", "no status"),
    ("http_request empty path", "judged later, and answered"),
    (
        "error code string (documented form) is rejected",
        "their document and their program differ: both are taken",
    ),
];

#[test]
fn every_recorded_text_has_the_verdict_of_the_real_parser_or_a_better_one() {
    let recording = golden("c2llm/message_vectors.json");
    let mut otherwise = Vec::new();
    for vector in list(&recording, "deserialize") {
        let (name, input) = (text(vector, "name"), text(vector, "text"));
        let outcome = Dialect::CloudLlm.decode(Message::Text(Bytes::copy_from_slice(input.as_bytes())));
        let ours = outcome.as_ref().is_ok_and(|frame| {
            !matches!(
                frame,
                CompatFrame::Signal(Signal::Unknown) | CompatFrame::Call(CallMessage::Broken { .. })
            )
        });
        // A pong is known by its name alone, since no two of their programs write times alike.
        let excused = OTHERWISE.iter().any(|(other, _)| *other == name)
            || (name.starts_with("pong ") && ours)
            || name == "error empty";
        let same = Some(ours) == vector["ok"].as_bool();
        assert!(same || excused, "{name}: {outcome:?}");
        if !same {
            otherwise.push(name);
        }
    }
    for (name, _) in OTHERWISE {
        assert!(otherwise.contains(&name), "{name} needs no excuse");
    }
}

#[test]
fn the_token_of_the_upgrade_is_announced_and_nothing_is_said_before_the_verdict() {
    let mut relay = door();
    let [SessionEvent::Authenticate(request)] = &relay.events[..] else { panic!("{:?}", relay.events) };
    assert_eq!(request.token, "e.y.J");
    assert!(!format!("{request:?}").contains("e.y.J"));
    // What comes while the owner still looks at the token is not lost.
    relay.hear(&json!({"type": "ping", "id": "early", "timestamp": "2026-01-01T00:00:00.000Z"}));
    assert_eq!(relay.said(), Vec::<Value>::new());
    relay.admit_token(Service::http("ollama"));
    let said = relay.said();
    assert_eq!((said.len(), &said[0]["type"], &said[0]["id"]), (1, &json!("pong"), &json!("early")));
    let mut relay = door();
    relay.machine.refuse(DownReason::Authentication("Invalid token".into()), relay.now);
    assert_eq!(relay.said(), Vec::<Value>::new());
    assert_eq!(relay.closed.expect("closed").reason, "Invalid token");
}

#[test]
fn a_relay_keeps_twelve_kibibytes_of_what_comes_before_the_verdict() {
    let padded = |size: usize| format!("{:size$}", json!({"type": "ping", "id": "early"}).to_string());
    for (sizes, is_kept) in [([6000, 6287], true), ([6000, 6288], true), ([6000, 6289], false)] {
        let mut relay = door();
        sizes.iter().for_each(|size| relay.hear_text(&padded(*size)));
        assert_eq!(relay.said(), Vec::<Value>::new());
        assert_eq!(relay.closed.map(|close| close.code), (!is_kept).then_some(1009), "{sizes:?}");
    }
}

#[test]
fn agents_are_asked_as_the_recorded_ones_were_and_visitors_get_what_the_service_said() {
    let mut compared = 0;
    for visit in visits(&conversation("c2llm/ws/03_nov_requests.jsonl")) {
        let label = visit.label();
        let start =
            visit.request["start"].as_str().and_then(|start| start.split(' ').nth(1)).expect("a target");
        let (Some(target), Some(asked)) = (start.strip_prefix("/api/ollama"), visit.asked.first()) else {
            continue;
        };
        let theirs: Value = serde_json::from_str(asked).expect("JSON");
        let mut relay = relay_up();
        let id = relay.ask(&visit.bytes(target));
        let ours = relay.said().remove(0);
        assert_eq!((&ours["type"], &ours["method"]), (&theirs["type"], &theirs["method"]), "{label}");
        // We do better: the query is not dropped, and a body is what it was.
        assert_eq!(ours["path"].as_str(), Some(target), "{label}");
        assert_eq!(
            ours["path"].as_str().and_then(|p| p.split('?').next()),
            theirs["path"].as_str(),
            "{label}"
        );
        let body = content(&visit.request).expect("short");
        assert_eq!(ours["body"].as_str().unwrap_or_default().as_bytes(), body, "{label}");
        assert_eq!(ours.get("body").is_some(), !body.is_empty(), "{label}");
        assert!(ours["headers"].get("authorization").is_none(), "it was meant for the relay");
        for answered in &visit.answered {
            relay.hear_text(
                &answered
                    .replace(theirs["id"].as_str().expect("a name"), ours["id"].as_str().expect("a name")),
            );
        }
        let Some(answered) = visit.answered.last() else { continue };
        let answered: Value = serde_json::from_str(answered).expect("JSON");
        if answered["id"] != theirs["id"] {
            continue;
        }
        let answer = relay.answer(id);
        compared += 1;
        match (&visit.local_response, answered["type"].as_str()) {
            (_, Some("error")) => assert_eq!(answer.status, 504, "{label}"),
            (Some(local), _) if !["/bin", "/gzip", "/sse"].iter().any(|path| label.contains(path)) => {
                let status: Option<u16> = local["status"].as_str().and_then(|s| s.get(..3)?.parse().ok());
                assert_eq!(
                    (Some(answer.status), answer.body),
                    (status, content(local).expect("short")),
                    "{label}"
                );
            }
            (Some(_), _) if label.contains("/gzip") => assert!(answer.all("content-encoding").is_empty()),
            _ => {}
        }
        if label.contains("cookies") {
            assert_eq!(answer.fields.iter().filter(|(name, _)| name == "Set-Cookie").count(), 2);
        }
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn an_agent_of_ours_answers_as_the_recorded_ones_did() {
    let mut agent = agent_up();
    assert!(agent.machine.is_up());
    assert_eq!(agent.said(), Vec::<Value>::new());
    let mut answered = 0;
    for visit in visits(&conversation("c2llm/ws/03_nov_requests.jsonl")) {
        let label = visit.label();
        let (Some(asked), Some(local)) = (visit.asked.first(), &visit.local_response) else { continue };
        if label.contains("/sse") || content(local).is_none() {
            continue;
        }
        agent.hear_text(asked);
        let (id, _) = agent.opened.pop().expect("opened");
        let (bytes, _) = agent.read(id);
        let request = String::from_utf8(bytes).expect("text");
        let theirs = visit.local_request.as_ref().expect("seen");
        assert_eq!(request.lines().next(), theirs["start"].as_str(), "{label}");
        assert!(request.as_bytes().ends_with(&content(theirs).expect("short")), "{label}");
        agent.write(id, &local_answer(local));
        let ours = agent.said().remove(0);
        let theirs: Value = serde_json::from_str(visit.answered.last().expect("answered")).expect("JSON");
        assert_eq!((&ours["type"], &ours["id"]), (&theirs["type"], &theirs["id"]), "{label}");
        if !label.contains("/bin") && !label.contains("/gzip") {
            assert_eq!((&ours["status"], &ours["body"]), (&theirs["status"], &theirs["body"]), "{label}");
        } else {
            assert_eq!(ours["status"], 502, "{label}");
        }
        answered += 1;
    }
    assert!(answered > 8, "{answered}");
}

#[test]
fn the_words_of_failures_are_those_that_the_recorded_agent_would_use() {
    let mut agent = agent_up();
    agent.hear(&json!({"type": "http_request", "id": "a", "method": "GET", "path": "/slow", "headers": {}}));
    agent.wait(30);
    agent.hear(&json!({"type": "ping", "id": "x", "timestamp": ""}));
    agent.said();
    agent.wait(30);
    agent.hear(&json!({"type": "ping", "id": "y", "timestamp": ""}));
    agent.said();
    agent.wait(60);
    let said = agent.said().pop().expect("an answer");
    let body: Value = serde_json::from_str(said["body"].as_str().expect("a text")).expect("JSON");
    assert_eq!((&said["status"], &body["error"]), (&json!(504), &json!("Gateway timeout")));
}

#[test]
fn a_pong_in_any_spelling_of_time_keeps_the_agent_connected() {
    for record in conversation("c2llm/ws/04_nov_dart_pong_rejected.jsonl") {
        let Some(text) = record["text"].as_str().filter(|text| text.contains("\"pong\"")) else { continue };
        let mut relay = relay_up();
        relay.wait(30);
        let ping = relay.said().remove(0);
        assert_eq!((&ping["type"], &ping["timestamp"]), (&json!("ping"), &json!("1970-01-01T00:00:00.000Z")));
        let mut pong: Value = serde_json::from_str(text).expect("JSON");
        pong["id"] = ping["id"].clone();
        relay.now = hvym_tunnel_core::time::Instant::from_millis(30_040);
        relay.hear(&pong);
        assert!(
            matches!(relay.events[..], [.., SessionEvent::Latency(_)]),
            "the round trip is known by the name"
        );
        relay.wait(29);
        assert!(relay.machine.is_up());
        return;
    }
    panic!("no pong was recorded");
}

#[test]
fn an_agent_that_says_nothing_any_more_is_closed_and_not_only_forgotten() {
    let mut relay = relay_up();
    relay.wait(30);
    relay.wait(45);
    relay.said();
    assert!(relay.closed.is_some());
}

#[test]
fn methods_that_agents_do_not_know_and_bodies_that_are_no_text_are_refused_here() {
    let mut relay = relay_up();
    for (request, status) in [
        (&b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"[..], 501),
        (b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\xFF", 415),
        (b"GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ] {
        let id = relay.ask(request);
        assert_eq!((relay.said().len(), relay.answer(id).status), (0, status));
    }
    let mut agent = agent_up();
    for bad in [
        json!({"method": "GET", "path": "@evil"}),
        json!({"method": "GET", "path": "/ HTTP/1.1\r\nX: 1"}),
        json!({"method": "TRACE", "path": "/"}),
        json!({"method": "GET", "path": "/", "headers": {"a\nb": "c"}}),
        json!({"method": "GET", "path": "/", "headers": {"a": "c\r\nd: e"}}),
    ] {
        let mut message = bad.clone();
        message["type"] = "http_request".into();
        message["id"] = "x".into();
        agent.hear(&message);
        assert_eq!(agent.opened, [], "{bad}");
        assert!(agent.said()[0]["status"].as_u64() >= Some(400), "{bad}");
    }
}

#[test]
fn a_peer_that_pings_and_never_reads_is_left() {
    let mut relay = relay_up();
    for n in 0..20_000 {
        relay.hear(&json!({"type": "ping", "id": format!("{n}"), "timestamp": ""}));
        if !relay.machine.is_up() {
            return;
        }
    }
    panic!("20 000 answers were kept");
}

#[test]
fn a_message_about_a_call_that_cannot_be_understood_ends_its_waiting() {
    let mut relay = relay_up();
    let id = relay.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let name = relay.said().remove(0)["id"].clone();
    relay.hear(&json!({"type": "http_response", "id": name, "status": 200, "headers": {}}));
    assert_eq!(relay.answer(id).status, 502);
}

#[test]
fn a_token_that_the_relay_refuses_behind_the_upgrade_is_not_shown_again() {
    let mut agent = agent_up();
    agent.machine.handle_close(Close::new(4001, "Invalid token"), agent.now);
    agent.listen();
    let reason = DownReason::Authentication("Invalid token".into());
    assert_eq!(agent.events.pop(), Some(AgentEvent::Down { reason, retry_at: None }));
}

proptest! {
    #[test]
    fn whatever_is_said_and_done_both_ends_keep_their_rules(input in steps(any_message())) {
        prop_assert_eq!(talk(Dialect::CloudLlm, &input), Ok(()));
    }

    #[test]
    fn any_text_leaves_both_roles_whole(texts in proptest::collection::vec(any_message(), 1..20)) {
        let (mut relay, mut agent) = (relay_up(), agent_up());
        relay.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for text in &texts {
            relay.hear_text(text);
            agent.hear_text(text);
        }
        relay.said();
        agent.said();
        relay.wait(200);
        agent.wait(200);
        relay.said();
        agent.said();
    }
}

/// Messages that are nearly right, and some that are not.
fn any_message() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec!["http_request", "http_response", "ping", "pong", "error", "what"]);
    let value = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        (100..600i64).prop_map(Value::from),
        Just(json!({})),
    ];
    let made = (kind, 0..3i64, value.clone(), value).prop_map(|(kind, id, a, b)| {
        json!({"type": kind, "id": format!("{id}"), "status": a, "body": b, "headers": {}, "method": "GET", "path": "/",
               "error": b, "code": a, "timestamp": b}).to_string()
    });
    prop_oneof![9 => made, 1 => ".*"]
}
