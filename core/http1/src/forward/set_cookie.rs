//! The `Domain` attribute of `Set-Cookie` (RFC 6265 section 4.1.2.3).

use alloc::vec::Vec;
use core::ops::Range;

/// The next `Domain` attribute of a `Set-Cookie` value from `at`: where the attribute is, with the semicolon before it, and
/// where its value is, without the dots that it may begin with.
pub(crate) fn next_domain(value: &[u8], at: usize) -> Option<(Range<usize>, Range<usize>)> {
    let mut start = at + value.get(at..)?.iter().position(|byte| *byte == b';')?;
    loop {
        let behind = start + 1;
        let length = value[behind..].iter().position(|byte| *byte == b';');
        let end = length.map_or(value.len(), |length| behind + length);
        if let Some(domain) = domain(&value[behind..end]) {
            return Some((start..end, behind + domain.start..behind + domain.end));
        }
        length?;
        start = end;
    }
}

/// Where the value of an attribute is, if it is `Domain`.
fn domain(attribute: &[u8]) -> Option<Range<usize>> {
    let equals = attribute.iter().position(|byte| *byte == b'=')?;
    if !attribute[..equals].trim_ascii().eq_ignore_ascii_case(b"domain") {
        return None;
    }
    let value = &attribute[equals + 1..];
    let mut start = equals + 1 + (value.len() - value.trim_ascii_start().len());
    let end = start + value.trim_ascii().len();
    // User agents strip one (RFC 6265 section 5.2.3), or all.
    while attribute.get(start) == Some(&b'.') && start < end {
        start += 1;
    }
    Some(start..end)
}

/// A `Set-Cookie` value without those `Domain` attributes that every host below `relay_domain` shares: that domain
/// and its parents. `None` if it has none.
pub fn without_shared_domain(value: &[u8], relay_domain: &str) -> Option<Vec<u8>> {
    let (mut left, mut copied, mut at) = (Vec::new(), 0, 0);
    while let Some((attribute, domain)) = next_domain(value, at) {
        if is_shared(&value[domain], relay_domain) {
            left.extend_from_slice(&value[copied..attribute.start]);
            copied = attribute.end;
        }
        at = attribute.end;
    }
    if copied == 0 {
        return None;
    }
    left.extend_from_slice(&value[copied..]);
    // HTTP/2 refuses a value that ends in whitespace (RFC 9113 section 8.2.1).
    left.truncate(left.trim_ascii_end().len());
    Some(left)
}

/// Whether cookies of `domain` reach every host below `relay_domain`: it is that or a parent of it.
fn is_shared(domain: &[u8], relay_domain: &str) -> bool {
    let relay = relay_domain.as_bytes();
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    let Some(rest) = relay.len().checked_sub(domain.len()) else { return false };
    let is_suffix = relay[rest..].eq_ignore_ascii_case(domain);
    is_suffix && (rest == 0 || relay[rest - 1] == b'.')
}
