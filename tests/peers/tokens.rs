//! Tokens against the PyPI package `hvym-stellar` itself, alive: theirs is accepted by us, ours by them.
//!
//! `HVYM_TUNNEL_PYTHON` names a python that has the package.

use std::time::{SystemTime, UNIX_EPOCH};

use hvym_tunnel_core::stellar::{Address, Claims, Expected, Token};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::python::Peer;
use serde_json::{Value, json};

const SEED: [u8; 32] = [0x5a; 32];

/// Nested, beyond ASCII and beyond the basic plane, with every character that JSON or Python escapes, DEL among them.
fn odd_claims() -> Value {
    json!({
        "challenge": "2pWqkTzqf1y7rVYx1q3m0m9C2Kf0mW1b4zQ8u6cJk7E",
        "note": "café ☃ 😀 </\"\\ \u{7f}\u{80}\u{2028}\u{0}\u{1f}\u{8}\u{c}\n\r\t\u{ffff}",
        "zebra": {"b": [1, -2, 2.5, null, true, {}], "a": [], "ключ": u64::MAX},
    })
}

#[test]
fn a_token_of_the_real_package_is_accepted_and_ours_is_the_same_byte_for_byte() {
    let Some(mut peer) = Peer::start() else { return };
    let (agent, relay) = (Key::from_seed(SEED), Key::from_seed([1; 32]).address());
    for (services, extra) in [(json!([]), json!({})), (json!(["pintheon", "é😀"]), odd_claims())] {
        let theirs = peer.ask(&json!({
            "op": "create",
            "seed_hex": data_encoding::HEXLOWER.encode(&SEED),
            "audience": relay.to_string(),
            "services": services,
            "claims": extra,
        }));
        let theirs = theirs["jwt"].as_str().expect("a token");
        let verified =
            Token::verify(theirs, &Expected::for_audience(relay), now()).expect("the real token is good");
        assert_eq!(verified.address(), agent.address());
        assert_eq!(verified.challenge(), extra["challenge"].as_str());

        let ours = claims(&agent, relay, verified.issued_at(), &services, &extra);
        let input = ours.signing_input();
        let signature = agent.sign(&input);
        assert_eq!(input.into_token(signature).expect("our own key").as_str(), theirs);
    }
}

#[test]
fn our_token_is_accepted_by_the_real_verifier_and_a_bent_one_is_not() {
    let Some(mut peer) = Peer::start() else { return };
    let (agent, relay) = (Key::from_seed(SEED), Key::from_seed([1; 32]).address());
    let input = claims(&agent, relay, now(), &json!(["pintheon", "ipfs"]), &odd_claims()).signing_input();
    let signature = agent.sign(&input);
    let token = input.into_token(signature).expect("our own key");

    let verdict = peer.verify(token.as_str(), relay);
    assert_eq!(verdict["ok"], true, "{verdict}");
    assert_eq!(verdict["claims"]["sub"], agent.address().to_string());
    assert_eq!(verdict["claims"]["note"], odd_claims()["note"]);
    assert_eq!(verdict["claims"]["zebra"], odd_claims()["zebra"]);

    let other = Key::from_seed([2; 32]).address();
    let bent = token.as_str().replacen(".eyJ", ".eyI", 1);
    for (token, audience) in [(token.as_str(), other), (&bent, relay)] {
        let theirs = peer.verify(token, audience);
        assert_eq!(theirs["ok"], false, "{theirs}");
        let ours =
            Token::verify(token, &Expected::for_audience(audience), now()).expect_err("refused by both");
        if audience == other {
            assert_eq!(theirs["error"], ours.to_string());
        }
    }
}

fn claims(agent: &Key, relay: Address, at: UnixTime, services: &Value, extra: &Value) -> Claims {
    let services = services.as_array().expect("a list");
    let mut claims = Claims::new(agent.address(), relay.to_string(), at);
    // Theirs is "the usual one" for no service as well as for none named.
    if !services.is_empty() {
        claims = claims.with_services(services.iter().filter_map(Value::as_str));
    }
    let extra = extra.as_object().expect("an object");
    claims.extra = extra.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    claims
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    UnixTime::from_secs(since.as_secs())
}
