//! Domain names (RFC 1035 section 3.1), compared without case (RFC 4343). It knows no zone.

use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

/// The longest label (RFC 1035 section 2.3.4).
pub const MAX_LABEL_BYTES: usize = 63;
/// The longest name, its length octets included (RFC 1035 section 2.3.4).
pub const MAX_NAME_BYTES: usize = 255;

/// A text that is no domain name.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum DomainNameError {
    /// A label is empty or longer than [`MAX_LABEL_BYTES`].
    #[error("a label of a domain name has 1 to {MAX_LABEL_BYTES} characters")]
    Label,
    /// All labels together are longer than [`MAX_NAME_BYTES`].
    #[error("a domain name has at most {MAX_NAME_BYTES} bytes")]
    Length,
    /// A character outside of ASCII: internationalised names are written as `xn--` labels (RFC 5891).
    #[error("a domain name has ASCII characters only")]
    Character,
}

/// A domain name, in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DomainName {
    /// Length octets and labels, the root's empty label at the end.
    wire: Vec<u8>,
}

impl DomainName {
    /// The name that `text` writes; a dot at the end is optional, and an empty text is the root.
    ///
    /// # Errors
    /// It is no name.
    pub fn parse(text: &str) -> Result<Self, DomainNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.').filter(|_| !text.is_empty()) {
            if label.is_empty() || label.len() > MAX_LABEL_BYTES {
                return Err(DomainNameError::Label);
            }
            if !label.is_ascii() {
                return Err(DomainNameError::Character);
            }
            wire.push(label.len() as u8);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        if wire.len() > MAX_NAME_BYTES { Err(DomainNameError::Length) } else { Ok(Self { wire }) }
    }

    /// The name at the beginning of `bytes`. A compressed one is none: nothing that a question could refer to stands before it.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut end = 0;
        loop {
            let length = usize::from(*bytes.get(end)?);
            if length > MAX_LABEL_BYTES || end + length + 1 > MAX_NAME_BYTES {
                return None;
            }
            end += length + 1;
            if length == 0 {
                return Some(Self { wire: bytes.get(..end)?.to_ascii_lowercase() });
            }
        }
    }

    /// Its labels, the first one first, without the root's.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.wire[..];
        core::iter::from_fn(move || {
            let (&length, after) = rest.split_first().filter(|(length, _)| **length > 0)?;
            let (label, after) = after.split_at(usize::from(length));
            rest = after;
            Some(label)
        })
    }

    /// The labels before those of `apex`; `None` if this is neither `apex` nor below it.
    pub(crate) fn below(&self, apex: &DomainName) -> Option<impl Iterator<Item = &[u8]>> {
        let more = self.labels().count().checked_sub(apex.labels().count())?;
        self.labels().skip(more).eq(apex.labels()).then(|| self.labels().take(more))
    }

    /// Its length octets and labels (RFC 1035 section 3.1).
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Its length on the wire.
    pub(crate) fn wire_length(&self) -> usize {
        self.wire.len()
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, label) in self.labels().enumerate() {
            write!(f, "{}{}", if at > 0 { "." } else { "" }, label.escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainName({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_in_lower_case() {
        for text in ["tunnel.example", "Tunnel.EXAMPLE", "tunnel.example."] {
            let name = DomainName::parse(text).expect("a name");
            assert_eq!(name.to_string(), "tunnel.example");
            assert_eq!(DomainName::read(b"\x06tUnNeL\x07example\0rest"), Some(name));
        }
        assert_eq!(DomainName::parse("").expect("the root"), DomainName::read(b"\0").expect("the root"));
    }

    #[test]
    fn labels_and_names_have_limits() {
        let label = |length: usize| "a".repeat(length);
        assert!(DomainName::parse(&label(63)).is_ok());
        assert_eq!(DomainName::parse(&label(64)), Err(DomainNameError::Label));
        assert_eq!(DomainName::parse("a..b"), Err(DomainNameError::Label));
        assert_eq!(DomainName::parse("ä.example"), Err(DomainNameError::Character));
        let longest = [label(63), label(63), label(63), label(61)].join(".");
        let name = DomainName::parse(&longest).expect("a name of 255 bytes");
        assert_eq!(name.wire_length(), MAX_NAME_BYTES);
        assert_eq!(DomainName::read(&name.wire), Some(name.clone()));
        assert_eq!(DomainName::parse(&[&longest, "a"].join("")).err(), Some(DomainNameError::Length));
        let mut longer = name.wire.clone();
        longer[3 * 64] = 62;
        longer.insert(3 * 64 + 1, b'a');
        assert_eq!(DomainName::read(&longer), None);
    }

    #[test]
    fn a_name_that_is_compressed_or_cut_off_is_none() {
        for bytes in [&b"\x01a\xc0\x0c"[..], b"\xc0\x0c", b"\x40", b"\x01a", b"\x05abc", b""] {
            assert_eq!(DomainName::read(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_name_is_below_another_by_whole_labels() {
        let apex = DomainName::parse("t.test").expect("a name");
        let below = |text: &str| {
            let name = DomainName::parse(text).expect("a name");
            name.below(&apex).map(|labels| labels.count())
        };
        assert_eq!([below("t.test"), below("a.T.test"), below("a.b.t.test")], [Some(0), Some(1), Some(2)]);
        assert_eq!([below("at.test"), below("test"), below(""), below("t.test.x")], [None; 4]);
    }
}
