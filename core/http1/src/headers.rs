//! The fields of a head, in the order and spelling they were sent, and which bytes may stand where.
//!
//! It does not know what any field means.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

/// Header fields in wire order. Names keep their spelling and are compared without regard to case
/// (RFC 9110 section 5.1); values are bytes, because nothing on the wire promises UTF-8.
///
/// Anything can be put in; [`encode`](super::RequestHead::encode) is where an illegal field is refused.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<(Bytes, Bytes)>);

impl Headers {
    /// No fields.
    pub const fn new() -> Self {
        Headers(Vec::new())
    }

    /// Adds a field after all others; fields of the same name stay.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Bytes>) {
        self.0.push((Bytes::from(name.into()), value.into()));
    }

    /// Removes every field of this name, then adds one.
    pub fn set(&mut self, name: &str, value: impl Into<Bytes>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes every field of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
    }

    /// Keeps the fields of which `keep` says so, by name and value.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        self.0.retain(|(name, value)| keep(text(name), value));
    }

    /// Adds the fields of `others` after all of these.
    pub fn append(&mut self, mut others: Headers) {
        self.0.append(&mut others.0);
    }

    /// The value of the first field of this name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let mut named = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        named.next().map(|(_, value)| value.as_ref())
    }

    /// The values of every field of this name, in wire order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| value.as_ref())
    }

    /// Whether a field of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Whether the comma-separated list under this name holds `token`, without regard to case
    /// (`Connection: keep-alive, Upgrade`).
    pub fn contains_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Every field in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (text(name), value.as_ref()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A name is put in as text, or read from a head as a token, which is ASCII.
fn text(name: &[u8]) -> &str {
    core::str::from_utf8(name).expect("a name is text")
}

impl Headers {
    /// The fields of the head `bytes`, which they were read from.
    pub(super) fn sliced(fields: &[httparse::Header<'_>], bytes: &[u8]) -> Self {
        // One copy for all of them: every request brings a dozen.
        let head = Bytes::copy_from_slice(bytes);
        let slice = |part: &[u8]| {
            let start = (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
            let end = start.saturating_add(part.len());
            // An empty value need not lie inside.
            if part.is_empty() || end > head.len() {
                return Bytes::copy_from_slice(part);
            }
            head.slice(start..end)
        };
        Headers(fields.iter().map(|field| (slice(field.name.as_bytes()), slice(field.value))).collect())
    }
}

impl FromIterator<(String, Bytes)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, Bytes)>>(fields: I) -> Self {
        Headers(fields.into_iter().map(|(name, value)| (Bytes::from(name), value)).collect())
    }
}

impl IntoIterator for Headers {
    type Item = (Bytes, Bytes);
    type IntoIter = alloc::vec::IntoIter<(Bytes, Bytes)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// `token` of RFC 9110 section 5.6.2: methods and field names.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// What may stand in a field value or a reason phrase (RFC 9110 section 5.5): no control byte but TAB.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == b'\t' || !b.is_ascii_control())
}

/// What may stand in a request target: no control byte and no space, which would end it.
pub(super) fn is_target(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b != b' ' && !b.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_any_case_and_keeps_its_spelling() {
        let mut headers = Headers::new();
        headers.push("X-Thing", "1");
        headers.push("x-thing", "2");
        assert_eq!(headers.all("X-THING").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.iter().next(), Some(("X-Thing", &b"1"[..])));
        headers.set("x-Thing", "3");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("x-Thing", &b"3"[..])]);
    }

    #[test]
    fn a_list_is_searched_across_fields_and_commas() {
        let mut headers = Headers::new();
        headers.push("Connection", "keep-alive ,UPGRADE");
        headers.push("Connection", "x");
        assert!(headers.contains_token("connection", "upgrade"));
        assert!(headers.contains_token("connection", "x"));
        assert!(!headers.contains_token("connection", "alive"));
    }

    #[test]
    fn line_breaks_and_nul_stand_nowhere() {
        for bad in ["a\r", "a\n", "a\0", "\r\nb"] {
            assert!(!is_token(bad) && !is_value(bad.as_bytes()) && !is_target(bad), "{bad:?}");
        }
        assert!(!is_token("a b") && !is_token("a:") && !is_token(""));
        assert!(is_value(b"a\tb \xff") && is_target("/caf\u{e9}?x=%20"));
    }
}
