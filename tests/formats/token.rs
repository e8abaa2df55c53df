//! Tokens under every input: what is refused, what is never said aloud, what never panics.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hvym_tunnel_core::stellar::jwt::{LIFETIME, MAX_TOKEN_BYTES, SKEW};
use hvym_tunnel_core::stellar::{Address, Claims, Expected, JwtError, SigningInput, Token, Verified};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use proptest::prelude::*;
use serde_json::{Value, json};

const ISSUED_AT: UnixTime = UnixTime::from_secs(1_767_225_600);
/// The least header that is enough.
const HEADER: &[u8] = br#"{"alg":"EdDSA"}"#;
/// A recorded seed that guards nothing.
const SECRET: &str = "SAMIDYOVEEFRF4GNLGXSH4DRWZKDTM3HZ3PGEHBJHQSJWS4FZLBJGGK4";

fn agent() -> Key {
    Key::from_seed([7; 32])
}

fn relay() -> Address {
    Key::from_seed([8; 32]).address()
}

fn claims() -> Claims {
    Claims::new(agent().address(), relay().to_string(), ISSUED_AT)
}

fn signed(claims: &Claims) -> Token {
    let input = claims.signing_input();
    let signature = agent().sign(&input);
    input.into_token(signature).expect("signed by its own key")
}

/// A token with any header and payload, honestly signed by the agent's key.
fn forged(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(payload));
    let signature = agent().sign_bytes(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.0))
}

/// The payload of an ordinary token, with one claim added or replaced.
fn payload_with(key: &str, value: Value) -> Vec<u8> {
    let mut payload = json!({
        "iss": "hvym_tunnler", "sub": agent().address(), "aud": relay(),
        "iat": ISSUED_AT.as_secs(), "exp": ISSUED_AT.as_secs() + 3600, "services": ["pintheon"],
    });
    payload[key] = value;
    payload.to_string().into_bytes()
}

#[test]
fn a_token_names_the_services_that_it_is_given_and_no_other() {
    let services = |claims: Claims| verify(signed(&claims).as_str()).expect("valid").services().to_vec();
    assert_eq!(services(claims()), ["pintheon"]);
    assert_eq!(services(claims().with_services(["a", "b"])), ["a", "b"]);
    assert_eq!(services(claims().with_services(Vec::<String>::new())), Vec::<String>::new());
}

fn verify(token: &str) -> Result<Verified, JwtError> {
    verify_at(token, ISSUED_AT)
}

fn verify_at(token: &str, now: UnixTime) -> Result<Verified, JwtError> {
    Token::verify(token, &Expected::for_audience(relay()), now)
}

fn verify_claim(key: &str, value: Value) -> Result<Verified, JwtError> {
    verify(&forged(HEADER, &payload_with(key, value)))
}

fn later(seconds: u64) -> UnixTime {
    UnixTime::from_secs(ISSUED_AT.as_secs() + seconds)
}

#[test]
fn a_secret_seed_given_by_mistake_is_never_repeated() {
    let mut texts = vec![
        format!("{:?}", SECRET.parse::<Address>()),
        SECRET.parse::<Address>().expect_err("a secret").to_string(),
        serde_json::from_value::<Address>(json!(SECRET)).expect_err("a secret").to_string(),
    ];
    for value in [json!(SECRET), json!([SECRET]), json!({ SECRET: [SECRET] }), json!(SECRET.to_lowercase())] {
        for claim in ["sub", "aud", "iss", "iat", "exp"] {
            let error = verify_claim(claim, value.clone()).expect_err(claim);
            texts.push(format!("{error} {error:?}"));
        }
        let error = verify(&forged(json!({ "alg": value }).to_string().as_bytes(), b"{}")).expect_err("alg");
        texts.push(format!("{error} {error:?}"));
    }
    for whole in [format!("\"{SECRET}\""), format!("{{\"{SECRET}\":1,\"{SECRET}\":2}}"), SECRET.to_owned()] {
        let error = verify(&forged(whole.as_bytes(), whole.as_bytes())).expect_err("no token");
        texts.push(format!("{error} {error:?}"));
    }
    for text in texts {
        assert!(!text.to_uppercase().contains(&SECRET[1..54]), "{text}");
    }
}

#[test]
fn a_verified_token_says_what_its_claims_said() {
    let claims = claims().with_services(["files", "ssh"]).with_challenge("c-1");
    let verified = verify(signed(&claims).as_str()).expect("valid");
    assert_eq!(verified.address(), agent().address());
    assert_eq!(verified.services(), ["files", "ssh"]);
    assert_eq!(verified.challenge(), Some("c-1"));
    assert_eq!(verified.issued_at(), ISSUED_AT);
    assert_eq!(verified.expires_at(), Some(later(LIFETIME.as_secs())));
    assert_eq!(verified.claim("aud"), Some(&json!(relay())));
    assert_eq!(verified.claim("jti"), None);
}

#[test]
fn services_that_are_not_a_list_of_names_are_refused() {
    for services in [json!("pintheon"), json!(null), json!([1]), json!([["pintheon"]])] {
        assert_eq!(verify_claim("services", services), Err(JwtError::Services));
    }
    assert!(verify_claim("services", json!([])).expect("asks for nothing").services().is_empty());
}

#[test]
fn a_token_lives_from_its_issue_to_its_expiry_give_or_take_the_skew() {
    let token = signed(&claims().with_lifetime(Some(Duration::from_secs(100))));
    let skew = SKEW.as_secs();
    let before = |seconds| UnixTime::from_secs(ISSUED_AT.as_secs() - seconds);
    assert!(verify_at(token.as_str(), before(skew)).is_ok());
    assert!(matches!(verify_at(token.as_str(), before(skew + 1)), Err(JwtError::Future { .. })));
    assert!(verify_at(token.as_str(), later(100 + skew)).is_ok());
    assert!(matches!(verify_at(token.as_str(), later(100 + skew + 1)), Err(JwtError::Expired { .. })));
}

#[test]
fn only_a_lifetime_of_none_is_for_ever() {
    for (lifetime, expires_at) in [
        (Some(Duration::ZERO), Some(ISSUED_AT)),
        (Some(Duration::from_millis(1)), Some(later(1))),
        (Some(Duration::MAX), Some(UnixTime::from_secs(u64::MAX))),
        (None, None),
    ] {
        let token = signed(&claims().with_lifetime(lifetime));
        assert_eq!(verify(token.as_str()).expect("valid").expires_at(), expires_at);
    }
}

#[test]
fn a_token_not_valid_yet_waits_for_its_moment_less_the_skew() {
    assert!(verify_claim("nbf", json!(later(60).as_secs())).is_ok());
    assert!(matches!(verify_claim("nbf", json!(later(61).as_secs())), Err(JwtError::NotYet { .. })));
    assert_eq!(verify_claim("nbf", json!("soon")), Err(JwtError::Seconds("nbf")));
}

#[test]
fn an_extreme_time_is_refused_or_harmless() {
    for value in [json!(u64::MAX), json!(i64::MIN), json!(-1), json!(1e300), json!(1.5), json!(true)] {
        assert!(verify_claim("iat", value.clone()).is_err(), "iat {value}");
        assert!(verify_claim("exp", value.clone()).is_err() || value == json!(u64::MAX), "exp {value}");
    }
    let token = signed(&claims());
    assert!(verify_at(token.as_str(), UnixTime::from_secs(u64::MAX)).is_err());
    assert!(verify_at(token.as_str(), UnixTime::from_secs(0)).is_err());
}

#[test]
fn a_key_that_appears_twice_is_refused_in_the_header_too() {
    let payload = payload_with("x", json!(1));
    let error = verify(&forged(br#"{"alg":"EdDSA","alg":"EdDSA"}"#, &payload)).expect_err("twice");
    assert!(matches!(error, JwtError::Json { part: "header", .. }), "{error}");
}

#[test]
fn a_key_id_that_is_no_text_is_another_key() {
    let payload = payload_with("x", json!(1));
    let verdict = verify(&forged(br#"{"alg":"EdDSA","kid":null}"#, &payload));
    assert_eq!(verdict, Err(JwtError::KeyId(agent().address())));
}

#[test]
fn a_signer_that_used_another_key_is_caught_before_anything_is_sent() {
    let input = claims().signing_input();
    let signature = Key::from_seed([9; 32]).sign(&input);
    assert_eq!(input.into_token(signature), Err(JwtError::WrongSigner(agent().address())));
}

#[test]
fn a_signature_for_one_token_makes_no_other() {
    let signature = agent().sign(&claims().signing_input());
    let other = claims().with_services(["ssh"]).signing_input();
    assert!(other.into_token(signature).is_err());
}

#[test]
fn a_token_too_large_for_any_relay_is_neither_made_nor_read() {
    let input = claims().with_challenge(&"x".repeat(MAX_TOKEN_BYTES)).signing_input();
    let signature = agent().sign(&input);
    let text = forged(HEADER, &payload_with("x", json!("x".repeat(MAX_TOKEN_BYTES))));
    assert!(matches!(input.into_token(signature), Err(JwtError::TooLarge(_))));
    assert_eq!(verify(&text), Err(JwtError::TooLarge(text.len())));
}

#[test]
fn the_largest_token_is_made_and_read() {
    let whole = |padding: usize| signed(&claims().with_challenge(&"x".repeat(padding)));
    // Three more bytes of payload are four more characters, so this lands within three of the most.
    let padding = (MAX_TOKEN_BYTES - whole(0).as_str().len()) / 4 * 3;
    let token = whole(padding);
    assert!(token.as_str().len() > MAX_TOKEN_BYTES - 4, "{}", token.as_str().len());
    assert_eq!(verify(token.as_str()).expect("valid").challenge().map(str::len), Some(padding));
}

#[test]
fn a_text_of_the_largest_size_is_decoded_and_one_byte_more_is_not() {
    assert_eq!(verify(&"x".repeat(MAX_TOKEN_BYTES - 1)), Err(JwtError::Format));
    assert_eq!(verify(&"x".repeat(MAX_TOKEN_BYTES)), Err(JwtError::Format));
    assert_eq!(verify(&"x".repeat(MAX_TOKEN_BYTES + 1)), Err(JwtError::TooLarge(MAX_TOKEN_BYTES + 1)));
}

#[test]
fn a_token_has_an_age_that_its_relay_limits_whatever_its_expiry_says() {
    let token = signed(&claims().with_lifetime(None));
    let mut expected = Expected::for_audience(relay());
    expected.max_age = Some(Duration::from_secs(100));
    let at = |seconds| {
        Token::verify(token.as_str(), &expected, later(seconds)).map(|verified| verified.expires_at())
    };
    let skew = SKEW.as_secs();
    assert_eq!(at(100 + skew - 1), Ok(None));
    assert_eq!(at(100 + skew), Ok(None));
    let age = i128::from(100 + skew + 1);
    assert_eq!(at(100 + skew + 1), Err(JwtError::TooOld { age, max: 100 }));
}

#[test]
fn a_signing_input_made_later_has_the_same_claims_and_lifetime() {
    let asked = claims().with_lifetime(Some(Duration::from_secs(100))).with_challenge("c").signing_input();
    let late = asked.reissued(later(500));
    assert_eq!((late.signer(), late.issued_at()), (asked.signer(), later(500)));
    let token = late.clone().into_token(agent().sign(&late)).expect("signed");
    let verified = verify_at(token.as_str(), later(500)).expect("valid");
    assert_eq!((verified.expires_at(), verified.challenge()), (Some(later(600)), Some("c")));
    assert!(late.answers(&asked) && asked.answers(&asked));
    assert!(!late.answers(&claims().with_challenge("c").signing_input()), "another lifetime");
    assert!(!claims().with_challenge("d").signing_input().answers(&asked), "another challenge");
}

#[test]
fn a_refusal_quotes_160_characters() {
    let quoted = |length: usize| {
        let error = verify_claim("aud", json!("x".repeat(length))).expect_err("another audience");
        error.to_string().rsplit("got ").next().map_or(0, str::len)
    };
    assert_eq!([159, 160, 161, 3000].map(quoted), [159, 160, 160, 160]);
}

#[test]
fn json_nested_beyond_reason_is_refused_without_a_deep_stack() {
    let deep = format!("{{\"iss\":{}", "[".repeat(5000));
    assert!(matches!(verify(&forged(HEADER, deep.as_bytes())), Err(JwtError::Json { .. })));
}

#[test]
fn a_refusal_repeats_no_more_than_a_line_of_what_it_was_given() {
    let long = verify_claim("aud", json!("x".repeat(3000))).expect_err("another audience").to_string();
    assert!(long.len() < 300, "{long}");
    let forged_line = verify_claim("iss", json!("a\nlevel=error")).expect_err("another issuer").to_string();
    assert!(!forged_line.contains('\n'), "{forged_line}");
}

#[test]
fn neither_a_token_nor_a_signature_is_printed() {
    let token = signed(&claims());
    let input = claims().signing_input();
    assert_eq!(format!("{token:?}"), "Token(..)");
    assert_eq!(format!("{:?}", agent().sign(&input)), "Signature(..)");
    assert!(!format!("{input:?}").contains(&token.as_str()[..20]));
}

#[test]
fn every_change_of_one_bit_or_one_character_is_refused() {
    let token = signed(&claims().with_challenge("c-1"));
    let token = token.as_str();
    assert!(verify(token).is_ok());
    for at in 0..token.len() {
        let (head, tail) = (&token[..at], &token[at + 1..]);
        for bit in 0..7 {
            let changed = format!("{head}{}{tail}", char::from(token.as_bytes()[at] ^ (1 << bit)));
            assert!(verify(&changed).is_err(), "bit {bit} of character {at}");
        }
        assert!(verify(&format!("{head}{tail}")).is_err(), "without character {at}");
        for more in ["A", "=", ".", "\n", "é"] {
            assert!(verify(&format!("{head}{more}{}", &token[at..])).is_err(), "{more:?} before {at}");
        }
    }
    for more in ["A", "=", "==", ".", " ", "\n"] {
        assert!(verify(&format!("{token}{more}")).is_err(), "{more:?} at the end");
    }
}

#[test]
fn the_spare_bits_of_every_part_are_zero() {
    let token = signed(&claims().with_services(["x"]));
    let ends = token.as_str().match_indices('.').map(|(at, _)| at - 1).chain([token.as_str().len() - 1]);
    for at in ends {
        for other in b'A'..=b'z' {
            let mut changed = token.as_str().as_bytes().to_vec();
            if std::mem::replace(&mut changed[at], other) != other {
                let changed = String::from_utf8(changed).expect("ASCII");
                assert!(verify(&changed).is_err(), "{} at {at}", char::from(other));
            }
        }
    }
}

#[test]
fn the_standard_base64_alphabet_is_refused() {
    let tokens = (0..).map(|n: u32| signed(&claims().with_challenge(&n.to_string())));
    let signature =
        |token: &Token| token.as_str().rsplit('.').next().is_some_and(|part| part.contains(['-', '_']));
    let token = tokens.take(100).find(signature).expect("two characters of 64 are frequent");
    let standard = token.as_str().replace('-', "+").replace('_', "/");
    assert_eq!(verify(&standard), Err(JwtError::Base64("signature")));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Exact in every reader: how the last digit of a float is read is not our matter.
        any::<i16>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        ".{0,20}".prop_map(Value::from),
        Just(json!("é😀\u{7f}\u{0}\n\"\\")),
        Just(json!("EdDSA")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z]{1,4}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_garbage_token_is_refused(token in prop_oneof![".{0,200}", "[A-Za-z0-9_-]{0,80}(\\.[A-Za-z0-9_-]{0,80}){0,4}"]) {
        prop_assert!(verify(&token).is_err());
    }

    #[test]
    fn garbage_inside_a_signed_token_is_refused(
        header in proptest::collection::vec(any::<u8>(), 0..60),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let good = payload_with("x", json!(1));
        prop_assert!(verify(&forged(&header, &payload)).is_err());
        prop_assert!(verify(&forged(&header, &good)).is_err());
        prop_assert!(verify(&forged(HEADER, &payload)).is_err());
    }

    #[test]
    fn whatever_a_claim_is_only_the_signer_gets_in(
        name in "iss|sub|aud|iat|exp|nbf|services|challenge|other",
        value in any_json(),
        in_header: bool,
    ) {
        let header = if in_header { json!({"alg": "EdDSA", "kid": value}) } else { json!({"alg": "EdDSA"}) };
        let payload = if in_header { payload_with("x", json!(1)) } else { payload_with(&name, value) };
        if let Ok(verified) = verify(&forged(header.to_string().as_bytes(), &payload)) {
            prop_assert_eq!(verified.address(), agent().address());
            prop_assert_eq!(verified.claim("aud"), Some(&json!(relay())));
        }
    }

    #[test]
    fn any_claims_come_back_as_they_went_in(services in proptest::collection::vec(".{0,20}", 1..5), value in any_json()) {
        let mut claims = claims().with_services(services.clone());
        claims.extra.push(("x".to_owned(), value.clone().into()));
        let token = signed(&claims);
        prop_assert!(token.as_str().is_ascii());
        let verified = verify(token.as_str()).expect("valid");
        prop_assert_eq!(verified.services(), services);
        prop_assert!(json_ascii(&claims.signing_input()));
        prop_assert_eq!(verified.claim("x").map(Value::to_string), Some(value.to_string()));
    }

    #[test]
    fn a_token_with_any_two_characters_changed_is_refused(a: prop::sample::Index, b: prop::sample::Index, x in "[ -~]", y in "[ -~]") {
        let token = signed(&claims());
        let mut changed = token.as_str().to_owned();
        for (at, to) in [(a, &x), (b, &y)] {
            let at = at.index(changed.len());
            changed.replace_range(at..=at, to);
        }
        prop_assume!(changed != token.as_str());
        prop_assert!(verify(&changed).is_err());
    }
}

/// Whether the JSON inside what is signed is printable ASCII, as Python writes it.
fn json_ascii(input: &SigningInput) -> bool {
    input.as_bytes().split(|byte| *byte == b'.').all(|part| {
        BASE64URL_NOPAD.decode(part).is_ok_and(|json| json.iter().all(|byte| matches!(byte, b' '..=b'~')))
    })
}
