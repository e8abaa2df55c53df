//! Resource records as they are written into an answer. They know no zone.
//!
//! Every name that they contain is the question's or the zone's, so that names are pointers into the question.

use alloc::vec::Vec;
use core::net::IpAddr;

/// The class of the Internet.
pub(crate) const IN: u16 = 1;

/// Types (RFC 1035 section 3.2.2, RFC 3596, RFC 8659).
pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const HINFO: u16 = 13;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const IXFR: u16 = 251;
pub(crate) const AXFR: u16 = 252;
pub(crate) const MAILB: u16 = 253;
pub(crate) const MAILA: u16 = 254;
pub(crate) const ANY: u16 = 255;
pub(crate) const CAA: u16 = 257;

/// How long resolvers may keep an address. A relay that moves is found again within minutes.
const ADDRESS_TTL: u32 = 300;
/// The same for what never changes.
const STEADY_TTL: u32 = 3600;
/// The same for a challenge, whose next value may come within seconds.
const CHALLENGE_TTL: u32 = 1;
/// The same for the answer that there is nothing (RFC 2308 section 4), as the challenge that is not there yet.
pub(crate) const NEGATIVE_TTL: u32 = 5;

/// What secondary servers would be told: there are none.
const SOA_TIMES: [u32; 4] = [3600, 600, 604_800, NEGATIVE_TTL];

/// The data of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Record<'a> {
    Address(IpAddr),
    /// Always `ns`, below the zone's apex.
    NameServer,
    Authority {
        serial: u32,
    },
    Text(&'a [u8]),
    /// The authority for certificates, and whether this is about wildcards.
    Issuer(&'a [u8], bool),
    /// The answer to `ANY` (RFC 8482 section 4.2).
    Minimal,
}

impl Record<'_> {
    fn kind(&self) -> u16 {
        match self {
            Record::Address(IpAddr::V4(_)) => A,
            Record::Address(IpAddr::V6(_)) => AAAA,
            Record::NameServer => NS,
            Record::Authority { .. } => SOA,
            Record::Text(_) => TXT,
            Record::Issuer(..) => CAA,
            Record::Minimal => HINFO,
        }
    }

    fn ttl(&self) -> u32 {
        match self {
            Record::Address(_) => ADDRESS_TTL,
            Record::Authority { .. } => NEGATIVE_TTL,
            Record::Text(_) => CHALLENGE_TTL,
            Record::NameServer | Record::Issuer(..) | Record::Minimal => STEADY_TTL,
        }
    }

    /// Appends the record of the name at `owner`; the zone's apex is at `apex`, both places in the message.
    pub(crate) fn write(&self, owner: u16, apex: u16, out: &mut Vec<u8>) {
        write_pointer(owner, out);
        out.extend(self.kind().to_be_bytes());
        out.extend(IN.to_be_bytes());
        out.extend(self.ttl().to_be_bytes());
        let length_at = out.len();
        out.extend([0; 2]);
        match self {
            Record::Address(IpAddr::V4(address)) => out.extend(address.octets()),
            Record::Address(IpAddr::V6(address)) => out.extend(address.octets()),
            Record::NameServer => write_below(b"ns", apex, out),
            Record::Authority { serial } => {
                write_below(b"ns", apex, out);
                write_below(b"hostmaster", apex, out);
                out.extend(serial.to_be_bytes());
                out.extend(SOA_TIMES.into_iter().flat_map(u32::to_be_bytes));
            }
            Record::Text(text) => write_string(text, out),
            Record::Issuer(authority, wildcards) => {
                // No flags: whoever issues knows the tag.
                out.push(0);
                write_string(if *wildcards { b"issuewild" } else { b"issue" }, out);
                out.extend(*authority);
            }
            Record::Minimal => {
                write_string(b"RFC8482", out);
                write_string(b"", out);
            }
        }
        let length = (out.len() - length_at - 2) as u16;
        out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }
}

/// A pointer to a name (RFC 1035 section 4.1.4).
fn write_pointer(at: u16, out: &mut Vec<u8>) {
    out.extend((0xc000 | at).to_be_bytes());
}

fn write_below(label: &[u8], apex: u16, out: &mut Vec<u8>) {
    write_string(label, out);
    write_pointer(apex, out);
}

/// A length octet and so many bytes; what is longer than 255 is cut.
fn write_string(text: &[u8], out: &mut Vec<u8>) {
    let text = &text[..text.len().min(usize::from(u8::MAX))];
    out.push(text.len() as u8);
    out.extend(text);
}
