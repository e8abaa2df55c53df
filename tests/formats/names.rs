//! Names in host names: what may be one, and that no host name has two meanings.

use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::names::{
    ClaimedName, ClaimedNameError, HostParts, OwnerLabel, ShortLabel, check_service,
};
use hvym_tunnel_core::relay::{Directory, Name, Newcomer, Owner, SUCCESSOR_LIMIT};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
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
