//! DNS messages, read in a second way, and the rules that hold for the answer to anything.

use std::net::IpAddr;

use hvym_dns::{DomainName, MAX_UDP_BYTES, MIN_UDP_BYTES, Transport, Zone, answer};
use hvym_yamux_testing::corpus::Seed;

/// The domain of [`zone`].
pub const APEX: &str = "t.test";
/// How much longer than its query an answer of [`zone`] may be, so that whoever forges a sender gains little: its SOA record,
/// its issuers or both of its challenges.
pub const MAX_GROWTH: usize = 140;

/// A record, with its owner and its data as they are without compression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Whose it is.
    pub owner: String,
    /// Its type.
    pub kind: u16,
    /// For how many seconds it may be kept.
    pub ttl: u32,
    /// Its data, as they stand in the message.
    pub data: Vec<u8>,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Which query it answers.
    pub id: u16,
    /// Its flags and code.
    pub flags: u16,
    /// Its questions: name and type.
    pub questions: Vec<(String, u16)>,
    /// Its answer, authority and additional sections.
    pub sections: [Vec<Record>; 3],
}

impl Message {
    /// Its response code, without the part that EDNS carries.
    pub fn code(&self) -> u16 {
        self.flags & 0xf
    }

    /// Whether it was cut.
    pub fn is_truncated(&self) -> bool {
        self.flags & 0x200 != 0
    }

    /// The data of its answers of this type.
    pub fn data(&self, kind: u16) -> Vec<&[u8]> {
        self.sections[0].iter().filter(|record| record.kind == kind).map(|record| &record.data[..]).collect()
    }

    /// Reads a whole message; `None` if a byte is missing or too many.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = 12;
        let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let mut questions = Vec::new();
        for _ in 0..word(4)? {
            let name = name(bytes, &mut at)?;
            questions.push((name, word(at)?));
            at += 4;
        }
        let mut sections = [Vec::new(), Vec::new(), Vec::new()];
        for (index, section) in sections.iter_mut().enumerate() {
            for _ in 0..word(6 + 2 * index)? {
                let owner = name(bytes, &mut at)?;
                let ttl = u32::from(word(at + 4)?) << 16 | u32::from(word(at + 6)?);
                let length = usize::from(word(at + 8)?);
                let data = bytes.get(at + 10..at + 10 + length)?.to_vec();
                section.push(Record { owner, kind: word(at)?, ttl, data });
                at += 10 + length;
            }
        }
        (at == bytes.len()).then_some(Message { id: word(0)?, flags: word(2)?, questions, sections })
    }
}

/// The name at `at`, which is moved behind it. Pointers lead back.
pub fn name(bytes: &[u8], at: &mut usize) -> Option<String> {
    let (mut text, mut from, mut end) = (String::new(), *at, None);
    loop {
        let length = usize::from(*bytes.get(from)?);
        match length {
            0 => {
                *at = end.unwrap_or(from + 1);
                return Some(text);
            }
            1..=63 => {
                let label = bytes.get(from + 1..from + 1 + length)?;
                text.push_str(&label.escape_ascii().to_string());
                text.push('.');
                from += 1 + length;
            }
            0xc0.. => {
                let to = (length & 0x3f) << 8 | usize::from(*bytes.get(from + 1)?);
                end = end.or(Some(from + 2));
                if to >= from {
                    return None;
                }
                from = to;
            }
            _ => return None,
        }
    }
}

/// A query for the records `kind` of `name`, with EDNS if it says how much it takes.
pub fn query(name: &str, kind: u16, udp_bytes: Option<u16>) -> Vec<u8> {
    let mut bytes = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00".to_vec();
    bytes.push(u8::from(udp_bytes.is_some()));
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend([kind, 1].into_iter().flat_map(u16::to_be_bytes));
    if let Some(udp_bytes) = udp_bytes {
        bytes.extend(b"\0\0\x29");
        bytes.extend(udp_bytes.to_be_bytes());
        bytes.extend([0; 6]);
    }
    bytes
}

/// A zone with an address of each family, one issuer and both challenges of an order.
pub fn zone() -> Zone {
    let mut zone = Zone::new(DomainName::parse(APEX).expect("a name"), 1);
    zone.set_addresses(
        ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse::<IpAddr>().expect("an address")).to_vec(),
    );
    zone.set_issuers(["ca.example".to_owned()]);
    for value in ["a", "b"] {
        assert!(zone.add_challenge(value.repeat(43)));
    }
    zone
}

/// Asks [`zone`] for `data`, whatever that is.
///
/// # Panics
/// A rule of answers is broken.
pub fn queries(data: &[u8]) {
    let zone = zone();
    let [udp, tcp] = [Transport::Udp, Transport::Tcp].map(|transport| answer(&zone, data, transport));
    let deserves_none = data.len() < 12 || data[2] & 0x80 != 0;
    assert_eq!((udp.is_none(), tcp.is_none()), (deserves_none, deserves_none), "who is answered");
    let (Some(udp), Some(tcp)) = (udp, tcp) else { return };
    assert!(udp.len() <= MAX_UDP_BYTES && udp.len() <= data.len() + MAX_GROWTH, "{} bytes", udp.len());
    let has_edns = data[10..12] != [0, 0];
    assert!(has_edns || udp.len() <= MIN_UDP_BYTES, "{} bytes without EDNS", udp.len());
    let [read_udp, read_tcp] =
        [&udp, &tcp].map(|bytes| Message::read(bytes).expect("an answer that can be read"));
    assert!(read_udp.is_truncated() || udp == tcp, "the same over both");
    assert!(!read_tcp.is_truncated(), "whole over TCP");
    for message in [&read_udp, &read_tcp] {
        check(data, message);
    }
    assert_eq!(answer(&zone, &tcp, Transport::Tcp), None, "an answer is not answered");
}

fn check(asked: &[u8], message: &Message) {
    assert_eq!(message.id.to_be_bytes(), asked[..2], "whose answer");
    let [high, low] = message.flags.to_be_bytes();
    assert_eq!(high & 0xf9, asked[2] & 0x79 | 0x80, "an answer to the same operation");
    assert_eq!(low & 0xf0, 0, "no recursion");
    let is_authoritative = high & 4 != 0;
    match message.questions.first() {
        None => assert!(matches!(message.code(), 1 | 4), "an error without a question"),
        Some((name, _)) => {
            let name = name.to_ascii_lowercase();
            let is_ours = name == "t.test." || name.ends_with(".t.test.");
            assert!(!is_authoritative || is_ours, "authority over {name}");
            assert!(is_ours || message.code() == 5 || has_bad_version(message), "{name} is refused");
        }
    }
    let [answers, authority, additional] = &message.sections;
    assert!(is_authoritative || answers.is_empty() && authority.is_empty(), "nothing without authority");
    let is_negative = is_authoritative && answers.is_empty() && !message.is_truncated();
    assert_eq!(is_negative, authority.iter().any(|record| record.kind == 6), "the SOA record of a denial");
    assert!(additional.iter().all(|record| record.kind == 41 && record.owner.is_empty()), "EDNS alone");
    assert!(
        answers.iter().all(|record| record.owner.eq_ignore_ascii_case(&message.questions[0].0)),
        "owners"
    );
}

/// EDNS's code 16: its upper bits are in the first byte of the TTL.
fn has_bad_version(message: &Message) -> bool {
    message.sections[2].iter().any(|record| record.ttl >> 24 == 1)
}

/// Queries of every kind, well formed and not.
pub fn seeds() -> Vec<Seed> {
    let asked = [
        ("address", query("web--x.t.test", 1, None)),
        ("address6_edns", query("x.t.test", 28, Some(1232))),
        ("challenge", query("_acme-challenge.T.test", 16, Some(512))),
        ("issuer", query(APEX, 257, None)),
        ("authority", query(APEX, 6, None)),
        ("server", query(APEX, 2, Some(65_535))),
        ("everything", query(APEX, 255, None)),
        ("transfer", query(APEX, 252, None)),
        ("elsewhere", query("example.org", 1, None)),
        ("no_host", query("x._tcp.t.test", 33, None)),
        ("answer", answer(&zone(), &query(APEX, 1, None), Transport::Udp).unwrap_or_default()),
        ("two_questions", [&query(APEX, 1, None)[..], b"\0\0\x01\0\x01"].concat()),
        ("pointer", b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01".to_vec()),
    ];
    asked.map(|(name, bytes)| ("f22_dns", name.to_owned(), bytes)).to_vec()
}
