//! Cookies that a service sets for all hosts below the relay's domain.

use hvym_proxy::ProxyConfig;

use crate::rig::Rig;

const COOKIE: &str = "Set-Cookie: a=1; Domain=relay.example; Path=/\r\n";

#[test]
fn a_cookie_stays_with_the_host_that_sets_it_even_with_an_upgrade() {
    let upgrade = "Connection: upgrade\r\nUpgrade: chat\r\n";
    for (fields, status) in [
        ("", "200 OK\r\nContent-Length: 0\r\n"),
        (upgrade, "101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n"),
    ] {
        let config = ProxyConfig { relay_domain: Some("relay.example".to_owned()), ..ProxyConfig::DEFAULT };
        let mut rig = Rig::with(config);
        rig.visit(format!("GET / HTTP/1.1\r\nHost: a.relay.example\r\n{fields}\r\n"));
        rig.answer(format!("HTTP/1.1 {status}{COOKIE}\r\n"));
        let seen = rig.seen();
        assert!(seen.contains("Set-Cookie: a=1; Path=/\r\n"), "{seen}");
    }
}
