//! The fields of a head, in the order and spelling in which they were sent.
//!
//! It does not know what any field means.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::list::list_members;

/// Header fields in wire order. Names keep their spelling and are compared case-insensitively (RFC 9110 section 5.1);
/// values are bytes, because the protocol does not guarantee UTF-8.
///
/// Names and values are not validated here but in [`encode`](crate::RequestHead::encode).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<(Bytes, Bytes)>);

impl Headers {
    /// No fields.
    pub const fn new() -> Self {
        Headers(Vec::new())
    }

    /// Appends a field. Fields of the same name stay.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Bytes>) {
        self.0.push((Bytes::from(name.into()), value.into()));
    }

    /// Replaces every field of this name by one at the end.
    pub fn set(&mut self, name: &str, value: impl Into<Bytes>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes every field of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
    }

    /// Keeps the fields for whose name and value `keep` returns `true`.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        self.0.retain(|(name, value)| keep(text(name), value));
    }

    /// Appends the fields of `others`.
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

    /// Whether there is a field of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Whether the comma-separated list (RFC 9110 section 5.6.1) in the fields of this name has the member `token`, compared
    /// case-insensitively, as `upgrade` in `Connection: keep-alive, Upgrade`.
    pub fn contains_token(&self, name: &str, token: &str) -> bool {
        self.all(name).flat_map(list_members).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
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

/// A name comes from a `String` or from a parsed token, which is ASCII.
fn text(name: &[u8]) -> &str {
    core::str::from_utf8(name).expect("a field name is UTF-8")
}

impl Headers {
    /// Fields whose names are tokens.
    pub(crate) fn from_slices(fields: impl Iterator<Item = (Bytes, Bytes)>) -> Self {
        Headers(fields.collect())
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(fields: I) -> Self {
        let copied = |(name, value): (&str, &[u8])| {
            (Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(value))
        };
        Headers(fields.into_iter().map(copied).collect())
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
    fn headers_are_empty_until_a_field_is_pushed() {
        let mut headers = Headers::new();
        assert_eq!((headers.len(), headers.is_empty()), (0, true));
        headers.push("a", "b");
        assert_eq!((headers.len(), headers.is_empty()), (1, false));
    }

    #[test]
    fn the_fields_of_one_head_share_one_copy_of_it() {
        let bytes = b"GET / HTTP/1.1\r\nAccept: text/html\r\nX: yz\r\nEmpty:\r\n\r\n";
        let (head, _) = crate::RequestHead::parse(bytes).expect("a head").expect("complete");
        let offset = |part: &[u8]| bytes.windows(part.len()).position(|window| window == part);
        let (first, _) = head.headers.iter().next().expect("a field");
        let origin = first.as_ptr() as usize - 16;
        for (name, value) in head.headers.iter().take(2) {
            assert_eq!(Some(name.as_ptr() as usize - origin), offset(name.as_bytes()), "{name}");
            assert_eq!(Some(value.as_ptr() as usize - origin), offset(value), "{name}");
        }
        assert_eq!(head.headers.first("empty"), Some(&b""[..]));
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
}
