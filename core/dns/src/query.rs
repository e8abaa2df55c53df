//! Reads a query: its header, its question, and what it says by EDNS. It knows no zone.

use crate::name::DomainName;

/// The header of every message (RFC 1035 section 4.1.1).
pub(crate) const HEADER_BYTES: usize = 12;
/// The type of EDNS's record (RFC 6891 section 6.1.1).
pub(crate) const OPT: u16 = 41;

/// Response codes (RFC 6895 section 2.3).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum ResponseCode {
    NoError = 0,
    FormatError = 1,
    NoSuchName = 3,
    NotImplemented = 4,
    Refused = 5,
    /// Its upper bits are in EDNS's record.
    BadVersion = 16,
}

/// EDNS's record of a query (RFC 6891 section 6.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Edns {
    pub(crate) udp_bytes: u16,
    pub(crate) version: u8,
    /// An answer repeats it (RFC 3225 section 3).
    pub(crate) dnssec_ok: bool,
}

/// What every answer repeats.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) id: u16,
    pub(crate) opcode: u8,
    pub(crate) recursion_desired: bool,
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question<'a> {
    /// As it was sent: an answer repeats it, and some resolvers compare the case of its letters.
    pub(crate) wire: &'a [u8],
    pub(crate) name: DomainName,
    pub(crate) kind: u16,
    pub(crate) class: u16,
}

/// A well-formed query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) header: Header,
    pub(crate) question: Question<'a>,
    pub(crate) edns: Option<Edns>,
}

/// A message that is answered by an error, or not at all.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum QueryError {
    /// Too short for an answer, or an answer itself: two servers must not answer each other for ever.
    Unanswerable,
    /// Answered by this code.
    Failed(Header, ResponseCode),
}

impl<'a> Query<'a> {
    /// Reads `message`.
    ///
    /// # Errors
    /// It is no query, or none that this server understands.
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, QueryError> {
        const RESPONSE: u16 = 1 << 15;
        const RECURSION_DESIRED: u16 = 1 << 8;

        let (head, mut rest) = message.split_at_checked(HEADER_BYTES).ok_or(QueryError::Unanswerable)?;
        let mut words = head.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let mut word = || words.next().unwrap_or_default();
        let (id, flags) = (word(), word());
        let (questions, others, additional) = (word(), word() | word(), word());
        if flags & RESPONSE != 0 {
            return Err(QueryError::Unanswerable);
        }
        let header = Header {
            id,
            opcode: (flags >> 11) as u8 & 0xf,
            recursion_desired: flags & RECURSION_DESIRED != 0,
        };
        if header.opcode != 0 {
            return Err(QueryError::Failed(header, ResponseCode::NotImplemented));
        }
        let malformed = QueryError::Failed(header, ResponseCode::FormatError);
        if questions != 1 || others != 0 {
            return Err(malformed);
        }
        let question = Question::read(&mut rest).ok_or(malformed)?;
        let edns = read_additional(&mut rest, additional).ok_or(malformed)?;
        if rest.is_empty() { Ok(Self { header, question, edns }) } else { Err(malformed) }
    }
}

impl<'a> Question<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let name = DomainName::read(rest)?;
        let (wire, after) = rest.split_at_checked(name.wire_length() + 4)?;
        let [.., a, b, c, d] = *wire else { return None };
        *rest = after;
        Some(Self { wire, name, kind: u16::from_be_bytes([a, b]), class: u16::from_be_bytes([c, d]) })
    }
}

/// Reads `count` additional records, of which one may be EDNS's. Others, as those of signatures, mean nothing here.
fn read_additional(rest: &mut &[u8], count: u16) -> Option<Option<Edns>> {
    let mut edns = None;
    for _ in 0..count {
        let is_root = skip_name(rest)?;
        let (fields, after) = rest.split_first_chunk::<10>()?;
        let [kind_high, kind_low, size_high, size_low, _, version, flags, _, length_high, length_low] =
            *fields;
        *rest = after.get(usize::from(u16::from_be_bytes([length_high, length_low]))..)?;
        if u16::from_be_bytes([kind_high, kind_low]) == OPT {
            // More than one, or one of another name than the root, is a format error (RFC 6891 section 6.1.1).
            if edns.is_some() || !is_root {
                return None;
            }
            let udp_bytes = u16::from_be_bytes([size_high, size_low]);
            edns = Some(Edns { udp_bytes, version, dnssec_ok: flags & 0x80 != 0 });
        }
    }
    Some(edns)
}

/// Skips a name, compressed or not, and returns whether it was the root.
fn skip_name(rest: &mut &[u8]) -> Option<bool> {
    let is_root = rest.first() == Some(&0);
    loop {
        let (&length, after) = rest.split_first()?;
        *rest = match length {
            0 => {
                *rest = after;
                return Some(is_root);
            }
            1..=63 => after.get(usize::from(length)..)?,
            // A pointer ends a name (RFC 1035 section 4.1.4).
            0xc0..=0xff => {
                *rest = after.get(1..)?;
                return Some(false);
            }
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const QUESTION: &[u8] = b"\x01A\x04tEst\0\0\x10\0\x01";
    const HEADER: Header = Header { id: 0x1234, opcode: 0, recursion_desired: true };

    fn message(flags: u16, counts: [u16; 4], sections: &[&[u8]]) -> Vec<u8> {
        let head = [0x1234, flags, counts[0], counts[1], counts[2], counts[3]];
        let head = head.into_iter().flat_map(u16::to_be_bytes);
        head.chain(sections.concat()).collect()
    }

    fn opt(name: &[u8], udp_bytes: u16, version: u8, flags: u8, data: &[u8]) -> Vec<u8> {
        let [high, low] = udp_bytes.to_be_bytes();
        let fields = [0, 41, high, low, 0, version, flags, 0, 0, data.len() as u8];
        [name, &fields, data].concat()
    }

    #[test]
    fn a_question_is_read_as_it_was_sent() {
        let bytes = message(0x0100, [1, 0, 0, 0], &[QUESTION]);
        let query = Query::read(&bytes).expect("a query");
        assert_eq!(query.header, HEADER);
        assert_eq!((query.question.wire, query.question.kind, query.question.class), (QUESTION, 16, 1));
        assert_eq!(query.question.name, DomainName::parse("a.test").expect("a name"));
        assert_eq!(query.edns, None);
    }

    #[test]
    fn edns_is_read_wherever_it_stands_among_the_additional_records() {
        let other = b"\xc0\x0c\0\xfa\0\xff\0\0\0\0\0\x02xy";
        let record = opt(b"\0", 1232, 0, 0x80, b"\0\x0a\0\0");
        for sections in [[QUESTION, &record, other], [QUESTION, other, &record]] {
            let bytes = message(0x0100, [1, 0, 0, 2], &sections);
            let edns = Query::read(&bytes).expect("a query").edns;
            assert_eq!(edns, Some(Edns { udp_bytes: 1232, version: 0, dnssec_ok: true }));
        }
    }

    #[test]
    fn what_is_malformed_gets_a_format_error() {
        let record = opt(b"\0", 512, 0, 0, b"");
        let cases: [([u16; 4], &[&[u8]]); 10] = [
            ([0, 0, 0, 0], &[]),
            ([2, 0, 0, 0], &[QUESTION, QUESTION]),
            ([1, 1, 0, 0], &[QUESTION, b"\0\0\x01\0\x01\0\0\0\0\0\0"]),
            ([1, 0, 1, 0], &[QUESTION, b"\0\0\x01\0\x01\0\0\0\0\0\0"]),
            ([1, 0, 0, 0], &[&QUESTION[..QUESTION.len() - 1]]),
            ([1, 0, 0, 0], &[QUESTION, b"x"]),
            ([1, 0, 0, 2], &[QUESTION, &record, &record]),
            ([1, 0, 0, 1], &[QUESTION, &opt(b"\x01a\0", 512, 0, 0, b"")]),
            ([1, 0, 0, 1], &[QUESTION, &record[..record.len() - 1]]),
            ([1, 0, 0, 2], &[QUESTION, &record]),
        ];
        for (counts, sections) in cases {
            let failed = Query::read(&message(0x0100, counts, sections)).err();
            assert_eq!(failed, Some(QueryError::Failed(HEADER, ResponseCode::FormatError)), "{counts:?}");
        }
    }

    #[test]
    fn answers_and_fragments_are_not_answered_and_other_operations_are_not_implemented() {
        let bytes = message(0x8000, [1, 0, 0, 0], &[QUESTION]);
        assert_eq!(Query::read(&bytes).err(), Some(QueryError::Unanswerable));
        assert_eq!(Query::read(&bytes[..HEADER_BYTES - 1]).err(), Some(QueryError::Unanswerable));
        let notify = message(0x2000, [1, 0, 0, 0], &[QUESTION]);
        let header = Header { id: 0x1234, opcode: 4, recursion_desired: false };
        assert_eq!(
            Query::read(&notify).err(),
            Some(QueryError::Failed(header, ResponseCode::NotImplemented))
        );
    }
}
