//! Agents of tunely: one token for each name, requests in messages or bytes in connections, and takeovers.

use std::thread;

use hvym_tunnel_tests::apps::pattern;
use hvym_tunnel_tests::guests::{Guest, PYTHON, relay_with};
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::{Value, json};
use tungstenite::Message;

use super::{TOKEN, TUNELY, answer, ask};

const TWO: &str = "\
[[tunely.tunnels]]\nname = \"app\"\ntoken = \"tun_one-token-that-is-long-enough\"\n\
[[tunely.tunnels]]\nname = \"off\"\ntoken = \"tun_off-token-that-is-long-enough\"\nenabled = false\n";

fn respond(agent: &mut Guest, asked: &Value, body: &str) {
    agent.tell(&json!({"type": "response", "id": asked["id"], "status": 200, "headers": {}, "body": body}));
}

/// A visitor is answered by the agent.
fn serves(relay: &Relay, agent: &mut Guest) {
    let mut visitor = ask(relay, "app.localhost", "GET", "/", &[]);
    let asked = agent.hears("request");
    respond(agent, &asked, "served");
    assert_eq!(answer(&mut visitor).1, b"served");
}

#[test]
fn a_wrong_token_and_that_of_a_disabled_tunnel_are_refused_in_the_same_words() {
    let relay = relay_with(TWO, &[]);
    let mut said = Vec::new();
    for token in ["", "tun_wrong", "tun_off-token-that-is-long-enough", &TOKEN[..TOKEN.len() - 1]] {
        let mut agent = Guest::dial(&relay, "/ws/tunnel", &[]);
        agent.knock(token, true);
        let (mut words, code, _) = agent.end();
        let word = words.pop().expect("words before the close");
        assert_eq!((&word["type"], &word["code"]), (&json!("auth_error"), &json!("auth_failed")), "{word}");
        said.push((word, words, code));
    }
    assert!(said.iter().all(|other| *other == said[0] && other.1.is_empty()), "{said:?}");
    assert!(![1000, 1001].contains(&said[0].2), "existing agents come back at once after these");
    // Whoever has another way to log in is no agent of tunely.
    let mut agent = Guest::dial(&relay, "/ws/tunnel", &[]);
    agent.tell(&json!({"type": "ping", "timestamp": ""}));
    assert_eq!(agent.end().1, 4002);
}

#[test]
fn a_name_is_503_while_its_agent_is_away_and_what_is_no_name_is_404() {
    let relay = relay_with(TWO, &["--path-names"]);
    for (host, target, status) in [
        ("app.localhost", "/", 503),
        ("off.localhost", "/", 503),
        ("localhost", "/t/app/x", 503),
        ("other.localhost", "/", 404),
        ("web.app.localhost", "/", 404),
        ("localhost", "/t/other/x", 404),
        ("localhost", "/t/app%2f..%2fx", 404),
        ("localhost", "/t/", 404),
    ] {
        let (head, _) = answer(&mut ask(&relay, host, "GET", target, &[]));
        assert_eq!(head.status(), status, "{host}{target}");
        assert_eq!(head.field("retry-after").is_some(), status == 503, "{host}{target}");
    }
}

#[test]
fn a_second_agent_without_force_is_refused_and_the_first_serves_on() {
    let mut relay = relay_with(TUNELY, &[]);
    let mut first = Guest::tunely(&relay, TOKEN, false);
    let mut visitor = ask(&relay, "app.localhost", "GET", "/waiting", &[]);
    let asked = first.hears("request");
    let mut second = Guest::dial(&relay, "/ws/tunnel", &[]);
    second.knock(TOKEN, false);
    let (said, code, _) = second.end();
    let last = said.last().expect("words before the close");
    assert_eq!((&last["type"], &last["code"]), (&json!("auth_error"), &json!("connection_exists")), "{last}");
    assert!(last["error"].as_str().is_some_and(|text| text.contains("--force")), "{last}");
    assert!(![1000, 1001].contains(&code));
    respond(&mut first, &asked, "late");
    assert_eq!(answer(&mut visitor).1, b"late");
    serves(&relay, &mut first);
    // The name is free as soon as the first has gone.
    drop(first);
    relay.program.event("agent_left");
    let mut third = Guest::tunely(&relay, TOKEN, false);
    serves(&relay, &mut third);
}

#[test]
fn with_force_the_newer_agent_serves_and_who_waited_for_the_older_knows_at_once() {
    let relay = relay_with(TUNELY, &[]);
    let mut older = Guest::tunely(&relay, TOKEN, false);
    let mut posted = ask(&relay, "app.localhost", "POST", "/order", &["Content-Length: 0"]);
    older.hears("request");
    let mut asked = ask(&relay, "app.localhost", "GET", "/page", &[]);
    older.hears("request");
    let mut newer = Guest::tunely(&relay, TOKEN, true);
    let (head, _) = answer(&mut posted);
    assert_eq!((head.status(), head.field("retry-after").is_some()), (503, true), "{head:?}");
    // What may be asked twice is asked again.
    let again = newer.hears("request");
    assert_eq!(again["path"], "/page");
    respond(&mut newer, &again, "again");
    assert_eq!(answer(&mut asked).1, b"again");
    let (said, code, _) = older.end();
    let last = said.last().expect("words before the close");
    assert_eq!((&last["type"], &last["code"]), (&json!("auth_error"), &json!("connection_exists")), "{last}");
    assert!(![1000, 1001].contains(&code), "existing agents come back at once after these");
    serves(&relay, &mut newer);
}

#[test]
fn many_visitors_are_answered_in_whatever_order_the_agent_likes() {
    let relay = relay_with(TUNELY, &[]);
    let mut agent = Guest::tunely(&relay, TOKEN, false);
    let mut visitors: Vec<_> =
        (0..20).map(|n| ask(&relay, "app.localhost", "GET", &format!("/{n}"), &[])).collect();
    let mut all: Vec<Value> = (0..20).map(|_| agent.hears("request")).collect();
    all.reverse();
    for asked in all {
        respond(&mut agent, &asked, asked["path"].as_str().expect("a path"));
    }
    for (n, visitor) in visitors.iter_mut().enumerate() {
        assert_eq!(answer(visitor).1, format!("/{n}").as_bytes());
    }
}

#[test]
fn large_texts_pass_in_one_message_and_what_no_message_holds_is_413() {
    let relay = relay_with(TUNELY, &[]);
    let mut agent = Guest::tunely(&relay, TOKEN, false);
    let text = "text ".repeat(600_000);
    let mut visitor =
        ask(&relay, "app.localhost", "POST", "/", &[&format!("Content-Length: {}", text.len())]);
    let mut writer = visitor.writer();
    let sent = text.clone();
    let sending = thread::spawn(move || std::io::Write::write_all(&mut writer, sent.as_bytes()));
    let asked = agent.hears("request");
    assert_eq!(asked["body"].as_str().map(str::len), Some(text.len()));
    sending.join().expect("no panic").expect("the relay reads");
    respond(&mut agent, &asked, &text);
    assert_eq!(answer(&mut visitor).1, text.as_bytes());

    let size = 17 << 20;
    let mut visitor = ask(&relay, "app.localhost", "POST", "/", &[&format!("Content-Length: {size}")]);
    let mut writer = visitor.writer();
    thread::spawn(move || {
        // The relay may have answered before all of it.
        let _unread = std::io::Write::write_all(&mut writer, &vec![b'x'; size]);
    });
    assert_eq!(visitor.head().expect("an answer").status(), 413);
    let (head, _) = {
        let mut visitor =
            ask(&relay, "app.localhost", "POST", "/", &["Content-Length: 2", "Content-Type: image/png"]);
        visitor.send([0xFF, 0x00]).expect("the relay reads");
        answer(&mut visitor)
    };
    assert_eq!(head.status(), 415, "bytes that are no text cannot pass by messages");
    serves(&relay, &mut agent);
}

/// The next whole request with this many bytes of body, on a new connection or on one that is kept, and what the frames
/// of its answer begin with.
fn carried(agent: &mut Guest, body: usize) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        let frame = match agent.read() {
            Message::Binary(frame) => frame,
            Message::Text(text) => {
                // The connection of a visitor who sent and left is closed, whenever that is noticed.
                let is_expected = |kind: &&str| text.contains(kind);
                assert!(["tcp_connect", "tcp_close", "ping"].iter().any(is_expected), "{text}");
                continue;
            }
            other => panic!("{other:?}"),
        };
        let prefix = frame[..18].to_vec();
        assert_eq!(prefix[..2], [2, 1]);
        bytes.extend_from_slice(&frame[18..]);
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if head.is_some_and(|end| bytes.len() >= end + 4 + body) {
            return (prefix, bytes);
        }
    }
}

#[test]
fn an_agent_in_python_carries_every_byte() {
    let relay = relay_with(TUNELY, &[]);
    let mut agent = Guest::dial(&relay, "/ws/tunnel", &[PYTHON]);
    agent.tell(&json!({"type": "auth", "token": TOKEN, "client_version": "0.12.0", "force": false,
                       "capabilities": ["binary_frames", "chunked_http", "udp"]}));
    assert_eq!(agent.hears("auth_ok")["capabilities"], json!(["binary_frames"]));
    for len in [0, 1000, 3 << 20] {
        let body = pattern(len as u64, len);
        let mut visitor =
            ask(&relay, "app.localhost", "POST", "/up%2Fload?x", &[&format!("Content-Length: {len}")]);
        let mut writer = visitor.writer();
        let sent = body.clone();
        let sending = thread::spawn(move || std::io::Write::write_all(&mut writer, &sent));
        let (prefix, request) = carried(&mut agent, len);
        sending.join().expect("no panic").expect("the relay reads");
        assert!(request.starts_with(b"POST /up%2Fload?x HTTP/1.1\r\n"));
        assert!(request.ends_with(&body));
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n");
        for piece in [head.as_bytes(), &body].concat().chunks(4096) {
            agent.say(Message::binary([&prefix, piece].concat()));
        }
        let (head, back) = answer(&mut visitor);
        assert_eq!((head.status(), head.all("set-cookie").len(), back == body), (200, 2, true), "{len}");
    }
}
