//! A response head, read where it lies.
//!
//! Lines may end with LF alone and a name may be followed by white space: the head that is written from it has neither
//! (RFC 9112 sections 2.2 and 5.1).

use core::time::Duration;

use super::connection::ConnectionOptions;
use super::error::ResponseError;
use super::field_kind::FieldKind;
use super::field_lines::read_fields;
use super::field_table::{FieldTable, Fields};
use super::request::logs_in_connection;
use super::start_line::StatusLine;
use crate::error::HeadError;
use crate::framing::{Framing, FramingFields, decimal};
use crate::limits::{MAX_CONNECTION_OPTIONS, MAX_HEAD_BYTES};
use crate::list::list_members;
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
    framing: FramingFields,
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
        match Self::parse_prefix(bytes, table, method)? {
            Some((view, length)) if length == bytes.len() => Ok(view),
            _ => Err(HeadError::LineEnd.into()),
        }
    }

    /// Reads a head at the beginning of `bytes`, and its length; `None` if it is incomplete. Not for bytes that come in small
    /// pieces, because each call begins anew: a [`HeadScanner`](crate::HeadScanner) finds the end of those.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub fn parse_prefix(
        bytes: &'a [u8],
        table: &'a mut FieldTable,
        method: &str,
    ) -> Result<Option<(Self, usize)>, ResponseError> {
        let Some(line) = StatusLine::parse(bytes)? else { return incomplete(bytes) };
        let mut facts = ResponseFacts::default();
        let on_field = |kind, value| facts.on_field(kind, value);
        let Some(length) = read_fields::<true, true, _>(bytes, line.end, table, on_field)? else {
            return incomplete(bytes);
        };
        if facts.connection.named > MAX_CONNECTION_OPTIONS {
            return Err(ResponseError::ConnectionOptions);
        }
        let framing = facts.framing.response_framing(line.status, method, line.version)?;
        let StatusLine { status, reason, version, .. } = line;
        let view =
            ResponseView { status, reason, version, framing, fields: Fields::new(bytes, &table.0), facts };
        Ok(Some((view, length)))
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
        if self.facts.framing.has_coding() { None } else { self.facts.framing.length() }
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

/// What is said of a head without its end.
fn incomplete<T>(bytes: &[u8]) -> Result<Option<T>, ResponseError> {
    if bytes.len() > MAX_HEAD_BYTES { Err(HeadError::TooLong.into()) } else { Ok(None) }
}

impl<'a> ResponseFacts<'a> {
    fn on_field(&mut self, kind: FieldKind, value: &'a [u8]) -> Result<(), ResponseError> {
        match kind {
            FieldKind::ContentLength => self.framing.read_length(value)?,
            FieldKind::TransferEncoding => self.framing.read_coding(value),
            FieldKind::Connection => self.connection.read(value),
            FieldKind::Upgrade => self.upgrade = self.upgrade.or(Some(value)),
            FieldKind::KeepAlive => self.keep_alive = self.keep_alive.or(timeout(value)),
            FieldKind::Challenge | FieldKind::ProxyChallenge => {
                self.authenticates_connection |= logs_in_connection(value)
            }
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
