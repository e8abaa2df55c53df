//! The query of a resolver's client and the response to it (RFC 1035 section 4), for texts and aliases. It knows no zone.
//!
//! A response is a stranger's: whatever it holds, reading it ends, and nothing of it is believed that was not asked.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use thiserror::Error;

use crate::name::{DomainName, MAX_NAME_BYTES};
use crate::query::{HEADER_BYTES, ResponseCode};
use crate::record::{CNAME, IN, TXT};

/// The type of the records that are looked up (RFC 1035 section 3.2.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LookupType {
    /// The name that a name is an alias of.
    Cname,
    /// The texts of a name.
    Txt,
}

impl LookupType {
    fn code(self) -> u16 {
        match self {
            LookupType::Cname => CNAME,
            LookupType::Txt => TXT,
        }
    }
}

/// Why a response has no records.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ResolverError {
    /// It is to another query, or malformed.
    #[error("the resolver's answer is malformed")]
    Malformed,
    /// It did not fit a datagram.
    #[error("the resolver's answer is too long for a datagram")]
    Truncated,
    /// The resolver failed, with this code (RFC 1035 section 4.1.1).
    #[error("the resolver answered with code {0}")]
    Failed(u8),
}

/// A resolver that is asked to do the whole work (RFC 1035 section 4.1.1, RD).
const RECURSION_DESIRED: u16 = 0x0100;
/// Records of a response that are looked at. A name has a few.
const MAX_RECORDS: u16 = 64;
/// Aliases that are followed; resolvers stop at as many.
const MAX_ALIASES: usize = 8;

/// The query for records of `name`. `id` must not be guessable: whoever knows it can respond.
pub fn lookup_query(id: u16, name: &DomainName, kind: LookupType) -> Vec<u8> {
    let head = [id, RECURSION_DESIRED, 1, 0, 0, 0].into_iter().flat_map(u16::to_be_bytes);
    let mut message: Vec<u8> = head.collect();
    message.extend(name.wire());
    message.extend([kind.code(), IN].into_iter().flat_map(u16::to_be_bytes));
    message
}

/// The texts of `name`, or the names that it is an alias of, from the response to [`lookup_query`]. A name that does not exist
/// has none.
///
/// # Errors
/// It is no response to it, or an error of the resolver.
pub fn lookup_records(
    message: &[u8],
    id: u16,
    name: &DomainName,
    kind: LookupType,
) -> Result<Vec<String>, ResolverError> {
    let mut reader = Reader { message, at: 0 };
    let malformed = ResolverError::Malformed;
    let head: [u16; 6] = core::array::from_fn(|_| reader.u16().unwrap_or_default());
    let [got_id, flags, questions, answers, ..] = head;
    let is_answer =
        message.len() >= HEADER_BYTES && got_id == id && flags >> 15 == 1 && flags >> 11 & 15 == 0;
    if !is_answer || questions != 1 {
        return Err(malformed);
    }
    let asked = (reader.name().ok_or(malformed)?, reader.u16(), reader.u16());
    let name = name.to_string();
    if asked != (name.clone(), Some(kind.code()), Some(IN)) {
        return Err(malformed);
    }
    if flags & 0x0200 != 0 {
        return Err(ResolverError::Truncated);
    }
    match flags & 15 {
        0 => {}
        code if code == ResponseCode::NoSuchName as u16 => return Ok(Vec::new()),
        code => return Err(ResolverError::Failed(code as u8)),
    }
    let (mut aliases, mut texts) = (Vec::new(), Vec::new());
    for _ in 0..answers.min(MAX_RECORDS) {
        let record = reader.record().ok_or(malformed)?;
        match (record.class, record.kind) {
            (IN, CNAME) => {
                let mut target = Reader { message, at: record.at };
                aliases.push((record.owner, target.name().ok_or(malformed)?));
            }
            (IN, TXT) => texts.push((record.owner, text(record.data))),
            _ => {}
        }
    }
    if kind == LookupType::Cname {
        return Ok(aliases
            .into_iter()
            .filter(|(owner, _)| *owner == name)
            .map(|(_, target)| target)
            .collect());
    }
    let mut owner = name;
    for _ in 0..MAX_ALIASES {
        match aliases.iter().find(|(from, _)| *from == owner) {
            Some((_, to)) => owner.clone_from(to),
            None => break,
        }
    }
    Ok(texts.into_iter().filter(|(of, _)| *of == owner).map(|(_, text)| text).collect())
}

/// The character strings of a TXT record as one text.
fn text(mut data: &[u8]) -> String {
    let mut whole = Vec::new();
    while let Some((length, rest)) = data.split_first() {
        let (part, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        whole.extend_from_slice(part);
        data = rest;
    }
    String::from_utf8_lossy(&whole).into_owned()
}

struct Record<'a> {
    owner: String,
    kind: u16,
    class: u16,
    data: &'a [u8],
    /// Where the data begins: names in it may point back.
    at: usize,
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes)
    }

    /// A name in lower case, without the final dot. Characters of no host name become U+FFFD, so that no label with a dot in it
    /// is taken for two.
    fn name(&mut self) -> Option<String> {
        let (mut name, mut at, mut end) = (String::new(), self.at, None);
        loop {
            let length = *self.message.get(at)?;
            match length {
                0 => {
                    self.at = end.unwrap_or(at + 1);
                    return Some(name);
                }
                1..=63 => {
                    let label = self.message.get(at + 1..at + 1 + usize::from(length))?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                    name.extend(label.iter().map(|byte| {
                        if is_plain(byte) {
                            char::from(byte.to_ascii_lowercase())
                        } else {
                            char::REPLACEMENT_CHARACTER
                        }
                    }));
                    at += 1 + usize::from(length);
                }
                192.. => {
                    let low = *self.message.get(at + 1)?;
                    end.get_or_insert(at + 2);
                    let target = usize::from(u16::from_be_bytes([length & 63, low]));
                    // Only backward, so that reading ends.
                    at = Some(target).filter(|target| *target < at)?;
                }
                _ => return None,
            }
            if name.len() > MAX_NAME_BYTES * 3 {
                return None;
            }
        }
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let owner = self.name()?;
        let (kind, class, _ttl) = (self.u16()?, self.u16()?, self.take(4)?);
        let length = usize::from(self.u16()?);
        let at = self.at;
        Some(Record { owner, kind, class, data: self.take(length)?, at })
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn name() -> DomainName {
        DomainName::parse("_hvym-tunnel.app.example.org").expect("a name")
    }

    /// A response with these records: owner as bytes, type and data.
    fn message(flags: u16, records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut message = lookup_query(7, &name(), LookupType::Txt);
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (owner, kind, data) in records {
            message.extend_from_slice(owner);
            message.extend([*kind, IN, 0, 60, data.len() as u16].into_iter().flat_map(u16::to_be_bytes));
            message.extend_from_slice(data);
        }
        message
    }

    /// Points to the name of the query.
    const ASKED: &[u8] = &[192, 12];

    fn texts(message: &[u8]) -> Result<Vec<String>, ResolverError> {
        lookup_records(message, 7, &name(), LookupType::Txt)
    }

    #[test]
    fn a_query_is_one_question_to_a_resolver() {
        let name = DomainName::parse("A.test").expect("a name");
        let head = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0";
        for (kind, end) in [(LookupType::Cname, b"\0\x05\0\x01"), (LookupType::Txt, b"\0\x10\0\x01")] {
            assert_eq!(lookup_query(0x1234, &name, kind), [&head[..], end].concat());
        }
    }

    #[test]
    fn the_texts_of_the_name_are_read_and_nothing_else() {
        let other = b"\x05other\x07example\x03org\x00";
        let said = message(
            0x8180,
            &[(ASKED, 16, b"\x03abc\x02de"), (other, 16, b"\x01x"), (ASKED, 1, &[127, 0, 0, 1])],
        );
        assert_eq!(texts(&said), Ok(vec!["abcde".to_owned()]));
        let aliased = message(0x8180, &[(other, 16, b"\x01x"), (ASKED, 5, other)]);
        assert_eq!(texts(&aliased), Ok(vec!["x".to_owned()]));
        assert_eq!(texts(&message(0x8180, &[])), Ok(vec![]));
        assert_eq!(texts(&message(0x8183, &[])), Ok(vec![]), "no such name");
        assert_eq!(texts(&message(0x8182, &[])), Err(ResolverError::Failed(2)));
        assert_eq!(texts(&message(0x8380, &[])), Err(ResolverError::Truncated));
    }

    #[test]
    fn an_alias_is_that_of_the_name_itself() {
        let mut said =
            message(0x8180, &[(ASKED, 5, b"\x05ABcde\x06tunnel\x07example\x00"), (b"\x01a\x00", 5, ASKED)]);
        let end = lookup_query(7, &name(), LookupType::Txt).len();
        said[end - 3] = CNAME as u8;
        assert_eq!(
            lookup_records(&said, 7, &name(), LookupType::Cname),
            Ok(vec!["abcde.tunnel.example".to_owned()])
        );
    }

    #[test]
    fn what_was_not_asked_is_no_answer() {
        let said = message(0x8180, &[(ASKED, 16, b"\x01x")]);
        let other = DomainName::parse("app.example.org").expect("a name");
        assert_eq!(
            lookup_records(&said, 8, &name(), LookupType::Txt),
            Err(ResolverError::Malformed),
            "another id"
        );
        assert_eq!(lookup_records(&said, 7, &other, LookupType::Txt), Err(ResolverError::Malformed));
        assert_eq!(lookup_records(&said, 7, &name(), LookupType::Cname), Err(ResolverError::Malformed));
        assert_eq!(texts(&message(0x0100, &[])), Err(ResolverError::Malformed), "a query");
        // A name that points to itself, or forward.
        for pointer in [46u8, 47, 60] {
            assert_eq!(
                texts(&message(0x8180, &[(&[192, pointer], 16, b"\x01x")])),
                Err(ResolverError::Malformed)
            );
        }
        for end in 0..said.len() {
            assert_eq!(texts(&said[..end]), Err(ResolverError::Malformed), "{end}");
        }
    }

    proptest! {
        #[test]
        fn reading_any_bytes_ends(bytes: Vec<u8>, at in 0_usize..80, with: u8) {
            let _either = texts(&bytes);
            let mut said = message(0x8180, &[(ASKED, 16, b"\x03abc"), (ASKED, 5, ASKED)]);
            if let Some(byte) = said.get_mut(at) {
                *byte = with;
            }
            let _either = texts(&said);
        }
    }
}
