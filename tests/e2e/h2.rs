//! Visitors who speak HTTP/2: many requests on one connection, each as if it were alone, and none that costs too much.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use crate::h2_visitor::H2;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hvym_tunnel_tests::Door;
use hvym_tunnel_tests::frames::{
    self, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, SETTINGS, frame,
};
use hvym_tunnel_tests::http::{Head, Origin, answer, ok};
use hvym_tunnel_tests::tunnel::Tunnel;
use rustix::process::Signal;
use smol::net::TcpStream;

const MIB: usize = 1024 * 1024;
/// Streams of one connection that are under way at once in these tests; the relay grants 128.
const MANY: usize = 120;

async fn dial(tunnel: &Tunnel) -> H2 {
    H2::over(TcpStream::connect(("127.0.0.1", tunnel.relay.port)).await.expect("the relay listens")).await
}

fn url(tunnel: &Tunnel, path: &str) -> String {
    format!("http://{}{path}", tunnel.agent.host())
}

/// What a service was asked, heads and bodies.
type Heard = Arc<Mutex<Vec<(Head, Vec<u8>)>>>;

/// A service that keeps what it is asked.
fn listener() -> (Origin, Heard) {
    let heard = Heard::default();
    let kept = Arc::clone(&heard);
    let origin = Origin::answering(move |head, body| {
        kept.lock().expect("nobody panics here").push((head.clone(), body));
        let fields = [("Connection", "keep-alive, X-Inner"), ("X-Inner", "1"), ("Keep-Alive", "timeout=5")];
        answer("200 OK", &[&fields[..], &[("X-Outer", "2")]].concat(), b"heard")
    });
    (origin, heard)
}

#[test]
fn a_hundred_requests_are_under_way_on_one_connection() {
    let door = Door::default();
    let (entered, entering) = channel();
    let (held, entered) = (door.clone(), Mutex::new(entered));
    let origin = Origin::answering(move |head, _| {
        entered.lock().expect("nobody panics here").send(()).expect("the test waits");
        held.pass();
        ok(head.target().as_bytes())
    });
    let tunnel = Tunnel::to(origin.port);
    // Every one is at the service before any is answered.
    let opener = std::thread::spawn(move || {
        (0..MANY).for_each(|_| entering.recv().expect("a request reaches the service"));
        door.open();
    });
    smol::block_on(async {
        let visitor = dial(&tunnel).await;
        let paths: Vec<String> = (0..MANY).map(|number| format!("/{number}")).collect();
        let asked = paths.iter().map(|path| {
            let url = url(&tunnel, path);
            let visitor = visitor.clone();
            async move { visitor.get(&url).await.expect("an answer") }
        });
        for (path, (status, body)) in paths.iter().zip(join_all(asked).await) {
            assert_eq!((status, body), (200, Bytes::from(path.clone())));
        }
    });
    opener.join().expect("all came");
}

#[test]
fn what_belongs_to_a_connection_stays_on_its_side() {
    let (origin, heard) = listener();
    let tunnel = Tunnel::to(origin.port);
    smol::block_on(async {
        let visitor = dial(&tunnel).await;
        let request = Request::post(url(&tunnel, "/p?q=%20"))
            .header("te", "trailers")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-forwarded-for", "6.6.6.6")
            .body(Full::from("question"));
        let answer = visitor.ask(request.expect("a request")).await.expect("an answer");
        assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 200));
        let names: Vec<&str> = answer.headers().keys().map(|name| name.as_str()).collect();
        assert!(names.contains(&"x-outer"), "{names:?}");
        for gone in ["connection", "keep-alive", "x-inner", "transfer-encoding", "upgrade"] {
            assert!(!names.contains(&gone), "{names:?}");
        }
        assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "heard");
    });
    let (head, body) = heard.lock().expect("nobody panics here").pop().expect("the service was asked");
    assert_eq!(head.first, "POST /p?q=%20 HTTP/1.1");
    assert_eq!(body, b"question");
    let host = tunnel.agent.host();
    let expected = [
        ("host", host),
        ("cookie", "a=1; b=2"),
        ("te", "trailers"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("content-length", "8"),
    ];
    for (name, value) in expected {
        assert_eq!(head.field(name), Some(value), "{head:?}");
    }
}

#[test]
fn trailers_come_after_the_body() {
    let origin = Origin::answering(|head, _| {
        assert_eq!(head.field("te"), Some("trailers"));
        b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTrailer: grpc-status\r\n\
          Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n"
            .to_vec()
    });
    let tunnel = Tunnel::to(origin.port);
    smol::block_on(async {
        let visitor = dial(&tunnel).await;
        let request = Request::post(url(&tunnel, "/grpc")).header("te", "trailers").body(Full::from("q"));
        let answer = visitor.ask(request.expect("a request")).await.expect("an answer");
        let whole = answer.into_body().collect().await.expect("a whole answer");
        assert_eq!(whole.trailers().and_then(|fields| fields.get("grpc-status")).expect("a trailer"), "0");
        assert_eq!(whole.to_bytes(), "hello");
    });
}

#[test]
fn large_bodies_pass_both_ways() {
    let tunnel = Tunnel::to(Origin::answering(|_, body| ok(&body)).port);
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let body: Bytes = noise.take(16 * MIB).collect();
    smol::block_on(async {
        let visitor = dial(&tunnel).await;
        let request = Request::post(url(&tunnel, "/")).body(Full::from(body.clone())).expect("a request");
        let answer = visitor.ask(request).await.expect("an answer");
        let echoed = answer.into_body().collect().await.expect("a whole answer").to_bytes();
        assert!(echoed == body, "another body came back");
    });
}

/// The status of the answer on this stream: ours are all written without compression tables that matter here.
fn is_status(payload: &[u8], status: u16) -> bool {
    // RFC 7541 appendix A: 200, 204, 206, 304, 400, 404 and 500 stand at 8 to 14; others are literals of index 8.
    let indexed = match status {
        200 => 0x88,
        400 => 0x8c,
        _ => 0x48,
    };
    payload.first() == Some(&indexed)
}

#[test]
fn the_authority_is_the_host_and_there_is_no_second() {
    let (origin, heard) = listener();
    let tunnel = Tunnel::to(origin.port);
    let host = tunnel.agent.host();
    let mut visitor = Frames::dial(tunnel.relay.port, 65_535);
    let cases = [
        (1, frames::get(host, "/same", &[("host", host)]), 200),
        (3, frames::get(host, "/other", &[("host", "other.example")]), 400),
        (5, frames::get(host, "*", &[]), 400),
        (7, frames::get(host, "/last", &[]), 200),
    ];
    for (stream, block, status) in cases {
        visitor.send(HEADERS, END_STREAM | END_HEADERS, stream, &block).expect("the relay reads");
        let head = visitor.wait_for(HEADERS).expect("an answer");
        assert_eq!(head.stream, stream);
        assert!(is_status(&head.payload, status), "{stream}: {head:?}");
    }
    // Fields of the connection make a message malformed (RFC 9113 section 8.2.2).
    let hostile =
        [("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip")];
    for (number, field) in (0..).zip(hostile) {
        let stream = 9 + 2 * number;
        let block = frames::get(host, "/hostile", &[field]);
        visitor.send(HEADERS, END_STREAM | END_HEADERS, stream, &block).expect("the relay reads");
        let reset = visitor.wait_for(RST_STREAM).expect("a reset");
        assert_eq!(reset.stream, stream, "{field:?}");
    }
    let heard = heard.lock().expect("nobody panics here");
    let targets: Vec<&str> = heard.iter().map(|(head, _)| head.target()).collect();
    assert_eq!(targets, ["/same", "/last"]);
}

#[test]
fn rapid_resets_end_the_connection_and_nobody_elses() {
    let tunnel = Tunnel::to(Origin::saying(b"here").port);
    let mut visitor = Frames::dial(tunnel.relay.port, 65_535);
    let block = frames::get(tunnel.agent.host(), "/", &[]);
    let mut flood = Vec::new();
    for number in 0..5_000 {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut writer = visitor.writer();
    // The relay stops reading long before the end.
    let flooding = std::thread::spawn(move || drop(writer.write_all(&flood)));
    let goaway = visitor.wait_for(GOAWAY).expect("the relay ends the connection");
    // ENHANCE_YOUR_CALM
    assert_eq!(goaway.payload[4..8], 11_u32.to_be_bytes());
    flooding.join().expect("the flood ends");
    assert_eq!(tunnel.get("/").expect("an answer").1, b"here");
}

#[test]
fn a_visitor_who_reads_nothing_costs_little_and_stops_nobody() {
    let large = vec![7; 4 * MIB];
    let origin =
        Origin::answering(move |head, _| if head.target() == "/large" { ok(&large) } else { ok(b"small") });
    let tunnel = Tunnel::to(origin.port);
    tunnel.get("/").expect("an answer");
    let before = tunnel.relay.program.memory("VmRSS");
    // Windows of nothing: the heads of all answers come, and no byte of their bodies may.
    let mut slow = Frames::dial(tunnel.relay.port, 0);
    let block = frames::get(tunnel.agent.host(), "/large", &[]);
    for number in 0..u32::try_from(MANY).expect("it fits") {
        slow.send(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &block).expect("the relay reads");
    }
    for _ in 0..MANY {
        let head = slow.wait_for(HEADERS).expect("the head of an answer");
        assert!(is_status(&head.payload, 200), "{head:?}");
    }
    assert_eq!(tunnel.get("/").expect("an answer").1, b"small");
    let grown = tunnel.relay.program.memory("VmHWM").saturating_sub(before);
    // What waits on the link (32 MiB for one agent), and 64 KiB for each stream.
    let most = 40 * MIB + MANY * 64 * 1024;
    assert!(grown < most as u64, "the relay grew by {grown} bytes");
    // A window lets bytes come again.
    let more = [&[0, 4][..], &1000_u32.to_be_bytes()].concat();
    slow.send(SETTINGS, 0, 0, &more).expect("the relay reads");
    assert!(!slow.wait_for(DATA).expect("a body").payload.is_empty());
}

#[test]
fn a_relay_that_drains_finishes_what_is_under_way() {
    let door = Door::default();
    let (entered, entering) = channel();
    let (held, entered) = (door.clone(), Mutex::new(entered));
    let origin = Origin::answering(move |_, _| {
        entered.lock().expect("nobody panics here").send(()).expect("the test waits");
        held.pass();
        ok(b"whole")
    });
    let mut tunnel = Tunnel::to(origin.port);
    let mut visitor = Frames::dial(tunnel.relay.port, 65_535);
    let block = frames::get(tunnel.agent.host(), "/", &[]);
    visitor.send(HEADERS, END_STREAM | END_HEADERS, 1, &block).expect("the relay reads");
    entering.recv().expect("the service is asked");
    tunnel.relay.program.signal(Signal::TERM);
    visitor.wait_for(GOAWAY).expect("the relay says that it ends");
    door.open();
    let head = visitor.wait_for(HEADERS).expect("an answer");
    assert!(is_status(&head.payload, 200), "{head:?}");
    assert_eq!(visitor.wait_for(DATA).expect("a body").payload, b"whole");
    drop(visitor);
    assert_eq!(tunnel.relay.program.code(), 0);
}
