//! Links of agents that act by a delegation.

use super::*;

#[test]
fn a_link_joins_only_a_session_that_acts_by_the_same_delegation() {
    let session = |delegation: Option<Delegation>| {
        let mut pair = match delegation {
            Some(delegation) => up(delegation, Scope::Agent),
            None => {
                let mut config = agent_config();
                config.login.identity = address(OWNER);
                let mut pair = pair_with(config, session_config(), WireConfig::default(), [6; 32]);
                pair.agent.signer = Signer::key(OWNER);
                pair.up();
                pair
            }
        };
        pair.relay.machine.take().expect("up")
    };
    let joins = |mut target: hvym_tunnel_core::relay::Session, join: Option<Delegation>| {
        let name = target.name().to_owned();
        let mut claims = Claims::new(address(OWNER), address(RELAY).to_string(), EPOCH)
            .with_host(HOST)
            .with_scope(Scope::Agent)
            .with_delegation(join.clone().map(signed));
        let upgrade = hvym_tunnel_core::handshake::Upgrade::new(HOST);
        let now = hvym_tunnel_core::time::Instant::ZERO;
        let mut newcomer =
            hvym_tunnel_core::relay::Session::new(session_config(), upgrade, wall(now), [9; 32], now);
        let asked = std::iter::from_fn(|| newcomer.poll_transmit()).find_map(|sent| match sent {
            hvym_tunnel_core::message::Transmit::Send(hvym_tunnel_core::message::Message::Text(text)) => {
                serde_json::from_slice::<serde_json::Value>(text.as_ref()).ok()
            }
            _ => None,
        });
        let asked = asked.expect("a challenge");
        claims = claims.with_challenge(asked["challenge"].as_str().expect("a challenge"));
        let jwt = token(&claims, if join.is_some() { DEVICE } else { OWNER });
        let answer = serde_json::json!({"type": "auth_response", "challenge_id": asked["challenge_id"],
            "jwt": jwt, "mux": "yamux", "version": 2, "join": name});
        newcomer.handle_message(hvym_tunnel_tests::pair::text(answer.to_string()), now);
        let announced =
            std::iter::from_fn(|| newcomer.poll_event()).any(|e| matches!(e, SessionEvent::Join(..)));
        assert!(announced, "{join:?}");
        target.join(&mut newcomer, now).is_ok()
    };
    let other = Delegation { id: DelegationId([6; 16]), ..delegation() };
    assert!(joins(session(Some(delegation())), Some(delegation())));
    assert!(joins(session(None), None));
    assert!(!joins(session(None), Some(delegation())), "a device into the owner's session");
    assert!(!joins(session(Some(delegation())), None), "the owner into a device's session");
    assert!(!joins(session(Some(other)), Some(delegation())), "by another delegation");
}
