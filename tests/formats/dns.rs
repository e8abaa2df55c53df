//! The answers of the DNS server: what is asked, what a zone has, and how long an answer may be.

use std::net::{IpAddr, Ipv6Addr};

use hvym_dns::{DomainName, MAX_ADDRESSES, MAX_ISSUERS, MAX_TEXTS, MAX_UDP_BYTES, Transport, Zone, answer};
use hvym_tunnel_tests::dns::{APEX, Message, name, queries, query, zone};
use proptest::prelude::*;

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const HINFO: u16 = 13;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const AXFR: u16 = 252;
const ANY: u16 = 255;
const CAA: u16 = 257;

const NO_SUCH_NAME: u16 = 3;
const REFUSED: u16 = 5;

fn ask(zone: &Zone, name: &str, kind: u16) -> Message {
    let answer = answer(zone, &query(name, kind, None), Transport::Udp).expect("an answer");
    Message::read(&answer).expect("a whole answer")
}

#[test]
fn every_host_name_of_the_domain_has_the_addresses() {
    let zone = zone();
    for host in [APEX, "x.t.test", "web--x.t.test", "a.b.c.t.test", "ns.T.tEsT"] {
        let (v4, v6) = (ask(&zone, host, A), ask(&zone, host, AAAA));
        assert_eq!(v4.data(A), [[192, 0, 2, 7]], "{host}");
        assert_eq!(v6.data(AAAA), ["2001:db8::7".parse::<Ipv6Addr>().expect("an address").octets()]);
        // The case of letters is that of the question (draft-vixie-dnsext-dns0x20).
        assert_eq!(v4.sections[0][0].owner, format!("{host}."));
    }
}

#[test]
fn the_domain_names_its_server_its_authority_and_its_issuers() {
    let zone = zone();
    let bytes = answer(&zone, &query(APEX, NS, None), Transport::Udp).expect("an answer");
    let mut at = bytes.len() - 5;
    assert_eq!(name(&bytes, &mut at).as_deref(), Some("ns.t.test."));
    assert_eq!(ask(&zone, APEX, SOA).sections[0].len(), 1);
    let issuers = ask(&zone, APEX, CAA);
    assert_eq!(issuers.data(CAA), [&b"\0\x05issueca.example"[..], b"\0\x09issuewildca.example"]);
    for kind in [NS, SOA, CAA] {
        let below = ask(&zone, "x.t.test", kind);
        assert_eq!((below.code(), below.sections[0].len(), below.sections[1].len()), (0, 0, 1), "{kind}");
    }
}

#[test]
fn a_challenge_is_there_as_long_as_it_is_published() {
    let mut zone = zone();
    let texts = |zone: &Zone| -> Vec<String> {
        let answer = ask(zone, "_ACME-challenge.t.test", TXT);
        answer.data(TXT).iter().map(|text| String::from_utf8_lossy(&text[1..]).into_owned()).collect()
    };
    assert_eq!(texts(&zone), ["a".repeat(43), "b".repeat(43)]);
    zone.remove_challenge(&"a".repeat(43));
    assert_eq!(texts(&zone), ["b".repeat(43)]);
    assert_eq!(ask(&zone, "_acme-challenge.t.test", A).code(), 0);
    zone.remove_challenge(&"b".repeat(43));
    assert_eq!(ask(&zone, "_acme-challenge.t.test", TXT).code(), NO_SUCH_NAME);
}

#[test]
fn a_name_that_is_no_hosts_does_not_exist_and_one_elsewhere_is_refused() {
    let zone = zone();
    for absent in ["_dmarc.t.test", "_tcp.t.test", "x._tcp.t.test", "_acme-challenge.x.t.test"] {
        let answer = ask(&zone, absent, TXT);
        assert_eq!((answer.code(), answer.sections[1][0].kind), (NO_SUCH_NAME, SOA), "{absent}");
        assert_eq!(answer.sections[1][0].owner, "t.test.");
    }
    let mail = ask(&zone, "x.t.test", MX);
    assert_eq!((mail.code(), mail.sections[1][0].kind), (0, SOA));
    for foreign in ["example.org", "test", "att.test", ""] {
        assert_eq!(ask(&zone, foreign, A).code(), REFUSED, "{foreign}");
    }
    assert_eq!(ask(&zone, APEX, AXFR).code(), REFUSED);
    let mut chaos = query("version.bind", TXT, None);
    *chaos.last_mut().expect("a class") = 3;
    let answer = answer(&zone, &chaos, Transport::Udp).expect("an answer");
    assert_eq!(Message::read(&answer).expect("an answer").code(), REFUSED);
}

#[test]
fn a_question_for_everything_gets_next_to_nothing() {
    let zone = zone();
    for name in [APEX, "x.t.test", "_acme-challenge.t.test"] {
        let answer = ask(&zone, name, ANY);
        assert_eq!(answer.sections[0].len(), 1);
        assert_eq!(answer.data(HINFO), [b"\x07RFC8482\0"], "{name}");
    }
}

#[test]
fn an_answer_over_udp_is_as_long_as_the_resolver_takes_and_not_longer() {
    let mut zone = Zone::new(DomainName::parse(APEX).expect("a name"), 1);
    for at in 0..MAX_TEXTS {
        assert!(zone.add_challenge(format!("{at:0>255}")));
    }
    let name = "_acme-challenge.t.test";
    let say = |udp_bytes, transport| {
        let answer = answer(&zone, &query(name, TXT, udp_bytes), transport).expect("an answer");
        (answer.len(), Message::read(&answer).expect("a whole answer"))
    };
    for udp_bytes in [None, Some(0), Some(512), Some(1232), Some(65_535)] {
        let (length, cut) = say(udp_bytes, Transport::Udp);
        assert!(cut.is_truncated() && length <= MAX_UDP_BYTES, "{udp_bytes:?}");
    }
    let (_, whole) = say(None, Transport::Tcp);
    assert!(!whole.is_truncated());
    assert_eq!(whole.data(TXT).len(), MAX_TEXTS);

    // Four values fit 1232 bytes, and one fits 512.
    let kept = |texts: usize, udp_bytes| {
        let mut zone = Zone::new(DomainName::parse(APEX).expect("a name"), 1);
        assert!((0..texts).all(|at| zone.add_challenge(format!("{at:0>255}"))));
        let answer = answer(&zone, &query(name, TXT, udp_bytes), Transport::Udp).expect("an answer");
        !Message::read(&answer).expect("an answer").is_truncated()
    };
    assert_eq!([kept(1, None), kept(2, None)], [true, false]);
    assert_eq!([kept(1, Some(511)), kept(2, Some(511))], [true, false]);
    assert_eq!([kept(4, Some(1232)), kept(4, Some(1100)), kept(5, Some(u16::MAX))], [true, false, false]);
}

#[test]
fn a_zone_holds_a_bounded_number_of_records() {
    let mut zone = zone();
    let addresses =
        (0..=MAX_ADDRESSES).map(|last| IpAddr::from([192, 0, 2, u8::try_from(last).expect("few")]));
    zone.set_addresses(addresses.collect());
    assert_eq!(ask(&zone, APEX, A).data(A).len(), MAX_ADDRESSES);
    let issuer = |length: usize| "c".repeat(length);
    zone.set_issuers([String::new(), issuer(65), issuer(64)].into_iter().chain((1..9).map(issuer)));
    let issuers = answer(&zone, &query(APEX, CAA, None), Transport::Tcp).expect("an answer");
    let issuers = Message::read(&issuers).expect("an answer");
    assert_eq!(issuers.data(CAA).len(), 2 * MAX_ISSUERS);
    assert_eq!(issuers.data(CAA)[0].len(), 2 + "issue".len() + 64);
    for _ in 2..MAX_TEXTS {
        assert!(zone.add_challenge("c".to_owned()));
    }
    assert!(!zone.add_challenge("c".to_owned()));
    zone.remove_challenge("c");
    assert!(!zone.add_challenge("c".repeat(256)));
    assert!(zone.add_challenge("c".repeat(255)));
}

#[test]
fn edns_of_a_later_version_is_told_which_one_is_spoken() {
    let mut asked = query("x.t.test", A, Some(1232));
    let version = asked.len() - 5;
    asked[version] = 1;
    let told =
        Message::read(&answer(&zone(), &asked, Transport::Udp).expect("an answer")).expect("an answer");
    let edns = &told.sections[2][0];
    assert_eq!((told.code(), edns.ttl.to_be_bytes()[..2].to_vec()), (0, vec![1, 0]));
    assert!(told.sections[0].is_empty());
}

/// Some bytes of a query are others, some are missing, some more.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        Just("x.t.test"),
        Just("t.test"),
        Just("_acme-challenge.t.test"),
        Just("a.example"),
        Just("")
    ];
    let kinds = prop_oneof![prop::sample::select(vec![A, NS, SOA, TXT, AAAA, CAA, ANY, AXFR]), any::<u16>()];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let tail = prop::collection::vec(any::<u8>(), 0..20);
    (names, kinds, any::<Option<u16>>(), changes, tail, any::<bool>()).prop_map(
        |(name, kind, udp_bytes, changes, tail, cut)| {
            let mut bytes = query(name, kind, udp_bytes);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut {
                bytes.truncate(bytes.len() - tail.len().min(bytes.len()));
            } else {
                bytes.extend(tail);
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn rules_hold_for_the_answer_to_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        queries(&bytes);
    }

    #[test]
    fn rules_hold_for_the_answer_to_a_query_that_was_changed(bytes in changed()) {
        queries(&bytes);
    }
}
