//! What passes between a visitor and a service passes unchanged, through a relay and an agent as two processes.
#![cfg(unix)]

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer, ok};
use hvym_tunnel_tests::program::{PATIENCE, Program, python};
use hvym_tunnel_tests::tunnel::Tunnel;
use serde_json::Value;

/// The service of `peers/origin.py`, and a tunnel to it.
fn python_service() -> (Program, u16, Tunnel) {
    let mut service = python(&["origin.py"]);
    let port = service.line().parse().expect("a port");
    (service, port, Tunnel::to(port))
}

/// A service that answers with what it was asked, head and body.
fn mirror() -> Origin {
    Origin::answering(|head, body| {
        let mut seen = format!("{}\n", head.first);
        head.fields.iter().for_each(|(name, value)| seen.push_str(&format!("{name}: {value}\n")));
        ok(&[seen.as_bytes(), b"\n", &body].concat())
    })
}

#[test]
fn every_byte_survives_both_ways() {
    let (_service, _, tunnel) = python_service();
    let body: Vec<u8> = (0..=255).collect();
    let (head, echoed) = tunnel.post("/echo", &body).expect("an answer");
    assert_eq!((head.status(), echoed), (200, body));
    assert_eq!(head.field("content-length"), Some("256"));
    assert_eq!(head.field("content-type"), Some("application/octet-stream"));
}

#[test]
fn what_a_service_compressed_stays_compressed() {
    let (_service, port, tunnel) = python_service();
    let (head, body) = tunnel.get("/gzip").expect("an answer");
    let mut direct = Conversation::dial(port);
    direct.send("GET /gzip HTTP/1.1\r\nHost: x\r\n\r\n").expect("the service reads");
    let direct_head = direct.head().expect("an answer");
    assert_eq!(body, direct.body(&direct_head).expect("a whole answer"));
    for name in ["content-encoding", "content-length", "etag", "x-length", "content-type"] {
        assert_eq!(head.field(name), direct_head.field(name), "{name}");
    }
    assert_eq!(head.field("content-encoding"), Some("gzip"));
}

#[test]
fn two_cookies_stay_two_fields() {
    let (_service, _, tunnel) = python_service();
    let (head, _) = tunnel.get("/cookies").expect("an answer");
    assert_eq!(head.all("set-cookie"), ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT"]);
}

#[test]
fn a_large_body_has_the_same_digest_on_the_other_side() {
    let (_service, _, tunnel) = python_service();
    let (head, body) = tunnel.get("/download?bytes=20000003").expect("an answer");
    let digest = head.field("x-sha256").expect("the service says").to_owned();
    assert_eq!(body.len(), 20_000_003);
    let (_, verdict) = tunnel.post("/upload", &body).expect("an answer");
    let verdict: Value = serde_json::from_slice(&verdict).expect("JSON");
    assert_eq!((&verdict["bytes"], &verdict["sha256"]), (&20_000_003.into(), &digest.into()));
}

#[test]
fn each_event_arrives_when_it_is_sent_and_not_later() {
    let (_service, port, tunnel) = python_service();
    let publish = |event: &str| {
        let mut direct = Conversation::dial(port);
        let post =
            format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{event}", event.len());
        direct.send(post).expect("the service reads");
        assert_eq!(direct.head().expect("an answer").status(), 200);
    };
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/events", &["Accept: text/event-stream"])).expect("the relay reads");
    let head = visitor.head().expect("the head comes before any event");
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    for number in 0..20 {
        // The service cannot know this event before the one before has arrived here.
        publish(&format!("event {number}"));
        assert_eq!(visitor.chunk().expect("an event"), format!("data: event {number}\n\n").into_bytes());
    }
    publish("");
    assert!(visitor.chunk().expect("an end").is_empty());
}

#[test]
fn path_and_query_reach_the_service_as_they_were_written() {
    let tunnel = Tunnel::to(mirror().port);
    for target in [
        "/a%2Fb/%3Fc?d=%2F&e=%3F&f=a+b",
        "/?",
        "//double//slash/../dots/./",
        "/%e2%98%83;v=1,2/'()*!$&=@:~",
        "/?q=a?b/c%00%ff&q=&&=",
    ] {
        let (_, body) = tunnel.get(target).expect("an answer");
        let body = String::from_utf8(body).expect("text");
        assert_eq!(body.lines().next(), Some(format!("GET {target} HTTP/1.1").as_str()));
        assert!(body.contains(&format!("\nHost: {}\n", tunnel.agent.host())), "{body}");
    }
}

#[test]
fn answers_without_a_body_have_none_and_the_connection_goes_on() {
    let origin = Origin::answering(|head, _| match (head.method(), head.target()) {
        ("HEAD", "/chunked") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        ("HEAD", _) => b"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\nX-Head: yes\r\n\r\n".to_vec(),
        (_, "/204") => b"HTTP/1.1 204 No Content\r\nX-Kept: 1\r\n\r\n".to_vec(),
        (_, "/304") => b"HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nContent-Length: 9\r\n\r\n".to_vec(),
        _ => answer("418 I'm a teapot", &[], b"short"),
    });
    let tunnel = Tunnel::to(origin.port);
    let mut visitor = tunnel.visit();
    let mut ask = |method: &str, target: &str| -> Head {
        visitor.send(tunnel.request(method, target, &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        // Were there any byte of a body, the next head would not be one.
        if head.status() == 418 {
            assert_eq!(visitor.body(&head).expect("a whole answer"), b"short");
        }
        head
    };
    let head = ask("HEAD", "/");
    assert_eq!(
        (head.status(), head.field("content-length"), head.field("x-head")),
        (200, Some("123456"), Some("yes"))
    );
    assert_eq!(ask("GET", "/").status(), 418);
    let head = ask("GET", "/204");
    assert_eq!((head.status(), head.field("x-kept"), head.field("content-length")), (204, Some("1"), None));
    let head = ask("GET", "/304");
    assert_eq!((head.status(), head.field("etag")), (304, Some("\"e\"")));
    assert_eq!(ask("HEAD", "/chunked").status(), 200);
    assert_eq!(ask("DELETE", "/").status(), 418);
    assert_eq!(ask("BREW", "/").status(), 418, "a method nobody knows");
}

#[test]
fn chunks_flow_both_ways_before_either_side_is_done() {
    // It answers each chunk with a chunk, as it comes.
    let origin = Origin::start(|mut connection| {
        let head = connection.head()?;
        assert_eq!(head.field("transfer-encoding"), Some("chunked"), "{head:?}");
        assert_eq!(head.field("content-length"), None, "{head:?}");
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Count\r\n\r\n")?;
        let mut count = 0;
        loop {
            let chunk = connection.chunk()?;
            if chunk.is_empty() {
                break;
            }
            count += 1;
            connection.send([format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat())?;
        }
        connection.send(format!("0\r\nX-Count: {count}\r\n\r\n"))
    });
    let tunnel = Tunnel::to(origin.port);
    let mut visitor = tunnel.visit();
    visitor
        .send(tunnel.request("POST", "/", &["Transfer-Encoding: chunked", "TE: trailers"]))
        .expect("the relay reads");
    let head = visitor.head().expect("the answer begins before the question ends");
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    for text in ["one", "two", "a much longer third one"] {
        visitor.send(format!("{:x}\r\n{text}\r\n", text.len())).expect("the relay reads");
        assert_eq!(visitor.chunk().expect("its echo"), text.as_bytes());
    }
    visitor.send("0\r\n\r\n").expect("the relay reads");
    let (rest, trailers) = visitor.chunks().expect("the end");
    assert!(rest.is_empty());
    let trailers: Vec<_> =
        trailers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    assert_eq!(trailers, [("x-count".to_owned(), "3")]);
}

#[test]
fn a_body_that_is_announced_comes_after_continue_and_not_before() {
    let tunnel = Tunnel::to(mirror().port);
    let mut visitor = tunnel.visit();
    let lines = ["Content-Length: 5", "Expect: 100-continue"];
    visitor.send(tunnel.request("PUT", "/expected", &lines)).expect("the relay reads");
    assert_eq!(visitor.head().expect("an interim answer").status(), 100);
    visitor.send("hello").expect("the relay reads");
    let head = visitor.head().expect("the answer");
    let body = visitor.body(&head).expect("a whole answer");
    assert_eq!(head.status(), 200);
    assert!(body.starts_with(b"PUT /expected HTTP/1.1\n") && body.ends_with(b"\nhello"), "{body:?}");
}

#[test]
fn an_answer_may_come_before_the_body_was_sent() {
    let origin = Origin::start(|mut connection| {
        connection.head()?;
        connection.send(answer("413 Content Too Large", &[("Connection", "close")], b"no"))
    });
    let tunnel = Tunnel::to(origin.port);
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("POST", "/", &["Content-Length: 100000000"])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!((head.status(), visitor.body(&head).expect("a whole answer")), (413, b"no".to_vec()));
}

#[test]
fn after_an_upgrade_bytes_pass_both_ways_unread() {
    let origin = Origin::start(|mut connection| {
        let head = connection.head()?;
        assert_eq!(head.field("upgrade"), Some("Example"), "{head:?}");
        // The first bytes of the new protocol travel with the head.
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: Example\r\n\r\n\0hi",
        )?;
        loop {
            let byte = connection.take(1)?;
            connection.send([byte[0] ^ 0xff])?;
        }
    });
    let tunnel = Tunnel::to(origin.port);
    let mut visitor = tunnel.visit();
    visitor
        .send(tunnel.request("GET", "/", &["Connection: Upgrade", "Upgrade: Example"]))
        .expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!((head.status(), head.field("upgrade")), (101, Some("Example")));
    assert_eq!(visitor.take(3).expect("the early bytes"), b"\0hi");
    let all: Vec<u8> = (0..=255).collect();
    visitor.send(&all).expect("the relay reads");
    let echoed: Vec<u8> = all.iter().rev().copied().collect();
    assert_eq!(visitor.take(256).expect("the echo"), echoed);
}

#[test]
fn websockets_work_through_the_tunnel() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let tunnel = Tunnel::to(listener.local_addr().expect("it is bound").port());
    let service = std::thread::spawn(move || {
        // At its start the agent also looks whether anybody listens, and says nothing.
        let mut sockets = listener.incoming().flatten().filter_map(|stream| tungstenite::accept(stream).ok());
        let mut socket = sockets.next().expect("the agent comes");
        while let Ok(message) = socket.read() {
            if message.is_close() {
                // Reading on answers it.
                continue;
            }
            socket.send(message).expect("the visitor listens");
        }
    });
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, tunnel.relay.port)).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
    let url = format!("ws://{}/chat?room=1", tunnel.agent.host());
    let (mut socket, _) = tungstenite::client(url, stream).expect("an upgrade");
    let large = vec![0xa5; 300_000];
    for message in ["", "héllo ☃"].map(tungstenite::Message::text) {
        socket.send(message.clone()).expect("the relay reads");
        assert_eq!(socket.read().expect("the echo"), message);
    }
    socket.send(tungstenite::Message::binary(large.clone())).expect("the relay reads");
    assert_eq!(socket.read().expect("the echo").into_data(), large);
    socket.close(None).expect("the relay reads");
    while socket.read().is_ok() {}
    service.join().expect("the service saw the close");
}

#[test]
fn a_visitor_who_leaves_is_missed_by_the_service() {
    let (gone, notice) = channel();
    let gone = Mutex::new(gone);
    let origin = Origin::start(move |mut connection| {
        connection.head()?;
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        let left = connection.take(1).is_err();
        gone.lock().expect("one at a time").send(left).expect("the test waits");
        Ok(())
    });
    let tunnel = Tunnel::to(origin.port);
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
    visitor.head().expect("an answer");
    assert_eq!(visitor.chunk().expect("a chunk"), b"hi");
    visitor.writer().flush().expect("nothing waits");
    drop(visitor);
    assert!(notice.recv_timeout(PATIENCE).expect("the service notices"));
}
