//! Which bytes the parts of a head may contain.

use crate::scan::target_prefix;

/// A token (RFC 9110 section 5.6.2): a method or a field name.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && token_prefix(text.as_bytes()) == text.len()
}

/// In which parts each byte may stand.
const PARTS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] |= TOKEN | HOST;
        }
        byte += 1;
    }
    let mut at = 0;
    let signs = b"!#$%&'*+-.^_`|~";
    while at < signs.len() {
        table[signs[at] as usize] |= TOKEN;
        at += 1;
    }
    at = 0;
    let signs = b"-._~%!$&'()*+;=:[]";
    while at < signs.len() {
        table[signs[at] as usize] |= HOST;
        at += 1;
    }
    table
};
const TOKEN: u8 = 1;
const HOST: u8 = 2;

/// Whether a byte may stand in one of these parts.
#[inline]
fn is_in(byte: u8, parts: u8) -> bool {
    PARTS[usize::from(byte)] & parts != 0
}

/// The number of leading bytes that may stand in this part, from the byte at `from`.
#[inline]
fn prefix(bytes: &[u8], part: u8, from: usize) -> usize {
    let mut length = from;
    while bytes.get(length).is_some_and(|byte| is_in(*byte, part)) {
        length += 1;
    }
    length
}

/// The number of leading bytes that may stand in a token.
#[inline]
pub(crate) fn token_prefix(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks();
    let mut length = 0;
    for word in words {
        // Most names are letters and `-` alone.
        let found = other_flags(*word);
        if found != 0 {
            length += found.trailing_zeros() as usize / 8;
            break;
        }
        length += size_of::<u64>();
    }
    prefix(bytes, TOKEN, length)
}

/// A word whose lowest set bit is in the first of eight bytes that is neither a letter nor `-`; zero if there is none. Bits above
/// may be set in others, because a sum of such a byte can carry.
fn other_flags(bytes: [u8; size_of::<u64>()]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 0x80;
    let word = u64::from_le_bytes(bytes);
    let small = word | (ONES * 0x20);
    // Their top bits are set from `a`, and above `z`.
    let from_a = small.wrapping_add(ONES * (0x80 - b'a' as u64));
    let above_z = small.wrapping_add(ONES * (0x80 - 1 - b'z' as u64));
    // Its top bits are set where the byte is not `-`.
    let not_dash = (word ^ (ONES * b'-' as u64)).wrapping_add(ONES * 0x7f);
    (((!from_a | above_z) & not_dash) | word) & TOPS
}

/// A host with or without a port (RFC 3986 section 3.2), by its characters. A comma is none of them, because fields that are
/// lists carry the host on.
pub(crate) fn is_host(bytes: &[u8]) -> bool {
    prefix(bytes, HOST, 0) == bytes.len()
}

/// A field value or a reason phrase (RFC 9110 section 5.5): no control byte but TAB.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == b'\t' || !b.is_ascii_control())
}

/// A request target: no control byte, and no space, which would end it.
pub(crate) fn is_target(text: &str) -> bool {
    !text.is_empty() && target_prefix(text.as_bytes()) == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_at_its_first_other_byte_wherever_it_is() {
        let signs = b"!#$%&'*+-.^_`|~";
        for filler in [b'a', b'Z', b'-', b'0', b'_'] {
            for (byte, at) in (0..=u8::MAX).flat_map(|byte| (0..20).map(move |at| (byte, at))) {
                let mut bytes = [filler; 20];
                bytes[at] = byte;
                let is_token = byte.is_ascii_alphanumeric() || signs.contains(&byte);
                assert_eq!(
                    token_prefix(&bytes),
                    if is_token { 20 } else { at },
                    "{byte} at {at} in {filler}"
                );
            }
        }
    }

    #[test]
    fn the_first_of_eight_bytes_that_is_neither_a_letter_nor_a_dash_is_found() {
        for filler in [b'a', b'z', b'A', b'Z', b'-'] {
            for (byte, at) in (0..=u8::MAX).flat_map(|byte| (0..8).map(move |at| (byte, at))) {
                let mut bytes = [filler; 8];
                bytes[at] = byte;
                let flags = other_flags(bytes);
                let found = (flags != 0).then(|| flags.trailing_zeros() as usize / 8);
                let is_other = !(byte.is_ascii_alphabetic() || byte == b'-');
                assert_eq!(found, is_other.then_some(at), "{byte} at {at} in {filler}");
            }
        }
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
