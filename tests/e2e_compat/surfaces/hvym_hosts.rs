//! The hosts and proxies by which visitors and tools of HVYM's come.

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::guests::relay_with;
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::installed::Nginx;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};

fn keys() -> [Key; 2] {
    [[41; 32], [42; 32]].map(Key::from_seed)
}

#[test]
fn the_relay_is_asked_by_its_ip_address_as_by_its_domain() {
    let relay = relay_with("[tunely]\nadmin_key = \"the-operators-own-key\"\n", &[]);
    let [key, _] = keys();
    let _agent = Agent::start_in(Home::of(&key), &relay, Origin::saying(b"hello").port, &[]);
    let own = format!("X-Stellar-Address: {}", key.address());
    let admin = "Authorization: Bearer the-operators-own-key";
    for (host, is_relay) in
        [("127.0.0.1", true), ("192.0.2.7:80", true), ("[2001:db8::1]:80", true), ("other.example", false)]
    {
        for (target, line) in [
            ("/api/stats", admin),
            ("/proxy/hello", &*own),
            ("/server-identity", admin),
            ("/health", admin),
            ("/", admin),
        ] {
            let mut visitor = relay.visit();
            visitor.send(request(host, "GET", target, &[line])).expect("the relay reads");
            let status = visitor.head().expect("an answer").status();
            // A health check may come by any name.
            let expected = if is_relay || target == "/health" { 200 } else { 404 };
            assert_eq!(status, expected, "{host} {target}");
        }
    }
}

/// The nginx configuration of HVYM's operators for sub-domains, with what it maps a host to.
fn operators_nginx(relay: &Relay, address: &str, path: &str) -> Option<Nginx> {
    Nginx::start(&format!(
        "location / {{\nproxy_pass http://127.0.0.1:{}{path};\nproxy_http_version 1.1;\n\
         proxy_set_header Host $host;\nproxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_set_header X-Forwarded-Proto $scheme;\nproxy_set_header X-Stellar-Address {address};\n}}",
        relay.port
    ))
}

#[test]
fn visitors_reach_an_agent_behind_the_nginx_configuration_of_hvyms_operators() {
    let [key, other] = keys();
    let mirror = Origin::answering(|head, _| ok(format!("{head:?}").as_bytes()));
    let trusting: &[&str] = &["--trusted-proxy", "127.0.0.1"];
    for (arguments, named, path, seen) in [
        (trusting, &key, "/proxy/$uri$is_args$args", "/hello?x=1"),
        (trusting, &key, "/proxy$request_uri", "/hello?x=1"),
        // Whoever is not trusted, or names another agent, has written its own path.
        (&[], &key, "/proxy$request_uri", "/proxy/hello?x=1"),
        (trusting, &other, "/proxy$request_uri", "/proxy/hello?x=1"),
    ] {
        let relay = Relay::start(arguments);
        let agent = Agent::start_in(Home::of(&key), &relay, mirror.port, &[]);
        // As browsers write it.
        let label = named.address().to_string().to_ascii_lowercase();
        let Some(nginx) = operators_nginx(&relay, &label, path) else { return };
        let mut visitor = Conversation::dial(nginx.port);
        visitor.send(request(agent.host(), "GET", "/hello?x=1", &[])).expect("nginx reads");
        let head = visitor.head().expect("an answer");
        let body = String::from_utf8(visitor.body(&head).expect("a whole answer")).expect("text");
        assert_eq!(head.status(), 200, "{path}: {body}");
        assert!(body.contains(&format!("\"GET {seen} HTTP/1.1\"")), "{path} {arguments:?}: {body}");
        assert!(!body.contains("x-stellar-address"), "{body}");
    }
}
