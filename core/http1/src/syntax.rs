//! Which bytes the parts of a head may contain.

/// A token (RFC 9110 section 5.6.2): a method or a field name.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && token_prefix(text.as_bytes()) == text.len()
}

/// Whether each byte may stand in a token.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let signs = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < signs.len() {
        table[signs[at] as usize] = true;
        at += 1;
    }
    table
};

/// The number of leading bytes that may stand in a token.
pub(crate) fn token_prefix(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !TOKEN[usize::from(*byte)]).unwrap_or(bytes.len())
}

/// A field value or a reason phrase (RFC 9110 section 5.5): no control byte but TAB.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == b'\t' || !b.is_ascii_control())
}

/// A request target: no control byte, and no space, which would end it.
pub(crate) fn is_target(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b != b' ' && !b.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_and_nul_stand_nowhere() {
        for bad in ["a\r", "a\n", "a\0", "\r\nb"] {
            assert!(!is_token(bad) && !is_value(bad.as_bytes()) && !is_target(bad), "{bad:?}");
        }
        assert!(!is_token("a b") && !is_token("a:") && !is_token(""));
        assert!(is_value(b"a\tb \xff") && is_target("/caf\u{e9}?x=%20"));
    }
}
