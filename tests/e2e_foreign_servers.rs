//! The real program as the agent of real servers of older systems.
#![cfg(unix)]

use hvym_tunnel_tests::tunely::{Mode, NEW, OLD, Server};

#[test]
fn a_server_knows_a_tunnel_and_that_nobody_is_there() {
    for version in [NEW, OLD] {
        let Some(server) = Server::start(version) else { return };
        assert!(server.tunnel(Mode::Http).starts_with("tun_"));
        assert_eq!(server.tunnel_info()["connected"], false);
        let server = server.restart();
        let (head, _) = server.ask(Mode::Http, "GET", "/", &[], b"").expect("it answers");
        assert_eq!(head.status(), 503);
    }
}
