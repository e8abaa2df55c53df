//! Response heads: what is read of them, and how visitors get them.

use std::time::Duration;

use bytes::BytesMut;
use hvym_http1::{
    FieldTable, Framing, FramingError, HeadError, HostMapping, MAX_CONNECTION_OPTIONS, MAX_HEAD_BYTES,
    ResponseError, ResponseRewrite, ResponseView, UrlOrigin, UrlScheme, Version,
};

fn read<T>(head: &str, method: &str, read: impl FnOnce(&ResponseView<'_>) -> T) -> Result<T, ResponseError> {
    ResponseView::parse(head.as_bytes(), &mut FieldTable::new(), method).map(|view| read(&view))
}

fn read_fields<T>(fields: &str, look: impl FnOnce(&ResponseView<'_>) -> T) -> Result<T, ResponseError> {
    read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), "GET", look)
}

fn forward(head: &str, method: &str, rewrite: &ResponseRewrite<'_>) -> (String, Framing) {
    read(head, method, |view| {
        let mut out = BytesMut::new();
        let framing = view.write_forwarded(rewrite, &mut out);
        (String::from_utf8(out.to_vec()).expect("text"), framing)
    })
    .expect("a good head")
}

/// The fields of a response with these fields as a visitor of HTTP/1.1 gets them.
fn forward_fields(fields: &str, rewrite: &ResponseRewrite<'_>) -> String {
    let (head, _) = forward(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n{fields}\r\n"), "GET", rewrite);
    let fields = head.strip_prefix("HTTP/1.1 200 OK\r\n").and_then(|rest| rest.strip_suffix("\r\n"));
    fields.and_then(|fields| fields.strip_suffix("Content-Length: 1\r\n")).expect("one head").to_owned()
}

#[test]
fn chunks_override_a_length() {
    let plain = ResponseRewrite::default();
    for fields in [
        "Content-Length: 20\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: Chunked\r\nContent-Length: 9",
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let expected = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(forward(&head, "GET", &plain), (expected.to_owned(), Framing::Chunked));
    }
}

#[test]
fn equal_lengths_are_one_and_others_are_an_error() {
    let plain = ResponseRewrite::default();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\ncontent-length: 02\r\n\r\n";
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(forward(head, "GET", &plain), (expected.to_owned(), Framing::Length(2)));
    let framing = |fields: &str| read_fields(fields, |view| view.framing());
    assert_eq!(framing("Content-Length: 2, 3\r\n"), Err(FramingError::LengthsDiffer.into()));
    assert_eq!(
        framing("Content-Length: 2\r\nContent-Length: 3\r\n"),
        Err(FramingError::LengthsDiffer.into())
    );
    assert_eq!(framing("Content-Length: x\r\n"), Err(FramingError::Length.into()));
    assert_eq!(framing(""), Ok(Framing::UntilClose));
}

#[test]
fn a_coding_that_nobody_asked_for_is_an_error() {
    for fields in
        ["gzip, chunked\r\n", "gzip\r\n", "chunked\r\nTransfer-Encoding: chunked\r\n", "chunked, gzip\r\n"]
    {
        let framing = read_fields(&format!("Transfer-Encoding: {fields}"), |view| view.framing());
        assert_eq!(framing, Err(FramingError::Encoding.into()), "{fields:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(old, "GET", |_| ()), Err(FramingError::EncodingInHttp10.into()));
}

#[test]
fn the_status_and_the_method_say_whether_there_is_a_body() {
    let framing = |status: &str, method: &str| {
        read(&format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n"), method, |view| view.framing())
    };
    for (status, method, expected) in [
        ("101 Switching", "GET", Framing::Tunnel),
        ("103 Early Hints", "GET", Framing::Empty),
        ("204 No Content", "GET", Framing::Empty),
        ("304 Not Modified", "GET", Framing::Empty),
        ("200 OK", "HEAD", Framing::Empty),
        ("404 Not Found", "GET", Framing::Length(5)),
    ] {
        assert_eq!(framing(status, method), Ok(expected), "{status} {method}");
    }
    let interim =
        |status: &str| read(&format!("HTTP/1.1 {status} X\r\n\r\n"), "GET", |view| view.is_interim());
    assert_eq!(
        ["100", "101", "102", "103", "199", "200"].map(interim),
        [true, false, true, true, true, false].map(Ok)
    );
}

#[test]
fn a_length_without_a_body_is_passed_on_where_it_may_be() {
    let plain = ResponseRewrite::default();
    for (line, method, is_kept) in [
        ("HTTP/1.1 200 OK", "HEAD", true),
        ("HTTP/1.1 304 Not Modified", "GET", true),
        ("HTTP/1.1 204 No Content", "GET", false),
        ("HTTP/1.1 103 Early Hints", "GET", false),
    ] {
        let (head, framing) = forward(&format!("{line}\r\nContent-Length: 5\r\n\r\n"), method, &plain);
        assert_eq!((head.contains("Content-Length: 5\r\n"), framing), (is_kept, Framing::Empty), "{line}");
    }
}

#[test]
fn lines_of_a_service_are_repaired() {
    let plain = ResponseRewrite::default();
    let head = "\nHTTP/1.1 200\nX : 1\nY\t:2 \r\nContent-Length: 0\n\n";
    let expected = "HTTP/1.1 200 \r\nX: 1\r\nY: 2\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(forward(head, "GET", &plain).0, expected);
}

#[test]
fn a_status_line_has_a_version_and_three_digits() {
    for line in [
        "HTTP/1.1 99 X",
        "HTTP/1.1 099 X",
        "HTTP/1.1 2x0 X",
        "HTTP/1.1 2000 X",
        "HTTP/1.1 200\tX",
        "HTTP/1.1  200",
    ] {
        let error = read(&format!("{line}\r\n\r\n"), "GET", |_| ());
        assert_eq!(error, Err(HeadError::StatusLine.into()), "{line}");
    }
    for line in ["HTTP/2 200 OK", "HTTP/1.2 200 OK", "ICY 200 OK", "http/1.1 200 OK"] {
        assert_eq!(read(&format!("{line}\r\n\r\n"), "GET", |_| ()), Err(HeadError::Version.into()), "{line}");
    }
    let line = |line: &str| {
        read(&format!("{line}\r\n\r\n"), "GET", |view| {
            (view.status(), view.reason().to_vec(), view.version())
        })
    };
    assert_eq!(
        line("HTTP/1.0 999 Caf\u{e9}\tX"),
        Ok((999, "Caf\u{e9}\tX".as_bytes().to_vec(), Version::Http10))
    );
    assert_eq!(line("HTTP/1.1 100 "), Ok((100, Vec::new(), Version::Http11)));
}

#[test]
fn a_visitor_gets_what_its_version_can_carry() {
    let rewrite = |version, closes| ResponseRewrite { version, closes, ..ResponseRewrite::default() };
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let unframed = "HTTP/1.0 200 OK\r\n\r\n";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
    for (head, version, closes, fields, framing) in [
        (chunked, Version::Http11, false, "Transfer-Encoding: chunked\r\n", Framing::Chunked),
        (chunked, Version::Http10, false, "Connection: close\r\n", Framing::UntilClose),
        (unframed, Version::Http11, false, "Transfer-Encoding: chunked\r\n", Framing::Chunked),
        (unframed, Version::Http10, false, "Connection: close\r\n", Framing::UntilClose),
        (sized, Version::Http11, false, "Content-Length: 1\r\n", Framing::Length(1)),
        (sized, Version::Http11, true, "Content-Length: 1\r\nConnection: close\r\n", Framing::Length(1)),
        (
            sized,
            Version::Http10,
            false,
            "Content-Length: 1\r\nConnection: keep-alive\r\n",
            Framing::Length(1),
        ),
    ] {
        let expected = (format!("{version} 200 OK\r\n{fields}\r\n"), framing);
        assert_eq!(forward(head, "GET", &rewrite(version, closes)), expected, "{head}");
    }
}

#[test]
fn fields_of_the_connection_end_here_and_others_stay() {
    let fields = "Connection: keep-alive, X-Own\r\nKeep-Alive: timeout=5\r\nX-Own: 1\r\nUpgrade: h2c\r\n\
                  Proxy-Authenticate: Basic\r\nProxy-Status: x; error=y\r\nSet-Cookie: a=1\r\nTrailer: t\r\n\
                  set-cookie: b=2\r\nWWW-Authenticate: Basic\r\n";
    assert_eq!(
        forward_fields(fields, &ResponseRewrite::default()),
        "Proxy-Status: x; error=y\r\nSet-Cookie: a=1\r\nTrailer: t\r\nset-cookie: b=2\r\nWWW-Authenticate: Basic\r\n"
    );
}

#[test]
fn an_upgrade_is_named_where_the_status_is_about_it() {
    let close = ResponseRewrite { closes: true, ..ResponseRewrite::default() };
    let (head, framing) =
        forward("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n", "GET", &close);
    assert_eq!(
        (head.as_str(), framing),
        ("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n", Framing::Tunnel)
    );
    let required = "HTTP/1.1 426 X\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
    assert_eq!(forward(required, "GET", &ResponseRewrite::default()).0, required);
    let (head, _) = forward("HTTP/1.1 103 X\r\nLink: <a>\r\n\r\n", "GET", &close);
    assert_eq!(head, "HTTP/1.1 103 X\r\nLink: <a>\r\n\r\n");
}

#[test]
fn a_cookie_for_every_tunnel_becomes_one_for_its_own() {
    let rewrite = ResponseRewrite { relay_domain: Some("tunnel.example"), ..ResponseRewrite::default() };
    let cookie = |value: &str| {
        let fields = forward_fields(&format!("Set-Cookie: {value}\r\n"), &rewrite);
        fields.trim_end().strip_prefix("Set-Cookie: ").expect("a cookie").to_owned()
    };
    for (sent, got) in [
        ("a=1; Domain=tunnel.example; Path=/", "a=1; Path=/"),
        ("a=1; Path=/;domain = .TUNNEL.example", "a=1; Path=/"),
        ("a=1;Domain=example", "a=1"),
        ("a=1 \t; Domain=example", "a=1"),
        ("a=1 ; Domain=example; Path=/", "a=1 ; Path=/"),
        ("a=1; Domain=tunnel.example.; Secure", "a=1; Secure"),
        ("a=1; Domain=x; Domain=tunnel.example", "a=1; Domain=x"),
        ("a=1; Domain=x.tunnel.example", "a=1; Domain=x.tunnel.example"),
        ("a=1; Domain=nel.example", "a=1; Domain=nel.example"),
        ("Domain=tunnel.example; Path=/", "Domain=tunnel.example; Path=/"),
        ("a=1; Domain=; Domain", "a=1; Domain=; Domain"),
        ("a=1; Domain=..example; Domain=.", "a=1; Domain=."),
    ] {
        assert_eq!(cookie(sent), got, "{sent}");
    }
    let other = "Location: /a; Domain=tunnel.example\r\n";
    assert_eq!(forward_fields(other, &rewrite), other);
    let unasked = forward_fields("Set-Cookie: a=1; Domain=tunnel.example\r\n", &ResponseRewrite::default());
    assert_eq!(unasked, "Set-Cookie: a=1; Domain=tunnel.example\r\n");
}

#[test]
fn a_public_host_is_named_in_every_field_that_names_the_local_one() {
    let mapping = HostMapping {
        public: UrlOrigin { scheme: UrlScheme::Https, authority: "a.example".to_owned() },
        local: UrlOrigin { scheme: UrlScheme::Http, authority: "localhost:3000".to_owned() },
    };
    let rewrite = ResponseRewrite { host: Some(&mapping), ..ResponseRewrite::default() };
    for (sent, got) in [
        ("Location: http://localhost:3000/a?b#c", "Location: https://a.example/a?b#c"),
        ("location: HTTP://LocalHost:3000", "location: https://a.example"),
        ("Location: //localhost:3000/a", "Location: //a.example/a"),
        ("Location: http://localhost/a", "Location: http://localhost/a"),
        ("Location: /a", "Location: /a"),
        ("Content-Location: http://localhost:3000/", "Content-Location: https://a.example/"),
        ("Refresh: 5; URL=http://localhost:3000/", "Refresh: 5; URL=https://a.example/"),
        ("Refresh: 5;url='http://localhost:3000/'", "Refresh: 5;url='https://a.example/'"),
        ("Refresh: 5", "Refresh: 5"),
        (
            "Access-Control-Allow-Origin: http://localhost:3000",
            "Access-Control-Allow-Origin: https://a.example",
        ),
        ("Access-Control-Allow-Origin: *", "Access-Control-Allow-Origin: *"),
        ("Set-Cookie: a=1; Domain=localhost; Path=/", "Set-Cookie: a=1; Domain=a.example; Path=/"),
        ("Set-Cookie: a=1; Domain=other", "Set-Cookie: a=1; Domain=other"),
        (
            "Set-Cookie: a; Domain=localhost; Domain=.LOCALHOST",
            "Set-Cookie: a; Domain=a.example; Domain=.a.example",
        ),
        ("X: http://localhost:3000/", "X: http://localhost:3000/"),
    ] {
        assert_eq!(forward_fields(&format!("{sent}\r\n"), &rewrite).trim_end(), got, "{sent}");
    }
}

#[test]
fn hosts_are_compared_with_their_ports() {
    let origin = |scheme, authority: &str| UrlOrigin { scheme, authority: authority.to_owned() };
    let mapped = |public: &str, origin_field: &str| {
        let public = origin(UrlScheme::Https, public);
        let mapping = HostMapping { public, local: origin(UrlScheme::Http, "[::1]:3000") };
        mapping
            .map_request("Origin", origin_field.as_bytes())
            .map(|value| String::from_utf8(value).expect("text"))
    };
    let local = Some("http://[::1]:3000".to_owned());
    for same in ["https://a.example", "https://a.example:443", "https://a.example:", "http://A.example:443"] {
        assert_eq!(mapped("a.example", same), local, "{same}");
    }
    for other in
        ["http://a.example", "https://a.example:8443", "https://b.example", "null", "https://a.example.b"]
    {
        assert_eq!(mapped("a.example", other), None, "{other}");
    }
    assert_eq!(mapped("[2001:db8::1]", "https://[2001:db8::1]"), local);
    assert_eq!(mapped("[2001:db8::1]", "https://[2001:db8::2]"), None);
    let mapping =
        HostMapping { public: origin(UrlScheme::Https, "a"), local: origin(UrlScheme::Http, "b:1") };
    assert_eq!(mapping.map_request("Host", b"anything").as_deref(), Some(&b"b:1"[..]));
    assert_eq!(mapping.map_request("Referer", b"https://a/b?c").as_deref(), Some(&b"http://b:1/b?c"[..]));
    assert_eq!(mapping.map_request("X-Referer", b"https://a/"), None);
}

#[test]
fn a_response_is_whole_or_incomplete() {
    let length = |bytes: &[u8]| {
        let mut table = FieldTable::new();
        ResponseView::parse_prefix(bytes, &mut table, "GET").map(|whole| whole.map(|(_, length)| length))
    };
    let head = b"\r\n\nHTTP/1.1 200 O\tK\r\nA: b\r\nB : c\n\r\n";
    for end in 0..head.len() {
        assert_eq!(length(&head[..end]), Ok(None), "{end}");
    }
    let more = [&head[..], b"body"].concat();
    assert_eq!(length(&more), Ok(Some(head.len())));
    let long = |bytes: usize| format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(bytes - 20));
    assert_eq!(length(long(MAX_HEAD_BYTES).as_bytes()), Ok(None));
    assert_eq!(length(long(MAX_HEAD_BYTES + 1).as_bytes()), Err(HeadError::TooLong.into()));
    let options = |count: usize| {
        read_fields(&format!("Connection: close, {}\r\n", vec!["x"; count].join(",")), |view| {
            view.connection().close
        })
    };
    assert_eq!(options(MAX_CONNECTION_OPTIONS - 1), Ok(true));
    assert_eq!(options(MAX_CONNECTION_OPTIONS), Ok(true));
    assert_eq!(options(MAX_CONNECTION_OPTIONS + 1), Err(ResponseError::ConnectionOptions));
}

#[test]
fn a_date_is_added_where_there_is_none() {
    let rewrite = ResponseRewrite { date: Some("now"), ..ResponseRewrite::default() };
    let (head, _) = forward("HTTP/1.1 204 X\r\n\r\n", "GET", &rewrite);
    assert_eq!(head, "HTTP/1.1 204 X\r\nDate: now\r\n\r\n");
    let dated = "HTTP/1.1 204 X\r\ndate: then\r\n\r\n";
    assert_eq!(forward(dated, "GET", &rewrite).0, dated);
    let (head, _) = forward("HTTP/1.1 100 X\r\n\r\n", "GET", &rewrite);
    assert_eq!(head, "HTTP/1.1 100 X\r\n\r\n");
}

#[test]
fn a_visitor_of_another_version_gets_the_same_fields() {
    let head =
        "HTTP/1.1 200 OK\r\nX: 1\r\nConnection: y\r\nY: 2\r\nContent-Length: 2, 2\r\nKeep-Alive: z\r\n\r\n";
    let fields = read(head, "GET", |view| {
        let mut fields = Vec::new();
        let rewrite = ResponseRewrite { date: Some("now"), ..ResponseRewrite::default() };
        view.forward_fields(&rewrite, |name, value| {
            fields.push((name.to_owned(), String::from_utf8_lossy(value).into_owned()));
        });
        fields
    })
    .expect("a good head");
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(fields, [("X", "1"), ("Content-Length", "2"), ("Date", "now")]);
}

#[test]
fn a_service_says_whether_and_how_long_its_connection_lives() {
    let keeps = |fields: &str| read_fields(fields, |view| view.keeps_alive()).expect("a good head");
    assert!(keeps("Content-Length: 0\r\n") && keeps("Transfer-Encoding: chunked\r\n"));
    assert!(!keeps("Content-Length: 0\r\nConnection: close\r\n") && !keeps("X: y\r\n"));
    let old =
        |fields: &str| read(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n"), "GET", |view| view.keeps_alive());
    assert_eq!(old("Content-Length: 0\r\n"), Ok(false));
    assert_eq!(old("Content-Length: 0\r\nConnection: keep-alive\r\n"), Ok(true));
    let timeout = |value: &str| {
        read_fields(&format!("Keep-Alive: {value}\r\n"), |view| view.keep_alive_timeout())
            .expect("a good head")
    };
    assert_eq!(timeout("max=100, Timeout=5"), Some(Duration::from_secs(5)));
    assert_eq!((timeout("timeout=x"), timeout("max=5")), (None, None));
}

#[test]
fn a_challenge_that_logs_in_the_connection_is_known() {
    let logs_in =
        |fields: &str| read_fields(fields, |view| view.authenticates_connection()).expect("a good head");
    assert!(logs_in("WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: NTLM\r\n"));
    assert!(logs_in("Proxy-Authenticate: Basic realm=\"x\", negotiate abc\r\n"));
    assert!(!logs_in("WWW-Authenticate: Basic realm=\"ntlm\"\r\n"));
}

#[test]
fn what_the_caller_removes_from_a_response_is_gone() {
    let rewrite = ResponseRewrite { remove: &["x-own"], ..ResponseRewrite::default() };
    assert_eq!(forward_fields("X: y\r\nX-Own: 1\r\n", &rewrite), "X: y\r\n");
}

#[test]
fn strict_transport_security_is_added_unless_the_service_says_its_own() {
    let rewrite = ResponseRewrite { hsts: Some("max-age=1"), ..ResponseRewrite::default() };
    let added = forward("HTTP/1.1 204 X\r\n\r\n", "GET", &rewrite).0;
    assert_eq!(added, "HTTP/1.1 204 X\r\nStrict-Transport-Security: max-age=1\r\n\r\n");
    let own = "HTTP/1.1 204 X\r\nstrict-transport-security: max-age=2\r\n\r\n";
    assert_eq!(forward(own, "GET", &rewrite).0, own);
}

#[test]
fn a_response_head_ends_where_its_bytes_end() {
    let parsed = |head: &str| ResponseView::parse(head.as_bytes(), &mut FieldTable::new(), "GET").map(|_| ());
    assert_eq!(parsed("HTTP/1.1 204 X\r\n\r\n"), Ok(()));
    for head in ["HTTP/1.1 204 X\r\n\r\nmore", "HTTP/1.1 204 X\r\n"] {
        assert_eq!(parsed(head), Err(HeadError::LineEnd.into()), "{head:?}");
    }
}
