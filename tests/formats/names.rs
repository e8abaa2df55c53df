//! Names in host names: what may be one, and that no host name has two meanings.

use std::time::Duration;

use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::names::{
    Claim, ClaimError, ClaimRegistry, ClaimedName, ClaimedNameError, CustomHost, HostParts, MAX_NAMES,
    MAX_NAMES_OF_ONE, OwnerLabel, PublicName, ShortLabel, check_service,
};
use hvym_tunnel_core::relay::{Directory, Name, Newcomer, Owner, SUCCESSOR_LIMIT};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::{Instant, UnixTime};
use proptest::prelude::*;

const DOMAIN: &str = "relay.example";

#[test]
fn a_short_label_is_80_bits_of_a_hash_of_the_key() {
    // By Python's hashlib and base64.
    for (key, label) in [([0; 32], "kxwjg7yt4t5337lm"), ([7; 32], "fs45pzhcry2scgpq")] {
        let short = ShortLabel::new(&Address::from_public_key(key));
        assert_eq!(short.as_str(), label);
        assert_eq!(ShortLabel::parse(label), Some(short));
    }
    for text in [
        "",
        "kxwjg7yt4t5337l",
        "kxwjg7yt4t5337lmm",
        "KXWJG7YT4T5337LM",
        "kxwjg7yt4t5337l1",
        "kxwjg7yt4t-337lm",
    ] {
        assert_eq!(ShortLabel::parse(text), None, "{text}");
    }
}

#[test]
fn a_claimed_name_is_3_to_40_letters_digits_and_single_hyphens() {
    for name in
        ["abc", "a-1", "007", "cool-app", "Cool-App", &"a".repeat(40), &"ab".repeat(9), "abcdefghijklmno1"]
    {
        assert_eq!(ClaimedName::new(name).map(String::from), Ok(name.to_ascii_lowercase()), "{name}");
    }
    let base32 = "abcdefghijklmnop";
    for (name, error) in [
        ("", ClaimedNameError::Length),
        ("ab", ClaimedNameError::Length),
        (&"a".repeat(41), ClaimedNameError::Length),
        ("-abc", ClaimedNameError::Characters),
        ("abc-", ClaimedNameError::Characters),
        ("a--b", ClaimedNameError::Characters),
        ("xn--abc", ClaimedNameError::Characters),
        ("a.b", ClaimedNameError::Characters),
        ("a_b", ClaimedNameError::Characters),
        ("añb", ClaimedNameError::Characters),
        (base32, ClaimedNameError::LooksLikeAnAddress),
        ("www", ClaimedNameError::Reserved),
        ("WWW", ClaimedNameError::Reserved),
        ("mta-sts", ClaimedNameError::Reserved),
    ] {
        assert_eq!(ClaimedName::new(name), Err(error), "{name}");
    }
}

#[test]
fn the_parts_of_a_host_name_are_told_apart() {
    let address = Address::from_public_key([7; 32]);
    let (short, long) = (ShortLabel::new(&address), address.label());
    let parts = |owner, service| Some(HostParts { owner, service });
    let (by_short, by_long) = (OwnerLabel::Short(short), OwnerLabel::Address(address));
    assert_eq!(HostParts::parse(short.as_str()), parts(by_short, None));
    assert_eq!(HostParts::parse(&format!("api--{short}")), parts(by_short, Some("api")));
    assert_eq!(HostParts::parse(&long), parts(by_long, None));
    assert_eq!(HostParts::parse(&format!("api.{long}")), parts(by_long, Some("api")));
    assert_eq!(HostParts::parse("cool-app"), parts(OwnerLabel::Claimed("cool-app"), None));
    assert_eq!(HostParts::parse("a-b--cool-app"), parts(OwnerLabel::Claimed("cool-app"), Some("a-b")));
    let wide = "a".repeat(40);
    assert_eq!(HostParts::parse(&format!("{wide}--{short}")), parts(by_short, Some(&wide)));
    for labels in [
        format!("a{wide}--{short}"),
        format!("xn--{short}"),
        format!("a--b--{short}"),
        format!("a---{short}"),
        format!("--{short}"),
        format!("{short}--"),
        format!("api.{short}"),
        format!("a--{long}"),
        "api.cool-app".to_owned(),
        "a--www".to_owned(),
        "www".to_owned(),
        "ab".to_owned(),
        String::new(),
        ".".to_owned(),
    ] {
        assert_eq!(HostParts::parse(&labels), None, "{labels}");
    }
}

#[test]
fn an_address_is_found_by_its_short_label_until_it_is_forgotten() {
    let mut directory = Directory::new(DOMAIN);
    let [here, away] = [[1; 32], [2; 32]].map(|key| Owner::from(Address::from_public_key(key)));
    let host = directory.host(&here);
    assert!(directory.parse(&host).is_err());
    directory.admit(1, Newcomer::new(here.clone()), Instant::ZERO).expect("room");
    directory.bind(1, &Service::http("web")).expect("bound");
    let named = |service: Option<&str>| Ok(Name { owner: here.clone(), service: service.map(str::to_owned) });
    assert_eq!(directory.parse(&host), named(None));
    assert_eq!(directory.parse(&format!("{}.:443", host.to_ascii_uppercase())), named(None));
    assert_eq!(directory.parse(&directory.service_host(&here, "api")), named(Some("api")));
    assert_eq!(directory.parse(&directory.long_host(&here)), named(None));
    assert!(directory.parse(&directory.host(&away)).is_err());
    directory.expire(&here, Instant::ZERO);
    assert_eq!(directory.parse(&host), named(None), "it is here");
    directory.set_leaving(1);
    directory.remove(1, Instant::ZERO);
    assert_eq!(directory.parse(&host), named(None), "whose visitors may wait for it");
    directory.expire(&here, Instant::ZERO + SUCCESSOR_LIMIT);
    assert!(directory.parse(&host).is_err());
    directory.admit(2, Newcomer::new(here.clone()), Instant::ZERO).expect("room");
    directory.remove(2, Instant::ZERO);
    assert!(directory.parse(&host).is_err(), "nobody expects it");
}

#[test]
fn a_name_that_the_operator_gave_goes_ahead_of_short_labels() {
    let mut directory = Directory::new(DOMAIN);
    let owner = Owner::from(Address::from_public_key([1; 32]));
    directory.admit(1, Newcomer::new(owner.clone()), Instant::ZERO).expect("room");
    let host = directory.host(&owner);
    let label = host.split('.').next().expect("a label");
    directory.admit(2, Newcomer::new(Owner::Named(label.into())), Instant::ZERO).expect("room");
    assert_eq!(directory.parse(&host).map(|name| name.owner), Ok(owner), "an agent cannot take it by itself");
    directory.register(label.into());
    assert_eq!(directory.parse(&host).map(|name| name.owner), Ok(Owner::Named(label.into())));
}

const KEEP: Duration = Duration::from_secs(100);

fn address(byte: u8) -> Address {
    Address::from_public_key([byte; 32])
}

fn label(name: &str) -> PublicName {
    PublicName::Label(ClaimedName::new(name).expect("a name"))
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(1_800_000_000 + seconds)
}

const NOBODY: fn(&Address) -> bool = |_| false;

#[test]
fn a_name_goes_to_who_asks_first_and_stays_while_that_address_returns_in_time() {
    let mut claims = ClaimRegistry::new(KEEP);
    assert_eq!(claims.claim(label("cool-app"), address(1), NOBODY, at(0)), Ok(()));
    assert_eq!(claims.claim(label("cool-app"), address(2), NOBODY, at(50)), Err(ClaimError::Taken));
    assert_eq!(claims.claim(label("cool-app"), address(1), NOBODY, at(60)), Ok(()), "again");
    assert_eq!(
        claims.claim(label("cool-app"), address(2), NOBODY, at(160)),
        Err(ClaimError::Taken),
        "in time"
    );
    let is_here = |owner: &Address| *owner == address(1);
    assert_eq!(
        claims.claim(label("cool-app"), address(2), is_here, at(1000)),
        Err(ClaimError::Taken),
        "it is here"
    );
    assert_eq!(claims.owner(&label("cool-app")), Some(address(1)));
    assert_eq!(claims.claim(label("cool-app"), address(2), NOBODY, at(161)), Ok(()), "it stayed away");
    assert_eq!(claims.owner(&label("cool-app")), Some(address(2)));
    // A clock that goes back takes nothing from anybody.
    assert_eq!(claims.claim(label("cool-app"), address(1), NOBODY, at(0)), Err(ClaimError::Taken));
}

#[test]
fn names_of_owners_that_stayed_away_are_freed_and_those_of_the_others_kept() {
    let mut claims = ClaimRegistry::new(KEEP);
    for (name, owner) in [("here", 1), ("away", 2), ("late", 3)] {
        claims
            .claim(label(name), address(owner), NOBODY, at(if name == "late" { 50 } else { 0 }))
            .expect("free");
    }
    let is_here = |owner: &Address| *owner == address(1);
    assert_eq!(claims.expire(is_here, at(100)), [], "the last moment");
    assert_eq!(claims.expire(is_here, at(101)), [label("away")]);
    assert_eq!(claims.expire(NOBODY, at(201)), [label("late")]);
    assert_eq!(claims.expire(NOBODY, at(202)), [label("here")], "it was here at 101");
}

#[test]
fn an_address_and_a_relay_have_so_many_names_and_no_more() {
    let mut claims = ClaimRegistry::new(KEEP);
    let mut names = (0..).map(|number| label(&format!("name-{number}")));
    for _ in 0..MAX_NAMES_OF_ONE {
        assert_eq!(claims.claim(names.next().expect("one"), address(1), NOBODY, at(0)), Ok(()));
    }
    assert_eq!(claims.claim(names.next().expect("one"), address(1), NOBODY, at(0)), Err(ClaimError::TooMany));
    assert_eq!(claims.claim(label("name-0"), address(1), NOBODY, at(0)), Ok(()), "one that it has");
    let all = (0..=MAX_NAMES).map(|number| {
        let mut key = [9; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        (label(&format!("other-{number}")), Claim { owner: Address::from_public_key(key), seen: at(0) })
    });
    let mut full = ClaimRegistry::new(KEEP);
    assert_eq!((full.restore(all), full.iter().count()), (1, MAX_NAMES));
    assert_eq!(full.claim(label("one-more"), address(1), NOBODY, at(0)), Err(ClaimError::Full));
    assert_eq!(
        full.claim(label("other-0"), address(1), NOBODY, at(101)),
        Ok(()),
        "a place that is free again"
    );
    let of_one = (0..MAX_NAMES_OF_ONE + 2)
        .map(|number| (label(&format!("name-{number}")), Claim { owner: address(1), seen: at(0) }));
    assert_eq!(ClaimRegistry::new(KEEP).restore(of_one), 2);
}

#[test]
fn a_host_name_has_two_labels_and_is_no_ip_address() {
    for (text, host) in [
        ("a.b", "a.b"),
        ("App.Example.ORG.", "app.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(CustomHost::new(text).map(|host| host.as_str().to_owned()).as_deref(), Ok(host));
    }
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    assert_eq!(long.len(), 253);
    assert!(CustomHost::new(&long).is_ok() && CustomHost::new(&format!("e{long}")).is_err());
    for text in [
        "",
        "a",
        ".",
        "a.",
        "a..b",
        ".a.b",
        "-a.b",
        "a_b.c",
        "a.b/c",
        "a b.c",
        "127.0.0.1",
        "a.1",
        "*.a.b",
        "ü.example",
        "a.b:80",
    ] {
        assert!(CustomHost::new(text).is_err(), "{text}");
    }
    let host = CustomHost::new("a.tunnel.example").expect("a host");
    assert!(host.is_within("tunnel.example") && host.is_within("a.tunnel.example"));
    assert!(!host.is_within("nnel.example") && !host.is_within("b.tunnel.example"));
}

#[test]
fn a_name_that_was_given_leads_to_its_owner_until_it_is_withdrawn() {
    let mut directory = Directory::<u8>::new(DOMAIN);
    let host = PublicName::Host(CustomHost::new("app.example.org").expect("a host"));
    directory.assign_name(label("cool-app"), address(1));
    directory.assign_name(host.clone(), address(2));
    let named = |byte, service: Option<&str>| {
        Ok(Name { owner: address(byte).into(), service: service.map(str::to_owned) })
    };
    let cool = ClaimedName::new("cool-app").expect("a name");
    assert_eq!(directory.parse(&directory.claimed_host(&cool, None)), named(1, None));
    assert_eq!(directory.parse(&directory.claimed_host(&cool, Some("api"))), named(1, Some("api")));
    assert_eq!(directory.parse("App.Example.org.:443"), named(2, None));
    for other in ["x.app.example.org", "example.org", "api--app.example.org", "cool-app.example.org"] {
        assert!(directory.parse(other).is_err(), "{other}");
    }
    directory.withdraw_name(&label("cool-app"));
    directory.withdraw_name(&host);
    assert!(
        directory.parse("cool-app.relay.example").is_err() && directory.parse("app.example.org").is_err()
    );
}

fn service() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?".prop_filter("a service", |name| check_service(name))
}

fn claimed() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9-]{1,38}[a-z0-9]".prop_filter("claimable", |name| ClaimedName::new(name).is_ok())
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(key: [u8; 32], service in proptest::option::of(service()), name in claimed()) {
        let address = Address::from_public_key(key);
        let short = ShortLabel::new(&address);
        let join = |owner: &str, between| match &service {
            Some(service) => format!("{service}{between}{owner}"),
            None => owner.to_owned(),
        };
        let service = service.as_deref();
        for (text, owner) in [
            (join(short.as_str(), "--"), OwnerLabel::Short(short)),
            (join(&address.label(), "."), OwnerLabel::Address(address)),
            (join(&name, "--"), OwnerLabel::Claimed(&name)),
        ] {
            prop_assert_eq!(HostParts::parse(&text), Some(HostParts { owner, service }), "{}", text);
        }
        prop_assert!(join(short.as_str(), "--").len() <= 63);
    }

    #[test]
    fn what_is_read_is_written_in_one_way(text in prop_oneof!["[a-z2-7-]{0,70}", "[a-z]{1,3}(--|-|\\.)[a-z2-7]{16}", "\\PC{0,30}"]) {
        let text = text.to_lowercase();
        if let Some(HostParts { owner, service }) = HostParts::parse(&text) {
            prop_assert!(service.is_none_or(check_service));
            let (owner, between) = match owner {
                OwnerLabel::Address(address) => (address.label(), "."),
                OwnerLabel::Short(short) => (short.to_string(), "--"),
                OwnerLabel::Claimed(name) => {
                    prop_assert!(ClaimedName::new(name).is_ok() && ShortLabel::parse(name).is_none());
                    (name.to_owned(), "--")
                }
            };
            let written = service.map_or(owner.clone(), |service| format!("{service}{between}{owner}"));
            prop_assert_eq!(written, text);
        }
    }
}
