//! What the owner of a service reads about a request, beside what its visitor got.
#![cfg(unix)]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use hvym_tunnel_tests::alone::Alone;
use hvym_tunnel_tests::http::{Head, Origin, answer, ok};

#[test]
fn a_response_that_is_not_passed_on_is_502_for_both_with_the_reason() {
    for (response, reason) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "differ"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "chunked"),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", "version"),
    ] {
        let service = Origin::start(move |mut visitor| {
            visitor.head()?;
            visitor.send(response)?;
            visitor.rest().map(drop)
        });
        let mut tunnel = Alone::exposing(&service.port.to_string(), &[]);
        assert_eq!(tunnel.get("/odd").expect("a page").0.status(), 502, "{response:?}");
        let told = tunnel.agent.event("request");
        assert_eq!((&told["status"], &told["path"]), (&502.into(), &"/odd".into()), "{told}");
        let note = told["note"].as_str().expect("a note");
        assert!(note.contains("not passed on") && note.contains(reason), "{told}");
    }
}

#[test]
fn many_fields_are_no_reason_to_refuse_a_response_or_a_request() {
    let service = Origin::answering(|head: &Head, _| {
        let links: Vec<String> = (0..300).map(|n| format!("</{n}.css>; rel=preload")).collect();
        let fields: Vec<(&str, &str)> = links.iter().map(|link| ("Link", link.as_str())).collect();
        answer("200 OK", &fields, head.all("x-many").len().to_string().as_bytes())
    });
    for arguments in [&[][..], &["--host-header", "localhost"]] {
        let mut tunnel = Alone::exposing(&service.port.to_string(), arguments);
        let lines = vec!["X-Many: 1"; 300];
        let (head, body) = tunnel.ask("GET", "/", &lines, &[]).expect("an answer");
        assert_eq!((head.status(), head.all("link").len(), body.as_slice()), (200, 300, &b"300"[..]));
        assert_eq!(tunnel.agent.event("request")["status"], 200, "{arguments:?}");
    }
}

#[test]
fn the_bytes_of_a_response_are_those_of_its_body() {
    let service = Origin::answering(|head: &Head, _| match head.target() {
        "/chunked" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec()
        }
        _ => ok(b"hello"),
    });
    for arguments in [&[][..], &["--host-header", "localhost"]] {
        let mut tunnel = Alone::exposing(&service.port.to_string(), arguments);
        for target in ["/sized", "/chunked"] {
            assert_eq!(tunnel.get(target).expect("an answer").1.len(), 5);
            let told = tunnel.agent.event("request");
            assert_eq!((&told["path"], &told["bytes"]), (&target.into(), &5.into()), "{told}");
        }
    }
}

#[test]
fn a_service_that_does_not_take_a_connection_is_504_with_the_time_that_it_took() {
    // A listener whose backlog is full answers nobody.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    rustix::net::listen(&listener, 0).expect("a bound socket listens");
    let at = listener.local_addr().expect("it is bound");
    let connect = || TcpStream::connect_timeout(&at, Duration::from_millis(200)).ok();
    let full: Vec<TcpStream> = std::iter::from_fn(connect).take(16).collect();
    assert!(full.len() < 16, "the backlog is never full");
    let port = at.port();
    let mut tunnel = Alone::exposing(&format!("127.0.0.1:{port}"), &[]);
    assert_eq!(tunnel.get("/late").expect("a page").0.status(), 504);
    let told = tunnel.agent.event("request");
    assert_eq!((&told["path"], &told["status"]), (&"/late".into(), &504.into()), "{told}");
    // The limit of a connect is 5 s.
    assert!(told["millis"].as_u64().is_some_and(|millis| millis >= 4500), "{told}");
    drop(full);
}

#[test]
fn a_service_that_refuses_the_host_with_421_is_explained_and_so_are_jupyter_and_mcp() {
    for (status, body, name) in [
        ("421 Misdirected Request", "<h1>Misdirected Request</h1>", "the service"),
        ("421 Misdirected Request", "Invalid Host header", "the MCP server"),
        ("403 Forbidden", "Invalid Origin header", "the MCP server"),
        ("403 Forbidden", "<html><title>Jupyter Server</title><h1>403 : Forbidden</h1>", "Jupyter"),
    ] {
        let service = Origin::answering(move |head: &Head, _| match head.field("host") {
            Some(host) if host.starts_with("localhost:") => ok(b"the page"),
            _ => answer(status, &[("Content-Type", "text/html")], body.as_bytes()),
        });
        let place = format!("localhost:{}", service.port);
        let mut tunnel = Alone::exposing(&place, &[]);
        assert_eq!(tunnel.get("/").expect("an answer").0.first, format!("HTTP/1.1 {status}"));
        let told = tunnel.agent.event("request");
        let hint = format!("{name} refused this host: rerun with --host-header {place}");
        assert_eq!(told["note"], hint.as_str(), "{told}");
        let tunnel = Alone::exposing(&place, &["--host-header", &place]);
        assert_eq!(tunnel.get("/").expect("an answer").1, b"the page");
    }
}
