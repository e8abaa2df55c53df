//! curl as the visitor, nginx, Python and Node.js as the services: what they say to each other directly, they say
//! through a relay and an agent.
#![cfg(unix)]

use std::fs;

use hvym_tunnel_tests::apps::pattern;
use hvym_tunnel_tests::curl::{Curl, Fetched};
use hvym_tunnel_tests::http::nobody;
use hvym_tunnel_tests::installed::{Nginx, peer, required_tool};
use hvym_tunnel_tests::program::{Home, python};
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, Tunnel};
use serde_json::Value;

const MIB: usize = 1024 * 1024;

/// nginx with a file of 1 MiB, a tunnel to it, and curl.
fn files(server: &str) -> Option<(Nginx, Tunnel, Curl)> {
    let nginx = Nginx::start(server)?;
    fs::write(nginx.file("file"), pattern(1, MIB)).expect("a folder takes a file");
    fs::write(nginx.file("text.txt"), "the same line again\n".repeat(1000)).expect("a folder takes a file");
    let tunnel = Tunnel::to(nginx.port);
    let curl = Curl::through(&tunnel)?;
    Some((nginx, tunnel, curl))
}

/// Fetched through the tunnel, and directly: both are the same in everything that `fields` name.
fn both(curl: &Curl, port: u16, target: &str, arguments: &[&str], fields: &[&str]) -> Fetched {
    let there = curl.fetch(target, arguments);
    let here = curl.direct(port).fetch(target, arguments);
    assert_eq!((there.code, there.status()), (here.code, here.status()), "{target} {arguments:?}: {there:?}");
    // Of a HEAD, curl writes the head where it would write the body.
    assert!(there.body == here.body || arguments.contains(&"--head"), "{target} {arguments:?}: another body");
    for name in fields {
        assert!(here.field(name).is_some(), "{target} {arguments:?}: no {name}: {here:?}");
        assert_eq!(there.field(name), here.field(name), "{target} {arguments:?}: {name}");
    }
    there
}

#[test]
fn a_head_has_the_fields_of_the_file_and_no_byte_of_it() {
    let Some((nginx, _tunnel, curl)) = files("") else { return };
    let fields = ["content-length", "etag", "last-modified", "accept-ranges", "content-type"];
    let found = both(&curl, nginx.port, "/file", &["--head"], &fields);
    assert_eq!((found.status(), found.field("content-length")), (200, Some("1048576")), "{found:?}");
    assert_eq!((found.code, &found.facts["size_download"]), (0, &0.into()), "{found:?}");
}

#[test]
fn parts_of_a_file_are_those_that_were_asked_for() {
    let Some((nginx, _tunnel, curl)) = files("") else { return };
    let part = ["content-range", "content-length", "etag"];
    let whole = pattern(1, MIB);
    let found = both(&curl, nginx.port, "/file", &["-r", "0-0"], &part);
    assert_eq!((found.status(), found.body.as_slice()), (206, &whole[..1]));
    let found = both(&curl, nginx.port, "/file", &["-r", "70000-900000"], &part);
    assert!(found.body == whole[70_000..=900_000]);
    let found = both(&curl, nginx.port, "/file", &["-r", "-5"], &part);
    assert_eq!(found.body, whole[MIB - 5..]);
    let found = both(&curl, nginx.port, "/file", &["-r", "2000000-"], &["content-range"]);
    assert_eq!((found.status(), found.field("content-range")), (416, Some("bytes */1048576")));
    // The border between several parts is another each time.
    let found = curl.fetch("/file", &["-r", "0-9,100-109"]);
    assert!(
        found.field("content-type").is_some_and(|kind| kind.starts_with("multipart/byteranges")),
        "{found:?}"
    );
    let has = |part: &[u8]| found.body.windows(part.len()).any(|window| window == part);
    assert!(found.status() == 206 && has(&whole[..10]) && has(&whole[100..110]), "{found:?}");
}

#[test]
fn a_file_that_has_not_changed_is_not_sent_again() {
    let Some((nginx, _tunnel, curl)) = files("") else { return };
    let etag = curl.fetch("/file", &[]).field("etag").expect("nginx makes one").to_owned();
    let found = both(&curl, nginx.port, "/file", &["-H", &format!("If-None-Match: {etag}")], &["etag"]);
    assert_eq!((found.status(), found.body.len()), (304, 0));
    let found = both(&curl, nginx.port, "/file", &["-H", "If-Match: \"another\""], &[]);
    assert_eq!(found.status(), 412);
    let found = both(&curl, nginx.port, "/file", &["-r", "0-9", "-H", "If-Range: \"another\""], &["etag"]);
    assert_eq!((found.status(), found.body.len()), (200, MIB));
}

#[test]
fn what_nginx_compresses_on_its_way_comes_compressed_and_only_to_those_who_asked() {
    let Some((nginx, _tunnel, curl)) = files("gzip on; gzip_types *; gzip_min_length 1;") else { return };
    let fields = ["content-encoding", "etag", "transfer-encoding"];
    let found = both(&curl, nginx.port, "/text.txt", &["-H", "Accept-Encoding: gzip"], &fields);
    assert_eq!((found.field("content-encoding"), &found.body[..2]), (Some("gzip"), &[0x1f, 0x8b][..]));
    let found = both(&curl, nginx.port, "/text.txt", &["--compressed"], &fields);
    assert_eq!(found.body.len(), 20_000, "curl could unpack it");
    let found = both(&curl, nginx.port, "/text.txt", &[], &["content-length", "etag"]);
    assert_eq!((found.field("content-encoding"), found.body.len()), (None, 20_000));
}

#[test]
fn an_upload_that_is_too_large_is_told_so_at_once_whether_or_not_it_asked_first() {
    let Some((nginx, _tunnel, curl)) = files("client_max_body_size 1m;") else { return };
    let home = Home::new();
    let large = home.path("large");
    fs::write(&large, vec![0; 64 * MIB]).expect("a folder takes a file");
    let large = format!("@{}", large.display());
    for expectation in ["Expect: 100-continue", "Expect:"] {
        let arguments = ["--data-binary", &large, "-H", expectation];
        let there = curl.fetch("/file", &arguments);
        let here = curl.direct(nginx.port).fetch("/file", &arguments);
        assert_eq!((there.status(), here.status()), (413, 413), "{expectation}: {there:?}");
        assert_eq!(there.code, 0, "curl read the whole answer: {there:?}");
        let sent = there.facts["size_upload"].as_u64().expect("a number");
        assert!(sent < 64 * MIB as u64, "all {sent} bytes were taken for nothing");
    }
}

#[test]
fn a_hundred_requests_share_one_connection_of_their_visitor() {
    let Some((_nginx, _tunnel, curl)) = files("") else { return };
    let counts = ["-o", "/dev/null", "-w", "%{num_connects} %{http_code}\n"];
    let mut visitor = curl.start("/text.txt?[1-100]", &counts);
    assert_eq!(visitor.code(), 0);
    assert_eq!(visitor.transcript(), format!("1 200\n{}", "0 200\n".repeat(99)));
}

#[test]
fn a_visitor_of_http_1_0_gets_the_whole_body_and_then_the_end() {
    let Some((_nginx, _tunnel, curl)) = files("gzip on; gzip_types *; gzip_http_version 1.0;") else {
        return;
    };
    let found = curl.fetch("/file", &["--http1.0"]);
    assert_eq!((found.code, found.status()), (0, 200), "{found:?}");
    assert_eq!(found.field("transfer-encoding"), None, "{found:?}");
    assert!(found.body == pattern(1, MIB));
}

#[test]
fn a_visitor_who_reads_slowly_gets_everything_and_nobody_waits_for_it() {
    let Some((_nginx, _tunnel, curl)) = files("") else { return };
    let paced = ["--limit-rate", "800k", "-o", "/dev/null", "-w", "%{http_code} %{size_download}\n"];
    let mut slow = curl.start("/file", &paced);
    for _ in 0..5 {
        assert_eq!(curl.fetch("/text.txt", &[]).body.len(), 20_000);
    }
    assert_eq!(slow.line(), format!("200 {MIB}"));
    assert_eq!(slow.code(), 0);
}

#[test]
fn large_cookies_and_odd_targets_reach_the_service_as_curl_sent_them() {
    let mut service = python(&["origin.py"]);
    let tunnel = Tunnel::to(service.line().parse().expect("a port"));
    let Some(curl) = Curl::through(&tunnel) else { return };
    let cookie = format!("session={}", "c".repeat(8192));
    let target = "/mirror/%7Ea%2Fb;p=1/../%C3%A9?q=%20+%2B&&x=[]&u=http://a/?b";
    let line = format!("Cookie: {cookie}");
    let arguments = ["-H", &line, "--globoff", "-H", "X-Empty;", "-H", "x-MiXeD: 1"];
    let found = curl.fetch(target, &arguments);
    let seen: Value = serde_json::from_slice(&found.body).expect("JSON");
    assert_eq!(seen["target"], target);
    let fields = seen["fields"].as_array().expect("a list");
    let has = |name: &str, value: &str| fields.iter().any(|field| field[0] == name && field[1] == value);
    assert!(has("Cookie", &cookie) && has("X-Empty", "") && has("x-MiXeD", "1"), "{seen}");
}

#[test]
fn a_service_that_asks_for_the_body_gets_it_and_one_that_refuses_does_not() {
    let Some(node) = required_tool("node") else { return };
    let mut service = peer(&node, &["service.mjs"]);
    let tunnel = Tunnel::to(service.line().parse().expect("a port"));
    let Some(curl) = Curl::through(&tunnel) else { return };
    let body = format!("@{}", concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/conformance.rs"));
    let expecting = ["--data-binary", &body, "-H", "Expect: 100-continue"];
    let found = curl.fetch("/continue", &expecting);
    assert_eq!(found.status(), 200, "{found:?}");
    assert!(found.heads.starts_with("http/1.1 100 continue"), "{found:?}");
    assert!(found.body == fs::read(&body[1..]).expect("this file"), "the body came back");
    let found = curl.fetch("/refuse", &expecting);
    assert_eq!(found.status(), 417, "{found:?}");
}

#[test]
fn nginx_behind_a_byte_service_is_told_who_the_visitor_is() {
    let second = nobody();
    let introduced = format!(
        "listen 127.0.0.1:{second} proxy_protocol;\n\
         location /who {{ return 200 \"$proxy_protocol_addr $remote_addr\"; }}"
    );
    let Some((_nginx, _tunnel, curl)) = files(&introduced) else { return };
    let relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, second, &["--proxy-protocol"]);
    let curl = curl.direct(agent.port());
    let found = curl.fetch("/who", &["--interface", "127.0.0.7"]);
    assert_eq!(String::from_utf8_lossy(&found.body), "127.0.0.7 127.0.0.1", "{found:?}");
    assert!(curl.fetch("/file", &[]).body == pattern(1, MIB));
}
