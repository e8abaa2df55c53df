//! What is kept of connections, and that it is bounded whatever passes.

use std::time::Duration;

use hvym_tunnel_core::time::Instant;
use proptest::collection::vec;
use proptest::prelude::*;

use super::exchange::{Progress, ResponseKind};
use super::messages::CapturedKind;
use super::*;

fn at(ms: u64) -> Moment {
    Moment { at: Instant::from_millis(ms), unix_ms: 1_000_000 + ms }
}

fn source() -> ExchangeSource {
    ExchangeSource { service: Arc::from("web"), from: None, replay_of: None }
}

fn stream(number: u64) -> ObservedStream {
    ObservedStream::new(StreamId::external(1, number), Arc::from("web"), Proto::Http)
}

/// Whole conversations, one byte of each side after another or all at once.
fn talk(connection: &mut Connection, ring: &mut Ring, request: &[u8], response: &[u8], size: usize) {
    for (piece, ms) in request.chunks(size).zip(1..) {
        connection.handle_request_bytes(piece, at(ms), ring);
    }
    for (piece, ms) in response.chunks(size).zip(1000..) {
        connection.handle_response_bytes(piece, at(ms), ring);
    }
}

#[test]
fn requests_of_one_connection_are_told_apart_however_their_bytes_are_cut() {
    let request =
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;q=1\r\nabc\r\n0\r\n\r\n\
        GET /b HTTP/1.1\r\nHost: x\r\n\r\n";
    let response = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\
        HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
    for size in [1, 2, 7, 1000] {
        let (mut connection, mut ring) = (Connection::new(source()), Ring::default());
        talk(&mut connection, &mut ring, request, response, size);
        let [first, second] = &ring.iter().collect::<Vec<_>>()[..] else { panic!("two exchanges") };
        assert_eq!((first.request.method.as_str(), first.request.target.as_str()), ("POST", "/a"));
        // As it came, so that it can be sent again so.
        assert_eq!(first.request.body.bytes(), b"3;q=1\r\nabc\r\n0\r\n\r\n");
        assert_eq!(first.request.body.length(), 3);
        assert!(first.request.head.ends_with(b"chunked\r\n\r\n") && first.request.head.starts_with(b"POST"));
        let of = |exchange: &CapturedExchange| {
            let response = exchange.response.clone().expect("a response");
            (response.status, response.body.bytes().to_vec(), exchange.progress)
        };
        assert_eq!(of(first), (200, b"ok".to_vec(), Progress::Complete), "{size}");
        assert_eq!(of(second), (404, b"none".to_vec(), Progress::Complete), "{size}");
        assert!(connection.is_idle());
    }
}

#[test]
fn times_are_those_of_the_bytes() {
    let (mut connection, mut ring) = (Connection::new(source()), Ring::default());
    connection.handle_request_bytes(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na",
        at(10),
        &mut ring,
    );
    connection.handle_request_bytes(b"b", at(30), &mut ring);
    connection.handle_response_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", at(60), &mut ring);
    let open = ring.get(1).expect("it is kept");
    assert_eq!((open.progress, open.duration), (Progress::Open, None));
    connection.handle_response_bytes(b"ok", at(100), &mut ring);
    let exchange = ring.get(1).expect("it is kept");
    let ms = |ms| Some(Duration::from_millis(ms));
    assert_eq!(exchange.started.unix_ms, 1_000_010);
    assert_eq!(exchange.request.complete_after, ms(20));
    assert_eq!(exchange.response.as_ref().map(|response| response.begun_after), ms(50));
    assert_eq!(exchange.duration, ms(90));
}

#[test]
fn a_response_that_ends_too_early_is_broken_and_one_without_a_length_is_not() {
    for (response, progress) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"[..], Progress::Broken),
        (b"HTTP/1.1 200 OK\r\n\r\nall", Progress::Complete),
        (b"", Progress::Broken),
        (b"SSH-2.0\r\n\r\n", Progress::Broken),
    ] {
        let (mut connection, mut ring) = (Connection::new(source()), Ring::default());
        talk(&mut connection, &mut ring, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", response, 1000);
        connection.handle_response_end(at(5000), &mut ring);
        assert_eq!(ring.get(1).map(|exchange| exchange.progress), Some(progress), "{response:?}");
    }
}

#[test]
fn events_are_messages_and_no_body() {
    let (mut connection, mut ring) = (Connection::new(source()), Ring::default());
    let response =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\ndata: 2\n\n";
    talk(&mut connection, &mut ring, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", response, 5);
    let exchange = ring.get(1).expect("it is kept");
    assert_eq!((exchange.kind(), exchange.progress), (ResponseKind::EventStream, Progress::Open));
    let said: Vec<_> = exchange.messages.iter().map(|message| message.data.as_slice()).collect();
    assert_eq!(said, [b"1", b"2"]);
    let body = &exchange.response.as_ref().expect("a response").body;
    assert_eq!((body.length(), body.bytes().len()), (18, 0));
}

#[test]
fn after_an_upgrade_messages_of_both_sides_are_kept_until_the_end() {
    let (mut connection, mut ring) = (Connection::new(source()), Ring::default());
    let request = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let response =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x05hello";
    talk(&mut connection, &mut ring, request, response, 1000);
    connection.handle_request_bytes(&[0x82, 0x81, 1, 2, 3, 4, b'x' ^ 1], at(2000), &mut ring);
    let exchange = ring.get(1).expect("it is kept");
    assert_eq!((exchange.kind(), exchange.progress), (ResponseKind::WebSocket, Progress::Open));
    let said: Vec<_> =
        exchange.messages.iter().map(|message| (message.kind, message.data.as_slice())).collect();
    assert_eq!(said, [(CapturedKind::Text, &b"hello"[..]), (CapturedKind::Binary, b"x")]);
    connection.handle_end(at(3000), &mut ring);
    assert_eq!(ring.get(1).map(|exchange| exchange.progress), Some(Progress::Complete));
}

#[test]
fn an_upload_of_a_gigabyte_is_counted_and_not_kept() {
    let (mut connection, mut ring) = (Connection::new(source()), Ring::default());
    let head = format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    connection.handle_request_bytes(head.as_bytes(), at(0), &mut ring);
    let piece = vec![7; 1 << 20];
    for _ in 0..1 << 10 {
        connection.handle_request_bytes(&piece, at(1), &mut ring);
    }
    let exchange = ring.get(1).expect("it is kept");
    assert_eq!(exchange.request.body.length(), 1 << 30);
    assert!(exchange.request.complete_after.is_some() && !exchange.request.body.is_whole());
    assert!(ring.held() < body::MAX_BODY_BYTES + 4096, "{}", ring.held());
}

#[test]
fn private_services_and_other_protocols_are_seen_only_if_asked_for() {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let seen = |takes_private: bool, is_private: bool, proto: Proto| {
        let capture = Capture::new(takes_private);
        let observer = capture.observer();
        let mut stream = stream(1);
        (stream.is_private, stream.proto) = (is_private, proto);
        observer.handle_bytes(&Piece::new(&stream, Direction::ToLocal, Some(request)));
        capture.list(|exchange| exchange.id).len()
    };
    assert_eq!(seen(false, false, Proto::Http), 1);
    assert_eq!(seen(false, true, Proto::Http), 0);
    assert_eq!(seen(true, true, Proto::Http), 1);
    assert_eq!(seen(true, false, Proto::Tcp), 0);
}

#[test]
fn connections_of_two_agents_are_two_although_their_streams_have_one_number() {
    let capture = Capture::new(false);
    let (one, other) = (capture.observer(), capture.observer());
    let pass = |observer: &Arc<dyn Observer<AgentEvent>>, bytes: &[u8]| {
        observer.handle_bytes(&Piece::new(&stream(1), Direction::ToLocal, Some(bytes)));
    };
    pass(&one, b"GET /one HT");
    pass(&other, b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
    pass(&one, b"TP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(capture.list(|exchange| exchange.request.target.clone()), ["/other", "/one"]);
}

#[test]
fn so_many_connections_are_followed_and_no_more() {
    let capture = Capture::new(false);
    let observer = capture.observer();
    let pass = |number: u64, bytes: &[u8]| {
        observer.handle_bytes(&Piece::new(&stream(number), Direction::ToLocal, Some(bytes)));
    };
    let most = MAX_CONNECTIONS as u64;
    for number in 0..=most {
        pass(number, b"GET / HTTP/1.1\r\n");
    }
    assert_eq!(capture.losses().skipped, 1);
    observer.handle_stream_end(&stream(0));
    assert_eq!(capture.list(|exchange| exchange.id).len(), 0);
    // One that was not followed from its beginning is not followed later.
    pass(most, b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n");
    pass(most + 1, b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(capture.list(|exchange| exchange.request.target.clone()), ["/next"]);
}

#[test]
fn a_watcher_hears_of_each_exchange_once_and_of_the_end_of_all() {
    let capture = Capture::new(false);
    let (watch, observer) = (capture.watch(), capture.observer());
    let pass = |direction, bytes: &[u8]| {
        observer.handle_bytes(&Piece::new(&stream(1), direction, Some(bytes)));
    };
    pass(Direction::ToLocal, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    pass(Direction::ToTunnel, b"HTTP/1.1 204 No Content\r\n\r\n");
    smol::block_on(watch.changed());
    let seen = watch.take(|exchange| (exchange.id, exchange.progress));
    assert_eq!((seen.is_cleared, seen.exchanges), (false, vec![(1, Progress::Complete)]));
    assert!(watch.take(|_| ()).exchanges.is_empty());
    pass(Direction::ToLocal, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    capture.clear();
    smol::block_on(watch.changed());
    let seen = watch.take(|exchange| exchange.id);
    assert!(seen.is_cleared && seen.exchanges.is_empty());
    // What was open when all were forgotten is not recorded any further.
    pass(Direction::ToTunnel, b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(capture.list(|exchange| exchange.id).len(), 0);
}

#[test]
fn the_oldest_exchanges_make_room() {
    for count in [ring::MAX_EXCHANGES - 1, ring::MAX_EXCHANGES, ring::MAX_EXCHANGES + 1] {
        let capture = Capture::new(false);
        let observer = capture.observer();
        for number in 0..count as u64 {
            let stream = stream(number);
            let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
            observer.handle_bytes(&Piece::new(&stream, Direction::ToLocal, Some(request)));
            observer.handle_stream_end(&stream);
        }
        let ids = capture.list(|exchange| exchange.id);
        assert_eq!(ids.len(), count.min(ring::MAX_EXCHANGES));
        assert_eq!(ids.last(), Some(&(count as u64)));
        assert_eq!(capture.losses().dropped, count.saturating_sub(ring::MAX_EXCHANGES) as u64);
    }
}

/// What may pass on a connection.
#[derive(Clone, Debug)]
enum Op {
    Request { body: usize },
    Response { body: usize },
    Events { count: usize },
    Upgrade,
    Frames { count: usize, size: u16 },
    Junk { request: bool, bytes: Vec<u8> },
    End,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let body = || prop_oneof![0..200_usize, 0..40_000_usize];
    prop_oneof![
        4 => body().prop_map(|body| Op::Request { body }),
        4 => body().prop_map(|body| Op::Response { body }),
        1 => (0..300_usize).prop_map(|count| Op::Events { count }),
        1 => Just(Op::Upgrade),
        2 => (0..20_usize, any::<u16>()).prop_map(|(count, size)| Op::Frames { count, size }),
        2 => (any::<bool>(), vec(any::<u8>(), 0..200)).prop_map(|(request, bytes)| Op::Junk { request, bytes }),
        2 => Just(Op::End),
        1 => Just(Op::Clear),
    ]
}

impl Op {
    /// The bytes that pass, and which way.
    fn bytes(&self) -> Option<(Direction, Vec<u8>)> {
        let with = |head: &str, body: usize| [head.as_bytes(), &vec![b'x'; body]].concat();
        Some(match self {
            Op::Request { body } => {
                let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {body}\r\n\r\n");
                (Direction::ToLocal, with(&head, *body))
            }
            Op::Response { body } => (
                Direction::ToTunnel,
                with(&format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n"), *body),
            ),
            Op::Events { count } => {
                let events = "data: something\n\n".repeat(*count);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
                (Direction::ToTunnel, [head, &events].concat().into_bytes())
            }
            Op::Upgrade => {
                let agreed = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
                let head = format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n{agreed}\r\n");
                (Direction::ToTunnel, head.into_bytes())
            }
            Op::Frames { count, size } => {
                let [high, low] = size.to_be_bytes();
                let frame = [vec![0x82, 126, high, low], vec![7; usize::from(*size)]].concat();
                (Direction::ToTunnel, frame.repeat(*count))
            }
            Op::Junk { request: true, bytes } => (Direction::ToLocal, bytes.clone()),
            Op::Junk { request: false, bytes } => (Direction::ToTunnel, bytes.clone()),
            Op::End | Op::Clear => return None,
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_passes_no_more_is_held_than_may_be(ops in vec((0..4_u64, op()), 0..60), limit in 4096..400_000_usize) {
        let mut state = CaptureState { ring: Ring::with_limits(5, limit), ..CaptureState::default() };
        for ((number, op), ms) in ops.into_iter().zip(0..) {
            let stream = stream(number);
            match op.bytes() {
                Some((direction, bytes)) => {
                    state.pass((0, stream.id), &Piece::new(&stream, direction, Some(&bytes)), at(ms));
                }
                None if matches!(op, Op::Clear) => state.ring.clear(),
                None => state.end((0, stream.id), at(ms)),
            }
            let exchanges: usize = state.ring.iter().map(CapturedExchange::held).sum();
            let connections: usize = state.connections.values().map(Connection::held).sum();
            prop_assert_eq!(exchanges, state.ring.held());
            prop_assert_eq!(connections, state.held);
            prop_assert!(state.ring.iter().count() <= 5);
            // What follows the connections is bounded by their number; exchanges make room for it.
            prop_assert!(exchanges == 0 || exchanges + connections <= limit, "{} + {}", exchanges, connections);
            let ids: Vec<u64> = state.ring.iter().map(|exchange| exchange.id).collect();
            prop_assert!(ids.is_sorted());
        }
    }
}
