//! One live session per identity, and which name reaches it.

use std::time::Duration;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Directory, Name, NameError, Owner};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{
    AGENT, AgentEnd, Outcome, RelayEnd, agent_config, opening, pair, pair_with, read, session_config, write,
};
use hvym_tunnel_tests::pair::Pair;
use hvym_tunnel_tests::wire::WireConfig;

const SECOND: Duration = Duration::from_secs(1);
const DOMAIN: &str = "relay.example";

fn directory() -> Directory<u32> {
    Directory::new(DOMAIN)
}

fn label() -> String {
    Key::from_seed(AGENT).address().label()
}

/// One session of the relay, under its key in the directory.
fn enter(key: u32, directory: &mut Directory<u32>) -> (Pair<AgentEnd, RelayEnd>, Option<u32>) {
    let mut pair = pair_with(agent_config(), session_config(), WireConfig::default(), [key as u8; 32]);
    pair.up();
    let replaced = directory.insert(Key::from_seed(AGENT).address().into(), key);
    (pair, replaced)
}

#[test]
fn the_newer_session_serves_and_the_older_one_is_told_and_stays_away() {
    let mut directory = directory();
    let (mut older, none) = enter(1, &mut directory);
    assert_eq!(none, None);
    let (mut newer, replaced) = enter(2, &mut directory);
    assert_eq!(replaced, Some(1));
    let now = older.now;
    older.relay.session().refuse(DownReason::Replaced, now);
    older.run(3600 * SECOND);
    assert_eq!(older.agent.downs(), [(&DownReason::Replaced, None)]);
    assert!(DownReason::Replaced.hint().is_some());
    assert_eq!(older.relay.closings(), [&DownReason::Replaced]);
    assert_eq!(older.relay.accepted, 1, "it dialled again");
    let close = older.transcript.lines().find(|line| line.contains(" 4009 "));
    assert!(close.is_some_and(|line| line.contains("Relay")), "{}", older.transcript);
    // The clean-up of the older one, late as it may be.
    let address = Owner::from(Key::from_seed(AGENT).address());
    assert!(!directory.remove(&address, &1));
    assert_eq!(directory.lookup(&address), Some(&2));
    let now = newer.now;
    let stream = newer.relay.session().open(&opening("web"), now).expect("room");
    write(newer.relay.session(), stream, b"hello", now);
    newer.run(SECOND);
    let (theirs, _) = newer.agent.opened()[0].clone();
    assert_eq!(read(&mut newer.agent.machine, theirs, newer.now), (b"hello".to_vec(), Outcome::Open));
}

#[test]
fn the_relay_may_refuse_the_newer_one_instead() {
    let mut directory = directory();
    let (mut older, _) = enter(1, &mut directory);
    let mut newer = pair();
    newer.relay.refusal = Some(DownReason::Replaced);
    newer.run(600 * SECOND);
    assert_eq!(newer.agent.downs(), [(&DownReason::Replaced, None)]);
    assert_eq!(newer.relay.accepted, 1);
    older.run(600 * SECOND);
    assert!(older.agent.machine.is_up());
}

#[test]
fn only_the_session_that_is_there_can_be_removed() {
    let mut directory = directory();
    let [one, two] = [[1; 32], [2; 32]].map(|seed| Owner::from(Key::from_seed(seed).address()));
    assert!(!directory.remove(&one, &7));
    assert_eq!(directory.insert(one.clone(), 7), None);
    assert_eq!(directory.insert(two.clone(), 8), None);
    assert!(!directory.remove(&two, &7));
    assert_eq!(directory.insert(one.clone(), 9), Some(7));
    assert!(!directory.remove(&one, &7));
    assert_eq!((directory.len(), directory.lookup(&one)), (2, Some(&9)));
    assert!(directory.remove(&one, &9));
    assert!(!directory.remove(&one, &9));
    assert_eq!((directory.lookup(&one), directory.lookup(&two)), (None, Some(&8)));
    assert!(directory.remove(&two, &8) && directory.is_empty());
}

#[test]
fn a_host_names_an_agent_in_any_case_with_or_without_port_and_dot() {
    let directory = directory();
    let (owner, label) = (Owner::from(Key::from_seed(AGENT).address()), label());
    for (prefix, service) in [("", None), ("web.", Some("web")), ("a-1.", Some("a-1")), ("0.", Some("0"))] {
        for suffix in ["", ".", ":443", ":", ".:8443"] {
            let host = format!("{prefix}{label}.{DOMAIN}{suffix}");
            for host in [host.clone(), host.to_ascii_uppercase()] {
                let name = Name { owner: owner.clone(), service: service.map(str::to_owned) };
                assert_eq!(directory.parse(&host), Ok(name), "{host}");
            }
        }
    }
    assert_eq!(directory.parse(&directory.long_host(&owner)).map(|name| name.owner), Ok(owner.clone()));
    let host = format!("api.{}", directory.long_host(&owner));
    assert_eq!(directory.parse(&host), Ok(Name { owner, service: Some("api".into()) }));
}

#[test]
fn a_guest_has_a_name_while_it_is_expected_or_there() {
    let mut directory = directory();
    directory.register("app".into());
    let guest = |name: &str| Ok(Name { owner: Owner::Named(name.into()), service: None });
    for host in ["app.relay.example", "APP.Relay.example.:80"] {
        assert_eq!(directory.parse(host), guest("app"), "{host}");
    }
    for host in ["other.relay.example", "web.app.relay.example", "app.", "app.other.example"] {
        assert!(directory.parse(host).is_err(), "{host}");
    }
    let other = Owner::Named("other".into());
    assert_eq!(directory.named("Other"), None);
    directory.insert(other.clone(), 1);
    assert_eq!(
        (directory.parse("other.relay.example"), directory.named("Other")),
        (guest("other"), Some(other.clone()))
    );
    assert_eq!(directory.host(&other), "other.relay.example");
    assert!(directory.remove(&other, &1) && directory.named("other").is_none());
}

#[test]
fn a_domain_may_be_given_in_any_case_and_with_a_dot() {
    let directory: Directory<u32> = Directory::new("Relay.EXAMPLE.");
    assert!(directory.parse(&format!("{}.relay.example", label())).is_ok());
    assert_eq!(directory.parse("relay.example:80"), Err(NameError::Bare));
}

#[test]
fn the_relay_s_own_name_names_no_agent() {
    for host in ["relay.example", "RELAY.example.", "relay.example:443"] {
        assert_eq!(directory().parse(host), Err(NameError::Bare), "{host}");
    }
}

#[test]
fn a_host_that_only_looks_like_one_of_ours_is_not() {
    let label = label();
    for host in [
        format!("{label}.evil-relay.example"),
        format!("{label}.relay.example.evil.com"),
        format!("{label}.relay.exampl"),
        format!("{label}relay.example"),
        format!("{label}.relay.example.."),
        "xrelay.example".into(),
        "example".into(),
        label.clone(),
        String::new(),
        ".".into(),
        ":443".into(),
        "127.0.0.1".into(),
        "127.0.0.1:80".into(),
        "[::1]".into(),
        "[::1]:443".into(),
        "::1".into(),
        "[fe80::1%25eth0]:443".into(),
        "relay.example@evil.com".into(),
        "relay.example/x".into(),
    ] {
        let parsed = directory().parse(&host);
        assert!(matches!(parsed, Err(NameError::OtherDomain { .. })), "{host}: {parsed:?}");
    }
}

#[test]
fn below_our_domain_only_a_whole_address_and_one_service_name_an_agent() {
    let label = label();
    let (mut wrong, mut muxed) = (label.clone(), label.clone());
    wrong.replace_range(5..6, if &label[5..6] == "a" { "b" } else { "a" });
    muxed.replace_range(0..1, "m");
    for host in [
        String::new(),
        "www".into(),
        wrong,
        muxed,
        label[..55].into(),
        format!("{label}a"),
        format!("{label}.web"),
        format!("web.api.{label}"),
        format!("{label}.{label}"),
        format!(".{label}"),
        format!("-web.{label}"),
        format!("web-.{label}"),
        format!("we b.{label}"),
        format!("w_b.{label}"),
        format!("wéb.{label}"),
        format!("{}.{label}", "x".repeat(41)),
        format!("a--b.{label}"),
        format!("xn.{label}"),
        format!("web--{label}"),
        format!("{} ", label),
        label.replace('a', "а"),
    ] {
        let host = format!("{host}.{DOMAIN}");
        let parsed = directory().parse(&host);
        assert!(matches!(parsed, Err(NameError::NotAnAddress(_))), "{host}: {parsed:?}");
    }
}
