//! Which version of a file a visitor has, and which part of it the visitor wants (RFC 9110 sections 13 and 14).
//!
//! Pure: it knows a length, a time and the fields of a request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use hvym_http1::list_members;

/// The year 9999 ends then; HTTP has no way to write what comes after. Seconds since 1970.
const END_OF_DATES: u64 = 253_402_300_800;

/// What tells one version of a file from another.
pub(super) struct Validators {
    etag: Option<HeaderValue>,
    /// Whole seconds.
    modified: Option<SystemTime>,
}

/// The part of a file that an answer holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// Everything.
    Whole,
    /// From one byte to another, both counted from 0 and both included.
    Part {
        /// At most `last`.
        first: u64,
        /// Below the length.
        last: u64,
    },
    /// The file has none of what was asked for.
    Beyond,
}

impl Validators {
    /// Those of a file of this length that was changed then.
    pub(super) fn new(length: u64, modified: Option<SystemTime>) -> Self {
        let since = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let since = since.filter(|since| since.as_secs() < END_OF_DATES);
        let etag = since.and_then(|since| {
            let text = format!("\"{:x}-{:x}-{length:x}\"", since.as_secs(), since.subsec_nanos());
            HeaderValue::try_from(text).ok()
        });
        Self { etag, modified: since.map(|since| UNIX_EPOCH + Duration::from_secs(since.as_secs())) }
    }

    /// Adds them to an answer.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if let Some(etag) = &self.etag {
            headers.insert(ETAG, etag.clone());
        }
        let modified = self.modified.and_then(|at| HeaderValue::try_from(httpdate::fmt_http_date(at)).ok());
        if let Some(modified) = modified {
            headers.insert(LAST_MODIFIED, modified);
        }
    }

    /// Whether the visitor has this version already.
    pub(super) fn are_known(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(IF_NONE_MATCH) {
            let mut listed = headers.get_all(IF_NONE_MATCH).into_iter().flat_map(members);
            // Compared weakly (section 13.1.2).
            return listed.any(|tag| tag == b"*" || self.is_tag(tag.strip_prefix(b"W/").unwrap_or(tag)));
        }
        let since = headers.get(IF_MODIFIED_SINCE).and_then(date);
        self.modified.zip(since).is_some_and(|(modified, since)| modified <= since)
    }

    /// What of `length` bytes the visitor wants. Several ranges, and what cannot be read, count as all.
    pub(super) fn extent(&self, headers: &HeaderMap, length: u64) -> Extent {
        let holds = headers.get(IF_RANGE).is_none_or(|value| {
            self.is_tag(value.as_bytes()) || (self.modified.is_some() && date(value) == self.modified)
        });
        let mut ranges = headers.get_all(RANGE).into_iter();
        match (ranges.next().and_then(|value| value.to_str().ok()), ranges.next()) {
            (Some(range), None) if holds => part(range, length).unwrap_or(Extent::Whole),
            _ => Extent::Whole,
        }
    }

    fn is_tag(&self, tag: &[u8]) -> bool {
        self.etag.as_ref().is_some_and(|own| own.as_bytes() == tag)
    }
}

fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    list_members(value.as_bytes())
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// One range of bytes (section 14.1.2). `None` if it is none, or more than one.
fn part(range: &str, length: u64) -> Option<Extent> {
    let (unit, spec) = range.split_once('=')?;
    let (first, last) = spec.trim().split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number too large for us is larger than any file.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = match (first, last) {
        ("", suffix) => (length.saturating_sub(number(suffix)?), u64::MAX),
        (first, "") => (number(first)?, u64::MAX),
        (first, last) => (number(first)?, number(last)?),
    };
    if first > last {
        return None;
    }
    match length.checked_sub(1) {
        Some(end) if first <= end => Some(Extent::Part { first, last: last.min(end) }),
        _ => Some(Extent::Beyond),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn a_range_is_cut_to_the_file_and_nonsense_is_ignored() {
        use Extent::{Beyond, Part, Whole};
        for (range, length, expected) in [
            ("bytes=0-0", 10, Part { first: 0, last: 0 }),
            ("bytes=2-5", 10, Part { first: 2, last: 5 }),
            ("bytes=2-", 10, Part { first: 2, last: 9 }),
            ("bytes=2-99999999999999999999999", 10, Part { first: 2, last: 9 }),
            ("bytes=-3", 10, Part { first: 7, last: 9 }),
            ("bytes=-99", 10, Part { first: 0, last: 9 }),
            ("Bytes = 1-2", 10, Part { first: 1, last: 2 }),
            ("bytes=10-", 10, Beyond),
            ("bytes=-0", 10, Beyond),
            ("bytes=0-", 0, Beyond),
            ("bytes=-5", 0, Beyond),
            ("bytes=5-2", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("lines=1-2", 10, Whole),
            ("bytes", 10, Whole),
        ] {
            let extent = Validators::new(0, None).extent(&fields(&[("range", range)]), length);
            assert_eq!(extent, expected, "{range} of {length}");
        }
    }

    #[test]
    fn a_visitor_who_has_this_version_is_known_by_its_tag_or_its_date() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        let validators = Validators::new(3, Some(at));
        let mut written = HeaderMap::new();
        validators.write(&mut written);
        let tag = written[ETAG].to_str().expect("text").to_owned();
        let date = written[LAST_MODIFIED].to_str().expect("text").to_owned();
        assert_eq!(date, "Tue, 14 Nov 2023 22:13:20 GMT");
        let weak = format!("W/{tag}");
        let listed = format!("\"x\", {tag}");
        for (name, value, known) in [
            ("if-none-match", tag.as_str(), true),
            ("if-none-match", &weak, true),
            ("if-none-match", &listed, true),
            ("if-none-match", "*", true),
            ("if-none-match", "\"x\"", false),
            ("if-modified-since", &date, true),
            ("if-modified-since", "Tue, 14 Nov 2023 22:13:21 GMT", true),
            ("if-modified-since", "Tue, 14 Nov 2023 22:13:19 GMT", false),
            ("if-modified-since", "yesterday", false),
        ] {
            assert_eq!(validators.are_known(&fields(&[(name, value)])), known, "{name}: {value}");
        }
        let both = fields(&[("if-none-match", "\"x\""), ("if-modified-since", &date)]);
        assert!(!validators.are_known(&both), "the tag is the better witness");
        let range = |condition: &str| {
            validators.extent(&fields(&[("range", "bytes=0-0"), ("if-range", condition)]), 3)
        };
        assert_eq!(range(&tag), Extent::Part { first: 0, last: 0 });
        assert_eq!(range(&date), Extent::Part { first: 0, last: 0 });
        assert_eq!(range(&weak), Extent::Whole);
        assert_eq!(range("\"x\""), Extent::Whole);
    }

    #[test]
    fn a_time_that_http_cannot_write_is_left_out() {
        for at in [
            Some(UNIX_EPOCH - Duration::from_secs(1)),
            UNIX_EPOCH.checked_add(Duration::from_secs(END_OF_DATES)),
            None,
        ] {
            let mut written = HeaderMap::new();
            Validators::new(1, at).write(&mut written);
            assert!(written.is_empty(), "{at:?}");
        }
    }
}
