//! Fuzz targets for what is parsed without a connection: heads, tokens, names and control messages.
//!
//! Each takes any bytes and compares our parser with another one, or with what a result must be.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use httparse::{EMPTY_HEADER, ParserConfig, Status};
use hvym_http1::{
    HOP_BY_HOP, HeadBuffer, HeadScanner, Headers, LineEndings, MAX_HEADERS, RequestHead, ResponseHead,
};
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::relay::{Directory, Newcomer, Owner};
use hvym_tunnel_core::stellar::jwt::{LIFETIME, MAX_TOKEN_BYTES, SKEW};
use hvym_tunnel_core::stellar::{Address, Claims, Expected, Token};
use hvym_tunnel_core::time::{Instant, UnixTime};
use hvym_yamux_testing::corpus::Seed;
use stellar_strkey::ed25519::PublicKey;

use crate::keys::Key;
use crate::serde_shapes::assert_same;

/// The wall clock of [`tokens`].
const NOW: u64 = 1_800_000_000;
/// Stands between header and claims in the input of [`tokens`].
const SEPARATOR: u8 = b'\n';

fn same_fields(ours: &Headers, theirs: &[httparse::Header<'_>]) {
    let theirs: Vec<(&str, &[u8])> = theirs.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(ours.iter().collect::<Vec<_>>(), theirs, "the fields differ");
}

/// Heads: what we accept, `httparse` reads the same way from the same bytes, and our own output is read back.
///
/// # Panics
/// When a rule is broken.
pub fn heads(data: &[u8]) {
    let strict = HeadScanner::new(LineEndings::Strict).feed(data);
    let lenient = HeadScanner::new(LineEndings::Lenient).feed(data);
    if let Ok(Some(end)) = strict {
        assert_eq!(lenient, Ok(Some(end)), "strict lines are lenient lines");
        let lines = data[..end].split_inclusive(|byte| *byte == b'\n');
        lines.for_each(|line| assert!(line.ends_with(b"\r\n") && !line.starts_with(b" "), "{line:?}"));
    }
    let mut buffer = HeadBuffer::default();
    let mut pieces =
        data.chunks(7).map(|piece| buffer.take(piece).map(|taken| taken.head.map(Cow::into_owned)));
    let head = pieces.find(|taken| *taken != Ok(None));
    match (head, lenient) {
        (Some(Ok(Some(head))), Ok(Some(end))) => assert_eq!(head, &data[..end], "pieces make another head"),
        (Some(Err(_)), Err(_)) | (None, Ok(None)) => {}
        (pieces, whole) => panic!("in pieces {pieces:?}, at once {whole:?}"),
    }
    request(data);
    response(data);
}

fn request(data: &[u8]) {
    let ours = RequestHead::parse(data);
    let mut fields = [EMPTY_HEADER; MAX_HEADERS];
    let mut theirs = httparse::Request::new(&mut fields);
    let status = theirs.parse(data);
    match ours {
        Ok(Some((head, used))) => {
            assert_eq!(status, Ok(Status::Complete(used)), "the head ends elsewhere");
            let version = head.version.as_str().strip_prefix("HTTP/1.").and_then(|minor| minor.parse().ok());
            assert_eq!((theirs.method, theirs.path), (Some(&*head.method), Some(&*head.target)));
            assert_eq!(theirs.version, version);
            same_fields(&head.headers, theirs.headers);
            if let Ok(encoded) = head.encode() {
                assert_eq!(RequestHead::parse(&encoded), Ok(Some((head.clone(), encoded.len()))));
            }
            stripped(head.headers);
        }
        Ok(None) => assert!(!matches!(status, Ok(Status::Complete(_))), "the head is complete for others"),
        // Stricter than others.
        Err(_) => {}
    }
}

fn response(data: &[u8]) {
    let ours = ResponseHead::parse(data);
    let mut fields = [EMPTY_HEADER; MAX_HEADERS];
    let mut theirs = httparse::Response::new(&mut fields);
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    let status = config.parse_response(&mut theirs, data);
    if let Ok(Some((head, used))) = ours {
        assert_eq!(status, Ok(Status::Complete(used)), "the head ends elsewhere");
        assert_eq!((theirs.code, theirs.reason), (Some(head.status), Some(&*head.reason)));
        same_fields(&head.headers, theirs.headers);
        if let Ok(encoded) = head.encode() {
            assert_eq!(ResponseHead::parse(&encoded), Ok(Some((head, encoded.len()))));
        }
    }
}

/// A proxy removes the fields of one connection and no length.
fn stripped(mut headers: Headers) {
    let count = |headers: &Headers, name| headers.all(name).count();
    let kept = ["host", "content-length"].map(|name| (name, count(&headers, name)));
    headers.strip_hop_by_hop();
    HOP_BY_HOP.into_iter().for_each(|name| assert!(!headers.contains(name), "{name} is left"));
    kept.into_iter().for_each(|(name, before)| assert_eq!(count(&headers, name), before, "{name}"));
}

fn signer() -> Key {
    Key::from_seed([1; 32])
}

fn audience() -> Address {
    Key::from_seed([2; 32]).address()
}

/// Tokens: `data` as it is, and as header and claims that are signed by a known account.
///
/// # Panics
/// When a token is accepted that must not be.
pub fn tokens(data: &[u8]) {
    let now = UnixTime::from_secs(NOW);
    let expected = Expected::for_audience(audience());
    if let Ok(text) = core::str::from_utf8(data) {
        // Nobody can sign for an account without its key; the seeds hold no signature.
        assert!(Token::verify(text, &expected, now).is_err(), "an unsigned token is accepted");
    }
    let at = data.iter().position(|byte| *byte == SEPARATOR).unwrap_or(data.len());
    let (header, claims) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let input = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(claims));
    let signature = BASE64URL_NOPAD.encode(&signer().sign_bytes(input.as_bytes()).0);
    let token = format!("{input}.{signature}");
    match Token::verify(&token, &expected, now) {
        Ok(verified) => {
            assert!(token.len() <= MAX_TOKEN_BYTES, "{} bytes", token.len());
            assert_eq!(verified.address(), signer().address(), "another account");
            assert_eq!(verified.claim("aud").and_then(|aud| aud.as_str()), Some(&*audience().to_string()));
            let skew = SKEW.as_secs();
            assert!(verified.issued_at().as_secs() <= NOW + skew, "issued in the future");
            assert!(verified.expires_at().is_none_or(|at| at.as_secs() + skew >= NOW), "expired");
            let (_, last) = token.split_at(token.len() - 1);
            let changed = format!("{}{}", &token[..token.len() - 1], if last == "A" { "Q" } else { "A" });
            assert!(Token::verify(&changed, &expected, now).is_err(), "another signature is accepted");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 2048 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
}

/// Names: addresses, DNS labels, service names and host names.
///
/// # Panics
/// When a rule is broken.
pub fn names(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    let address = text.parse::<Address>();
    let theirs = PublicKey::from_slice(text.as_bytes()).map(|key| Address::from_public_key(key.0));
    assert_eq!(address.ok(), theirs.ok(), "{text:?} is an address for one of two libraries");
    if let Ok(address) = address {
        assert_eq!(address.to_string(), text);
        assert_eq!(Address::from_label(&address.label()), Ok(address));
    }
    if let Ok(address) = Address::from_label(text) {
        assert_eq!(address.label(), text.to_ascii_lowercase());
        assert!(Service::check_name(text).is_err(), "an address is the name of a service");
    }
    let mut relay = Directory::new("relay.example");
    relay.admit(0, Newcomer::new(audience()), Instant::ZERO).expect("room");
    if Service::check_name(text).is_ok() {
        assert!(matches!(text.len(), 1..=40) && !text.starts_with('-') && !text.ends_with('-'), "{text:?}");
        let short = format!("{text}--{}", ShortLabel::new(&audience()));
        assert!(short.len() <= 63, "{short} is no DNS label");
        for labels in [short, format!("{text}.{}", audience().label())] {
            let name = relay.parse(&format!("{labels}.relay.example:8443")).expect("a service of an agent");
            assert_eq!((name.owner, name.service.as_deref()), (Owner::Identity(audience()), Some(text)));
        }
    }
    if let Ok(name) = relay.parse(text) {
        let host = text.to_ascii_lowercase();
        let Owner::Identity(address) = &name.owner else { panic!("no guest is registered") };
        let service =
            |between| name.service.iter().map(|service| format!("{service}{between}")).collect::<String>();
        let long = format!("{}{}.relay.example", service("."), address.label());
        let short = format!("{}{}.relay.example", service("--"), ShortLabel::new(address));
        assert!(host.starts_with(&long) || host.starts_with(&short), "{host}: {name:?}");
        assert!(name.service.is_none_or(|service| Service::check_name(&service).is_ok()), "{host}");
    }
}

/// Control messages, stream headers and their answers, as `serde_json` reads and writes them.
///
/// # Panics
/// When we read or write anything else.
pub fn json(data: &[u8]) {
    assert_same(data);
}

/// The seeds of these targets.
pub(crate) fn seeds() -> Vec<Seed> {
    let mut all = Vec::new();
    let mut add = |target, seeds: &[&str]| {
        for (number, seed) in seeds.iter().enumerate() {
            all.push((target, format!("seed_{number}"), seed.as_bytes().to_vec()));
        }
    };
    add(
        "f13_heads",
        &[
            "GET /a?b HTTP/1.1\r\nHost: x\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\nrest",
            "\r\n\nPOST / HTTP/1.0\nContent-Length: 5, 5\nTransfer-Encoding: chunked\n\n",
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=\u{e9}\r\nKeep-Alive: timeout=5\r\n\r\n",
            "HTTP/1.1 304\r\nA:\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nA:\tb\r\n\r\n",
        ],
    );
    let tokens = token_seeds();
    add("f14_tokens", &tokens.each_ref().map(String::as_str));
    let subject = signer().address();
    let names = [
        subject.to_string(),
        subject.label(),
        "my-service-1".to_owned(),
        format!("App.{}.relay.example.:8443", subject.label()),
        format!("{}.RELAY.example", subject.label()),
        "relay.example".to_owned(),
        "[::1]:80".to_owned(),
        "SCOWDMM5574VVYCE4FUEJ3BMYRWRIRF3Q4K5FQBLVEZEWBG7K4LGALY6".to_owned(),
        format!("Api--{}.relay.example.:1", ShortLabel::new(&audience())),
    ];
    add("f15_names", &names.each_ref().map(String::as_str));
    add(
        "f16_json",
        &[
            r#"{"type":"auth_challenge","challenge_id":"a","challenge":"b","server_address":"G","mux":["yamux"],"version":1}"#,
            r#" { "type" : "auth_ok" , "endpoint" : "\u0041\ud83d\ude00" , "server_address" : "" , "services" : [ ] , "x" : [ { "y" : -1.5e+3 } ] } "#,
            r#"{"type":"bind","service":"a","local_port":65535,"proto":"h2","public":false,"on_conflict":"pool"}"#,
            r#"{"type":"auth_response","jwt":"a","instance":"AAAAAAAAAAAAAAAAAAAAAA","role":"caller","process":"host, process 1"}"#,
            r#"{"type":"drain","reason":"\b\f\n\r\t\/\"","deadline_ms":18446744073709551615}"#,
            r#"{"service":"a","proto":"tcp","visitor":"192.0.2.1:1","to":null}"#,
            r#"{"service":"a","proto":{"http":null}}"#,
            r#"{"ok":false,"code":"gone","message":"not here"}"#,
            r#"{"type":"pong","id":1,"\u0069d":2}"#,
        ],
    );
    all
}

/// Tokens at the edges of their lifetime, and with headers that are refused.
fn token_seeds() -> [String; 8] {
    let (subject, relay) = (signer().address(), audience());
    let header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{subject}"}}"#);
    let at = |issued: u64| {
        let claims =
            Claims::new(subject, relay.to_string(), UnixTime::from_secs(issued)).with_services(["a", "b"]);
        let token = claims.with_challenge("c").signing_input();
        let payload = token.as_bytes().split(|byte| *byte == b'.').nth(1).expect("two parts").to_vec();
        String::from_utf8(BASE64URL_NOPAD.decode(&payload).expect("base64url")).expect("JSON")
    };
    let lived = LIFETIME.as_secs();
    [
        format!("{header}\n{}", at(NOW)),
        format!("{header}\n{}", at(NOW - lived - SKEW.as_secs())),
        format!("{header}\n{}", at(NOW - lived - SKEW.as_secs() - 1)),
        format!("{header}\n{}", at(NOW + SKEW.as_secs())),
        format!("{header}\n{}", at(NOW + SKEW.as_secs() + 1)),
        format!("{{\"alg\":\"EdDSA\",\"crit\":[]}}\n{}", at(NOW)),
        format!(r#"{{"alg":"none"}}{}{{"iss":1,"iss":2}}"#, '\n'),
        "eyJhbGciOiJFZERTQSJ9.e30.".to_owned(),
    ]
}
