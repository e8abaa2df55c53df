//! What the observer of a connection tells about conversations that a service really has.

use std::time::Duration;

use hvym_http1::{
    AccessRecord, FramingError, HeadError, Headers, LAST_CHUNK, MAX_PENDING, ResponseError, ResponseView,
    Sniff, Tap, encode_chunk,
};

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// Keeps of every 400 and 403 its status, the number of its fields and the beginning of its body.
#[derive(Debug)]
pub(crate) struct Refusals;

impl Sniff for Refusals {
    type Finding = (u16, usize, Vec<u8>);

    const PREFIX_BYTES: usize = 28;

    fn wants(&self, response: &ResponseView<'_>) -> bool {
        matches!(response.status(), 400 | 403)
    }

    fn inspect(&self, status: u16, headers: &Headers, prefix: &[u8]) -> Option<Self::Finding> {
        Some((status, headers.len(), prefix.to_vec()))
    }
}

pub(crate) type Observer = Tap<Duration, Refusals>;
pub(crate) type Observed = AccessRecord<Duration, <Refusals as Sniff>::Finding>;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A tap that was shown these pieces, one millisecond apart: `>` from the visitor, `<` from the service.
fn shown(pieces: &[&str]) -> Observer {
    let mut tap = Tap::with_sniff(Refusals);
    for (millis, piece) in pieces.iter().enumerate() {
        let now = at(millis as u64);
        match piece.split_at(1) {
            (">", bytes) => tap.handle_request_bytes(bytes.as_bytes(), now),
            (_, bytes) => tap.handle_response_bytes(bytes.as_bytes(), now),
        }
    }
    tap
}

fn events(tap: &mut Observer) -> Vec<Observed> {
    std::iter::from_fn(|| tap.poll_event()).collect()
}

/// Method, target and status of every exchange so far.
fn told(tap: &mut Observer) -> Vec<(String, String, Option<u16>)> {
    events(tap).into_iter().map(|e| (e.method.into_owned(), e.target, e.status)).collect()
}

fn line(method: &str, target: &str, status: u16) -> (String, String, Option<u16>) {
    (method.to_string(), target.to_string(), Some(status))
}

fn to(sign: &str, bytes: &str) -> String {
    format!("{sign}{bytes}")
}

#[test]
fn an_exchange_is_told_when_its_answer_is_whole() {
    let mut tap = Tap::with_sniff(Refusals);
    tap.handle_request_bytes(b"GET /a?b HTTP/1.1\r\n", at(10));
    tap.handle_request_bytes(b"Host: x\r\n\r\n", at(11));
    tap.handle_response_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", at(14));
    assert_eq!((tap.poll_event(), tap.pending_requests()), (None, 1));
    tap.handle_response_bytes(b"i", at(15));
    let [record] = &events(&mut tap)[..] else { panic!("one record") };
    assert_eq!((&*record.method, &*record.target, record.host.as_deref()), ("GET", "/a?b", Some("x")));
    assert_eq!((record.status, record.upgraded, record.complete), (Some(200), false, true));
    assert_eq!((record.started, record.duration), (at(10), Duration::from_millis(5)));
    assert_eq!((record.request_bytes, record.response_bytes), (0, 2));
    assert_eq!((&record.finding, tap.pending_requests()), (&None, 0));
}

#[test]
fn a_connection_that_is_kept_alive_tells_each_exchange() {
    let post = "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let empty = "HTTP/1.1 204 No Content\r\n\r\n";
    let mut tap =
        shown(&[&to(">", GET), &to("<", OK), &to(">", post), &to("<", empty), &to(">", GET), &to("<", OK)]);
    assert_eq!(told(&mut tap), [line("GET", "/a", 200), line("POST", "/b", 204), line("GET", "/a", 200)]);
    assert!(!tap.is_opaque());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let requests =
        "GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    let answers = format!(
        "{OK}HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
    );
    let mut tap = shown(&[&to(">", requests), &to("<", &answers)]);
    assert_eq!(told(&mut tap), [line("GET", "/1", 200), line("HEAD", "/2", 200), line("POST", "/3", 500)]);
}

#[test]
fn interim_answers_are_not_the_answer() {
    let post = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let mut tap = shown(&[&to(">", post), &to("<", interim), ">ab", &to("<", OK)]);
    let exchange = &events(&mut tap)[0];
    assert_eq!((exchange.status, exchange.duration), (Some(200), Duration::from_millis(3)));
    assert_eq!((exchange.request_bytes, exchange.response_bytes), (2, 2));
}

#[test]
fn an_answer_may_come_before_the_question_is_over() {
    let post = "POST /up HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc";
    let mut tap = shown(&[&to(">", post), &to("<", OK), &to(">def", GET), &to("<", OK)]);
    let told = events(&mut tap);
    assert_eq!(told[0].request_bytes, 3);
    assert_eq!((told[1].target.as_str(), told[1].request_bytes), ("/a", 0));
}

#[test]
fn an_answer_nobody_asked_for_is_passed_over() {
    let timeout = "<HTTP/1.1 408 Request Timeout\r\nContent-Length: 3\r\n\r\nbye";
    let mut tap = shown(&[timeout, &to(">", GET), &to("<", OK)]);
    assert_eq!(told(&mut tap), [line("GET", "/a", 200)]);
}

#[test]
fn bytes_of_an_answer_nobody_asked_for_count_for_no_request() {
    let begun = "<HTTP/1.1 408 Request Timeout\r\nContent-Length: 3\r\n\r\nb";
    let mut tap = shown(&[begun, &to(">", GET), "<ye", &to("<", OK)]);
    let exchange = &events(&mut tap)[0];
    assert_eq!((exchange.status, exchange.response_bytes), (Some(200), 2));
    let broken = "<HTTP/1.1 408 Request Timeout\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nb";
    let mut tap = shown(&[broken, &to(">", GET), "<yes\r\n", "<more"]);
    tap.handle_response_end(at(9));
    let exchange = &events(&mut tap)[0];
    assert_eq!((exchange.status, exchange.response_bytes), (None, 0));
}

#[test]
fn what_follows_an_upgrade_request_is_the_new_protocol_once_it_is_granted() {
    let eager = ">GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\nGET /not-http HTTP/1.1\r\n\r\n";
    let mut tap = shown(&[eager, "<HTTP/1.1 101 Switching Protocols\r\n\r\n"]);
    tap.handle_response_end(at(3));
    assert_eq!(told(&mut tap), [line("GET", "/ws", 101)]);
}

#[test]
fn a_websocket_is_told_when_it_opens_and_then_only_counted() {
    let ask = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let grant = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let mut tap = shown(&[
        &to(">", ask),
        &to("<", &format!("{grant}\u{1}frame")),
        ">GET / HTTP/1.1\r\n\r\n",
        "<HTTP/1.1",
    ]);
    let told = events(&mut tap);
    assert_eq!((told.len(), told[0].status, told[0].upgraded, told[0].complete), (1, Some(101), true, true));
    assert_eq!(told[0].response_bytes, 0);
    assert!(tap.is_opaque());
    assert_eq!(tap.request_bytes(), ask.len() as u64 + 18);
    assert_eq!(tap.response_bytes(), grant.len() as u64 + 6 + 8);
    tap.handle_response_end(at(9));
    assert_eq!(tap.poll_event(), None);
}

#[test]
fn a_granted_connect_is_a_tunnel_and_a_refused_one_is_not() {
    let ask = ">CONNECT db:5432 HTTP/1.1\r\n\r\nGET /not-http HTTP/1.1\r\n\r\n";
    let mut granted = shown(&[ask, "<HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]);
    let told = events(&mut granted);
    assert_eq!((told[0].target.as_str(), told[0].upgraded), ("db:5432", true));
    let mut refused = shown(&[ask, "<HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"]);
    refused.handle_response_end(at(2));
    let told = events(&mut refused);
    assert_eq!((told.len(), told[0].status, told[0].upgraded, told[0].complete), (1, Some(407), false, true));
    assert_eq!((told[0].request_bytes, told[0].response_bytes), (0, 2));
}

#[test]
fn an_answer_without_a_length_ends_with_the_connection() {
    let mut tap = shown(&[&to(">", GET), "<HTTP/1.0 200 OK\r\n\r\nand so on"]);
    tap.handle_request_end(at(2));
    assert_eq!(tap.poll_event(), None);
    tap.handle_response_end(at(7));
    let exchange = &events(&mut tap)[0];
    assert_eq!((exchange.status, exchange.complete), (Some(200), true));
    assert_eq!(exchange.duration, Duration::from_millis(7));
}

#[test]
fn what_is_cut_off_is_told_as_it_stands() {
    let mut tap = shown(&[&to(">", &GET.repeat(2)), "<HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"]);
    tap.handle_response_end(at(3));
    let told = events(&mut tap);
    assert_eq!((told[0].status, told[0].complete, told[0].response_bytes), (Some(200), false, 2));
    assert_eq!((told[1].status, told[1].complete, told[1].response_bytes), (None, false, 0));
    let mut in_a_head = shown(&[&to(">", GET), "<HTTP/1.1 20"]);
    in_a_head.handle_response_end(at(3));
    assert_eq!((events(&mut in_a_head)[0].response_bytes, in_a_head.pending_requests()), (0, 0));
}

#[test]
fn another_protocol_makes_it_blind_and_nothing_else() {
    for hello in [">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ">\u{16}\u{3}\u{1}hello", "<SSH-2.0-x\r\n\r\n"] {
        let mut tap = shown(&[hello, &to(">", GET), &to("<", OK), "<\u{0}\u{0}"]);
        tap.handle_response_end(at(9));
        assert_eq!((tap.poll_event(), tap.pending_requests()), (None, 0), "{hello:?}");
        assert!(tap.is_opaque());
        assert!(tap.request_bytes() >= GET.len() as u64 && tap.response_bytes() >= OK.len() as u64);
    }
}

#[test]
fn an_answer_that_no_proxy_passes_on_is_told_at_once_with_the_reason() {
    for (odd, refused) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
            ResponseError::Framing(FramingError::LengthsDiffer),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            ResponseError::Framing(FramingError::Encoding),
        ),
        ("SSH-2.0-x\r\n\r\n", ResponseError::Head(HeadError::Version)),
    ] {
        for cut in [1, odd.len() / 2, odd.len() - 1] {
            let (one, other) = odd.split_at(cut);
            let mut tap = shown(&[&to(">", GET), &to("<", one), &to("<", other), "<more"]);
            let [exchange] = &events(&mut tap)[..] else { panic!("one record: {odd:?}") };
            assert_eq!((exchange.status, exchange.complete, exchange.response_bytes), (None, false, 0));
            assert_eq!(exchange.refused, Some(refused), "{odd:?}");
        }
    }
}

#[test]
fn a_host_is_recorded_for_each_request_and_kept_for_all_that_have_the_same() {
    let get = |host: &str| format!(">GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let ok = to("<", OK);
    let mut tap = shown(&[&get("a"), &ok, &get("a"), &ok, &get("b"), &ok, ">GET / HTTP/1.1\r\n\r\n", &ok]);
    let told: Vec<Observed> = events(&mut tap);
    let hosts: Vec<Option<&str>> = told.iter().map(|record| record.host.as_deref()).collect();
    assert_eq!(hosts, [Some("a"), Some("a"), Some("b"), None]);
}

#[test]
fn requests_before_the_one_it_cannot_follow_are_still_told() {
    let mut tap = shown(&[&to(">", &format!("{GET}rubbish\r\n\r\n{GET}")), &to("<", OK)]);
    assert_eq!(told(&mut tap), [line("GET", "/a", 200)]);
    assert!(tap.is_opaque());
}

#[test]
fn more_requests_than_may_wait_are_not_looked_at() {
    let mut tap = shown(&[&to(">", &GET.repeat(MAX_PENDING + 5)), &to("<", &OK.repeat(MAX_PENDING + 5))]);
    assert_eq!(events(&mut tap).len(), MAX_PENDING);
    assert!(tap.is_opaque());
}

#[test]
fn the_clock_of_a_request_starts_with_its_first_line() {
    let mut tap = Tap::with_sniff(Refusals);
    tap.handle_request_bytes(b"\r\n", at(1));
    tap.handle_request_bytes(GET.as_bytes(), at(60_000));
    tap.handle_response_bytes(OK.as_bytes(), at(60_002));
    assert_eq!(events(&mut tap)[0].duration, Duration::from_millis(2));
}

#[test]
fn a_response_that_is_sniffed_is_inspected_with_its_decoded_beginning() {
    let mut coded = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    encode_chunk(b"Blocked request. This ho", &mut coded);
    encode_chunk(b"st (\"a.example\") is not allowed.", &mut coded);
    coded.extend_from_slice(LAST_CHUNK);
    let answer = to("<", std::str::from_utf8(&coded).expect("ASCII"));
    let mut tap = shown(&[&to(">", GET), &answer, &to(">", GET), &to("<", OK)]);
    let told = events(&mut tap);
    let beginning = b"Blocked request. This host (".to_vec();
    assert_eq!((&told[0].finding, told[0].complete), (&Some((403, 1, beginning.clone())), true));
    assert_eq!(told[1].finding, None);
    let mut broken = shown(&[&to(">", GET), &answer.replace("\r\n0\r\n\r\n", "\r\nzero")]);
    broken.handle_response_end(at(3));
    let told = events(&mut broken);
    assert_eq!((&told[0].finding, told[0].complete), (&Some((403, 1, beginning)), false));
    let mut tap = shown(&[
        &to(">HEAD / HTTP/1.1\r\n\r\n", ""),
        "<HTTP/1.1 403 Forbidden\r\nContent-Length: 19\r\n\r\n",
    ]);
    assert_eq!(events(&mut tap)[0].finding, Some((403, 1, Vec::new())));
    let mut tap = shown(&[&to(">", GET), "<HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nhi"]);
    assert_eq!(events(&mut tap)[0].finding, None);
}

#[test]
fn a_response_is_pending_while_every_request_is_complete_and_unanswered() {
    let mut tap = Tap::with_sniff(Refusals);
    let mut told = vec![tap.response_pending()];
    for piece in [
        ">GET /a HTTP/1.1\r\n",
        ">\r\n",
        ">POST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nx",
        ">y",
        "<HTTP/1.1 204 No Content\r\n\r\n",
        "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
        "<z",
    ] {
        match piece.split_at(1) {
            (">", bytes) => tap.handle_request_bytes(bytes.as_bytes(), at(0)),
            (_, bytes) => tap.handle_response_bytes(bytes.as_bytes(), at(0)),
        }
        told.push(tap.response_pending());
    }
    assert_eq!(told, [false, false, true, false, true, true, true, false]);
}

#[test]
fn what_a_tap_holds_is_counted() {
    let held = |target: usize, refusal: usize| {
        let mut tap = Tap::with_sniff(Refusals);
        let request = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "t".repeat(target));
        tap.handle_request_bytes(request.as_bytes(), at(0));
        let value = "r".repeat(refusal);
        let response = format!("HTTP/1.1 403 No\r\nX-Long: {value}\r\nContent-Length: 9\r\n\r\n");
        tap.handle_response_bytes(response.as_bytes(), at(0));
        let held = tap.held();
        tap.handle_response_bytes(b"body", at(0));
        assert!((4..=16).contains(&(tap.held() - held)), "the beginning of the body is held");
        held
    };
    let mut empty = Observer::with_sniff(Refusals);
    assert_eq!(empty.held(), 0);
    empty.handle_request_bytes(b"GET", at(0));
    assert_eq!((empty.held(), empty.pending_requests()), (6, 1), "the head that has begun");
    empty.handle_response_bytes(b"HTTP", at(0));
    assert_eq!(empty.held(), 14, "and the one of a response");
    assert_eq!(held(110, 20) - held(10, 20), 100);
    assert_eq!(held(10, 10_000) - held(10, 0), 10_000);
    let held_with_host = |length: usize| {
        let mut tap = Tap::with_sniff(Refusals);
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "h".repeat(length));
        tap.handle_request_bytes(request.as_bytes(), at(0));
        tap.held()
    };
    assert_eq!(held_with_host(150) - held_with_host(50), 100);
    // Of an earlier request, whose host and client are not those of the last one.
    let held_with_both = |host: usize, client: usize| {
        let mut tap = Tap::with_sniff(Refusals);
        for (host, client) in [("h".repeat(host), "1".repeat(client)), ("x".to_owned(), "2".to_owned())] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {client}\r\n\r\n");
            tap.handle_request_bytes(request.as_bytes(), at(0));
        }
        tap.held()
    };
    assert_eq!(held_with_both(50, 7) - held_with_both(20, 7), 30);
    assert_eq!(held_with_both(20, 37) - held_with_both(20, 7), 30);
    // As many records as there can be, with short texts.
    let mut tap = Tap::with_sniff(Refusals);
    for piece in [&GET.repeat(MAX_PENDING), ""] {
        tap.handle_request_bytes(piece.as_bytes(), at(0));
        tap.handle_response_bytes(OK.repeat(MAX_PENDING).as_bytes(), at(0));
    }
    tap.handle_request_bytes(GET.repeat(MAX_PENDING).as_bytes(), at(0));
    let records = 2 * MAX_PENDING;
    let sizes = records * size_of::<Observed>()..=records * (size_of::<Observed>() + 16);
    assert!(sizes.contains(&tap.held()), "{} bytes are held, not {sizes:?}", tap.held());
}

#[test]
fn nothing_is_a_request_after_the_end_of_its_direction() {
    let mut tap = shown(&[&format!(">{GET}")]);
    assert!(!tap.is_opaque());
    tap.handle_request_end(at(1));
    assert!(tap.is_opaque());
    tap.handle_request_bytes(GET.as_bytes(), at(1));
    assert_eq!(tap.pending_requests(), 1);
}

#[test]
fn whom_the_proxy_in_front_names_is_recorded() {
    let head = |field: &str| format!(">GET /a HTTP/1.1\r\nHost: x\r\n{field}\r\n");
    let pieces = [
        head("X-Forwarded-For: 203.0.113.7\r\n"),
        head("X-Forwarded-For:  203.0.113.7 , 10.0.0.1\r\n"),
        head("X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-For: 10.0.0.1\r\n"),
        head(""),
        head(&format!("X-Forwarded-For: {}\r\n", "9".repeat(100))),
    ];
    let answer = format!("<{OK}");
    let pieces: Vec<&str> = pieces.iter().flat_map(|head| [head.as_str(), &answer]).collect();
    let clients: Vec<Option<String>> =
        events(&mut shown(&pieces)).into_iter().map(|e| e.client.map(|client| client.to_string())).collect();
    let named = |text: &str| Some(text.to_owned());
    let longest = "9".repeat(64);
    assert_eq!(
        clients,
        [named("203.0.113.7"), named("203.0.113.7"), named("2001:db8::1"), None, named(&longest)]
    );
}

#[test]
fn a_long_request_is_told_once_before_its_end() {
    let mut tap = shown(&[&format!(">{GET}")]);
    let age = at(100);
    assert!(tap.poll_long(age, at(99)).is_none());
    let told = tap.poll_long(age, at(100)).expect("it is long");
    assert_eq!((&*told.method, &*told.target, told.status), ("GET", "/a", None));
    assert!(tap.poll_long(age, at(200)).is_none(), "it is told twice");
    tap.handle_response_bytes(OK.as_bytes(), at(300));
    assert_eq!(told_of(&mut tap), 1);
    assert!(tap.poll_long(age, at(900)).is_none(), "nothing is under way");
    tap.handle_request_bytes(GET.as_bytes(), at(1_000));
    assert!(tap.poll_long(age, at(1_099)).is_none());
    assert!(tap.poll_long(age, at(1_100)).is_some(), "the next one is told, too");
}

fn told_of(tap: &mut Observer) -> usize {
    events(tap).len()
}
