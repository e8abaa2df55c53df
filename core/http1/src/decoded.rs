//! The result of decoding a piece of a body.

/// What one call to [`Body::decode`](crate::Body::decode) consumed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Decoded<'a> {
    /// How many of the given bytes belong to the body; at least one, unless none were given or the body is finished.
    pub used: usize,
    /// The payload among them, a subslice of the given bytes; empty if all of them were framing.
    pub payload: &'a [u8],
    /// Bytes of the trailer section among them (RFC 9112 section 7.1.2), for
    /// [`trailer_fields`](crate::trailer_fields) once the body is finished. Empty if there is payload.
    pub trailers: &'a [u8],
}

/// The prefix of `bytes` with at most `remaining` bytes; its length is subtracted from `remaining`.
pub(crate) fn split_prefix<'a>(bytes: &'a [u8], remaining: &mut u64) -> &'a [u8] {
    let count = usize::try_from(*remaining).unwrap_or(usize::MAX).min(bytes.len());
    *remaining -= count as u64;
    &bytes[..count]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_never_goes_below_zero() {
        let mut left = 3;
        assert_eq!(split_prefix(b"abcdef", &mut left), b"abc");
        assert_eq!(split_prefix(b"def", &mut left), b"");
        assert_eq!(left, 0);
    }
}
