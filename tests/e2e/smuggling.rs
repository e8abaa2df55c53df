//! Requests that two parsers could read differently: each is refused at the relay's door, or reaches the service as
//! one request of one meaning. No case of the table may leave anything behind that is served as another request.
#![cfg(unix)]

use std::sync::{Arc, Mutex};

use hvym_tunnel_tests::http::{Conversation, Head, Origin, ok};
use hvym_tunnel_tests::tunnel::{Tunnel, request};

/// What comes of a case.
enum Fate {
    /// The relay answers with this status, closes, and the service hears nothing.
    Refused(u16),
    /// The service is asked, finds the body broken, and the relay answers with this status and closes.
    Broken(u16),
    /// The service hears exactly these requests: target, how the body is framed, body.
    Heard(&'static [(&'static str, &'static str, &'static str)]),
}

use Fate::{Broken, Heard, Refused};

const NO_BODY: &str = "";
const CHUNKED: &str = "transfer-encoding: chunked";

/// Name, bytes (`@` is the tunnel's host, `#` a whole request to `/hidden`), and what comes of them.
const CASES: &[(&str, &str, Fate)] = &[
    // The length of the body.
    (
        "two lengths that differ",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 4\r\nContent-Length: 0\r\n\r\n#",
        Refused(400),
    ),
    (
        "two lengths that agree",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n#",
        Refused(400),
    ),
    ("a list of lengths", "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 0, 4\r\n\r\n#", Refused(400)),
    (
        "a list of one length twice",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 0, 0\r\n\r\n#",
        Refused(400),
    ),
    ("a length with a plus", "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: +5\r\n\r\nhello", Refused(400)),
    ("a length with a minus", "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: -5\r\n\r\nhello", Refused(400)),
    ("a hexadecimal length", "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 0x5\r\n\r\nhello", Refused(400)),
    (
        "a length with a space inside",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 1 5\r\n\r\n#",
        Refused(400),
    ),
    ("an empty length", "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length:\r\n\r\n#", Refused(400)),
    (
        "a length beyond 64 bits",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 18446744073709551616\r\n\r\n#",
        Refused(400),
    ),
    (
        "a length with leading zeros",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 005\r\n\r\nhello",
        Heard(&[("/o", "content-length: 005", "hello")]),
    ),
    (
        "a body nobody announced",
        "POST /o HTTP/1.1\r\nHost: @\r\n\r\nGET /p HTTP/1.1\r\nHost: @\r\n\r\n",
        Heard(&[("/o", NO_BODY, ""), ("/p", NO_BODY, "")]),
    ),
    (
        "a GET with a body",
        "GET /o HTTP/1.1\r\nHost: @\r\nContent-Length: 5\r\n\r\nhello",
        Heard(&[("/o", "content-length: 5", "hello")]),
    ),
    // Length and chunks.
    (
        "chunks, then a length",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n#",
        Refused(400),
    ),
    (
        "a length, then chunks",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n#",
        Refused(400),
    ),
    // The transfer coding.
    (
        "a coding in any case",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: ChUnKeD\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Heard(&[("/o", CHUNKED, "hello")]),
    ),
    ("identity", "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: identity\r\n\r\n#", Refused(501)),
    (
        "identity beside a length",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: identity\r\nContent-Length: 4\r\n\r\n#",
        Refused(400),
    ),
    (
        "identity, then chunked",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n#",
        Refused(501),
    ),
    (
        "chunked, then identity",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n#",
        Refused(501),
    ),
    (
        "gzip, then chunked",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n#",
        Refused(501),
    ),
    (
        "chunked twice",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n#",
        Refused(501),
    ),
    (
        "chunked in two fields with another",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n#",
        Refused(501),
    ),
    (
        "a coding that only looks like chunked",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n#",
        Refused(501),
    ),
    (
        "a coding in quotes",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n#",
        Refused(501),
    ),
    (
        "a coding with a parameter",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n#",
        Refused(501),
    ),
    ("an empty coding", "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding:\r\n\r\n#", Refused(501)),
    (
        "a coding after a vertical tab",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n#",
        Refused(400),
    ),
    (
        "chunks in HTTP/1.0",
        "POST /o HTTP/1.0\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n#",
        Refused(400),
    ),
    // Chunks.
    (
        "a chunk's extension",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\n\r\n",
        Heard(&[("/o", CHUNKED, "hello")]),
    ),
    (
        "a size in capitals with zeros",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n00A\r\nhellohello\r\n0\r\n\r\n",
        Heard(&[("/o", CHUNKED, "hellohello")]),
    ),
    (
        "a size that ends with a bare LF",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "an extension with a bare LF",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n5;\nhello\r\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "a size with a minus",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n#\r\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "a size with 0x",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "a size after a space",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "no size",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "a size beyond 64 bits",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "a chunk longer than its size",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "a chunk that ends with a bare LF",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        Broken(400),
    ),
    (
        "a trailer that is a length",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        Heard(&[("/o", CHUNKED, "hello")]),
    ),
    (
        "a trailer that is no field",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n folded\r\n\r\n",
        Broken(400),
    ),
    // Lines.
    ("lines that end with a bare LF", "POST /o HTTP/1.1\nHost: @\nContent-Length: 0\n\n#", Refused(400)),
    (
        "one field that ends with a bare LF",
        "POST /o HTTP/1.1\r\nHost: @\r\nX: 1\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n#",
        Refused(400),
    ),
    ("a bare CR in a value", "POST /o HTTP/1.1\r\nHost: @\r\nX: 1\rContent-Length: 4\r\n\r\n#", Refused(400)),
    ("a bare CR before the end", "POST /o HTTP/1.1\r\nHost: @\r\n\r\r\n#", Refused(400)),
    ("a folded line", "POST /o HTTP/1.1\r\nHost: @\r\nX: 1\r\n Content-Length: 4\r\n\r\n#", Refused(400)),
    (
        "a folded coding",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n#",
        Refused(400),
    ),
    ("white space before the first field", "POST /o HTTP/1.1\r\n Host: @\r\n\r\n#", Refused(400)),
    ("NUL in a value", "POST /o HTTP/1.1\r\nHost: @\r\nX: a\0b\r\n\r\n#", Refused(400)),
    ("DEL in a value", "POST /o HTTP/1.1\r\nHost: @\r\nX: a\x7fb\r\n\r\n#", Refused(400)),
    (
        "a space before the colon of a length",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length : 4\r\n\r\n#",
        Refused(400),
    ),
    (
        "a tab before the colon of a coding",
        "POST /o HTTP/1.1\r\nHost: @\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n#",
        Refused(400),
    ),
    ("a field without a name", "POST /o HTTP/1.1\r\nHost: @\r\n: chunked\r\n\r\n#", Refused(400)),
    ("a field without a colon", "POST /o HTTP/1.1\r\nHost: @\r\nContent-Length\r\n\r\n#", Refused(400)),
    ("a name with a space", "POST /o HTTP/1.1\r\nHost: @\r\nX Content-Length: 4\r\n\r\n#", Refused(400)),
    (
        "empty lines before the request",
        "\r\n\r\nGET /o HTTP/1.1\r\nHost: @\r\n\r\n",
        Heard(&[("/o", NO_BODY, "")]),
    ),
    ("a bare LF before the request", "\nGET /o HTTP/1.1\r\nHost: @\r\n\r\n", Refused(400)),
    ("white space before the request", " GET /o HTTP/1.1\r\nHost: @\r\n\r\n", Refused(400)),
    (
        "an underscore for a dash",
        "POST /o HTTP/1.1\r\nHost: @\r\nContent_Length: 99\r\nTransfer_Encoding: chunked\r\n\r\n",
        Heard(&[("/o", NO_BODY, "")]),
    ),
    // The request line.
    ("two spaces in the request line", "GET  /o HTTP/1.1\r\nHost: @\r\n\r\n#", Refused(400)),
    ("a tab in the request line", "GET\t/o HTTP/1.1\r\nHost: @\r\n\r\n#", Refused(400)),
    ("a space in the target", "GET /o /p HTTP/1.1\r\nHost: @\r\n\r\n#", Refused(400)),
    ("no version", "GET /o\r\nHost: @\r\n\r\n#", Refused(400)),
    ("HTTP/0.9", "GET /o\r\n\r\n#", Refused(400)),
    ("HTTP/1.2", "GET /o HTTP/1.2\r\nHost: @\r\n\r\n#", Refused(400)),
    ("HTTP/2.0 in words", "GET /o HTTP/2.0\r\nHost: @\r\n\r\n#", Refused(400)),
    ("a version in small letters", "GET /o http/1.1\r\nHost: @\r\n\r\n#", Refused(400)),
    ("white space after the version", "GET /o HTTP/1.1 \r\nHost: @\r\n\r\n#", Refused(400)),
    ("a method that is no token", "G(ET /o HTTP/1.1\r\nHost: @\r\n\r\n#", Refused(400)),
    ("a method nobody knows", "BREW /o HTTP/1.1\r\nHost: @\r\n\r\n", Heard(&[("/o", NO_BODY, "")])),
    ("a target without a slash", "GET o HTTP/1.1\r\nHost: @\r\n\r\n#", Refused(400)),
    ("a star where it means nothing", "GET * HTTP/1.1\r\nHost: @\r\n\r\n#", Refused(400)),
    ("a fragment in the target", "GET /o#f HTTP/1.1\r\nHost: @\r\n\r\n", Refused(400)),
    ("another scheme", "GET ftp://@/o HTTP/1.1\r\nHost: @\r\n\r\n#", Refused(400)),
    ("CONNECT", "CONNECT @ HTTP/1.1\r\nHost: @\r\n\r\n#", Refused(405)),
    ("CONNECT with a length", "CONNECT @ HTTP/1.1\r\nHost: @\r\nContent-Length: 4\r\n\r\n#", Refused(405)),
    // The host.
    (
        "an absolute target beside another host",
        "GET http://@/o HTTP/1.1\r\nHost: other.example\r\n\r\n",
        Heard(&[("/o", NO_BODY, "")]),
    ),
    (
        "an upgrade that is declined",
        "GET /o HTTP/1.1\r\nHost: @\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nGET /p HTTP/1.1\r\nHost: @\r\n\r\n",
        Heard(&[("/o", NO_BODY, ""), ("/p", NO_BODY, "")]),
    ),
    (
        "nonsense behind an upgrade that is declined",
        "GET /o HTTP/1.1\r\nHost: @\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nGET /p HTTP/1.1\nHost: @\n\n",
        Broken(400),
    ),
];

/// What the service heard, in the words of the table.
fn heard(head: &Head, body: &[u8]) -> (String, String, String) {
    let framing = head.fields.iter().filter(|(name, _)| {
        ["content-length", "transfer-encoding"].iter().any(|known| name.eq_ignore_ascii_case(known))
    });
    let framing: Vec<String> =
        framing.map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase())).collect();
    let body = String::from_utf8_lossy(body).into_owned();
    (head.target().to_owned(), framing.join(", "), body)
}

struct Bench {
    tunnel: Tunnel,
    heard: Arc<Mutex<Vec<(String, String, String)>>>,
}

impl Bench {
    fn new() -> Self {
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&heard);
        let origin = Origin::answering(move |head, body| {
            kept.lock().expect("nobody panics here").push(self::heard(head, &body));
            ok(b"heard")
        });
        Bench { tunnel: Tunnel::to(origin.port), heard }
    }

    fn drained(&self) -> Vec<(String, String, String)> {
        std::mem::take(&mut *self.heard.lock().expect("nobody panics here"))
    }

    /// The visitor's next answer, which must be whole.
    fn status(name: &str, visitor: &mut Conversation) -> u16 {
        let head = visitor.head().unwrap_or_else(|error| panic!("{name}: no answer: {error}"));
        visitor.body(&head).unwrap_or_else(|error| panic!("{name}: half an answer: {error}"));
        head.status()
    }

    fn run(&self, name: &str, bytes: &str, fate: &Fate) {
        let host = self.tunnel.agent.host();
        let hidden = format!("GET /hidden HTTP/1.1\r\nHost: {host}\r\n\r\n");
        // A fragment is the only other thing a '#' could be.
        let bytes = bytes.replace("/o#f", "/o\u{1}f").replace('#', &hidden).replace('\u{1}', "#");
        let mut visitor = self.tunnel.visit();
        visitor.send(bytes.replace('@', host)).expect("the relay reads");
        match fate {
            Refused(status) => {
                assert_eq!(Self::status(name, &mut visitor), *status, "{name}");
                assert_eq!(visitor.rest().unwrap_or_default(), b"", "{name} was answered twice");
                assert_eq!(self.drained(), [], "{name}");
            }
            Broken(status) => {
                let mut last = Self::status(name, &mut visitor);
                if last == 200 {
                    last = Self::status(name, &mut visitor);
                }
                assert_eq!(last, *status, "{name}");
                assert_eq!(visitor.rest().unwrap_or_default(), b"", "{name} was answered twice");
                assert!(self.drained().iter().all(|(target, ..)| target == "/o"), "{name}");
            }
            Heard(requests) => {
                // What is left of the case, if anything, would be served before this.
                visitor.send(request(host, "GET", "/last", &["Connection: close"])).expect("the relay reads");
                for _ in 0..=requests.len() {
                    assert_eq!(Self::status(name, &mut visitor), 200, "{name}");
                }
                assert_eq!(visitor.rest().expect("an end"), b"", "{name} was answered once too often");
                let all: Vec<_> = requests.iter().chain(&[("/last", NO_BODY, "")]).collect();
                let seen = self.drained();
                let seen: Vec<_> =
                    seen.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
                assert_eq!(seen.iter().collect::<Vec<_>>(), all, "{name}");
            }
        }
    }
}

#[test]
fn no_request_hides_inside_another() {
    let bench = Bench::new();
    for (name, bytes, fate) in CASES {
        bench.run(name, bytes, fate);
    }
    assert!(CASES.len() >= 40);
}

#[test]
fn a_case_is_judged_alike_however_its_bytes_are_cut() {
    let bench = Bench::new();
    let host = bench.tunnel.agent.host();
    let whole = format!(
        "POST /o HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
         GET /p HTTP/1.1\r\nHost: {host}\r\n\r\nGET /q HTTP/1.1\nHost: {host}\n\n"
    );
    let mut visitor = bench.tunnel.visit();
    for byte in whole.as_bytes() {
        // The end is refused as soon as it is seen.
        let _refused = visitor.send([*byte]);
    }
    let statuses: Vec<u16> = (0..3).map(|_| Bench::status("cut", &mut visitor)).collect();
    assert_eq!(statuses, [200, 200, 400]);
    let targets: Vec<String> = bench.drained().into_iter().map(|(target, ..)| target).collect();
    assert_eq!(targets, ["/o", "/p"]);
}

#[test]
fn a_refusal_says_who_must_do_what_in_the_visitors_format() {
    let bench = Bench::new();
    let host = bench.tunnel.agent.host();
    let ask = |bytes: String| {
        let mut visitor = bench.tunnel.visit();
        visitor.send(bytes).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let body = String::from_utf8(visitor.body(&head).expect("a whole answer")).expect("text");
        (head, body)
    };
    let (head, body) =
        ask(format!("GET /o HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nX : 1\r\n\r\n"));
    assert_eq!((head.status(), head.field("content-type")), (400, Some("application/json")));
    assert!(body.contains("\"hint\":\"If you did not write it yourself"), "{body}");
    let (head, body) =
        ask(format!("GET /o HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\n\r\n", "x".repeat(100_000)));
    assert_eq!((head.status(), head.field("connection")), (431, Some("close")));
    assert!(body.contains("Delete the cookies of this site"), "{body}");
    let mut visitor = bench.tunnel.visit();
    visitor.send("HEAD /o HTTP/1.1\nHost: x\n\n").expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 400);
    assert_eq!(visitor.rest().unwrap_or_default(), b"", "an answer to HEAD has no body");
}
