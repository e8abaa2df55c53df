//! Fuzz targets for the heads of requests and responses that a proxy forwards.
//!
//! Each takes any bytes, and compares what is accepted with other parsers, and what is written with the rules of a proxy as they
//! stand in this file again, in other words.

use bytes::BytesMut;
use http::Uri;
use httparse::{EMPTY_HEADER, ParserConfig, Status};
use hvym_http1::{
    ClientInfo, FieldTable, ForwardedBlock, ForwardedFields, Framing, HeadError, HeadScanner, LineEndings,
    MAX_HEADERS, RequestParts, RequestRewrite, RequestView, ResponseRewrite, ResponseView, UrlScheme,
    Version, framing_toward, write_request_head,
};
use hvym_yamux_testing::corpus::Seed;

/// A field as text.
type Field = (String, Vec<u8>);

/// The domain of the relay in [`responses`].
const DOMAIN: &str = "relay.example";

fn owned<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<Field> {
    fields.map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

fn members(value: &[u8]) -> Vec<String> {
    value
        .split(|byte| *byte == b',')
        .map(|part| String::from_utf8_lossy(part.trim_ascii()).to_lowercase())
        .collect()
}

fn of<'a>(fields: &'a [Field], name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..]).collect()
}

/// The names that `Connection` ends at this hop.
fn named(fields: &[Field]) -> Vec<String> {
    let all = of(fields, "connection").into_iter().flat_map(members);
    all.filter(|name| !["host", "content-length", "trailer", "transfer-encoding"].contains(&&**name))
        .collect()
}

/// A name as CGI sees it.
fn variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn is_claim(name: &str) -> bool {
    let name = variable(name);
    name.starts_with("X_FORWARDED_")
        || ["FORWARDED", "X_STELLAR_ADDRESS", "X_CUSTOM_DOMAIN"].contains(&&*name)
        || ["X_REAL_IP", "X_CLIENT_IP", "X_CLUSTER_CLIENT_IP", "CLIENT_IP", "TRUE_CLIENT_IP", "FLY_CLIENT_IP"]
            .contains(&&*name)
        || ["CF_CONNECTING_IP", "CF_CONNECTING_IPV6", "CF_PSEUDO_IPV4", "FASTLY_CLIENT_IP"].contains(&&*name)
        || ["X_FORWARDED", "FORWARDED_FOR", "X_ORIGINAL_FORWARDED_FOR"].contains(&&*name)
        || ["X_APPENGINE_USER_IP", "X_AZURE_CLIENTIP", "X_ENVOY_EXTERNAL_ADDRESS"].contains(&&*name)
}

/// Whether CGI takes the field for another one, which frames the message or ends at a hop.
fn is_alias(name: &str) -> bool {
    let variable = variable(name);
    let is_of_message = ["CONTENT_LENGTH", "TRANSFER_ENCODING", "KEEP_ALIVE"].contains(&&*variable);
    (is_of_message && name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-')) || is_of_proxy(name)
}

fn is_of_proxy(name: &str) -> bool {
    let variable = variable(name);
    variable == "PROXY" || variable.starts_with("PROXY_")
}

const HOP: [&str; 6] = ["connection", "keep-alive", "te", "trailers", "upgrade", "transfer-encoding"];

/// Heads of requests: strict, read as others read them, and forwarded by the rules.
///
/// # Panics
/// When a rule is broken.
pub fn requests(data: &[u8]) {
    let end = HeadScanner::new(LineEndings::Strict).feed(data);
    assert_eq!(end, scanned_in_pieces(data, LineEndings::Strict), "in pieces the head ends elsewhere");
    let mut table = FieldTable::new();
    let parsed = RequestView::parse_prefix(data, &mut table);
    let Some((view, length)) = ends_where_scanned(end, parsed) else { return };
    let head = &data[..length];
    let mut again = FieldTable::new();
    let whole = RequestView::parse(head, &mut again).expect("a head by itself is that head");
    assert_eq!(format!("{:?}", facts(&whole)), format!("{:?}", facts(&view)));
    read_by_others(&view, head);
    let fields = owned(view.fields().iter());
    framed_as_others_do(&view, &fields);
    let client = ClientInfo::new([192, 0, 2, 7].into(), UrlScheme::Https, fields_of(&fields), |_| false);
    let block = ForwardedBlock::new(&client, view.host());
    for (forwarded, added) in [
        (ForwardedFields::Keep, None),
        (ForwardedFields::Replace(&ForwardedBlock::empty()), Some(&ForwardedBlock::empty())),
        (ForwardedFields::Replace(&block), Some(&block)),
    ] {
        let rewrite = RequestRewrite { forwarded, keeps_client_address: false, host: None, remove: &[] };
        let mut out = BytesMut::new();
        view.write_forwarded(&rewrite, &mut out);
        written_request(&view, &fields, &out, added);
        in_another_version(&view, &fields, &rewrite);
        if added.is_none_or(|block| block.as_bytes().is_empty()) {
            let mut table = FieldTable::new();
            // Our own fields may make a head too long.
            let Ok(second) = RequestView::parse(&out, &mut table) else { return };
            let mut twice = BytesMut::new();
            second.write_forwarded(&rewrite, &mut twice);
            assert_eq!(out, twice, "a head that was forwarded is changed by another proxy");
        }
    }
}

fn scanned_in_pieces(data: &[u8], line_endings: LineEndings) -> Result<Option<usize>, HeadError> {
    let mut scanner = HeadScanner::new(line_endings);
    for piece in data.chunks(3) {
        let before = scanner.scanned();
        if let Some(end) = scanner.feed(piece)? {
            return Ok(Some(before + end));
        }
    }
    Ok(None)
}

/// What was parsed, which ends where the scanner found the end; `None` if there is no head.
fn ends_where_scanned<V, E>(
    end: Result<Option<usize>, HeadError>,
    parsed: Result<Option<(V, usize)>, E>,
) -> Option<(V, usize)> {
    match (end, parsed) {
        (Ok(Some(end)), Ok(Some((view, length)))) => {
            assert_eq!(length, end, "the head ends elsewhere");
            Some((view, length))
        }
        (Ok(Some(_)), Ok(None)) => panic!("a whole head is called incomplete"),
        (Ok(None) | Err(_), Ok(Some(_))) => {
            panic!("a head that the scanner does not end is accepted: {end:?}")
        }
        (_, Ok(None) | Err(_)) => None,
    }
}

fn fields_of(fields: &[Field]) -> impl Iterator<Item = (&str, &[u8])> + Clone {
    fields.iter().map(|(name, value)| (&**name, &**value))
}

/// What is known of a request beside its fields.
fn facts<'a>(view: &RequestView<'a>) -> (&'a str, &'a str, &'a str, Framing, Option<&'a [u8]>, bool, bool) {
    let trailers = view.accepts_trailers() && view.upgrade().is_none();
    (
        view.method(),
        view.path(),
        view.host(),
        view.framing(),
        view.upgrade(),
        trailers,
        view.expects_continue(),
    )
}

fn read_by_others(view: &RequestView<'_>, head: &[u8]) {
    let mut fields = [EMPTY_HEADER; MAX_HEADERS];
    let mut theirs = httparse::Request::new(&mut fields);
    assert_eq!(
        theirs.parse(head),
        Ok(Status::Complete(head.len())),
        "httparse refuses or cuts an accepted head"
    );
    assert_eq!((theirs.method, theirs.path), (Some(view.method()), Some(view.target())));
    assert_eq!(theirs.version, Some(u8::from(view.version() == Version::Http11)));
    let theirs: Vec<(&str, &[u8])> = theirs.headers.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(view.fields().iter().collect::<Vec<_>>(), theirs, "the fields differ");
    // It refuses some characters that others send.
    let Ok(uri) = view.target().parse::<Uri>() else { return };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    assert!(path == view.path() || view.path() == "*", "{path} instead of {}", view.path());
    if let Some(authority) = uri.authority() {
        let host = authority.as_str();
        assert_eq!(host.rsplit_once('@').map_or(host, |(_, host)| host), view.host());
    }
}

/// Where a request's body ends by the rules of RFC 9112 section 6.3, with every doubt refused.
fn framed_as_others_do(view: &RequestView<'_>, fields: &[Field]) {
    let (lengths, codings) = (of(fields, "content-length"), of(fields, "transfer-encoding"));
    let expected = match (&lengths[..], &codings[..]) {
        ([], []) => Framing::Empty,
        ([length], []) => {
            let text = core::str::from_utf8(length).expect("digits");
            assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
            Framing::Length(text.parse().expect("a length"))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && view.version() == Version::Http11 => {
            Framing::Chunked
        }
        _ => panic!("an ambiguous request is accepted: {fields:?}"),
    };
    assert_eq!(view.framing(), expected);
    assert!(of(fields, "host").len() <= 1 && !view.host().is_empty() && view.method() != "CONNECT");
}

/// What must have been written for a request with these fields.
fn written_request(view: &RequestView<'_>, fields: &[Field], out: &[u8], added: Option<&ForwardedBlock>) {
    let mut table = FieldTable::new();
    let Ok(seen) = RequestView::parse(out, &mut table) else {
        assert!(out.len() > 64 * 1024, "what was written is refused: {}", out.escape_ascii());
        return;
    };
    let path =
        if view.path().starts_with('?') { format!("/{}", view.path()) } else { view.path().to_owned() };
    let (method, _, host, framing, upgrade, trailers, _) = facts(view);
    let (seen_method, seen_path, seen_host, seen_framing, seen_upgrade, seen_trailers, _) = facts(&seen);
    assert_eq!((seen_method, seen_path, seen_host), (method, &*path, host));
    assert_eq!((seen_framing, seen_upgrade, seen_trailers), (framing, upgrade, trailers));
    assert_eq!(seen.version(), Version::Http11);
    let named = named(fields);
    let crumbs: Vec<_> = of(fields, "cookie").into_iter().filter(|crumb| !crumb.is_empty()).collect();
    let crumbs = crumbs.join(&b"; "[..]);
    let (mut expected, mut has_cookie) = (Vec::new(), false);
    if view.is_host_from_target() {
        expected.push(("Host".to_owned(), host.as_bytes().to_vec()));
    }
    for (name, value) in fields {
        let lower = name.to_ascii_lowercase();
        let is_ours = added.is_some() && is_claim(name);
        let is_gone = HOP.contains(&&*lower) || is_alias(name) || named.contains(&lower);
        let is_second = lower == "cookie" && has_cookie;
        if is_ours || is_gone || is_second || (lower == "host" && view.is_host_from_target()) {
            continue;
        }
        has_cookie |= lower == "cookie";
        expected.push((name.clone(), if lower == "cookie" { crumbs.clone() } else { value.clone() }));
    }
    let mut push = |name: &str, value: &[u8]| expected.push((name.to_owned(), value.to_vec()));
    if framing == Framing::Chunked {
        push("Transfer-Encoding", b"chunked");
    }
    match (upgrade, view.accepts_trailers()) {
        (Some(protocol), _) => {
            push("Connection", b"upgrade");
            push("Upgrade", protocol);
        }
        (None, true) => {
            push("Connection", b"te");
            push("TE", b"trailers");
        }
        (None, false) => {}
    }
    added.iter().flat_map(|block| block.fields()).for_each(|(name, value)| push(name, value.as_bytes()));
    assert_eq!(owned(seen.fields().iter()), expected, "other fields are forwarded");
    assert!(HeadScanner::new(LineEndings::Strict).feed(out) == Ok(Some(out.len())), "lines are not strict");
}

/// The same request as if it had come in HTTP/2.
fn in_another_version(view: &RequestView<'_>, fields: &[Field], rewrite: &RequestRewrite<'_>) {
    let parts =
        RequestParts { method: view.method(), path: view.path(), host: view.host(), framing: view.framing() };
    let mut out = BytesMut::new();
    write_request_head(&parts, fields_of(fields), rewrite, &mut out);
    let mut table = FieldTable::new();
    let Ok(seen) = RequestView::parse(&out, &mut table) else {
        assert!(out.len() > 64 * 1024, "what was written is refused: {}", out.escape_ascii());
        return;
    };
    assert_eq!((seen.host(), seen.framing(), seen.upgrade()), (view.host(), view.framing(), None));
    let seen = owned(seen.fields().iter());
    assert!(
        matches!(rewrite.forwarded, ForwardedFields::Keep)
            || seen.iter().all(|(name, value)| {
                !is_claim(name) || core::str::from_utf8(value).is_ok_and(|value| ours(rewrite, name, value))
            })
    );
    assert!(of(&seen, "cookie").len() <= 1 && of(&seen, "keep-alive").is_empty());
    assert!(seen.iter().all(|(name, _)| !is_alias(name)), "a service takes a field for another: {seen:?}");
}

fn ours(rewrite: &RequestRewrite<'_>, name: &str, value: &str) -> bool {
    let ForwardedFields::Replace(block) = rewrite.forwarded else { return false };
    block.fields().any(|field| field == (name, value))
}

/// Heads of responses: read as others read them, and forwarded by the rules. The first byte says to what.
///
/// # Panics
/// When a rule is broken.
pub fn responses(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let method = if first & 1 == 0 { "GET" } else { "HEAD" };
    let version = if first & 2 == 0 { Version::Http11 } else { Version::Http10 };
    let end = HeadScanner::new(LineEndings::Lenient).feed(data);
    assert_eq!(end, scanned_in_pieces(data, LineEndings::Lenient), "in pieces the head ends elsewhere");
    let mut table = FieldTable::new();
    let parsed = ResponseView::parse_prefix(data, &mut table, method);
    let Some((view, length)) = ends_where_scanned(end, parsed) else { return };
    let mut fields = [EMPTY_HEADER; MAX_HEADERS];
    let mut theirs = httparse::Response::new(&mut fields);
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    let status = config.parse_response(&mut theirs, &data[..length]);
    assert_eq!(status, Ok(Status::Complete(length)), "httparse refuses or cuts an accepted head");
    assert_eq!(theirs.code, Some(view.status()));
    let theirs: Vec<(&str, &[u8])> = theirs.headers.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(view.fields().iter().collect::<Vec<_>>(), theirs, "the fields differ");
    for closes in [false, true] {
        let rewrite = ResponseRewrite {
            version,
            closes,
            relay_domain: Some(DOMAIN),
            date: Some("now"),
            ..Default::default()
        };
        written_response(&view, &rewrite, method);
    }
}

fn written_response(view: &ResponseView<'_>, rewrite: &ResponseRewrite<'_>, method: &str) {
    let mut out = BytesMut::new();
    let framing = view.write_forwarded(rewrite, &mut out);
    assert_eq!(framing, framing_toward(rewrite.version, view.framing()));
    let mut table = FieldTable::new();
    let Ok(seen) = ResponseView::parse(&out, &mut table, method) else {
        assert!(out.len() > 64 * 1024, "what was written is refused: {}", out.escape_ascii());
        return;
    };
    assert_eq!(HeadScanner::new(LineEndings::Strict).feed(&out), Ok(Some(out.len())), "lines are not strict");
    assert_eq!(
        (seen.status(), seen.reason(), seen.version()),
        (view.status(), view.reason(), rewrite.version)
    );
    assert_eq!(seen.framing(), framing, "the visitor sees another body");
    let (sent, got) = (owned(view.fields().iter()), owned(seen.fields().iter()));
    let count = |name: &str| of(&got, name).len();
    assert!(count("content-length") + count("transfer-encoding") <= 1 && count("connection") <= 1);
    let has_ended = rewrite.closes || framing == Framing::UntilClose;
    let is_about_upgrade = matches!(view.status(), 101 | 426) && view.upgrade().is_some();
    if view.status() >= 200 && !is_about_upgrade {
        assert_eq!(seen.connection().close, has_ended);
        assert_eq!(seen.connection().keep_alive, !has_ended && rewrite.version == Version::Http10);
    }
    let written = |name: &str| {
        let own = ["content-length", "date"];
        HOP.contains(&name) || own.contains(&name)
    };
    let named = named(&sent);
    let expected: Vec<&Field> = sent
        .iter()
        .filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            let is_proxy = is_of_proxy(&name) && name != "proxy-status";
            !written(&name) && !is_proxy && !named.contains(&name)
        })
        .collect();
    let kept: Vec<&Field> = got.iter().filter(|(name, _)| !written(&name.to_ascii_lowercase())).collect();
    assert_eq!(kept.len(), expected.len(), "{kept:?} instead of {expected:?}");
    for ((name, value), (sent_name, sent_value)) in kept.iter().zip(&expected) {
        assert_eq!(name, sent_name);
        if name.eq_ignore_ascii_case("set-cookie") {
            a_cookie_stays_with_its_host(value);
        } else {
            assert_eq!(value, sent_value, "{name}");
        }
    }
    let mut fields = Vec::new();
    view.forward_fields(rewrite, |name, value| fields.push((name.to_owned(), value.to_vec())));
    fields.retain(|(name, _)| !written(&name.to_ascii_lowercase()));
    assert_eq!(fields.iter().collect::<Vec<_>>(), kept, "a visitor of another version gets other fields");
}

fn a_cookie_stays_with_its_host(value: &[u8]) {
    let text = String::from_utf8_lossy(value).to_lowercase();
    for attribute in text.split(';').skip(1) {
        let Some((name, domain)) = attribute.split_once('=') else { continue };
        let domain = domain.trim_matches([' ', '\t']).trim_start_matches('.');
        let is_shared = name.trim_matches([' ', '\t']) == "domain"
            && !domain.is_empty()
            && (DOMAIN == domain || DOMAIN.ends_with(&format!(".{domain}")));
        assert!(!is_shared, "{text:?} reaches other tunnels");
    }
}

/// The seeds of these targets.
pub(crate) fn seeds() -> Vec<Seed> {
    let mut all = Vec::new();
    let mut add = |target, seeds: &[&str]| {
        for (number, seed) in seeds.iter().enumerate() {
            all.push((target, format!("seed_{number}"), seed.as_bytes().to_vec()));
        }
    };
    add("f19_forwarded_requests", &REQUESTS);
    add("f20_forwarded_responses", &RESPONSES);
    add("f21_forwarded_bodies", &crate::forwarded_bodies::SEEDS);
    all
}

const REQUESTS: [&str; 9] = [
    "GET /a?b HTTP/1.1\r\nHost: x\r\nConnection: close, X-A\r\nX-A: 1\r\nX_Forwarded-For: 1\r\nX-Real-IP:2\r\n\r\nrest",
    "\r\nPOST http://u@h:81?q HTTP/1.1\r\nhost: y\r\nContent-Length: 05\r\nCookie: a=1\r\nCookie: b=2\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\nTE: gzip, trailers;q=1\r\nTrailer: t\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nProxy-X: 1\r\nProxy: 2\r\n\r\n",
    "OPTIONS * HTTP/1.0\r\nHost: [::1]:80\r\nConnection: Keep-Alive\r\nExpect: 100-continue\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    "GET /{a}|\"\u{e9} HTTP/1.1\r\nHost: x\r\nA:\t b \t\r\nB:\r\nC: \u{e9}\tc\r\n\r\n",
    "OPTIONS https://h HTTP/1.1\r\nForwarded: for=1\r\nCF_Connecting_IP: 1\r\nConnection: host, te\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer_Encoding: chunked\r\nContent.Length: 1\r\nKeep_Alive: 5\r\nContent-Length: 2\r\nProxy_X: 1\r\nClient-IP: 1\r\n\r\n",
];

const RESPONSES: [&str; 8] = [
    "aHTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=1; Domain=.relay.example; Path=/\r\n\r\n",
    "bHTTP/1.1 304\nX : 1\nContent-Length: 2, 02\nKeep-Alive: timeout=5\nProxy-Status: a\nProxy-Authenticate: NTLM\n\n",
    "cHTTP/1.0 200 OK\r\nConnection: keep-alive, X\r\nX: 1\r\nDate: then\r\n\r\n",
    "dHTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n",
    "eHTTP/1.1 103 Early\r\nLink: <a>\r\nContent-Length: 1\r\n\r\n",
    "fHTTP/1.1 204 \u{e9}\t\r\nSet-Cookie: a;domain = EXAMPLE;Domain=x.relay.example\r\nWWW-Authenticate: Negotiate\r\n\r\n",
    "gHTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "hHTTP/1.1 200 OK\r\nSet-Cookie: a=1 ; Domain=example\r\n\r\n",
];
