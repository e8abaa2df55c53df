//! Which bytes the parts of a head may contain.

/// A token (RFC 9110 section 5.6.2): a method or a field name.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
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
