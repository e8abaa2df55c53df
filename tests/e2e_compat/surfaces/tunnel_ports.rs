//! TCP ports that lead to tunnels, as those of tunely's server.

use hvym_tunnel_tests::guests::{Guest, relay_with};
use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::installed::tunely_folder;
use hvym_tunnel_tests::program::Program;
use hvym_tunnel_tests::tunely::{NEW, OLD, python_tool};

const CONFIG: &str = "
[tunely]
[[tunely.tunnels]]
name = \"app\"
token = \"tun_one-token-that-is-long-enough\"
";
const TOKEN: &str = "tun_one-token-that-is-long-enough";

/// Whether a visitor of this port is turned away without a byte.
fn is_closed(port: u16) -> bool {
    Conversation::dial(port).rest().map_or(true, |bytes| bytes.is_empty())
}

#[test]
fn bytes_that_come_to_the_port_of_a_tunnel_reach_its_agent_whatever_they_are() {
    let Some(folder) = tunely_folder() else { return };
    for version in [NEW, OLD] {
        let port = nobody();
        let mut relay = relay_with(CONFIG, &["--tunnel-port", &format!("{port}=app")]);
        assert!(is_closed(port), "{version}: there is no agent");
        let mut connect = python_tool(&folder, version, "tunely", &relay.home);
        let (server, target) =
            (format!("{}/ws/tunnel", relay.url()), format!("http://127.0.0.1:{}", Origin::echo().port));
        connect.args(["connect", "-r", "0.2", "-s", &server, "-T", &target, "-t", TOKEN]);
        let _agent = Program::start(connect);
        relay.program.event("agent_joined");
        let mut visitors = [(); 3].map(|()| Conversation::dial(port));
        for (seed, visitor) in (0_u8..).zip(&mut visitors) {
            let bytes: Vec<u8> = (0..200_000_u32).map(|at| seed.wrapping_add((at % 251) as u8)).collect();
            visitor.send(&bytes).expect("the relay reads");
            assert!(visitor.take(bytes.len()).expect("they come back") == bytes, "{version}: other bytes");
        }
    }
}

#[test]
fn an_agent_that_carries_messages_alone_gets_none_of_the_bytes_of_a_port() {
    let port = nobody();
    let relay = relay_with(CONFIG, &["--tunnel-port", &format!("{port}=app")]);
    let _agent = Guest::tunely(&relay, TOKEN, false);
    assert!(is_closed(port));
}
