//! Delegations: vectors of a real Stellar library, every refusal by its own code, and any change of a text.

use hvym_tunnel_core::stellar::delegation::{
    Delegation, DelegationError, DelegationId, MAX_LIFETIME, MAX_TEXT_BYTES, Scopes, ShareLink,
    ShareLinkError, SignatureForm, SignedDelegation, VerifiedDelegation,
};
use hvym_tunnel_core::stellar::jwt::SKEW;
use hvym_tunnel_core::stellar::{Address, Scope, Signature};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::golden::{golden, hex, list, text};
use proptest::prelude::*;
use proptest::sample::Index;
use ring::digest::{SHA256, digest};

/// 2026-01-01T00:00:00Z.
const FROM: u64 = 1_767_225_600;
const UNTIL: u64 = FROM + 30 * 24 * 3600;

fn owner() -> Key {
    Key::from_seed([7; 32])
}

fn device() -> Key {
    Key::from_seed([8; 32])
}

fn other() -> Address {
    Key::from_seed([9; 32]).address()
}

fn delegation() -> Delegation {
    Delegation {
        owner: owner().address(),
        key: device().address(),
        may: Scopes::ALL,
        services: vec!["web".to_owned(), "api".to_owned()],
        relay: Some("tunnel.example:8443".to_owned()),
        from: UnixTime::from_secs(FROM),
        until: UnixTime::from_secs(UNTIL),
        id: DelegationId([1; 16]),
    }
}

fn signed(delegation: Delegation) -> SignedDelegation {
    let signature = owner().sign_bytes(delegation.to_string().as_bytes());
    delegation.signed(signature, SignatureForm::Raw)
}

fn verified(delegation: Delegation) -> VerifiedDelegation {
    signed(delegation).verify().expect("signed by its owner")
}

fn code(result: Result<(), DelegationError>) -> &'static str {
    result.map_or_else(|error| error.fault().code(), |()| "allowed")
}

#[test]
fn what_a_real_library_signed_is_good_in_its_own_form_alone() {
    let recording = golden("delegation/vectors.json");
    let (mut good, mut bad) = (0, 0);
    for vector in list(&recording, "vectors") {
        let name = text(vector, "name");
        let delegation: Delegation = text(vector, "text").parse().expect(name);
        assert_eq!(delegation.owner.to_string(), text(&recording, "owner"), "{name}");
        assert_eq!(delegation.key.to_string(), text(&recording, "key"), "{name}");
        assert_eq!(delegation.to_string(), text(vector, "text"), "{name}");
        let form = if text(vector, "form") == "raw" { SignatureForm::Raw } else { SignatureForm::Sep53 };
        let signed = delegation.signed(Signature(hex(vector, "signature_hex")), form);
        assert_eq!(SignedDelegation::from_json(signed.to_json().as_bytes()).as_ref(), Ok(&signed), "{name}");
        let owner = signed.delegation.owner;
        match (vector["good"].as_bool().expect("good"), signed.verify()) {
            (true, Ok(_)) => good += 1,
            (false, Err(DelegationError::Forged(signer))) if signer == owner => bad += 1,
            (expected, found) => panic!("{name}: {expected}, {found:?}"),
        }
    }
    assert_eq!((good, bad), (8, 16));
}

#[test]
fn a_delegation_lives_from_its_beginning_give_or_take_the_skew_to_its_end() {
    let delegation = verified(delegation());
    let at = |seconds| code(delegation.check_time(UnixTime::from_secs(seconds)));
    let skew = SKEW.as_secs();
    assert_eq!([at(FROM - skew - 1), at(FROM - skew)], ["delegation_not_yet", "allowed"]);
    assert_eq!(
        [at(UNTIL - 1), at(UNTIL), at(UNTIL + 1)],
        ["allowed", "delegation_expired", "delegation_expired"]
    );
}

#[test]
fn a_delegation_is_for_its_key_its_owner_and_its_relay_alone() {
    let named = verified(delegation());
    let (o, k) = (owner().address(), device().address());
    assert_eq!([named.check_owner(o), named.check_owner(k)].map(code), ["allowed", "delegation_key"]);
    assert_eq!([named.check_key(k), named.check_key(o)].map(code), ["allowed", "delegation_key"]);
    assert_eq!(code(named.check_relay(Some("tunnel.example:8443"))), "allowed");
    for host in [None, Some("tunnel.example"), Some("other.example:8443"), Some("")] {
        assert_eq!(code(named.check_relay(host)), "delegation_relay", "{host:?}");
    }
    let anywhere = verified(Delegation { relay: None, ..delegation() });
    assert_eq!(code(anywhere.check_relay(Some("other.example"))), "allowed");
    assert_eq!(code(anywhere.check_relay(None)), "allowed");
}

#[test]
fn a_scope_that_is_not_delegated_is_refused() {
    for (may, agent, call) in [
        (Scopes::ALL, "allowed", "allowed"),
        (Scopes::AGENT, "allowed", "delegation_scope"),
        (Scopes::CALL, "delegation_scope", "allowed"),
    ] {
        let delegation = verified(Delegation { may, ..delegation() });
        let found = [Scope::Agent, Scope::Call, Scope::Api].map(|scope| code(delegation.check_scope(scope)));
        assert_eq!(found, [agent, call, "delegation_scope"]);
    }
}

#[test]
fn services_that_are_named_are_those_of_the_owner_and_no_others() {
    let own = owner().address();
    let named = verified(delegation());
    assert_eq!(
        ["web", "api", "db", "we"].map(|name| code(named.check_service(name))),
        ["allowed", "allowed", "delegation_service", "delegation_service"]
    );
    assert_eq!(code(named.check_call(own, "web")), "allowed");
    assert_eq!(code(named.check_call(own, "db")), "delegation_service");
    assert_eq!(code(named.check_call(other(), "web")), "delegation_service");
    let all = verified(Delegation { services: Vec::new(), ..delegation() });
    assert_eq!(code(all.check_service("db")), "allowed");
    assert_eq!(code(all.check_call(other(), "db")), "allowed");
    let agent = verified(Delegation { may: Scopes::AGENT, ..delegation() });
    assert_eq!(code(agent.check_call(own, "web")), "delegation_scope");
}

#[test]
fn a_service_of_somebody_else_is_named_by_the_address_and_can_be_called_alone() {
    let (own, third) = (owner().address(), Key::from_seed([10; 32]).address());
    let named = verified(Delegation { services: vec![format!("{}/web", other())], ..delegation() });
    assert_eq!(code(named.check_call(other(), "web")), "allowed");
    for (to, service) in [(other(), "db"), (other(), "we"), (own, "web"), (third, "web")] {
        assert_eq!(code(named.check_call(to, service)), "delegation_service", "{to}/{service}");
    }
    assert_eq!(code(named.check_service("web")), "delegation_service");
}

#[test]
fn limits_that_make_no_sense_are_neither_signed_nor_read() {
    let good = delegation();
    let year = MAX_LIFETIME.as_secs();
    let cases = [
        ("to itself", Delegation { key: good.owner, ..good.clone() }),
        ("nothing", Delegation { may: Scopes { agent: false, call: false }, ..good.clone() }),
        ("no name", Delegation { services: vec![String::new()], ..good.clone() }),
        ("upper case", Delegation { services: vec!["Web".to_owned()], ..good.clone() }),
        ("a line", Delegation { services: vec!["web\nid".to_owned()], ..good.clone() }),
        ("a comma", Delegation { services: vec!["web,api".to_owned()], ..good.clone() }),
        ("64 characters", Delegation { services: vec!["x".repeat(64)], ..good.clone() }),
        (
            "twice",
            Delegation { services: vec!["a".to_owned(), "b".to_owned(), "a".to_owned()], ..good.clone() },
        ),
        ("an address alone", Delegation { services: vec![format!("{}/", other())], ..good.clone() }),
        ("no address", Delegation { services: vec!["/web".to_owned()], ..good.clone() }),
        ("two names", Delegation { services: vec![format!("{}/web/db", other())], ..good.clone() }),
        (
            "an address in lower case",
            Delegation {
                services: vec![format!("{}/web", other().to_string().to_lowercase())],
                ..good.clone()
            },
        ),
        ("no relay", Delegation { relay: Some(String::new()), ..good.clone() }),
        ("a URL", Delegation { relay: Some("wss://tunnel.example/x".to_owned()), ..good.clone() }),
        ("a long relay", Delegation { relay: Some("x".repeat(260)), ..good.clone() }),
        ("no time", Delegation { until: good.from, ..good.clone() }),
        ("backwards", Delegation { until: UnixTime::from_secs(FROM - 1), ..good.clone() }),
        ("over a year", Delegation { until: UnixTime::from_secs(FROM + year + 1), ..good.clone() }),
    ];
    for (name, delegation) in cases {
        let error = delegation.check().expect_err(name);
        assert_eq!(error.fault().code(), "delegation_malformed", "{name}");
        assert_ne!(delegation.to_string().parse(), Ok(delegation.clone()), "{name}");
        assert_eq!(signed(delegation).verify(), Err(error), "{name}");
    }
    for good in [
        Delegation { services: vec!["x".repeat(63)], ..good.clone() },
        Delegation { services: vec![format!("{}/web", other())], ..good.clone() },
        Delegation { relay: Some("x".repeat(259)), ..good.clone() },
        Delegation { until: UnixTime::from_secs(FROM + 1), ..good.clone() },
        Delegation { until: UnixTime::from_secs(FROM + year), ..good },
    ] {
        assert_eq!(good.to_string().parse(), Ok(good));
    }
}

#[test]
fn a_text_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    let sized = |bytes: usize| {
        let name = |index: usize, length: usize| format!("{index:02}{}", "x".repeat(length - 2));
        let mut large =
            Delegation { services: (0..27).map(|index| name(index, 63)).collect(), ..delegation() };
        let rest = bytes - large.to_string().len() - 1;
        assert!((2..=63).contains(&rest), "{rest}");
        large.services.push(name(27, rest));
        large
    };
    let largest = sized(MAX_TEXT_BYTES);
    assert_eq!(largest.to_string().len(), MAX_TEXT_BYTES);
    assert_eq!(largest.to_string().parse(), Ok(largest.clone()));
    let below = sized(MAX_TEXT_BYTES - 1);
    assert_eq!(below.to_string().parse(), Ok(below));
    let above = sized(MAX_TEXT_BYTES + 1);
    assert!(above.check().is_err() && above.to_string().parse::<Delegation>().is_err());
}

#[test]
fn a_text_that_is_not_canonical_is_refused_although_it_could_be_understood() {
    let text = delegation().to_string();
    assert_eq!(text.parse(), Ok(delegation()));
    for (from, to) in [
        ("v2", "v1"),
        ("may: agent,call", "may: call,agent"),
        ("may: agent,call", "may: agent, call"),
        ("may: agent,call", "may: agent,call,api"),
        ("\nrelay: tunnel.example:8443", "\nrelay: Tunnel.example:8443"),
        (
            "\nservices: web,api\nrelay: tunnel.example:8443",
            "\nrelay: tunnel.example:8443\nservices: web,api",
        ),
        ("\nservices: web,api", "\nservices: "),
        ("\nservices: web,api", "\nservices: web,api\nservices: web,api"),
        ("\nfrom:", "\nnote: unknown\nfrom:"),
        ("\n", "\r\n"),
        ("2026-01-01T", "2025-12-32T"),
        ("00:00:00Z", "00:00:00+00:00"),
        ("hvym", " hvym"),
        ("owner: ", "owner:"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let error = changed.parse::<Delegation>().expect_err(&changed);
        assert_eq!(error.fault().code(), "delegation_malformed", "{changed}");
    }
    for more in ["\n", "\nid: AQEBAQEBAQEBAQEBAQEBAQ", " "] {
        assert!(format!("{text}{more}").parse::<Delegation>().is_err(), "{more:?}");
    }
    // The last of 22 characters has four bits that say nothing.
    let loose = text.replace("AQEBAQEBAQEBAQEBAQEBAQ", "AQEBAQEBAQEBAQEBAQEBAR");
    assert!(loose.parse::<Delegation>().is_err());
}

#[test]
fn a_claim_that_is_not_one_is_malformed() {
    let json = signed(delegation()).to_json();
    let changed = |from: &str, to: &str| {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json);
        SignedDelegation::from_json(changed.as_bytes()).expect_err("malformed").fault().code()
    };
    for (from, to) in [
        ("\"form\":\"raw\"", "\"form\":\"RAW\""),
        ("\"form\":\"raw\"", "\"from\":\"raw\""),
        ("\"signature\":\"", "\"signature\":\"A"),
        ("\"signature\":\"", "\"signature\":null,\"x\":\""),
        ("{", "[{"),
        ("v2", "v3"),
    ] {
        assert_eq!(changed(from, to), "delegation_malformed", "{to}");
    }
    assert!(SignedDelegation::from_json(b"").is_err());
}

#[test]
fn a_share_link_is_read_back_and_shows_nothing_of_its_key() {
    let one = Delegation { may: Scopes::CALL, services: vec!["web".to_owned()], ..delegation() };
    for tls in [true, false] {
        let link = ShareLink::new([8; 32], signed(one.clone()), tls).expect("a link");
        let url = link.url("web.tunnel.example:8443");
        assert!(url.starts_with(if tls { "https://web." } else { "http://web." }), "{url}");
        let read = ShareLink::parse(&format!(" {url}\n")).expect("the same link");
        assert_eq!(read, link);
        assert_eq!(
            (read.owner(), read.service(), read.relay()),
            (owner().address(), "web", "tunnel.example:8443")
        );
        assert_eq!((read.seed(), read.tls()), (&[8; 32], tls));
        assert!(!format!("{read:?}").contains("8, 8"));
        let share = url.rsplit('=').next().expect("a share");
        for cut in 0..share.len() {
            let cut = url.len() - share.len() + cut;
            let error = ShareLink::parse(&url[..cut]).expect_err("cut off");
            assert!(!error.to_string().contains(&share[..40]), "{error}");
        }
    }
}

#[test]
fn a_share_link_is_for_one_service_at_one_relay_and_for_its_own_key() {
    let one = Delegation { may: Scopes::CALL, services: vec!["web".to_owned()], ..delegation() };
    for wide in [
        Delegation { may: Scopes::ALL, ..one.clone() },
        Delegation { services: Vec::new(), ..one.clone() },
        Delegation { services: vec!["web".to_owned(), "db".to_owned()], ..one.clone() },
        Delegation { services: vec![format!("{}/web", other())], ..one.clone() },
        Delegation { relay: None, ..one.clone() },
    ] {
        assert_eq!(ShareLink::new([8; 32], signed(wide), true), Err(ShareLinkError::NotOneService));
    }
    let wrong = ShareLink::new([9; 32], signed(one.clone()), true);
    assert_eq!(wrong, Err(DelegationError::WrongKey(device().address()).into()));
    let forged = one.clone().signed(Signature([1; 64]), SignatureForm::Raw);
    assert_eq!(ShareLink::new([8; 32], forged, true), Err(DelegationError::Forged(one.owner).into()));
    for text in ["", "#share=", "https://x/#share=", "ftp://x/#share=AAAA", "https://x/?share=AAAA"] {
        assert_eq!(ShareLink::parse(text), Err(ShareLinkError::Malformed), "{text}");
    }
}

#[test]
fn a_hash_that_was_signed_is_no_message_that_was_signed() {
    // The hash of what a wallet signs, signed as bytes: the same signature, for another form.
    let text = delegation().to_string();
    let hash = digest(&SHA256, format!("Stellar Signed Message:\n{text}").as_bytes());
    let signature = owner().sign_bytes(hash.as_ref());
    assert!(delegation().signed(signature, SignatureForm::Sep53).verify().is_ok());
    assert!(delegation().signed(signature, SignatureForm::Raw).verify().is_err());
}

fn any_delegation() -> impl Strategy<Value = Delegation> {
    let may = prop_oneof![Just(Scopes::ALL), Just(Scopes::AGENT), Just(Scopes::CALL)];
    let services = prop::collection::btree_set("[a-z0-9-]{1,20}", 0..5);
    let relay = prop::option::of("[a-z0-9.-]{1,40}(:[0-9]{1,5})?");
    let from = 0..250_000_000_000_u64;
    let lifetime = 1..=MAX_LIFETIME.as_secs();
    (any::<[u8; 32]>(), any::<[u8; 32]>(), may, services, relay, from, lifetime, any::<[u8; 16]>()).prop_map(
        |(seed, key, may, services, relay, from, lifetime, id)| Delegation {
            owner: Key::from_seed(seed).address(),
            key: Address::from_public_key(key),
            may,
            services: services.into_iter().collect(),
            relay,
            from: UnixTime::from_secs(from),
            until: UnixTime::from_secs(from + lifetime),
            id: DelegationId(id),
        },
    )
}

proptest! {
    #[test]
    fn every_delegation_is_read_back_from_its_text(delegation in any_delegation()) {
        prop_assert_eq!(delegation.check(), Ok(()));
        prop_assert_eq!(delegation.to_string().parse::<Delegation>(), Ok(delegation));
    }

    #[test]
    fn any_change_of_a_text_is_refused(at in any::<Index>(), replacement in any::<char>(), kind in 0..3) {
        let signed = signed(delegation());
        let text = signed.delegation.to_string();
        let at = at.index(text.len());
        let end = if kind == 0 { at } else { at + 1 };
        let middle = if kind == 2 { String::new() } else { replacement.to_string() };
        let changed = format!("{}{middle}{}", &text[..at], &text[end..]);
        prop_assume!(changed != text);
        if let Ok(delegation) = changed.parse::<Delegation>() {
            prop_assert_eq!(delegation.to_string(), changed.as_str(), "two texts of one delegation");
            let forged = delegation.signed(signed.signature, SignatureForm::Raw).verify();
            prop_assert!(forged.is_err(), "{}", changed);
        }
    }
}
