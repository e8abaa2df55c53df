//! What one side allows the other to open, agreed in the login.

use hvym_tunnel_core::agent::AgentConfig;
use hvym_tunnel_core::link::OpenStreamError;
use hvym_tunnel_core::mux::OpenError;
use hvym_tunnel_core::relay::SessionConfig;
use hvym_tunnel_tests::ends::session_config;
use hvym_tunnel_tests::links::{Net, Visit};
use hvym_tunnel_tests::wire::WireConfig;

use super::{HI, SECOND, config, end};

/// An agent that takes `agent` streams on a link, and a relay that opens at most `relay`.
fn net(agent: usize, relay: usize) -> Net {
    let mut config = AgentConfig { max_links: 1, ..config() };
    config.link.mux.max_inbound_streams = agent;
    let mut session: SessionConfig = session_config();
    session.link.mux.max_outbound_streams = relay;
    let mut net = Net::new(config, session, WireConfig::default(), [7; 32]);
    net.up(1);
    net
}

#[test]
fn a_relay_opens_no_more_streams_than_either_side_allows_and_the_next_when_one_ends() {
    for (agent, relay, allowed) in [(3, 1000, 3), (1000, 3, 3), (3, 3, 3), (1, 1000, 1)] {
        let mut net = net(agent, relay);
        let visits: Vec<Visit> = (0..allowed).map(|_| net.visit(HI).expect("allowed")).collect();
        // At once, not by a refusal of the other side.
        let refused = net.visit(HI).expect_err("one too many");
        assert!(matches!(refused, OpenStreamError::Refused(OpenError::TooMany)), "{refused:?}");
        net.run(SECOND);
        assert_eq!(net.agent.opened().len(), allowed, "none was opened in vain");
        end(&mut net, visits[0]);
        net.visit(HI).expect("one has ended");
        assert!(net.visit(HI).is_err());
    }
}

#[test]
fn several_links_carry_the_streams_of_all() {
    let mut config = config();
    config.link.mux.max_inbound_streams = 2;
    let mut net = Net::new(config, session_config(), WireConfig::default(), [7; 32]);
    net.up(1);
    net.run(SECOND);
    super::relay_says(&mut net, r#"{"type":"links","wanted":3}"#);
    net.up(3);
    for at in 0..6 {
        net.visit(HI).unwrap_or_else(|error| panic!("{at}: {error}"));
    }
    assert!(matches!(net.visit(HI), Err(OpenStreamError::Refused(OpenError::TooMany))));
}
