//! Both sides together, and sessions beside one that fails.

use std::time::Duration;

use hvym_tunnel_core::handshake::AuthMode;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_tests::ends::{Signer, agent_config, pair, pair_with, session_config};
use hvym_tunnel_tests::wire::WireConfig;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn both_ways_of_logging_in_come_up_with_their_services() {
    for (mode, require_challenge, asked) in
        [(AuthMode::Challenge, false, 1), (AuthMode::Bearer, false, 1), (AuthMode::Bearer, true, 2)]
    {
        let (mut agent, mut relay) = (agent_config(), session_config());
        agent.login.mode = mode;
        relay.login.require_challenge = require_challenge;
        let mut pair = pair_with(agent, relay, WireConfig::default(), [7; 32]);
        pair.up();
        assert_eq!(pair.agent.bound(), ["web", "api"], "{mode:?}");
        assert_eq!(pair.agent.asked.len(), asked, "{mode:?}");
        assert!(pair.agent.downs().is_empty());
    }
}

#[test]
fn both_sides_say_the_same_of_a_login_that_failed() {
    type Change = fn(
        &mut hvym_tunnel_tests::pair::Pair<
            hvym_tunnel_tests::ends::AgentEnd,
            hvym_tunnel_tests::ends::RelayEnd,
        >,
    );
    let table: [(&str, Change, bool); 5] = [
        ("not allowed", |pair| pair.relay.config.login.allowed_services = Some(vec!["api".into()]), true),
        ("full", |pair| pair.relay.refusal = Some(DownReason::Overloaded("full".into())), false),
        ("conflict", |pair| pair.relay.refusal = Some(DownReason::Conflict), true),
        ("limited", |pair| pair.relay.refusal = Some(DownReason::RateLimited("slower".into())), false),
        ("other key", |pair| pair.agent.signer = Signer::key([9; 32]), true),
    ];
    for (what, change, last) in table {
        let mut pair = pair();
        change(&mut pair);
        pair.run(SECOND / 10);
        let (agent, relay) = (pair.agent.downs(), pair.relay.closings());
        assert_eq!((agent.len(), relay.len()), (1, 1), "{what}");
        if what == "other key" {
            assert_eq!(*agent[0].0, DownReason::SignerMismatch);
            assert!(relay[0].to_string().contains("another key"), "{what}: {}", relay[0]);
        } else {
            assert!(
                agent[0].0.to_string().contains(&match relay[0] {
                    DownReason::Conflict => relay[0].to_string(),
                    DownReason::NotAllowed(text)
                    | DownReason::Overloaded(text)
                    | DownReason::RateLimited(text) => text.clone(),
                    other => panic!("{what}: {other:?}"),
                }),
                "{what}: {} {}",
                agent[0].0,
                relay[0]
            );
        }
        assert_eq!(agent[0].1.is_none(), last, "{what}");
    }
}

#[test]
fn a_signer_that_never_answers_is_a_timeout_on_both_sides_and_the_agent_tries_again() {
    let mut pair = pair();
    pair.agent.signer = Signer::Silent;
    pair.run(31 * SECOND);
    assert!(matches!(pair.agent.downs()[0].0, DownReason::TimedOut(_)));
    assert!(matches!(pair.relay.closings()[0], DownReason::TimedOut(_)));
    pair.agent.signer = Signer::key(hvym_tunnel_tests::ends::AGENT);
    // The login under way waits for a signature that never comes; the one after it does not.
    pair.up();
}

#[test]
fn a_relay_whose_verdict_takes_long_is_not_hurried_by_its_own_clock() {
    let mut pair = pair();
    pair.relay.answers = false;
    pair.run(29 * SECOND);
    let now = pair.now;
    pair.relay.session().admit("https://a.relay.example".into(), now);
    pair.run(SECOND / 2);
    assert!(pair.agent.machine.is_up());
}

#[test]
fn a_login_that_fails_leaves_the_other_sessions_alone() {
    let mut other = pair();
    other.up();
    let open = {
        let now = other.now;
        other.relay.session().open(&hvym_tunnel_tests::ends::opening("web"), now).expect("room")
    };
    let mut bad = pair();
    bad.agent.signer = Signer::Refuses;
    bad.run(SECOND);
    assert_eq!(bad.agent.downs(), [(&DownReason::SignerRefused, None)]);
    other.run(60 * SECOND);
    assert!(other.agent.machine.is_up());
    let now = other.now;
    assert_eq!(hvym_tunnel_tests::ends::write(other.relay.session(), open, b"on and on", now), 9);
}
