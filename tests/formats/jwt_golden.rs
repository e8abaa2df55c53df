//! Tokens and addresses against what `hvym-stellar` really wrote, accepted and refused.

use std::collections::BTreeSet;
use std::time::Duration;

use hvym_tunnel_core::stellar::jwt::ISSUER;
use hvym_tunnel_core::stellar::{Address, Claims, Expected, Token, Verified};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::golden::{hex, list, text};
use hvym_tunnel_tests::{Key, golden};
use serde_json::Value;

/// What we refuse and they accept: name of the vector, our text, and the reason.
const STRICTER: &[(&str, &str, &str)] = &[
    (
        "valid_long_before_iat (iat is not checked)",
        "Token issued in the future at 1767225600 (current time: 1667225600): check the clocks of both machines",
        "iat may not be in the future beyond the skew: such a token would outlive its lifetime",
    ),
    (
        "nbf_in_future_is_ignored",
        "Token not valid before 1768225600 (current time: 1767225610)",
        "nbf is checked when present (RFC 7519 section 4.1.5)",
    ),
    (
        "expected_audience_empty_skips_check",
        "the address is empty: a Stellar address starts with G and has 56 characters",
        "a relay without an address of its own is a configuration error, not one that takes every token",
    ),
    (
        "expected_audience_none_skips_check",
        "the address is empty: a Stellar address starts with G and has 56 characters",
        "as above",
    ),
    (
        "issuer_not_checked",
        "Issuer mismatch: expected hvym_tunnler, got someone_else",
        "the issuer is always checked",
    ),
    ("iat_string_ok", SECONDS_IAT, "times are integers"),
    ("iat_null_ok", SECONDS_IAT, "times are integers"),
    ("exp_float", SECONDS_EXP, "times are integers"),
    ("exp_huge", SECONDS_EXP, "times are integers that a clock can reach: this one has 31 digits"),
    (
        "exp_NaN_never_expires",
        "Invalid JSON in JWT: expected value at line 1 column 211 of the payload",
        "NaN is no JSON (RFC 8259 section 6), and would never expire",
    ),
    (
        "exp_Infinity_never_expires",
        "Invalid JSON in JWT: expected value at line 1 column 211 of the payload",
        "Infinity is no JSON (RFC 8259 section 6), and would never expire",
    ),
    (
        "kid_mismatch_is_ignored",
        "Key mismatch: the token is for GDQXJMTXMLVWU7HZE57MP2YOCZ2MJHADOJYCIVL5FJVRA3SXXDMWXTMG, but its header names another key",
        "kid is sub when present",
    ),
    (
        "crit_header_ignored",
        "Unsupported extensions: the header marks extensions as critical (crit), and none is supported",
        "a critical extension that is not understood must be refused (RFC 7515 section 4.1.11)",
    ),
    ("signature_noncanonical_trailing_bits (accepted by python)", BASE64_SIGNATURE, ONE_SPELLING),
    ("signature_with_padding", BASE64_SIGNATURE, ONE_SPELLING),
    ("signature_with_junk_chars (python drops them)", BASE64_SIGNATURE, ONE_SPELLING),
    (
        "payload_utf8_bom",
        "Invalid JSON in JWT: Expecting value: line 1 column 1 (char 0)",
        "JSON has no byte order mark (RFC 8259 section 8.1), and one token has one spelling",
    ),
];

/// What both refuse, they with a ValueError, and we in other words: name of the vector, our text, and the reason.
const REWORDED: &[(&str, &str, &str)] = &[
    ("exp_true", SECONDS_EXP, "true is no number here, although Python counts it as 1"),
    (
        "sub_secret_seed",
        "Invalid Stellar address in sub claim: this looks like a secret seed (S...), not an address: keep it private and give the public key, which starts with G",
        "a secret is never repeated, least of all to a log",
    ),
    (
        "tampered_header_bit",
        "Invalid JSON in JWT: key must be a string at line 1 column 16 of the header",
        "another JSON reader words it otherwise",
    ),
    (
        "payload_with_padding (changes signing input)",
        "Failed to parse JWT: the payload is not base64url in its one canonical spelling, without padding",
        "found before the signature is looked at",
    ),
    (
        "payload_invalid_utf8",
        "Invalid JSON in JWT: Expecting value: line 1 column 1 (char 0)",
        "Python guesses UTF-16 here; JSON is UTF-8",
    ),
    (
        "payload_duplicate_key_last_wins",
        "Invalid JSON in JWT: a key appears twice at line 1 column 236 of the payload",
        "readers disagree on which of two equal keys counts, so neither does",
    ),
    ("leading_space", BASE64_HEADER, "white space is named as what it is"),
    ("trailing_newline", BASE64_SIGNATURE, "white space is named as what it is"),
    ("bearer_prefix", BASE64_HEADER, "white space is named as what it is"),
];

const SECONDS_IAT: &str = "Invalid time in JWT: the claim iat must be a whole number of seconds since 1970";
const SECONDS_EXP: &str = "Invalid time in JWT: the claim exp must be a whole number of seconds since 1970";
const BASE64_HEADER: &str =
    "Failed to parse JWT: the header is not base64url in its one canonical spelling, without padding";
const BASE64_SIGNATURE: &str =
    "Failed to parse JWT: the signature is not base64url in its one canonical spelling, without padding";
const ONE_SPELLING: &str =
    "only canonical base64url: one token has one spelling, so it can be remembered as used";

#[test]
fn every_recorded_token_is_made_byte_for_byte() {
    for vector in list(&golden("hvym/hvym_jwt_create.json"), "vectors") {
        let name = text(vector, "name");
        let key = Key::from_seed(hex(vector, "seed_hex"));
        let input = claims(vector, key.address()).signing_input();
        let parts: Vec<_> = input.as_bytes().split(|byte| *byte == b'.').map(decoded).collect();
        assert_eq!(parts, [text(vector, "header_json"), text(vector, "payload_json")], "{name}");
        let signature = key.sign(&input);
        assert_eq!(signature.0, hex::<64>(vector, "signature_hex"), "{name}");
        let token = input.into_token(signature).expect(name);
        assert_eq!(token.as_str(), text(vector, "jwt"), "{name}");
    }
}

/// The arguments that the recorder gave to `StellarJWTToken`, as claims.
fn claims(vector: &Value, subject: Address) -> Claims {
    let args = &vector["args"];
    let issued_at = UnixTime::from_secs(vector["time"].as_u64().expect("time"));
    let mut claims = Claims::new(subject, text(args, "audience"), issued_at);
    // Theirs is "the usual one" for no service as well as for none named.
    if let Some(services) = args["services"].as_array().filter(|services| !services.is_empty()) {
        claims = claims.with_services(services.iter().filter_map(Value::as_str));
    }
    if let Some(lifetime) = args.get("expires_in") {
        // Theirs is "no lifetime" for 0 as well as for None.
        let seconds = lifetime.as_u64().filter(|seconds| *seconds > 0);
        claims = claims.with_lifetime(seconds.map(Duration::from_secs));
    }
    if let Some(issuer) = args["issuer"].as_str() {
        claims.issuer = issuer.to_owned();
    }
    if let Some(extra) = args["claims"].as_object() {
        claims.extra = extra.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    }
    claims
}

fn decoded(part: &[u8]) -> String {
    String::from_utf8(data_encoding::BASE64URL_NOPAD.decode(part).expect("base64url")).expect("UTF-8")
}

#[test]
fn every_recorded_verdict_is_ours_too_except_where_we_are_stricter() {
    let recording = golden("hvym/hvym_jwt_verify.json");
    let (mut stricter, mut reworded) = (BTreeSet::new(), BTreeSet::new());
    for vector in list(&recording, "vectors") {
        let name = text(vector, "name");
        let (theirs, ours) = (&vector["verdict"], verdict(vector));
        match (theirs["ok"].as_bool().expect("ok"), ours) {
            (true, Ok(verified)) => assert_same_claims(name, &theirs["claims"], &verified),
            (true, Err(error)) => {
                assert_eq!(error, listed(STRICTER, name), "{name} is refused for another reason");
                stricter.insert(name);
            }
            (false, Ok(_)) => panic!("{name}: accepted, but HVYM refuses with {}", theirs["error"]),
            (false, Err(error)) if theirs["error_type"] == "ValueError" && theirs["error"] != *error => {
                assert_eq!(error, listed(REWORDED, name), "{name}: HVYM says {}", theirs["error"]);
                reworded.insert(name);
            }
            (false, Err(_)) => {}
        }
    }
    assert_eq!(stricter, names(STRICTER), "every listed vector is refused by us alone");
    assert_eq!(reworded, names(REWORDED), "every listed vector is refused in other words");
}

fn verdict(vector: &Value) -> Result<Verified, String> {
    let audience = vector["expected_audience"].as_str().unwrap_or_default();
    let audience =
        audience.parse().map_err(|error: hvym_tunnel_core::stellar::AddressError| error.to_string())?;
    let mut expected = Expected::for_audience(audience);
    expected.issuer = vector["expected_issuer"].as_str().unwrap_or(ISSUER);
    expected.max_age = vector.get("max_age_seconds").and_then(Value::as_u64).map(Duration::from_secs);
    let now = UnixTime::from_secs(vector["now"].as_u64().expect("now"));
    Token::verify(text(vector, "jwt"), &expected, now).map_err(|error| error.to_string())
}

fn assert_same_claims(name: &str, theirs: &Value, ours: &Verified) {
    let theirs = theirs.as_object().expect("claims");
    for (key, value) in theirs {
        assert_eq!(ours.claim(key), Some(value), "{name}: {key}");
    }
    assert_eq!(theirs["sub"], ours.address().to_string(), "{name}");
    assert_eq!(theirs["iat"], ours.issued_at().as_secs(), "{name}");
    assert_eq!(theirs.get("exp").and_then(Value::as_u64), ours.expires_at().map(UnixTime::as_secs), "{name}");
    assert_eq!(ours.services(), ["pintheon"], "{name}");
}

fn listed<'a>(table: &'a [(&str, &'a str, &str)], name: &str) -> &'a str {
    table.iter().find(|row| row.0 == name).map_or("(not listed)", |row| row.1)
}

fn names<'a>(table: &'a [(&'a str, &str, &str)]) -> BTreeSet<&'a str> {
    table.iter().map(|row| row.0).collect()
}

#[test]
fn every_recorded_key_has_the_recorded_address_and_label() {
    for key in list(&golden("hvym/hvym_keys.json"), "keys") {
        let address = Address::from_public_key(hex(key, "ed25519_public_hex"));
        assert_eq!(Key::from_seed(hex(key, "seed_hex")).address(), address);
        assert_eq!(address.to_string(), text(key, "stellar_address"));
        assert_eq!(text(key, "stellar_address").parse(), Ok(address));
        assert_eq!(address.label(), text(key, "dns_label_lower"));
        assert_eq!(Address::from_label(text(key, "dns_label_lower")), Ok(address));
    }
}

#[test]
fn every_recorded_text_is_an_address_or_not_as_the_stellar_sdk_says() {
    for vector in list(&golden("hvym/hvym_keys.json"), "strkey_decode") {
        let (input, why) = (text(vector, "input"), text(vector, "why"));
        let address = input.parse::<Address>();
        match vector["error_type"].as_str() {
            None => assert_eq!(address.expect(why).public_key(), &hex(vector, "pub_hex"), "{why}"),
            Some("Ed25519PublicKeyInvalidError") => assert!(address.is_err(), "{why}"),
            // The strkey is right, but the key in it is of no use: it is an address for which nobody can sign.
            Some("RuntimeError") => assert_nobody_signs_for(address.expect(why)),
            Some(other) => panic!("{why}: {other}"),
        }
    }
}

/// The signature that is "valid" for every message under a key of small order: R is the neutral element, S is 0.
fn assert_nobody_signs_for(address: Address) {
    let mut universal = [0; 64];
    universal[0] = 1;
    let issued_at = UnixTime::from_secs(1_767_225_600);
    let input = Claims::new(address, address.to_string(), issued_at).signing_input();
    let token = format!(
        "{}.{}",
        String::from_utf8_lossy(input.as_bytes()),
        data_encoding::BASE64URL_NOPAD.encode(&universal)
    );
    let error = Token::verify(&token, &Expected::for_audience(address), issued_at).expect_err("a weak key");
    assert_eq!(error.to_string(), "Signature verification failed: Signature was forged or corrupt");
}
