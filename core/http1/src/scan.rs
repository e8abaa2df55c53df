//! Finds the end of a head in a stream, looking at each byte once.
//!
//! It knows line ends and the size limit; what the lines say is parsed in `head.rs`.

use crate::error::HeadError;
use crate::limits::MAX_HEAD_BYTES;

/// Which line ends a head may have.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum LineEndings {
    /// CR LF or LF (RFC 9112 section 2.2 lets a recipient accept both).
    #[default]
    Lenient,
    /// CR LF only, no CR elsewhere, and no line that begins with white space: bytes that any two parsers divide into the
    /// same lines.
    Strict,
}

/// The position in a line.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum Position {
    /// Before the start line, where empty lines are ignored (RFC 9112 section 2.2).
    #[default]
    BeforeStartLine,
    BeforeStartLineCr,
    InLine,
    InLineCr,
    LineStart,
    LineStartCr,
}

/// What a byte leads to.
enum Next {
    Position(Position),
    /// The byte ends the head.
    End,
}

/// Searches for the empty line that ends a head.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct HeadScanner {
    position: Position,
    seen: usize,
    line_endings: LineEndings,
}

impl HeadScanner {
    /// A scanner before the first byte of a head.
    pub const fn new(line_endings: LineEndings) -> Self {
        HeadScanner { position: Position::BeforeStartLine, seen: 0, line_endings }
    }

    /// Scans the next bytes of the stream; `Some(n)` if the head ends after `n` of them.
    ///
    /// # Errors
    /// [`HeadError`] at the first byte that no head may contain, so that another protocol is recognised at once, or at
    /// the first byte past [`MAX_HEAD_BYTES`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            // Most of a head is the inside of lines.
            let skipped = if self.position == Position::InLine { lines_prefix(&bytes[at..]) } else { 0 };
            at += skipped.max(1);
            self.seen = self.seen.saturating_add(skipped.max(1));
            if self.seen > MAX_HEAD_BYTES {
                return Err(HeadError::TooLong);
            }
            if skipped > 0 {
                continue;
            }
            let next = match self.line_endings {
                LineEndings::Lenient => lenient(self.position, *byte)?,
                LineEndings::Strict => strict(self.position, *byte)?,
            };
            match next {
                Next::Position(position) => self.position = position,
                Next::End => return Ok(Some(at)),
            }
        }
        Ok(None)
    }

    /// How many bytes were scanned.
    pub const fn scanned(&self) -> usize {
        self.seen
    }

    /// Whether a start line has begun.
    pub const fn has_begun(&self) -> bool {
        !matches!(self.position, Position::BeforeStartLine | Position::BeforeStartLineCr)
    }
}

fn lenient(position: Position, byte: u8) -> Result<Next, HeadError> {
    Ok(Next::Position(match (position, byte) {
        (Position::LineStart | Position::LineStartCr, b'\n') => return Ok(Next::End),
        (Position::BeforeStartLine, b'\r' | b'\n') => Position::BeforeStartLine,
        (Position::LineStart, b'\r') => Position::LineStartCr,
        (_, b'\n') => Position::LineStart,
        (_, b'\r' | b'\t') => Position::InLine,
        (_, byte) if byte.is_ascii_control() => return Err(HeadError::Byte(byte)),
        (_, _) => Position::InLine,
    }))
}

fn strict(position: Position, byte: u8) -> Result<Next, HeadError> {
    Ok(Next::Position(match (position, byte) {
        (Position::BeforeStartLine, b'\r') => Position::BeforeStartLineCr,
        (Position::BeforeStartLineCr, b'\n') => Position::BeforeStartLine,
        (Position::InLine, b'\r') => Position::InLineCr,
        (Position::InLineCr, b'\n') => Position::LineStart,
        (Position::LineStart, b'\r') => Position::LineStartCr,
        (Position::LineStartCr, b'\n') => return Ok(Next::End),
        (Position::BeforeStartLineCr | Position::InLineCr | Position::LineStartCr, _) => {
            return Err(HeadError::BareCr);
        }
        (_, b'\n') => return Err(HeadError::BareLf),
        (Position::BeforeStartLine | Position::LineStart, b' ' | b'\t') => {
            return Err(HeadError::LeadingWhitespace);
        }
        (_, byte) if byte != b'\t' && byte.is_ascii_control() => return Err(HeadError::Byte(byte)),
        (_, _) => Position::InLine,
    }))
}

/// The number of leading bytes, inside a line, that are the insides of lines and line ends with another line behind them.
fn lines_prefix(bytes: &[u8]) -> usize {
    let mut length = ctl_free_prefix(bytes);
    while let [b'\r', b'\n', next, ..] = bytes[length..]
        && next > b' '
        && next != 0x7f
    {
        length += 2 + ctl_free_prefix(&bytes[length + 2..]);
    }
    length
}

/// The number of leading bytes that are not control bytes (0x00 to 0x1f and 0x7f).
#[inline]
pub(crate) fn ctl_free_prefix(bytes: &[u8]) -> usize {
    prefix_above::<0x20>(bytes)
}

/// The number of leading bytes that may stand in a request target: neither control bytes nor space.
#[inline]
pub(crate) fn target_prefix(bytes: &[u8]) -> usize {
    prefix_above::<0x21>(bytes)
}

/// The number of leading bytes that are neither below `FIRST` nor 0x7f.
#[inline]
fn prefix_above<const FIRST: u8>(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks();
    let mut skipped = 0;
    for word in words {
        let found = flags_below::<FIRST>(*word);
        if found != 0 {
            return skipped + found.trailing_zeros() as usize / 8;
        }
        skipped += size_of::<u64>();
    }
    skipped + rest.iter().position(|byte| *byte < FIRST || *byte == 0x7f).unwrap_or(rest.len())
}

/// A word whose lowest set bit is in the first of eight bytes that is below `FIRST` or 0x7f; zero if none of them is. Bits
/// above may be set in others.
#[inline]
fn flags_below<const FIRST: u8>(bytes: [u8; size_of::<u64>()]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 0x80;
    let word = u64::from_le_bytes(bytes);
    // A top bit is set where a byte is too small. A borrow can set others, but only above such a byte.
    let below = word.wrapping_sub(ONES * FIRST as u64);
    // A top bit is set where the other bits are those of 0x7f.
    let delete = (word & !TOPS).wrapping_add(ONES);
    (below | delete) & !word & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(line_endings: LineEndings, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        HeadScanner::new(line_endings).feed(bytes)
    }

    #[test]
    fn the_end_is_the_first_blank_line_after_the_start_line() {
        let lenient = LineEndings::Lenient;
        assert_eq!(scan(lenient, b"\r\n\nGET / HTTP/1.1\r\nA: b\r\n\r\nrest"), Ok(Some(27)));
        assert_eq!(scan(lenient, b"A\n\nB"), Ok(Some(3)));
        assert_eq!(scan(lenient, b"A\r\n\r"), Ok(None));
        let strict = LineEndings::Strict;
        assert_eq!(scan(strict, b"\r\n\r\nGET / HTTP/1.1\r\nA:\tb\r\n\r\nrest"), Ok(Some(28)));
        assert_eq!(scan(strict, b"A\r\n\r"), Ok(None));
    }

    #[test]
    fn strict_line_ends_are_carriage_return_and_line_feed_alone() {
        for (bytes, error) in [
            (&b"A\n"[..], HeadError::BareLf),
            (b"\n", HeadError::BareLf),
            (b"A\r\n\n", HeadError::BareLf),
            (b"\rA", HeadError::BareCr),
            (b"A\rB", HeadError::BareCr),
            (b"A\r\r\n", HeadError::BareCr),
            (b"A\r\n\rB", HeadError::BareCr),
            (b" A", HeadError::LeadingWhitespace),
            (b"\r\n\tA", HeadError::LeadingWhitespace),
            (b"A\r\n b", HeadError::LeadingWhitespace),
            (b"A\r\n\tb", HeadError::LeadingWhitespace),
            (b"\0", HeadError::Byte(0)),
            (b"A\x7f", HeadError::Byte(0x7f)),
            (b"A\r\n\x1b", HeadError::Byte(0x1b)),
        ] {
            assert_eq!(scan(LineEndings::Strict, bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_has_begun_with_its_start_line_and_not_with_empty_lines() {
        for line_endings in [LineEndings::Lenient, LineEndings::Strict] {
            let mut scanner = HeadScanner::new(line_endings);
            for (piece, scanned) in [(&b"\r"[..], 1), (b"\n", 2)] {
                assert_eq!(scanner.feed(piece), Ok(None));
                assert_eq!((scanner.has_begun(), scanner.scanned()), (false, scanned));
            }
            for (piece, scanned) in [(&b"G"[..], 3), (b"ET / HTTP/1.1\r", 17), (b"\n", 18), (b"\r", 19)] {
                assert_eq!(scanner.feed(piece), Ok(None));
                assert_eq!((scanner.has_begun(), scanner.scanned()), (true, scanned));
            }
        }
    }

    #[test]
    fn a_stream_that_is_not_text_fails_at_its_first_control_byte() {
        assert_eq!(scan(LineEndings::Lenient, b"\x16\x03\x01"), Err(HeadError::Byte(0x16)));
        assert_eq!(scan(LineEndings::Lenient, b"A\tB"), Ok(None));
    }

    #[test]
    fn plain_bytes_end_at_the_first_control_byte_wherever_it_is() {
        for filler in [b'a', b'b', b' ', b'~', 0x80, 0xff] {
            for (byte, at) in (0..=u8::MAX).flat_map(|byte| (0..20).map(move |at| (byte, at))) {
                let mut bytes = [filler; 20];
                bytes[at] = byte;
                let expected = if byte.is_ascii_control() { at } else { 20 };
                assert_eq!(ctl_free_prefix(&bytes), expected, "{byte} at {at} in {filler}");
                if filler != b' ' {
                    let expected = if byte == b' ' { at } else { expected };
                    assert_eq!(target_prefix(&bytes), expected, "{byte} at {at} in {filler}");
                }
            }
        }
    }

    #[test]
    fn the_first_control_byte_of_eight_is_found() {
        for filler in [b'a', b'b', b' ', b'!', b'~', 0x80, 0x9f, 0xff] {
            for (byte, at) in (0..=u8::MAX).flat_map(|byte| (0..8).map(move |at| (byte, at))) {
                let mut bytes = [filler; 8];
                bytes[at] = byte;
                let expected = if byte.is_ascii_control() { at } else { 8 };
                assert_eq!(
                    flags_below::<0x20>(bytes).trailing_zeros() as usize / 8,
                    expected,
                    "{byte} at {at} in {filler}"
                );
            }
        }
    }

    #[test]
    fn a_head_of_exactly_the_limit_is_whole() {
        for (line_endings, end) in [(LineEndings::Lenient, &b"\n\n"[..]), (LineEndings::Strict, b"\r\n\r\n")]
        {
            let mut head = alloc::vec![b'a'; MAX_HEAD_BYTES - end.len()];
            head.extend_from_slice(end);
            assert_eq!(scan(line_endings, &head), Ok(Some(MAX_HEAD_BYTES)));
            head.insert(0, b'a');
            assert_eq!(scan(line_endings, &head), Err(HeadError::TooLong));
        }
    }
}
