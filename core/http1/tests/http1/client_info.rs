//! Who the client of a request is, as trusted proxies report it, and what a service is told of it.

use std::net::IpAddr;

use hvym_http1::{ClientInfo, ForwardedBlock, UrlScheme};

/// Hops that are used: real chains have three or four.
const MAX_HOPS: usize = 16;

/// The client of a request from `peer` with these fields, behind a proxy of 10.0.0.0/8 or 2001:db8::/32.
fn client(peer: &str, fields: &[(&str, &str)]) -> ClientInfo {
    let is_trusted = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[..2] == [0x2001, 0xdb8],
    };
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    ClientInfo::new(peer.parse().expect("an address"), UrlScheme::Http, fields, is_trusted)
}

/// What a service is told: `X-Forwarded-For` and `X-Forwarded-Proto`.
fn told(peer: &str, fields: &[(&str, &str)]) -> [String; 2] {
    let block = ForwardedBlock::new(&client(peer, fields), "h");
    ["X-Forwarded-For", "X-Forwarded-Proto"].map(|name| field(&block, name))
}

fn field(block: &ForwardedBlock, name: &str) -> String {
    let (_, value) = block.fields().find(|(known, _)| *known == name).expect("the field");
    value.to_owned()
}

#[test]
fn an_ipv6_visitor_is_bracketed_and_a_mapped_one_is_ipv4() {
    let block = ForwardedBlock::new(&client("2001:db9::1", &[]), "h");
    assert_eq!(field(&block, "Forwarded"), "for=\"[2001:db9::1]\";host=h;proto=http");
    assert_eq!(field(&block, "X-Forwarded-For"), "2001:db9::1");
    assert_eq!(told("::ffff:192.0.2.1", &[])[0], "192.0.2.1");
}

#[test]
fn nobody_but_a_trusted_proxy_is_believed() {
    let claims = [("X-Forwarded-For", "198.51.100.1"), ("x-forwarded-proto", "https")];
    assert_eq!(told("192.0.2.1", &claims), ["192.0.2.1", "http"]);
    assert_eq!(told("10.0.0.1", &claims), ["198.51.100.1, 10.0.0.1", "https"]);
}

#[test]
fn a_backslash_escapes_within_quotes_alone() {
    let outside = [("x-forwarded-for", "junk\\,198.51.100.7")];
    assert_eq!(told("10.0.0.1", &outside)[0], "198.51.100.7, 10.0.0.1");
    let inside = [("forwarded", "for=198.51.100.7;by=\"a\\\",for=6.6.6.6\"")];
    assert_eq!(told("10.0.0.1", &inside)[0], "198.51.100.7, 10.0.0.1");
}

#[test]
fn the_visitor_is_the_nearest_one_nobody_vouches_for() {
    let fields = [
        ("x-forwarded-for", "6.6.6.6, 198.51.100.1"),
        ("x-forwarded-for", "10.0.0.3:4711 , [2001:db8::5]:1"),
    ];
    let client_info = client("10.0.0.1", &fields);
    assert_eq!(client_info.address(), IpAddr::from([198, 51, 100, 1]));
    assert_eq!(client_info.chain().len(), 4);
    let block = ForwardedBlock::new(&client_info, "h");
    assert_eq!(field(&block, "X-Forwarded-For"), "198.51.100.1, 10.0.0.3, 2001:db8::5, 10.0.0.1");
    assert_eq!(
        field(&block, "Forwarded"),
        "for=198.51.100.1;host=h;proto=http, for=10.0.0.3, for=\"[2001:db8::5]\", for=10.0.0.1"
    );
    // What is no address ends what can be believed.
    let said = told("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, unknown, 10.0.0.3")]);
    assert_eq!(said[0], "10.0.0.3, 10.0.0.1");
}

#[test]
fn a_proxy_may_write_the_standard_spelling() {
    let fields = [("forwarded", "for=6.6.6.6, For=\"[2001:DB9::7]:80\";proto=HTTPS;by=10.0.0.9")];
    assert_eq!(told("10.0.0.1", &fields), ["2001:db9::7, 10.0.0.1", "https"]);
}

#[test]
fn address_and_protocol_are_those_of_one_element() {
    // The visitor wrote the first element; the trusted proxy appended the second.
    let said = told("10.0.0.1", &[("forwarded", "for=6.6.6.6;proto=https, for=203.0.113.9;proto=http")]);
    assert_eq!(said, ["203.0.113.9, 10.0.0.1", "http"]);
    // Of two trusted proxies the outer one saw the visitor.
    let chain = "for=6.6.6.6;proto=http, for=203.0.113.9;proto=https, for=10.0.0.3;proto=http";
    assert_eq!(told("10.0.0.1", &[("forwarded", chain)]), ["203.0.113.9, 10.0.0.3, 10.0.0.1", "https"]);
    // An element without a protocol does not take that of another one.
    let said = told("10.0.0.1", &[("forwarded", "for=6.6.6.6;proto=https, for=203.0.113.9")]);
    assert_eq!(said, ["203.0.113.9, 10.0.0.1", "http"]);
    let hidden = [("forwarded", "proto=http;for=6.6.6.6"), ("forwarded", "proto=https;for=_hidden")];
    assert_eq!(told("10.0.0.1", &hidden), ["10.0.0.1", "https"]);
}

#[test]
fn protocols_belong_to_addresses_if_there_is_one_for_each() {
    let proto = |protos| {
        let fields = [("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.3"), ("x-forwarded-proto", protos)];
        told("10.0.0.1", &fields)[1].clone()
    };
    assert_eq!(proto("http, https, http"), "https");
    assert_eq!(proto("https, http, https"), "http");
    assert_eq!(proto("https"), "https");
    assert_eq!(proto("http, https"), "https");
    assert_eq!(proto("gopher"), "http");
    assert_eq!(told("10.0.0.1", &[("x-forwarded-proto", "https")])[1], "https");
}

#[test]
fn one_field_is_believed_and_the_other_one_is_the_visitors() {
    let own = ("forwarded", "for=6.6.6.6;proto=https");
    let said = told("10.0.0.1", &[own, ("x-forwarded-for", "203.0.113.9")]);
    assert_eq!(said, ["203.0.113.9, 10.0.0.1", "http"]);
    let proto = ("x-forwarded-proto", "https");
    let said = told("10.0.0.1", &[proto, ("forwarded", "for=203.0.113.9")]);
    assert_eq!(said, ["203.0.113.9, 10.0.0.1", "http"]);
}

#[test]
fn a_quoted_host_cannot_begin_an_element() {
    let written = r#"for=203.0.113.9;host="a\", for=6.6.6.6;proto=https";proto=http"#;
    assert_eq!(told("10.0.0.1", &[("forwarded", written)]), ["203.0.113.9, 10.0.0.1", "http"]);
}

#[test]
fn a_chain_has_an_end() {
    let hops =
        |written: usize| client("10.0.0.1", &[("x-forwarded-for", &vec!["10.0.0.1"; written].join(","))]);
    for (written, used) in
        [(MAX_HOPS - 2, MAX_HOPS - 1), (MAX_HOPS - 1, MAX_HOPS), (MAX_HOPS, MAX_HOPS), (1000, MAX_HOPS)]
    {
        assert_eq!(hops(written).chain().len(), used, "{written}");
    }
}

#[test]
fn the_port_is_that_of_the_host_or_of_the_scheme() {
    let port = |host: &str| field(&ForwardedBlock::new(&client("192.0.2.1", &[]), host), "X-Forwarded-Port");
    assert_eq!(
        [port("h:8080"), port("h"), port("[::1]"), port("[::1]:81"), port("h:")],
        ["8080", "80", "80", "81", "80"]
    );
    let https = ClientInfo::new([192, 0, 2, 1].into(), UrlScheme::Https, std::iter::empty(), |_| false);
    assert_eq!(field(&ForwardedBlock::new(&https, "h"), "X-Forwarded-Port"), "443");
}

#[test]
fn a_host_that_needs_quotes_is_named_once() {
    let forwarded = |host: &str| field(&ForwardedBlock::new(&client("192.0.2.1", &[]), host), "Forwarded");
    assert_eq!(forwarded("a.example"), "for=192.0.2.1;host=a.example;proto=http");
    assert_eq!(forwarded("a.example:8080"), "for=192.0.2.1;proto=http");
    assert_eq!(forwarded("[::1]"), "for=192.0.2.1;proto=http");
    // Nothing can add a line.
    let block = ForwardedBlock::new(&client("192.0.2.1", &[]), "a\r\nEvil: 1");
    assert!(!block.as_bytes().windows(4).any(|window| window == b"Evil"));
}
