//! The first line of a head (RFC 9112 sections 3 and 4).

use super::field_lines::{LineEnd, line_end};
use crate::error::HeadError;
use crate::scan::{ctl_free_prefix, target_prefix};
use crate::syntax::token_prefix;
use crate::version::Version;

/// `HTTP/1.` and a digit.
const VERSION_BYTES: usize = b"HTTP/1.1".len();
/// A version, a space and a status.
const STATUS_BYTES: usize = b"HTTP/1.1 200".len();

/// The line that begins a request.
pub(crate) struct RequestLine<'a> {
    /// A token.
    pub(crate) method: &'a [u8],
    /// UTF-8 without white space and control bytes.
    pub(crate) target: &'a [u8],
    pub(crate) version: Version,
    /// Where the fields begin.
    pub(crate) end: usize,
}

impl<'a> RequestLine<'a> {
    /// The line at the beginning of `bytes`, which may end with LF alone if `LF` says so; `None` if it is incomplete.
    pub(crate) fn parse<const LF: bool>(bytes: &'a [u8]) -> Result<Option<Self>, HeadError> {
        let start = skip_empty_lines::<LF>(bytes);
        let line = &bytes[start..];
        let method_end = token_prefix(line);
        match line.get(method_end) {
            Some(b' ') if method_end > 0 => {}
            None => return Ok(None),
            Some(b'\r') if line.len() == 1 => return Ok(None),
            Some(_) => return Err(HeadError::RequestLine),
        }
        let rest = &line[method_end + 1..];
        let target_end = target_prefix(rest);
        match rest.get(target_end) {
            Some(b' ') if target_end > 0 => {}
            None => return Ok(None),
            Some(_) => return Err(HeadError::RequestLine),
        }
        let (method, target) = (&line[..method_end], &rest[..target_end]);
        if !target.is_ascii() && core::str::from_utf8(target).is_err() {
            return Err(HeadError::RequestLine);
        }
        let behind = &rest[target_end + 1..];
        let Some(version) = version(behind, HeadError::RequestLine)? else { return Ok(None) };
        match line_end::<LF>(&behind[VERSION_BYTES..]) {
            LineEnd::Length(length) => {
                let end = start + method_end + 1 + target_end + 1 + VERSION_BYTES + length;
                Ok(Some(RequestLine { method, target, version, end }))
            }
            LineEnd::Cut => Ok(None),
            LineEnd::None => Err(HeadError::Version),
        }
    }
}

/// The line that begins a response.
pub(crate) struct StatusLine<'a> {
    /// 100 to 999.
    pub(crate) status: u16,
    /// Without control bytes but TAB.
    pub(crate) reason: &'a [u8],
    pub(crate) version: Version,
    /// Where the fields begin.
    pub(crate) end: usize,
}

impl<'a> StatusLine<'a> {
    /// The line at the beginning of `bytes`; `None` if it is incomplete.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Option<Self>, HeadError> {
        let start = skip_empty_lines::<true>(bytes);
        let line = &bytes[start..];
        if line == b"\r" {
            return Ok(None);
        }
        let Some(version) = version(line, HeadError::Version)? else { return Ok(None) };
        let status = line.get(VERSION_BYTES..STATUS_BYTES).unwrap_or(&line[VERSION_BYTES..]);
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
        let status = match status {
            [] => return Ok(None),
            [b' ', digits @ ..] if digits.iter().all(u8::is_ascii_digit) && digits.first() != Some(&b'0') => {
                digits.iter().filter_map(digit).fold(0, |status, digit| status * 10 + digit)
            }
            _ => return Err(HeadError::StatusLine),
        };
        let mut reason_end = STATUS_BYTES;
        let length = loop {
            let Some(rest) = line.get(reason_end..) else { return Ok(None) };
            reason_end += ctl_free_prefix(rest);
            match (line_end::<true>(&line[reason_end..]), line.get(reason_end)) {
                (LineEnd::Length(length), _) => break length,
                (LineEnd::Cut, _) => return Ok(None),
                (LineEnd::None, Some(b'\t')) => reason_end += 1,
                (LineEnd::None, _) => return Err(HeadError::StatusLine),
            }
        };
        let reason = match &line[STATUS_BYTES..reason_end] {
            // Some servers leave out the reason and the space before it.
            [] => &[],
            [b' ', reason @ ..] => reason,
            _ => return Err(HeadError::StatusLine),
        };
        Ok(Some(StatusLine { status, reason, version, end: start + reason_end + length }))
    }
}

/// The length of the empty lines before a start line, which are ignored (RFC 9112 section 2.2).
fn skip_empty_lines<const LF: bool>(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let LineEnd::Length(more) = line_end::<LF>(&bytes[length..]) {
        length += more;
    }
    length
}

/// The version at the beginning of `bytes`; `None` if it is incomplete, and `other` if it is none of HTTP.
fn version(bytes: &[u8], other: HeadError) -> Result<Option<Version>, HeadError> {
    match bytes.get(..VERSION_BYTES) {
        Some(b"HTTP/1.1") => Ok(Some(Version::Http11)),
        Some(b"HTTP/1.0") => Ok(Some(Version::Http10)),
        None if b"HTTP/1.".starts_with(bytes) => Ok(None),
        _ if bytes.starts_with(b"HTTP/") => Err(HeadError::Version),
        _ => Err(other),
    }
}
