//! What a proxy forwards, made of pieces that are nearly right: the fuzz targets hold for it, however the pieces are put together.

use bytes::BytesMut;
use hvym_http1::{
    ClientInfo, FieldTable, ForwardedBlock, ForwardedFields, RequestRewrite, RequestView, ResponseRewrite,
    ResponseView, UrlScheme,
};
use hvym_tunnel_tests::{forwarded, forwarded_bodies, memory};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;

const REQUEST_LINES: &[&str] = &[
    "GET / HTTP/1.1",
    "GET /a?b HTTP/1.1",
    "POST http://u@h:81/p HTTP/1.1",
    "OPTIONS http://h HTTP/1.1",
    "OPTIONS * HTTP/1.0",
    "HEAD http://h?q HTTP/1.0",
    "CONNECT h:1 HTTP/1.1",
    "GET /#f HTTP/1.1",
    "GET  / HTTP/1.1",
];

const STATUS_LINES: &[&str] = &[
    "HTTP/1.1 200 OK",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 204",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 101 Switching",
    "HTTP/1.1 103 Early Hints",
    "HTTP/1.1 426 Upgrade",
    "HTTP/1.1 99 X",
];

/// What a request has most of the time, so that most are accepted.
const HOSTS: &[&str] = &["Host: a", "Host: a", "Host: a", "host: [::1]:80", "Host: a/b", "X: y"];

const FIELDS: &[&str] = &[
    "Connection: close",
    "Connection: keep-alive, Upgrade",
    "connection: X, te, Host, cookie",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "TE: trailers",
    "TE: gzip;q=0, trailers",
    "Keep-Alive: timeout=5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Content-Length: 5",
    "Content-Length: 5, 05",
    "Content-Length: +5",
    "Cookie: a=1",
    "cookie: b=2",
    "Expect: 100-continue",
    "X-Forwarded-For: 1",
    "X_Forwarded_Proto: https",
    "Forwarded: for=1;host=\"a, b\"",
    "X.Real.IP: 1",
    "X-Stellar_Address: G",
    "Proxy: x",
    "Proxy-Status: x",
    "Proxy-Authorization: Basic x",
    "Trailer: t",
    "Trailers: t",
    "X: ",
    "X:y",
    "X:\t y \t",
    "Name : v",
    "Caf\u{e9}: v",
    "X: caf\u{e9}\tb",
    "Set-Cookie: a=1; Domain=relay.example; Path=/",
    "Set-Cookie: a=1; domain = .EXAMPLE ;Domain=b",
    "Date: now",
    "WWW-Authenticate: Negotiate",
    " folded",
];

/// A head with these start lines; lines end with CR LF, and sometimes one does not.
fn head(lines: &'static [&'static str], firsts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let ends = prop_oneof![30 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
    let fields = vec((select(FIELDS), ends), 0..8);
    (select(lines), select(firsts), fields).prop_map(|(line, first, fields)| {
        let fields: String = fields.into_iter().map(|(field, end)| format!("{field}{end}")).collect();
        format!("{line}\r\n{first}\r\n{fields}\r\nrest")
    })
}

fn body() -> impl Strategy<Value = String> {
    let pieces: &[&str] = &[
        "5\r\nhello\r\n",
        "1;a=\"b;\"\r\n!\r\n",
        "00A \r\n0123456789\r\n",
        "0\r\n",
        "A: b\r\n",
        "Host: c\r\n",
        "\r\n",
        "x",
        "\"",
    ];
    vec(select(pieces), 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_request_of_any_pieces_is_refused_or_forwarded_by_the_rules(head in head(REQUEST_LINES, HOSTS)) {
        forwarded::requests(head.as_bytes());
    }

    #[test]
    fn a_response_of_any_pieces_is_refused_or_forwarded_by_the_rules(
        head in head(STATUS_LINES, FIELDS), how in any::<u8>(),
    ) {
        forwarded::responses(&[&[how], head.as_bytes()].concat());
    }

    #[test]
    fn a_body_of_any_pieces_is_refused_or_forwarded_whole(body in body(), how in any::<[u8; 2]>()) {
        forwarded_bodies::bodies(&[&how, body.as_bytes()].concat());
    }
}

#[test]
fn enough_of_the_pieces_make_heads_that_are_accepted() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut requests, mut responses) = (0, 0);
    for _ in 0..500 {
        let request = head(REQUEST_LINES, HOSTS).new_tree(&mut runner).expect("a head").current();
        let parsed = RequestView::parse_prefix(request.as_bytes(), &mut FieldTable::new()).is_ok();
        let response = head(STATUS_LINES, FIELDS).new_tree(&mut runner).expect("a head").current();
        let is_response =
            ResponseView::parse_prefix(response.as_bytes(), &mut FieldTable::new(), "GET").is_ok();
        (requests, responses) = (requests + usize::from(parsed), responses + usize::from(is_response));
    }
    assert!(requests > 50 && responses > 100, "{requests} requests and {responses} responses of 500");
}

#[test]
fn heads_are_forwarded_without_an_allocation() {
    let request = "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nX-Real-IP: 1\r\nCookie: a=1; b=2\r\nX:y\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 2\r\nSet-Cookie: a=1; Path=/\r\nConnection: close\r\n\r\n";
    let client = ClientInfo::new([192, 0, 2, 7].into(), UrlScheme::Https, std::iter::empty(), |_| false);
    let block = ForwardedBlock::new(&client, "a");
    let forwarded = ForwardedFields::Replace(&block);
    let to_service = RequestRewrite { forwarded, keeps_client_address: false, host: None, remove: &["x"] };
    let to_visitor =
        ResponseRewrite { relay_domain: Some("relay.example"), date: Some("now"), ..Default::default() };
    let (mut table, mut out) = (FieldTable::new(), BytesMut::with_capacity(1024));
    let mut forward = || {
        out.clear();
        let view = RequestView::parse(request.as_bytes(), &mut table).expect("a good head");
        view.write_forwarded(&to_service, &mut out);
        let view = ResponseView::parse(response.as_bytes(), &mut table, "GET").expect("a good head");
        view.write_forwarded(&to_visitor, &mut out);
    };
    // The table grows once.
    forward();
    let before = memory::live();
    assert!(before > 0, "the allocator counts");
    memory::forget_peak();
    forward();
    assert_eq!((memory::peak(), memory::live()), (before, before));
}
