//! Finds the field lines of a head (RFC 9112 section 5), looking at each byte once.

use super::field_kind::FieldKind;
use super::field_table::{FieldSpan, FieldTable};
use crate::error::HeadError;
use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::scan::ctl_free_prefix;
use crate::syntax::token_prefix;

/// Reads the lines from `at` to the empty line, shows those that mean something to `on_field`, and returns the length of the
/// head; `None` if `bytes` end before it. With `LF` lines may end with LF alone, with `REPAIR` white space may follow a name.
pub(crate) fn read_fields<'a, const LF: bool, const REPAIR: bool, E: From<HeadError>>(
    bytes: &'a [u8],
    mut at: usize,
    table: &mut FieldTable,
    mut on_field: impl FnMut(FieldKind, &'a [u8]) -> Result<(), E>,
) -> Result<Option<usize>, E> {
    // Offsets have 32 bits.
    let bytes = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    table.0.clear();
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let line = match plain_line(rest) {
            (0, _) => match read_line::<LF, REPAIR>(rest)? {
                LineRead::Field(line) => line,
                LineRead::End(length) => return Ok(Some(at + length)),
                LineRead::Cut => return Ok(None),
            },
            (name_end, value_end) => {
                Line { name_end, value_start: name_end + 2, value_end, end: value_end + 2, is_plain: true }
            }
        };
        if table.0.len() >= MAX_HEADERS {
            return Err(HeadError::TooManyHeaders.into());
        }
        let kind = FieldKind::classify(&rest[..line.name_end]);
        if kind != FieldKind::Other {
            on_field(kind, &rest[line.value_start..line.value_end])?;
        }
        table.0.push(FieldSpan {
            start: at as u32,
            name_end: (at + line.name_end) as u32,
            value_start: (at + line.value_start) as u32,
            value_end: (at + line.value_end) as u32,
            end: (at + line.end) as u32,
            kind,
            is_plain: line.is_plain,
        });
        at += line.end;
    }
}

/// Where name and value end, if a line is `Name: value` and CR LF, as most are; else zeros. Not inlined, because it is the
/// innermost loop and needs the registers.
#[inline(never)]
fn plain_line(line: &[u8]) -> (usize, usize) {
    let name_end = token_prefix(line);
    let Some([b':', b' ', value @ ..]) = line.get(name_end..) else { return (0, 0) };
    let length = ctl_free_prefix(value);
    match value.get(length..) {
        Some([b'\r', b'\n', ..]) => {}
        _ => return (0, 0),
    }
    // The prefix ends at a TAB.
    match (value.first(), value.get(length.wrapping_sub(1))) {
        (None | Some(b' '), _) | (_, None | Some(b' ')) => (0, 0),
        _ => (name_end, name_end + 2 + length),
    }
}

/// Offsets in one line.
struct Line {
    name_end: usize,
    value_start: usize,
    value_end: usize,
    end: usize,
    /// Whether it is written as `Name: value` and CR LF.
    is_plain: bool,
}

/// What a line is.
enum LineRead {
    Field(Line),
    /// Empty, with a line end of this many bytes.
    End(usize),
    /// Incomplete.
    Cut,
}

/// Whether a line ends here.
pub(super) enum LineEnd {
    None,
    /// It does, after this many bytes.
    Length(usize),
    /// It may, if more bytes come.
    Cut,
}

#[inline]
pub(super) fn line_end<const LF: bool>(bytes: &[u8]) -> LineEnd {
    match bytes {
        [b'\r', b'\n', ..] => LineEnd::Length(2),
        [b'\n', ..] if LF => LineEnd::Length(1),
        [] | [b'\r'] => LineEnd::Cut,
        _ => LineEnd::None,
    }
}

/// Reads any line.
#[inline(never)]
fn read_line<const LF: bool, const REPAIR: bool>(line: &[u8]) -> Result<LineRead, HeadError> {
    let name_end = token_prefix(line);
    if name_end == 0 {
        return match line_end::<LF>(line) {
            LineEnd::Length(length) => Ok(LineRead::End(length)),
            LineEnd::Cut => Ok(LineRead::Cut),
            LineEnd::None => Err(HeadError::HeaderName),
        };
    }
    // A proxy removes white space before the colon of a response, and a server refuses it in a request (RFC 9112
    // section 5.1).
    let colon = if REPAIR { skip_blanks(line, name_end) } else { name_end };
    match line.get(colon) {
        Some(b':') => {}
        None => return Ok(LineRead::Cut),
        Some(_) => return Err(HeadError::HeaderName),
    }
    let value_start = skip_blanks(line, colon + 1);
    let mut at = value_start;
    let length = loop {
        at += ctl_free_prefix(&line[at..]);
        match line_end::<LF>(&line[at..]) {
            LineEnd::Length(length) => break length,
            LineEnd::Cut => return Ok(LineRead::Cut),
            LineEnd::None => match line[at] {
                b'\t' => at += 1,
                b'\r' => return Err(HeadError::BareCr),
                b'\n' => return Err(HeadError::BareLf),
                _ => return Err(HeadError::HeaderValue),
            },
        }
    };
    let mut value_end = at;
    while value_end > value_start && is_blank(line[value_end - 1]) {
        value_end -= 1;
    }
    Ok(LineRead::Field(Line { name_end, value_start, value_end, end: at + length, is_plain: false }))
}

fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| is_blank(*byte)) {
        at += 1;
    }
    at
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
