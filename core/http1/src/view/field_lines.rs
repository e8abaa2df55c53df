//! Finds the field lines of a head (RFC 9112 section 5), looking at each byte once.

use super::field_kind::FieldKind;
use super::field_table::{FieldSpan, FieldTable};
use crate::error::HeadError;
use crate::limits::MAX_HEADERS;
use crate::scan::{LineEndings, ctl_free_prefix};
use crate::syntax::token_prefix;

/// Reads the lines from `at` to the empty line that must end `bytes`, and shows each to `on_field` with its value.
pub(super) fn read_fields<'a, E: From<HeadError>>(
    bytes: &'a [u8],
    mut at: usize,
    line_endings: LineEndings,
    table: &mut FieldTable,
    mut on_field: impl FnMut(FieldKind, &'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    table.0.clear();
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if let Some(length) = line_end(rest, line_endings) {
            return if length == rest.len() { Ok(()) } else { Err(HeadError::LineEnd.into()) };
        }
        if table.0.len() >= MAX_HEADERS {
            return Err(HeadError::TooManyHeaders.into());
        }
        let span = read_field(bytes, at, line_endings)?;
        if span.kind != FieldKind::Other {
            on_field(span.kind, &bytes[span.value_start as usize..span.value_end as usize])?;
        }
        at = span.end as usize;
        table.0.push(span);
    }
}

/// The length of the line end that `bytes` begin with.
pub(super) fn line_end(bytes: &[u8], line_endings: LineEndings) -> Option<usize> {
    match (bytes, line_endings) {
        ([b'\r', b'\n', ..], _) => Some(2),
        ([b'\n', ..], LineEndings::Lenient) => Some(1),
        _ => None,
    }
}

fn read_field(bytes: &[u8], start: usize, line_endings: LineEndings) -> Result<FieldSpan, HeadError> {
    let name_end = start + token_prefix(&bytes[start..]);
    let mut colon = name_end;
    // A proxy removes white space before the colon of a response, and a server refuses it in a request (RFC 9112
    // section 5.1).
    if line_endings == LineEndings::Lenient {
        colon += blank_prefix(&bytes[colon..]);
    }
    if name_end == start || bytes.get(colon) != Some(&b':') {
        return Err(HeadError::HeaderName);
    }
    let value_start = colon + 1 + blank_prefix(&bytes[colon + 1..]);
    let mut value_end = value_start;
    let length = loop {
        value_end += ctl_free_prefix(&bytes[value_end..]);
        let rest = &bytes[value_end..];
        match (rest.first(), line_end(rest, line_endings)) {
            (_, Some(length)) => break length,
            (Some(b'\t'), _) => value_end += 1,
            (None | Some(b'\r' | b'\n'), _) => return Err(HeadError::LineEnd),
            (Some(_), _) => return Err(HeadError::HeaderValue),
        }
    };
    let end = value_end + length;
    let kept = bytes[value_start..value_end].trim_ascii_end().len();
    let offset = |at: usize| u32::try_from(at).map_err(|_| HeadError::TooLong);
    Ok(FieldSpan {
        start: offset(start)?,
        name_end: offset(name_end)?,
        value_start: offset(value_start)?,
        value_end: offset(value_start + kept)?,
        end: offset(end)?,
        kind: FieldKind::classify(&bytes[start..name_end]),
    })
}

fn blank_prefix(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len())
}
