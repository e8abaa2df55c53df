//! What a session is told that another one replaces, or takes a service from, and which name reaches whom.

use std::time::Duration;

use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::dialect::SessionRole;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Directory, Name, NameError, Newcomer, Owner};
use hvym_tunnel_core::stellar::Scope;
use hvym_tunnel_core::time::Instant;
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

#[test]
fn a_session_that_was_replaced_is_told_and_stays_away() {
    let mut older = pair();
    older.up();
    let now = older.now;
    older.relay.session().refuse(DownReason::Replaced, now);
    older.run(3600 * SECOND);
    assert_eq!(older.agent.downs(), [(&DownReason::Replaced, None)]);
    assert!(DownReason::Replaced.hint().is_some());
    assert_eq!(older.relay.closings(), [&DownReason::Replaced]);
    assert_eq!(older.relay.accepted, 1, "it dialled again");
    let close = older.transcript.lines().find(|line| line.contains(" 4009 "));
    assert!(close.is_some_and(|line| line.contains("Relay")), "{}", older.transcript);
}

#[test]
fn a_service_that_was_taken_is_told_by_name_and_offered_no_more_while_the_others_stay() {
    let mut pair = pair();
    pair.up();
    let now = pair.now;
    let stream = pair.relay.session().open(&opening("web"), now).expect("room");
    pair.run(SECOND);
    let now = pair.now;
    pair.relay.session().replace_service("web", Some("host, process 7".into()), now);
    write(pair.relay.session(), stream, b"hello", now);
    pair.run(SECOND);
    let told = pair.agent.events.iter().filter_map(|event| match event {
        AgentEvent::Unbound { service, by } => Some((service.as_str(), by.as_deref())),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [("web", Some("host, process 7"))]);
    let (theirs, _) = pair.agent.opened()[0].clone();
    assert_eq!(read(&mut pair.agent.machine, theirs, pair.now), (b"hello".to_vec(), Outcome::Open));
    // After a reconnection it would be taken back, and for ever.
    pair.relay.session().refuse(DownReason::GoingAway, pair.now);
    pair.run(60 * SECOND);
    assert!(pair.agent.machine.is_up() && pair.relay.accepted == 2);
    let names = pair.relay.session().services().iter().map(|service| service.name.clone());
    assert_eq!(names.collect::<Vec<_>>(), ["api"]);
}

#[test]
fn an_agent_is_the_same_program_after_each_reconnection_and_another_agent_is_another() {
    let instance = |pair: &mut Pair<AgentEnd, RelayEnd>| pair.relay.session().process().instance.clone();
    let (mut one, mut other) =
        (pair(), pair_with(agent_config(), session_config(), WireConfig::default(), [8; 32]));
    one.up();
    other.up();
    let first = instance(&mut one);
    assert!(first.is_some() && first != instance(&mut other));
    one.relay.session().refuse(DownReason::GoingAway, one.now);
    one.run(60 * SECOND);
    assert_eq!((one.relay.accepted, instance(&mut one)), (2, first));
}

#[test]
fn a_caller_binds_nothing() {
    let mut config = agent_config();
    config.login.scope = Scope::Call;
    let mut pair = pair_with(config, session_config(), WireConfig::default(), [7; 32]);
    pair.run(SECOND);
    let refused =
        |event: &&AgentEvent| matches!(event, AgentEvent::BindRefused { code, .. } if code == "not_allowed");
    assert_eq!(pair.agent.events.iter().filter(refused).count(), 2);
    assert!(pair.relay.session().services().is_empty() && pair.relay.session().is_up());
    assert_eq!(pair.relay.session().process().role, SessionRole::Caller);
}

#[test]
fn who_only_calls_is_an_agent_from_its_first_service_on() {
    let mut config = agent_config();
    let service = config.services.swap_remove(0);
    config.services.clear();
    config.process.role = SessionRole::Caller;
    let mut pair = pair_with(config, session_config(), WireConfig::default(), [7; 32]);
    pair.run(SECOND);
    let role = |pair: &mut Pair<AgentEnd, RelayEnd>| pair.relay.session().process().role;
    assert_eq!(role(&mut pair), SessionRole::Caller);
    pair.agent.machine.bind(service, pair.now);
    pair.run(SECOND);
    assert_eq!(role(&mut pair), SessionRole::Agent);
    assert_eq!(pair.relay.session().services().len(), 1);
    // And so it says at once after it was lost.
    pair.relay.session().refuse(DownReason::GoingAway, pair.now);
    pair.run(60 * SECOND);
    assert_eq!((pair.relay.accepted, role(&mut pair)), (2, SessionRole::Agent));
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
    directory.admit(1, Newcomer::new(other.clone()), Instant::ZERO).expect("a session");
    assert_eq!(
        (directory.parse("other.relay.example"), directory.named("Other")),
        (guest("other"), Some(other.clone()))
    );
    assert_eq!(directory.host(&other), "other.relay.example");
    assert!(directory.remove(1, Instant::ZERO).is_empty() && directory.named("other").is_none());
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
