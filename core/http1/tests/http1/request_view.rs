//! Request heads that are read where they lie: what is accepted, what is refused, and what is known of them.

use hvym_http1::{
    FieldTable, Framing, FramingError, HeadError, HeadScanner, LineEndings, MAX_CONNECTION_OPTIONS,
    MAX_HEAD_BYTES, MAX_HEADERS, RequestError, RequestView, Version,
};

/// What `read` says of a head that is accepted, or why it is not.
fn read<T>(head: &str, read: impl FnOnce(&RequestView<'_>) -> T) -> Result<T, RequestError> {
    let end = HeadScanner::new(LineEndings::Strict).feed(head.as_bytes())?;
    assert_eq!(end, Some(head.len()), "{head:?} is one head");
    RequestView::parse(head.as_bytes(), &mut FieldTable::new()).map(|view| read(&view))
}

/// The same of a `POST` with these fields beside `Host`.
fn read_fields<T>(fields: &str, look: impl FnOnce(&RequestView<'_>) -> T) -> Result<T, RequestError> {
    read(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), look)
}

fn refused(head: &str) -> RequestError {
    read(head, |_| ()).expect_err(head)
}

#[test]
fn a_head_is_read_in_all_its_parts() {
    let head = "\r\nGET /a?b=c HTTP/1.1\r\nHost:\t example:81 \r\nX-One:1\r\nEmpty:\r\nx-one: a\tb\r\n\r\n";
    read(head, |view| {
        assert_eq!((view.method(), view.target(), view.path()), ("GET", "/a?b=c", "/a?b=c"));
        assert_eq!(
            (view.version(), view.host(), view.framing()),
            (Version::Http11, "example:81", Framing::Empty)
        );
        let fields: Vec<(&str, &[u8])> = view.fields().iter().collect();
        assert_eq!(
            fields,
            [("Host", &b"example:81"[..]), ("X-One", b"1"), ("Empty", b""), ("x-one", b"a\tb")]
        );
        assert_eq!(view.fields().all("X-ONE").collect::<Vec<_>>(), [&b"1"[..], b"a\tb"]);
        assert!(view.fields().contains("HOST") && !view.fields().contains("hos"));
        assert_eq!((view.fields().len(), view.fields().is_empty()), (4, false));
        assert!(view.keeps_alive() && !view.is_host_from_target() && view.upgrade().is_none());
    })
    .expect("a good head");
}

#[test]
fn the_length_of_a_body_is_said_once_and_clearly() {
    let framing = |fields: &str| read_fields(fields, |view| view.framing());
    assert_eq!(framing(""), Ok(Framing::Empty));
    assert_eq!(framing("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
    assert_eq!(framing("content-length: 005\r\n"), Ok(Framing::Length(5)));
    assert_eq!(framing("Transfer-Encoding: ChUnKeD\r\n"), Ok(Framing::Chunked));
    for (fields, error) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", RequestError::LengthRepeated),
        ("Content-Length: 5, 5\r\n", RequestError::LengthRepeated),
        ("Content-Length: +5\r\n", FramingError::Length.into()),
        ("Content-Length: 18446744073709551616\r\n", FramingError::Length.into()),
        ("Content-Length:\r\n", FramingError::Length.into()),
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", FramingError::EncodingAndLength.into()),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", FramingError::EncodingAndLength.into()),
        ("Transfer-Encoding: identity\r\nContent-Length: 4\r\n", FramingError::EncodingAndLength.into()),
        ("Transfer-Encoding: gzip, chunked\r\n", FramingError::Encoding.into()),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", FramingError::Encoding.into()),
        ("Transfer-Encoding:\r\n", FramingError::Encoding.into()),
        ("Transfer-Encoding: \"chunked\"\r\n", FramingError::Encoding.into()),
    ] {
        assert_eq!(framing(fields), Err(error), "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old), FramingError::EncodingInHttp10.into());
}

#[test]
fn a_field_line_is_a_token_a_colon_and_a_value() {
    for fields in ["X : 1\r\n", "X\t: 1\r\n", ": 1\r\n", "Content-Length\r\n", "X Y: 1\r\n", "X(: 1\r\n"] {
        assert_eq!(read_fields(fields, |_| ()), Err(HeadError::HeaderName.into()), "{fields:?}");
    }
    // The scanner refuses these first; a head that it did not see is refused as well.
    for fields in ["X: 1\n", "X: 1\rY: 2\r\n", "X: a\0b\r\n", "X: a\x7fb\r\n", " X: 1\r\n", "X: 1"] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert!(RequestView::parse(head.as_bytes(), &mut FieldTable::new()).is_err(), "{fields:?}");
    }
}

#[test]
fn bytes_that_are_no_complete_head_are_refused() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    for end in 0..head.len() {
        assert!(RequestView::parse(&head[..end], &mut FieldTable::new()).is_err(), "{end}");
    }
    let head = [b"\r\n\r\n", &head[..]].concat();
    let length = |bytes: &[u8]| {
        RequestView::parse_prefix(bytes, &mut FieldTable::new()).map(|whole| whole.map(|(_, length)| length))
    };
    for end in 0..head.len() {
        assert_eq!(length(&head[..end]), Ok(None), "{end}");
    }
    let more = [&head[..], b"G"].concat();
    assert_eq!(length(&more), Ok(Some(head.len())));
    let long = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: {}", "a".repeat(bytes - 22));
    assert_eq!(length(long(MAX_HEAD_BYTES).as_bytes()), Ok(None));
    assert_eq!(length(long(MAX_HEAD_BYTES + 1).as_bytes()), Err(HeadError::TooLong.into()));
    let whole = |bytes: usize| format!("{}\r\n\r\n", long(bytes - 4));
    assert_eq!(length(whole(MAX_HEAD_BYTES).as_bytes()), Ok(Some(MAX_HEAD_BYTES)));
    assert_eq!(length(whole(MAX_HEAD_BYTES + 1).as_bytes()), Err(HeadError::TooLong.into()));
    let error = RequestView::parse(&more, &mut FieldTable::new()).err();
    assert_eq!(error, Some(RequestError::Head(HeadError::LineEnd)));
}

#[test]
fn the_request_line_has_three_parts() {
    let line = |line: &str| refused(&format!("{line}\r\nHost: a\r\n\r\n"));
    for text in [
        "GET  / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / / HTTP/1.1",
        "GET /",
        "G(ET / HTTP/1.1",
        "GET / http/1.1",
    ] {
        assert_eq!(line(text), HeadError::RequestLine.into(), "{text}");
    }
    for text in ["GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/1.1 ", "GET / HTTP/1.10"] {
        assert_eq!(line(text), HeadError::Version.into(), "{text}");
    }
    assert_eq!(line("CONNECT a:80 HTTP/1.1"), RequestError::Connect);
    assert_eq!(read("BREW / HTTP/1.0\r\nHost: a\r\n\r\n", |view| view.version()), Ok(Version::Http10));
}

#[test]
fn a_target_is_a_path_a_url_or_a_star_for_options() {
    let path = |line: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        read(&head, |view| (view.path().to_owned(), view.host().to_owned()))
    };
    for target in ["/a%2Fb//c/./..?q=%3F&+=%20", "//x", "/", "/?", "/%zz", "/{a}|\"b\"<>\\^`", "/caf\u{e9}"] {
        assert_eq!(path(&format!("GET {target}")), Ok((target.to_owned(), "a".to_owned())));
    }
    for (line, expected, host) in [
        ("GET http://user@b:81/p%2F?q", "/p%2F?q", "b:81"),
        ("GET HTTPS://b", "/", "b"),
        ("GET http://b?q", "?q", "b"),
        ("OPTIONS http://b", "*", "b"),
        ("OPTIONS http://b/", "/", "b"),
        ("OPTIONS *", "*", "a"),
    ] {
        assert_eq!(path(line), Ok((expected.to_owned(), host.to_owned())), "{line}");
    }
    for line in ["GET o", "GET *", "GET ftp://a/o", "GET http:/a", "GET http//a", "GET a:80"] {
        assert_eq!(path(line), Err(RequestError::Target), "{line}");
    }
    for line in ["GET /o#f", "GET /#", "GET http://a/#f", "GET #"] {
        assert_eq!(path(line), Err(RequestError::Fragment), "{line}");
    }
    assert_eq!(path("GET http:///x"), Err(RequestError::HostMissing));
    let head = b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(RequestView::parse(head, &mut FieldTable::new()).err(), Some(HeadError::RequestLine.into()));
}

#[test]
fn one_host_is_wanted() {
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), RequestError::HostMissing);
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: \r\n\r\n"), RequestError::HostMissing);
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), RequestError::HostRepeated);
    assert_eq!(refused("GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), RequestError::HostRepeated);
    for host in ["a/b", "a b", "a@b", "a,b", "a\"b", "caf\u{e9}", "a\\b", "a?b"] {
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), RequestError::Host, "{host}");
    }
    for host in ["a.example:8080", "[2001:db8::1]:80", "A_b-c"] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(read(&head, |view| view.host().to_owned()).as_deref(), Ok(host));
    }
}

#[test]
fn a_connection_is_kept_as_its_version_and_its_options_say() {
    let keeps = |version: &str, options: &str| {
        let head = format!("GET / {version}\r\nHost: a\r\nConnection: {options}\r\n\r\n");
        read(&head, |view| view.keeps_alive()).expect("a good head")
    };
    assert!(keeps("HTTP/1.1", "x") && keeps("HTTP/1.0", "Keep-Alive") && keeps("HTTP/1.1", ""));
    assert!(
        !keeps("HTTP/1.1", "x, CLOSE") && !keeps("HTTP/1.0", "x") && !keeps("HTTP/1.0", "keep-alive, close")
    );
}

#[test]
fn an_upgrade_is_one_that_the_connection_means_and_that_is_not_http_2() {
    let upgrade =
        |fields: &str| read_fields(fields, |view| view.upgrade().map(<[u8]>::to_vec)).expect("a good head");
    let meant = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(upgrade(meant).as_deref(), Some(&b"websocket"[..]));
    for fields in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade: chat, h2c\r\n",
        "Connection: upgrade\r\nUpgrade: chat\r\nUpgrade: H2C\r\n",
    ] {
        assert_eq!(upgrade(fields), None, "{fields:?}");
    }
    let old = format!("GET / HTTP/1.0\r\nHost: a\r\n{meant}\r\n");
    assert_eq!(read(&old, |view| view.upgrade().is_some()), Ok(false));
}

#[test]
fn a_sender_waits_for_permission_only_with_a_body() {
    let waits = |fields: &str| read_fields(fields, |view| view.expects_continue()).expect("a good head");
    assert!(waits("Expect: 100-Continue\r\nContent-Length: 1\r\n"));
    assert!(waits("Expect: x, 100-continue\r\nTransfer-Encoding: chunked\r\n"));
    assert!(!waits("Expect: 100-continue\r\n") && !waits("Expect: 100-continue\r\nContent-Length: 0\r\n"));
    assert!(!waits("Content-Length: 1\r\n"));
    let old = "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(read(old, |view| view.expects_continue()), Ok(false));
}

#[test]
fn a_scheme_that_logs_in_the_connection_is_known() {
    let logs_in = |value: &str| {
        read_fields(&format!("Authorization: {value}\r\n"), |view| view.authenticates_connection())
            .expect("a good head")
    };
    assert!(logs_in("NTLM abc") && logs_in("negotiate abc") && logs_in("Negotiate"));
    assert!(!logs_in("Basic abc") && !logs_in("Bearer ntlm") && !logs_in("NTLM2 x"));
}

#[test]
fn a_head_has_so_many_fields_and_its_connection_names_so_many() {
    let fields = |count: usize| read_fields(&"X: y\r\n".repeat(count - 1), |view| view.fields().len());
    assert_eq!(fields(MAX_HEADERS - 1), Ok(MAX_HEADERS - 1));
    assert_eq!(fields(MAX_HEADERS), Ok(MAX_HEADERS));
    assert_eq!(fields(MAX_HEADERS + 1), Err(HeadError::TooManyHeaders.into()));
    let options = |count: usize| {
        read_fields(&format!("Connection: close, {}\r\n", vec!["x"; count].join(",")), |view| {
            view.connection().close
        })
    };
    assert_eq!(options(MAX_CONNECTION_OPTIONS - 1), Ok(true));
    assert_eq!(options(MAX_CONNECTION_OPTIONS), Ok(true));
    assert_eq!(options(MAX_CONNECTION_OPTIONS + 1), Err(RequestError::ConnectionOptions));
}

#[test]
fn a_refusal_has_the_status_that_says_whose_fault_it_is() {
    assert_eq!(RequestError::from(HeadError::TooLong).status(), 431);
    assert_eq!(RequestError::from(HeadError::TooManyHeaders).status(), 431);
    assert_eq!(RequestError::from(HeadError::HeaderName).status(), 400);
    assert_eq!(RequestError::from(FramingError::Encoding).status(), 501);
    assert_eq!(RequestError::from(FramingError::Length).status(), 400);
    assert_eq!((RequestError::Connect.status(), RequestError::Fragment.status()), (405, 400));
}

#[test]
fn a_bare_line_end_is_named_also_where_nothing_was_scanned_before() {
    for (value, error) in
        [("a\rb", HeadError::BareCr), ("a\nb", HeadError::BareLf), ("a\0b", HeadError::HeaderValue)]
    {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {value}\r\n\r\n");
        let parsed = RequestView::parse(head.as_bytes(), &mut FieldTable::new()).map(drop);
        assert_eq!(parsed, Err(RequestError::Head(error)));
    }
}

#[test]
fn a_request_may_have_no_fields_and_a_table_says_what_it_holds() {
    let mut table = FieldTable::new();
    assert_eq!(table.held(), 0);
    let seen = RequestView::parse(b"GET http://h/ HTTP/1.0\r\n\r\n", &mut table)
        .map(|view| view.fields().is_empty());
    assert_eq!(seen, Ok(true));
    let head = format!("GET http://h/ HTTP/1.0\r\n{}\r\n", "a: b\r\n".repeat(50));
    RequestView::parse(head.as_bytes(), &mut table).expect("a good head");
    assert!((50 * 8..50 * 64).contains(&table.held()), "{}", table.held());
}

#[test]
fn a_request_line_is_refused_also_where_nothing_was_scanned_before() {
    let refused = |head: &str| RequestView::parse(head.as_bytes(), &mut FieldTable::new()).map(drop);
    for head in [
        " / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: h\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTT\r\n",
        "GET / X",
    ] {
        assert_eq!(refused(head), Err(RequestError::Head(HeadError::RequestLine)), "{head:?}");
    }
}
