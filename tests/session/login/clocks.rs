//! Wall clocks and the monotonic clock are different clocks: a wrong one delays a login and never ends an agent.

use std::time::Duration;

use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::handshake::{AuthMode, Credential, Upgrade};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::reason::{DownReason, Retry};
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_core::stellar::{Claims, Scope, SigningInput};
use hvym_tunnel_core::time::{Instant, UnixTime, Validity};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{
    AGENT, AgentEnd, HOST, RELAY, RelayEnd, Signer, agent_config, pair_with, session_config,
};
use hvym_tunnel_tests::pair::{EPOCH, Pair, wall, wall_off_by};
use hvym_tunnel_tests::wire::WireConfig;

use super::agent_side::answered;
use super::{Said, message};

type World = Pair<AgentEnd, RelayEnd>;

const HOUR: i64 = 3600;
const MODES: [AuthMode; 2] = [AuthMode::Challenge, AuthMode::Bearer];

fn world(mode: AuthMode) -> World {
    let mut config = agent_config();
    config.login.mode = mode;
    pair_with(config, session_config(), WireConfig::default(), [7; 32])
}

/// What the agent's owner was told about clocks.
fn notices(pair: &World) -> Vec<&str> {
    fn notice(event: &AgentEvent) -> Option<&str> {
        match event {
            AgentEvent::Notice { code, message, hint: Some(_) } if code == "clock" => Some(message),
            _ => None,
        }
    }
    pair.agent.events.iter().filter_map(notice).collect()
}

#[test]
fn an_agent_whose_clock_is_wrong_says_so_once_and_comes_in_when_it_is_set() {
    let since_1970 = -i64::try_from(EPOCH.as_secs()).expect("small");
    for mode in MODES {
        for (error, validity, text) in [
            (2 * HOUR, Validity::NotYetValid, "7200 s ahead of the relay's"),
            (-2 * HOUR, Validity::Expired, "7200 s behind the relay's"),
            (since_1970, Validity::Expired, "s behind the relay's"),
        ] {
            let mut pair = world(mode);
            pair.agent.wall_error = error;
            pair.run(Duration::from_secs(120));
            assert!(!pair.agent.machine.is_up());
            let downs = pair.agent.downs();
            assert!(downs.len() > 2, "it dials again and again: {downs:?}");
            for (reason, retry_at) in &downs {
                let is_clock = matches!(reason, DownReason::TokenTime { validity: found, relay_time: Some(_), .. } if *found == validity);
                assert!(is_clock && retry_at.is_some(), "{reason:?} {retry_at:?}");
            }
            let told = notices(&pair);
            assert!(told.len() == 1 && told[0].contains(text), "{told:?}");
            assert!(matches!(pair.relay.closings()[0], DownReason::TokenTime { .. }));
            pair.agent.wall_error = 0;
            pair.up();
            // The next time is news again.
            pair.agent.wall_error = error;
            pair.cut();
            pair.run(Duration::from_secs(60));
            assert_eq!(notices(&pair).len(), 2);
        }
    }
}

#[test]
fn a_clock_that_is_off_by_less_than_the_grace_is_no_hindrance() {
    for mode in MODES {
        for error in [-59, 59, -HOUR + 1, -HOUR - 58] {
            let mut pair = world(mode);
            pair.agent.wall_error = error;
            pair.up();
            assert!(pair.agent.downs().is_empty(), "{mode:?} {error}");
        }
    }
}

#[test]
fn after_a_sleep_in_which_the_monotonic_clock_stood_still_the_first_token_is_a_fresh_one() {
    for mode in MODES {
        let mut pair = world(mode);
        pair.up();
        // Three hours pass on every wall clock, and none on the other one.
        pair.agent.wall_error += 3 * HOUR;
        pair.relay.wall_error += 3 * HOUR;
        pair.cut();
        pair.up();
        assert_eq!(pair.agent.downs().len(), 1, "{:?}", pair.agent.downs());
        assert!(notices(&pair).is_empty());
    }
}

#[test]
fn a_wall_clock_that_is_set_while_the_link_is_up_does_not_disturb_it() {
    let mut pair = world(AuthMode::Challenge);
    pair.up();
    for error in [HOUR, -HOUR, 1_000_000 * HOUR, -EPOCH.as_secs().cast_signed()] {
        (pair.agent.wall_error, pair.relay.wall_error) = (error, -error);
        pair.run(Duration::from_secs(60));
    }
    assert!(pair.agent.machine.is_up() && pair.agent.downs().is_empty());
}

#[test]
fn a_signer_that_takes_the_claims_as_they_were_asked_for_is_refused_at_most_once_after_a_sleep() {
    let mut pair = world(AuthMode::Bearer);
    pair.agent.signer = Signer::Silent;
    let mut answered = 0;
    let mut sign = |pair: &mut World, until: fn(&World) -> bool| {
        for _ in 0..20 {
            pair.settle();
            while let Some(input) = pair.agent.asked.get(answered).cloned() {
                answered += 1;
                let signature = Key::from_seed(AGENT).sign(&input);
                pair.agent.machine.handle_signature(&input, Some(signature), pair.now);
                pair.settle();
            }
            if until(pair) {
                return;
            }
            pair.now = pair.next_at().expect("something goes on");
        }
        panic!("never: {:?}", pair.agent.events.last());
    };
    sign(&mut pair, |pair| pair.agent.machine.is_up());
    pair.agent.wall_error += 3 * HOUR;
    pair.relay.wall_error += 3 * HOUR;
    pair.cut();
    sign(&mut pair, |pair| pair.agent.machine.is_up());
    let clock = pair
        .agent
        .downs()
        .iter()
        .filter(|(reason, _)| matches!(reason, DownReason::TokenTime { .. }))
        .count();
    assert_eq!(clock, 1);
}

#[test]
fn after_a_sleep_a_challenge_is_signed_with_the_wall_clock_of_this_dial() {
    let mut pair = world(AuthMode::Challenge);
    // The test signs what the agent asks for, with the times that are in it.
    pair.agent.signer = Signer::Silent;
    for slept in [0, 3 * HOUR] {
        // The wall clocks move on, and the monotonic clock stands.
        pair.agent.wall_error += slept;
        pair.relay.wall_error += slept;
        let asked = pair.agent.asked.len();
        while pair.agent.asked.len() == asked {
            pair.settle();
            if pair.agent.asked.len() == asked {
                pair.now = pair.next_at().expect("a dial is due");
            }
        }
        let input = pair.agent.asked[asked].clone();
        assert_eq!(input.issued_at(), wall_off_by(pair.agent.wall_error, pair.now).unix);
        let signature = Key::from_seed(AGENT).sign(&input);
        pair.agent.machine.handle_signature(&input, Some(signature), pair.now);
        pair.up();
        assert_eq!(pair.agent.asked.len(), asked + 1, "{:?}", pair.agent.downs());
        pair.cut();
    }
}

fn claims(issued_at: u64) -> Claims {
    let relay = Key::from_seed(RELAY).address().to_string();
    let claims = Claims::new(Key::from_seed(AGENT).address(), relay, UnixTime::from_secs(issued_at));
    claims.with_host(HOST).with_scope(Scope::Agent)
}

#[test]
fn reissued_claims_keep_everything_but_their_times() {
    let asked = claims(1_000).with_challenge("c").signing_input();
    let later = asked.reissued(UnixTime::from_secs(9_000));
    assert_eq!(later, asked.reissued(UnixTime::from_secs(5)).reissued(UnixTime::from_secs(9_000)));
    assert_eq!(later.as_bytes(), claims(9_000).with_challenge("c").signing_input().as_bytes());
    assert_eq!(later.issued_at(), UnixTime::from_secs(9_000));
    assert!(later.answers(&asked) && asked.answers(&asked));
    let same_time = |input: SigningInput| input.reissued(UnixTime::from_secs(9_000));
    for other in [
        claims(1_000).with_challenge("d").signing_input(),
        claims(1_000).with_challenge("c").with_services(["api"]).signing_input(),
        claims(1_001).with_challenge("c").signing_input(),
    ] {
        assert!(!later.answers(&other) && !same_time(other).answers(&asked));
    }
}

#[test]
fn a_relay_says_which_way_the_token_is_off_and_what_its_clock_is() {
    let epoch = EPOCH.as_secs();
    for (issued_at, code) in [(epoch - 7_300, "token_expired"), (epoch + 61, "token_from_future")] {
        let input = claims(issued_at).signing_input();
        let signature = Key::from_seed(AGENT).sign(&input);
        let token = input.into_token(signature).expect("a token");
        let credential = Credential::Bearer(token.as_str().to_owned());
        let now = Instant::ZERO;
        let upgrade = Upgrade::new(HOST).with_credential(credential);
        let mut session = Session::new(session_config(), upgrade, wall(now), [5; 32], now);
        let said = Said::by(&mut session);
        assert_eq!((said.code(), said.last_type()), (Some(4002), Some("auth_failed")));
        let failed = said.texts.last().expect("told");
        assert_eq!((failed["code"].as_str(), failed["time"].as_u64()), (Some(code), Some(epoch)));
    }
}

#[test]
fn relays_without_codes_for_it_are_understood_by_their_words_and_closes() {
    for (said, time) in [
        (r#"{"type":"auth_failed","error":"Token expired at 1 (current time: 77)"}"#, Some(77)),
        (
            r#"{"type":"auth_failed","code":"authentication","error":"Token expired at 1 (current time: 77)"}"#,
            Some(77),
        ),
        (r#"{"type":"auth_failed","code":"token_from_future","error":"no"}"#, None),
    ] {
        let mut agent = answered();
        agent.handle_message(message(&serde_json::from_str(said).expect("json")), Instant::ZERO);
        let told: Vec<_> = std::iter::from_fn(|| agent.poll_event()).collect();
        let [AgentEvent::Notice { code, .. }, AgentEvent::Down { reason, retry_at: Some(_) }] = &told[..]
        else {
            panic!("{said}: {told:?}")
        };
        assert!(code == "clock" && reason.retry() == Retry::Backoff);
        let relay_time = time.map(UnixTime::from_secs);
        assert!(matches!(reason, DownReason::TokenTime { relay_time: found, .. } if *found == relay_time));
    }
}
