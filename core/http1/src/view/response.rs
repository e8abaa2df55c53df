//! A response head, read where it lies.
//!
//! Lines may end with LF alone and a name may be followed by white space: the head that is written from it has neither
//! (RFC 9112 sections 2.2 and 5.1).

use core::time::Duration;

use super::connection::ConnectionOptions;
use super::error::ResponseError;
use super::field_kind::FieldKind;
use super::field_lines::{line_end, read_fields};
use super::field_table::{FieldTable, Fields};
use super::request::logs_in_connection;
use crate::error::{FramingError, HeadError};
use crate::framing::{Framing, decimal};
use crate::headers::list_members;
use crate::limits::{MAX_CONNECTION_OPTIONS, MAX_HEAD_BYTES};
use crate::scan::{LineEndings, ctl_free_prefix};
use crate::version::Version;

/// A response head that a proxy may forward, borrowed from its bytes.
#[derive(Copy, Clone, Debug)]
pub struct ResponseView<'a> {
    status: u16,
    reason: &'a [u8],
    version: Version,
    framing: Framing,
    fields: Fields<'a>,
    facts: ResponseFacts<'a>,
}

/// What the fields say.
#[derive(Copy, Clone, Debug, Default)]
struct ResponseFacts<'a> {
    length: Option<u64>,
    is_chunked: bool,
    connection: ConnectionOptions,
    upgrade: Option<&'a [u8]>,
    keep_alive: Option<Duration>,
    authenticates_connection: bool,
    has_date: bool,
}

impl<'a> ResponseView<'a> {
    /// Reads one complete head, whose end [`HeadScanner`](crate::HeadScanner) found, of the response to a request of this
    /// `method`.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub fn parse(bytes: &'a [u8], table: &'a mut FieldTable, method: &str) -> Result<Self, ResponseError> {
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(HeadError::TooLong.into());
        }
        let line = StatusLine::parse(bytes)?;
        let mut facts = ResponseFacts::default();
        read_fields(bytes, line.end, LineEndings::Lenient, table, |kind, value| facts.on_field(kind, value))?;
        if facts.connection.named > MAX_CONNECTION_OPTIONS {
            return Err(ResponseError::ConnectionOptions);
        }
        if facts.is_chunked && line.version == Version::Http10 {
            return Err(FramingError::EncodingInHttp10.into());
        }
        let framing = match line.status {
            101 => Framing::Tunnel,
            100..=199 | 204 | 304 => Framing::Empty,
            _ if method == "HEAD" => Framing::Empty,
            200..=299 if method == "CONNECT" => Framing::Tunnel,
            // Chunks override a length (RFC 9112 section 6.3).
            _ if facts.is_chunked => Framing::Chunked,
            _ => facts.length.map_or(Framing::UntilClose, Framing::Length),
        };
        let StatusLine { status, reason, version, .. } = line;
        Ok(ResponseView { status, reason, version, framing, fields: Fields::new(bytes, &table.0), facts })
    }

    /// The status, 100 to 999.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, on which nothing should depend.
    pub const fn reason(&self) -> &'a [u8] {
        self.reason
    }

    /// The version.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether another response to the same request follows (RFC 9110 section 15.2). `101` is final.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// How the body ends.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// The `Content-Length`, even of a response without a body, as that to `HEAD`; `None` beside chunks.
    pub const fn length(&self) -> Option<u64> {
        if self.facts.is_chunked { None } else { self.facts.length }
    }

    /// What `Connection` says.
    pub const fn connection(&self) -> ConnectionOptions {
        self.facts.connection
    }

    /// Whether the service keeps the connection for another request (RFC 9112 section 9.3).
    pub const fn keeps_alive(&self) -> bool {
        let connection = self.facts.connection;
        let is_framed = !matches!(self.framing, Framing::UntilClose | Framing::Tunnel);
        is_framed && !connection.close && (matches!(self.version, Version::Http11) || connection.keep_alive)
    }

    /// How long the service keeps the idle connection, if `Keep-Alive: timeout=` says so (RFC 2068 section 19.7.1.1).
    pub const fn keep_alive_timeout(&self) -> Option<Duration> {
        self.facts.keep_alive
    }

    /// The `Upgrade` field.
    pub const fn upgrade(&self) -> Option<&'a [u8]> {
        self.facts.upgrade
    }

    /// Whether a challenge names a scheme that logs in the connection, not the request (NTLM, Negotiate): the connection must
    /// never carry a request of somebody else.
    pub const fn authenticates_connection(&self) -> bool {
        self.facts.authenticates_connection
    }

    /// The fields as they were sent.
    pub const fn fields(&self) -> Fields<'a> {
        self.fields
    }

    pub(crate) const fn has_date(&self) -> bool {
        self.facts.has_date
    }
}

struct StatusLine<'a> {
    status: u16,
    reason: &'a [u8],
    version: Version,
    end: usize,
}

impl<'a> StatusLine<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ResponseError> {
        let mut start = 0;
        while let Some(length) = line_end(&bytes[start..], LineEndings::Lenient) {
            start += length;
        }
        let line = &bytes[start..];
        let version = match line.get(..9) {
            Some(b"HTTP/1.1 ") => Version::Http11,
            Some(b"HTTP/1.0 ") => Version::Http10,
            _ => return Err(HeadError::Version.into()),
        };
        let malformed = ResponseError::Head(HeadError::StatusLine);
        let status = match line.get(9..12) {
            Some(digits) if digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0' => {
                digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
            }
            _ => return Err(malformed),
        };
        // Some servers leave out the reason and the space before it.
        let mut reason_end = 12;
        loop {
            reason_end += ctl_free_prefix(&line[reason_end..]);
            if line.get(reason_end) != Some(&b'\t') {
                break;
            }
            reason_end += 1;
        }
        let length = line_end(&line[reason_end..], LineEndings::Lenient).ok_or(malformed)?;
        let reason = match &line[12..reason_end] {
            [] => &[],
            [b' ', reason @ ..] => reason,
            _ => return Err(malformed),
        };
        Ok(StatusLine { status, reason, version, end: start + reason_end + length })
    }
}

impl<'a> ResponseFacts<'a> {
    fn on_field(&mut self, kind: FieldKind, value: &'a [u8]) -> Result<(), ResponseError> {
        match kind {
            FieldKind::ContentLength => {
                // Equal lengths are one (RFC 9112 section 6.3).
                for member in list_members(value) {
                    let length = decimal(member).ok_or(FramingError::Length)?;
                    if self.length.is_some_and(|agreed| agreed != length) {
                        return Err(FramingError::LengthsDiffer.into());
                    }
                    self.length = Some(length);
                }
            }
            // Other codings would reach a visitor who did not ask for them.
            FieldKind::TransferEncoding if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") => {
                return Err(FramingError::Encoding.into());
            }
            FieldKind::TransferEncoding => self.is_chunked = true,
            FieldKind::Connection => self.connection.read(value),
            FieldKind::Upgrade => self.upgrade = self.upgrade.or(Some(value)),
            FieldKind::KeepAlive => self.keep_alive = self.keep_alive.or(timeout(value)),
            FieldKind::Challenge => self.authenticates_connection |= logs_in_connection(value),
            FieldKind::Date => self.has_date = true,
            _ => {}
        }
        Ok(())
    }
}

/// The `timeout` parameter of `Keep-Alive`.
fn timeout(value: &[u8]) -> Option<Duration> {
    list_members(value).find_map(|member| {
        let (name, seconds) = member.split_at_checked(b"timeout=".len())?;
        name.eq_ignore_ascii_case(b"timeout=").then(|| decimal(seconds).map(Duration::from_secs))?
    })
}
