//! Public ports: who has which, for how long, and how a service is told.

use std::collections::BTreeSet;
use std::time::Duration;

use hvym_tunnel_core::dialect::{Proto, Service};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Message, Transmit};
use hvym_tunnel_core::relay::{MAX_PORTS_OF_ONE, PORT_HOLD, PortError, PortQuota, Ports, SessionEvent};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::pair;
use hvym_tunnel_tests::pair::text;

const NOW: Instant = Instant::from_millis(1000);

fn address(n: u8) -> Address {
    Key::from_seed([n; 32]).address()
}

#[test]
fn a_service_prefers_the_same_port_wherever_it_is_asked() {
    let preferred = Ports::new(20000..=29999).take(address(1), "db");
    for _ in 0..3 {
        let mut ports = Ports::new(20000..=29999);
        assert_eq!(ports.take(address(1), "db"), preferred);
        // And has it already, when it asks again.
        assert_eq!(ports.take(address(1), "db"), preferred);
        assert_ne!(ports.take(address(1), "cache"), preferred);
        assert_ne!(ports.take(address(2), "db"), preferred);
    }
}

#[test]
fn every_port_of_the_range_is_given_once() {
    let mut ports = Ports::new(65530..=65535);
    let given: BTreeSet<_> = (1..=6).map(|n| ports.take(address(n), "db").expect("a port")).collect();
    assert_eq!(given, (65530..=65535).collect());
    assert_eq!(ports.take(address(7), "db"), Err(PortError::Exhausted));
    #[allow(clippy::reversed_empty_ranges)]
    let mut none = Ports::new(2..=1);
    assert_eq!(none.take(address(1), "db"), Err(PortError::Exhausted));
}

#[test]
fn a_port_waits_for_its_service_and_then_is_anybodys() {
    let mut ports = Ports::new(20000..=20000);
    assert_eq!(ports.take(address(1), "db"), Ok(20000));
    assert_eq!(ports.release(&address(1), "db", NOW), Some(NOW + PORT_HOLD));
    assert_eq!(ports.owner(20000), Some((address(1), "db")), "while it waits it is still the service's");
    assert_eq!(ports.take(address(2), "db"), Err(PortError::Exhausted));
    assert_eq!(ports.expire(NOW + PORT_HOLD / 2), [0; 0]);
    assert_eq!(ports.take(address(1), "db"), Ok(20000), "back in time");
    assert_eq!(ports.expire(NOW + PORT_HOLD * 2), [0; 0], "what is bound again waits for nobody");

    assert_eq!(ports.release(&address(1), "db", NOW), Some(NOW + PORT_HOLD));
    assert_eq!(ports.expire(NOW + PORT_HOLD), [20000]);
    assert_eq!(ports.expire(NOW + PORT_HOLD), [0; 0], "once");
    assert_eq!(ports.owner(20000), None);
    assert_eq!(ports.take(address(2), "db"), Ok(20000));
}

#[test]
fn a_service_that_stayed_away_finds_its_port_again_unless_somebody_needed_it() {
    let mut ports = Ports::new(20000..=20099);
    let first = ports.take(address(1), "db").expect("a port");
    ports.quarantine(first, NOW);
    let second = ports.take(address(1), "db").expect("another port");
    assert_ne!(first, second, "the one it prefers belongs to another program");
    ports.release(&address(1), "db", NOW);
    ports.expire(NOW + PORT_HOLD);
    for n in 2..=9 {
        assert_ne!(ports.take(address(n), "db"), Ok(second), "there are others that nobody ever had");
    }
    assert_eq!(ports.take(address(1), "db"), Ok(second));
}

#[test]
fn only_the_port_of_the_service_that_is_withdrawn_is_held() {
    let mut ports = Ports::new(20000..=20099);
    let port = ports.take(address(1), "db").expect("a port");
    assert_eq!(ports.take(address(1), "db"), Ok(port), "whoever else serves it has the same");
    assert_eq!(ports.release(&address(1), "cache", NOW), None);
    assert_eq!(ports.release(&address(2), "db", NOW), None);
    assert_eq!(ports.owner(port), Some((address(1), "db")));
    assert_eq!(ports.release(&address(1), "db", NOW), Some(NOW + PORT_HOLD));
    assert_eq!(ports.release(&address(1), "db", NOW + PORT_HOLD / 2), None, "held is held");
    assert_eq!(ports.expire(NOW + PORT_HOLD), [port]);
}

#[test]
fn what_waits_for_one_service_of_an_agent_is_given_to_another_before_it_is_refused() {
    let mut ports = Ports::new(20000..=20000);
    ports.take(address(1), "db").expect("a port");
    ports.release(&address(1), "db", NOW);
    assert_eq!(ports.take(address(1), "database"), Ok(20000));
    assert_eq!(ports.owner(20000), Some((address(1), "database")));
    assert_eq!(ports.take(address(1), "db"), Err(PortError::TooMany(1)));
    let quota = PortQuota { address: 2, network: None };
    assert_eq!(ports.take_within(address(1), "db", quota), Err(PortError::Exhausted));
}

#[test]
fn nobody_takes_a_whole_range_alone() {
    let mut ports = Ports::new(20000..=20999);
    for n in 0..MAX_PORTS_OF_ONE {
        ports.take(address(1), &format!("s{n}")).expect("a port");
    }
    assert_eq!(ports.take(address(1), "more"), Err(PortError::TooMany(MAX_PORTS_OF_ONE)));
    assert!(ports.take(address(2), "db").is_ok());
    // Going and coming back under other names does not help.
    for n in 0..MAX_PORTS_OF_ONE {
        ports.release(&address(1), &format!("s{n}"), NOW);
    }
    for n in 0..MAX_PORTS_OF_ONE {
        ports.take(address(1), &format!("t{n}")).expect("a port that waited");
    }
    assert_eq!(ports.take(address(1), "more"), Err(PortError::TooMany(MAX_PORTS_OF_ONE)));
}

/// The relay's answers to an agent that says `bind`.
fn answers(bind: &str, port: Option<u16>) -> (Vec<Service>, Vec<String>) {
    let mut pair = pair();
    pair.up();
    let (mut session, now) = (pair.relay.machine.expect("up"), pair.now);
    while session.poll_transmit().is_some() {}
    session.handle_message(text(bind.to_owned()), now);
    let mut asked = Vec::new();
    while let Some(event) = session.poll_event() {
        if let SessionEvent::Bind(service) = event {
            asked.push(service.clone());
            session.confirm_at(service, "tcp://relay.example:20000".into(), port, now);
        }
    }
    let said = std::iter::from_fn(|| session.poll_transmit()).filter_map(|transmit| match transmit {
        Transmit::Send(Message::Text(text)) => Some(String::from_utf8(text.to_vec()).expect("text")),
        _ => None,
    });
    (asked, said.collect())
}

#[test]
fn a_service_that_carries_bytes_is_told_its_port() {
    let (asked, said) =
        answers(r#"{"type":"bind","service":"db","local_port":5432,"proto":"tcp"}"#, Some(20000));
    assert_eq!(asked, [Service { local_port: Some(5432), ..Service::tcp("db") }]);
    assert_eq!(said, [r#"{"type":"bind_ok","service":"db","url":"tcp://relay.example:20000","port":20000}"#]);
    let (asked, said) = answers(r#"{"type":"bind","service":"db"}"#, None);
    assert_eq!(asked, [Service::http("db")], "without a word about it, a service speaks HTTP");
    assert_eq!(said, [r#"{"type":"bind_ok","service":"db","url":"tcp://relay.example:20000"}"#]);
}

#[test]
fn the_bare_address_is_not_for_services_that_carry_bytes() {
    let mut pair = pair();
    pair.up();
    for bound in ["web", "api"] {
        pair.agent.machine.unbind(bound, pair.now);
    }
    pair.agent.machine.bind(Service::tcp("db"), pair.now);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.relay.session().service(Some("db")).map(|service| service.proto), Some(Proto::Tcp));
    assert_eq!(pair.relay.session().service(None), None);
    pair.agent.machine.bind(Service::http("later"), pair.now);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.relay.session().service(None).map(|service| service.name.as_str()), Some("later"));
}

#[test]
fn a_few_identities_cannot_take_all_ports_of_a_range() {
    let mut ports = Ports::new(20000..=20031);
    assert_eq!(ports.share(), 4);
    for who in 1..=2 {
        let given = (0..5).filter(|n| ports.take(address(who), &format!("s{n}")).is_ok()).count();
        assert_eq!(given, 4, "an eighth of the range");
        assert_eq!(ports.take(address(who), "more"), Err(PortError::TooMany(4)));
    }
    assert!(ports.take(address(3), "db").is_ok());
    // Whom the relay gives more has more, and whom it gives none has none.
    let quota = |address| PortQuota { address, network: None };
    assert!((0..9).all(|n| ports.take_within(address(4), &format!("s{n}"), quota(9)).is_ok()));
    assert_eq!(ports.take_within(address(4), "more", quota(9)), Err(PortError::TooMany(9)));
    assert_eq!(ports.take_within(address(5), "db", quota(0)), Err(PortError::TooMany(0)));
    assert_eq!((Ports::new(1..=1).share(), Ports::new(1..=15).share()), (1, 1));
    assert_eq!((Ports::new(1..=127).share(), Ports::new(1..=128).share()), (15, 16));
    assert_eq!(Ports::new(1..=65535).share(), MAX_PORTS_OF_ONE);
}

#[test]
fn fresh_identities_of_one_network_have_a_share_together() {
    let mut ports = Ports::new(20000..=20031);
    let from = |network| PortQuota { address: 4, network: Some((network, 8)) };
    let given = (1..=20).filter(|who| ports.take_within(address(*who), "db", from(1)).is_ok()).count();
    assert_eq!(given, 8);
    assert_eq!(ports.take_within(address(30), "db", from(1)), Err(PortError::NetworkTooMany(8)));
    assert!(ports.take_within(address(30), "db", from(2)).is_ok());
    // What one has, it has again, and what is free counts for nobody.
    assert!(ports.take_within(address(1), "db", from(1)).is_ok());
    ports.release(&address(1), "db", NOW);
    assert_eq!(ports.take_within(address(31), "db", from(1)), Err(PortError::NetworkTooMany(8)));
    ports.expire(NOW + PORT_HOLD);
    assert!(ports.take_within(address(31), "db", from(1)).is_ok());
}
