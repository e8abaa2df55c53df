//! Request heads as the service gets them.

use bytes::BytesMut;
use hvym_http1::{
    ClientInfo, FieldTable, ForwardedBlock, ForwardedFields, Framing, HOP_BY_HOP, HostMapping, RequestParts,
    RequestRewrite, RequestView, ResponseRewrite, ResponseView, UrlOrigin, UrlScheme, is_reserved_field,
    write_request_head,
};

fn block(host: &str) -> ForwardedBlock {
    let peer = "203.0.113.7".parse().expect("an address");
    ForwardedBlock::new(&ClientInfo::new(peer, UrlScheme::Https, std::iter::empty(), |_| false), host)
}

fn rewrite(forwarded: ForwardedFields<'_>) -> RequestRewrite<'_> {
    RequestRewrite { forwarded, keeps_client_address: false, host: None, remove: &[] }
}

fn forward(head: &str, rewrite: &RequestRewrite<'_>) -> String {
    let mut table = FieldTable::new();
    let view = RequestView::parse(head.as_bytes(), &mut table).expect("a good head");
    let mut out = BytesMut::new();
    view.write_forwarded(rewrite, &mut out);
    String::from_utf8(out.to_vec()).expect("text")
}

/// A head with these fields as it is forwarded by a proxy that adds nothing.
fn forward_fields(fields: &str) -> String {
    let empty = ForwardedBlock::empty();
    let head =
        forward(&format!("GET / HTTP/1.1\r\n{fields}\r\n"), &rewrite(ForwardedFields::Replace(&empty)));
    head.strip_prefix("GET / HTTP/1.1\r\n")
        .and_then(|rest| rest.strip_suffix("\r\n"))
        .expect("one head")
        .to_owned()
}

#[test]
fn order_and_spelling_stay() {
    let fields = "hOsT: a\r\nB: 2\r\na: 1\r\nB: 3\r\nX-Empty: \r\nContent-Length: 005\r\n";
    assert_eq!(forward_fields(fields), fields);
}

#[test]
fn a_line_gets_one_space_and_no_white_space_at_its_end() {
    let fields = "Host:a\r\nX:\t 1 \r\nY: 2\r\nZ: 3 \r\nW: 4\t\r\nV:  5\r\n";
    assert_eq!(forward_fields(fields), "Host: a\r\nX: 1\r\nY: 2\r\nZ: 3\r\nW: 4\r\nV: 5\r\n");
}

#[test]
fn what_the_connection_names_ends_at_this_hop() {
    let fields = "Host: h\r\nConnection: close, X-Private\r\nConnection: Host, content-length, te\r\nX-Private: 1\r\n\
                  Keep-Alive: timeout=5\r\nProxy-Authorization: secret\r\nProxy-Thing: 1\r\nProxy: http://evil\r\n\
                  TE: gzip\r\nContent-Length: 3\r\nTrailer: x\r\nAccept: */*\r\n";
    assert_eq!(forward_fields(fields), "Host: h\r\nContent-Length: 3\r\nTrailer: x\r\nAccept: */*\r\n");
}

#[test]
fn every_field_of_the_list_ends_at_this_hop_in_both_directions() {
    for name in HOP_BY_HOP.into_iter().filter(|name| !["trailer", "transfer-encoding"].contains(name)) {
        assert_eq!(forward_fields(&format!("Host: h\r\n{name}: x\r\n")), "Host: h\r\n", "{name}");
        let head = format!("HTTP/1.1 204 X\r\n{name}: x\r\n\r\n");
        let mut table = FieldTable::new();
        let view = ResponseView::parse(head.as_bytes(), &mut table, "GET").expect("a good head");
        let mut out = BytesMut::new();
        view.write_forwarded(&ResponseRewrite::default(), &mut out);
        assert_eq!(out, "HTTP/1.1 204 X\r\n\r\n", "{name}");
    }
}

#[test]
fn chunks_stay_chunks_whatever_the_connection_names() {
    let fields = "Host: h\r\nConnection: transfer-encoding\r\nTransfer-Encoding: Chunked\r\n";
    assert_eq!(forward_fields(fields), "Host: h\r\nTransfer-Encoding: chunked\r\n");
}

#[test]
fn a_visitor_cannot_say_who_it_is() {
    let block = block("a.example:8080");
    let claims = "X-Forwarded-For: 10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\nx-forwarded-prefix: /admin\r\n\
                  Forwarded: for=10.0.0.1\r\nX-Stellar-Address: G\r\nX_Custom-Domain: d\r\n";
    let addresses = "X-Real-IP: 10.0.0.1\r\nCF-Connecting-IP: 10.0.0.1\r\nX_Original_Forwarded_For: 10.0.0.1\r\n\
                     Client-IP: 10.0.0.1\r\n";
    let head = format!("GET / HTTP/1.1\r\nHost: a.example:8080\r\n{claims}{addresses}\r\n");
    let ours = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: a.example:8080\r\nX-Forwarded-Port: 8080\r\n\
                X-Forwarded-Proto: https\r\nForwarded: for=203.0.113.7;proto=https\r\n";
    let start = "GET / HTTP/1.1\r\nHost: a.example:8080\r\n";
    let mut options = rewrite(ForwardedFields::Replace(&block));
    assert_eq!(forward(&head, &options), format!("{start}{ours}\r\n"));
    options.keeps_client_address = true;
    assert_eq!(forward(&head, &options), format!("{start}{addresses}{ours}\r\n"));
    assert_eq!(forward(&head, &rewrite(ForwardedFields::Keep)), head);
}

#[test]
fn what_a_service_takes_for_a_field_of_the_message_goes_whoever_is_before_us() {
    let aliases =
        "Transfer_Encoding: chunked\r\nCONTENT.LENGTH: 3\r\nKeep_Alive: 5\r\nProxy_Authorization: x\r\n";
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{aliases}Content_Type: a/b\r\n\r\n");
    let expected = "GET / HTTP/1.1\r\nHost: h\r\nContent_Type: a/b\r\n\r\n";
    let empty = ForwardedBlock::empty();
    assert_eq!(forward(&head, &rewrite(ForwardedFields::Replace(&empty))), expected);
    assert_eq!(forward(&head, &rewrite(ForwardedFields::Keep)), expected);
}

#[test]
fn the_host_of_a_url_replaces_the_field() {
    let keep = rewrite(ForwardedFields::Keep);
    let head = "GET http://user@b:81?q HTTP/1.0\r\nX: 1\r\nHost: a\r\n\r\n";
    assert_eq!(forward(head, &keep), "GET /?q HTTP/1.1\r\nHost: b:81\r\nX: 1\r\n\r\n");
}

#[test]
fn an_upgrade_and_the_wish_for_trailers_are_said_anew() {
    let upgrade = "Host: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nTE: trailers\r\n";
    assert_eq!(forward_fields(upgrade), "Host: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(forward_fields("Host: h\r\nUpgrade: websocket\r\n"), "Host: h\r\n");
    assert_eq!(
        forward_fields("Host: h\r\nTE: gzip, trailers;q=1\r\n"),
        "Host: h\r\nConnection: te\r\nTE: trailers\r\n"
    );
}

#[test]
fn crumbs_of_a_cookie_become_one() {
    let fields = "Cookie: a=1\r\nHost: h\r\ncookie: b=2\r\nX: y\r\n";
    assert_eq!(forward_fields(fields), "Cookie: a=1; b=2\r\nHost: h\r\nX: y\r\n");
    let empty = "Cookie: \r\nHost: h\r\nCookie: b=2\r\nCookie:\r\n";
    assert_eq!(forward_fields(empty), "Cookie: b=2\r\nHost: h\r\n");
    let single = "Cookie: \r\nHost: h\r\n";
    assert_eq!(forward_fields(single), single, "there is nothing to join");
}

#[test]
fn what_the_caller_removes_is_gone() {
    let options = RequestRewrite { remove: &["authorization", "x-own"], ..rewrite(ForwardedFields::Keep) };
    let head = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic x\r\nX: y\r\nX-Own: 1\r\n\r\n";
    assert_eq!(forward(head, &options), "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n");
}

#[test]
fn a_local_host_is_named_in_every_field_that_names_the_public_one() {
    let mapping = HostMapping {
        public: UrlOrigin { scheme: UrlScheme::Https, authority: "a.example".to_owned() },
        local: UrlOrigin { scheme: UrlScheme::Http, authority: "localhost:3000".to_owned() },
    };
    let options = RequestRewrite { host: Some(&mapping), ..rewrite(ForwardedFields::Keep) };
    let head = "MOVE / HTTP/1.1\r\nHost: a.example\r\nOrigin: https://a.example\r\nReferer: https://other.example/\r\n\
                Destination: https://a.example/b\r\nX: https://a.example\r\n\r\n";
    assert_eq!(
        forward(head, &options),
        "MOVE / HTTP/1.1\r\nHost: localhost:3000\r\nOrigin: http://localhost:3000\r\n\
         Referer: https://other.example/\r\nDestination: http://localhost:3000/b\r\nX: https://a.example\r\n\r\n"
    );
}

#[test]
fn a_request_of_another_version_is_written_by_the_same_rules() {
    let block = block("h");
    let fields = [
        ("cookie", "a=1"),
        ("x-real-ip", "6.6.6.6"),
        ("te", "trailers"),
        ("content-length", "9"),
        ("accept", "*/*"),
        ("cookie", "b=2"),
        ("cookie", "c=3"),
    ];
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    let mut out = BytesMut::new();
    for (framing, line) in [
        (Framing::Length(3), "Content-Length: 3\r\n"),
        (Framing::Chunked, "Transfer-Encoding: chunked\r\n"),
        (Framing::Empty, ""),
    ] {
        out.clear();
        let parts = RequestParts { method: "POST", path: "/p", host: "h", framing };
        write_request_head(&parts, fields.clone(), &rewrite(ForwardedFields::Replace(&block)), &mut out);
        let ours = String::from_utf8_lossy(block.as_bytes()).into_owned();
        let expected = format!(
            "POST /p HTTP/1.1\r\nHost: h\r\ncookie: a=1; b=2; c=3\r\naccept: */*\r\n{line}Connection: te\r\nTE: trailers\r\n\
             {ours}\r\n"
        );
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}

#[test]
fn only_te_wishes_for_trailers() {
    for (name, value, wishes) in [("te", " Trailers", true), ("te", "gzip", false), ("x", "trailers", false)]
    {
        let parts = RequestParts { method: "GET", path: "/", host: "h", framing: Framing::Empty };
        let mut out = BytesMut::new();
        let fields = [(name, value.as_bytes())];
        write_request_head(&parts, fields.into_iter(), &rewrite(ForwardedFields::Keep), &mut out);
        let seen = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(seen.contains("Connection: te\r\nTE: trailers\r\n"), wishes, "{seen}");
    }
}

#[test]
fn fields_that_only_a_proxy_may_write_are_known_in_any_spelling() {
    for name in ["X-Forwarded-For", "x_forwarded_for", "CF-Connecting-IP", "Transfer_Encoding", "Proxy"] {
        assert!(is_reserved_field(name), "{name}");
    }
    for name in ["Accept", "Content_Type", "Host", "Transfer-Encoding"] {
        assert!(!is_reserved_field(name), "{name}");
    }
}
