//! The beginning of a body that passes, if it is text.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hvym_tunnel_registry::MAX_BODY_CHARACTERS;

/// Bytes that are kept: as many characters as the log takes have no more.
const MAX_BYTES: usize = 4 * MAX_BODY_CHARACTERS;

/// What has passed.
#[derive(Debug)]
pub(crate) struct BodyText {
    is_text: bool,
    bytes: Mutex<Vec<u8>>,
}

impl BodyText {
    /// Of a body with these fields.
    pub(crate) fn new(fields: &HeaderMap) -> Self {
        Self { is_text: is_text(fields), bytes: Mutex::default() }
    }

    /// More of it passes.
    pub(crate) fn push(&self, data: &Bytes) {
        if self.is_text {
            let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            let room = MAX_BYTES.saturating_sub(bytes.len());
            bytes.extend_from_slice(&data[..room.min(data.len())]);
        }
    }

    /// The text so far; `None` if it is none, or empty.
    pub(crate) fn text(&self) -> Option<String> {
        let bytes = std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner));
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Whether a body with these fields is text that a person reads.
fn is_text(fields: &HeaderMap) -> bool {
    if fields.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return false;
    }
    let Some(kind) = fields.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("json")
        || kind.ends_with("xml")
        || kind.ends_with("javascript")
        || kind == "application/x-www-form-urlencoded"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn only_text_is_kept() {
        for (lines, is) in [
            (&[("content-type", "text/html; charset=utf-8")][..], true),
            (&[("content-type", "application/problem+json")], true),
            (&[("content-type", "application/json"), ("content-encoding", "gzip")], false),
            (&[("content-type", "image/png")], false),
            (&[], false),
        ] {
            let text = BodyText::new(&fields(lines));
            text.push(&Bytes::from_static(b"abc"));
            assert_eq!(text.text(), is.then(|| "abc".to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn a_body_of_any_length_takes_bounded_memory() {
        let text = BodyText::new(&fields(&[("content-type", "text/plain")]));
        for _ in 0..3 {
            text.push(&Bytes::from(vec![b'a'; MAX_BYTES / 2 + 1]));
        }
        assert_eq!(text.text().map(|text| text.len()), Some(MAX_BYTES));
    }
}
