//! A request head, read where it lies.
//!
//! It refuses every head that two parsers could read differently (RFC 9112 section 11.2), so that the proxy and the service
//! agree on what was accepted.

use super::connection::ConnectionOptions;
use super::error::RequestError;
use super::field_kind::FieldKind;
use super::field_lines::read_fields;
use super::field_table::{FieldTable, Fields, text};
use super::target::Target;
use crate::error::{FramingError, HeadError};
use crate::framing::{Framing, decimal};
use crate::headers::list_members;
use crate::limits::{MAX_CONNECTION_OPTIONS, MAX_HEAD_BYTES};
use crate::syntax::{is_host, sent_target_prefix, token_prefix};
use crate::version::Version;

/// A request head that a proxy may forward: what routing and framing need to know of it, borrowed from its bytes.
#[derive(Copy, Clone, Debug)]
pub struct RequestView<'a> {
    method: &'a str,
    target: &'a str,
    path: &'a str,
    version: Version,
    fields: Fields<'a>,
    facts: RequestFacts<'a>,
}

/// What the fields say.
#[derive(Copy, Clone, Debug)]
struct RequestFacts<'a> {
    /// ASCII.
    host: &'a [u8],
    is_host_from_target: bool,
    framing: Framing,
    connection: ConnectionOptions,
    upgrade: Option<&'a [u8]>,
    expects_continue: bool,
    accepts_trailers: bool,
    cookies: usize,
    authenticates_connection: bool,
}

impl<'a> RequestView<'a> {
    /// Reads one complete head, whose end [`HeadScanner`](crate::HeadScanner) found with [`LineEndings::Strict`].
    ///
    /// # Errors
    /// [`RequestError`], for which [`RequestError::status`] is the answer.
    pub fn parse(bytes: &'a [u8], table: &'a mut FieldTable) -> Result<Self, RequestError> {
        match Self::parse_prefix(bytes, table)? {
            Some((view, length)) if length == bytes.len() => Ok(view),
            _ => Err(HeadError::LineEnd.into()),
        }
    }

    /// Reads a head at the beginning of `bytes`, and its length; `None` if it is incomplete. Not for bytes that come in small
    /// pieces, because each call begins anew: a [`HeadScanner`](crate::HeadScanner) finds the end of those.
    ///
    /// # Errors
    /// [`RequestError`], for which [`RequestError::status`] is the answer.
    pub fn parse_prefix(
        bytes: &'a [u8],
        table: &'a mut FieldTable,
    ) -> Result<Option<(Self, usize)>, RequestError> {
        let Some(line) = RequestLine::parse(bytes)? else { return incomplete(bytes) };
        let mut reader = FactsReader::default();
        let on_field = |kind, value| reader.on_field(kind, value);
        let Some(length) = read_fields::<true, _>(bytes, line.end, table, on_field)? else {
            return incomplete(bytes);
        };
        if line.method == "CONNECT" {
            return Err(RequestError::Connect);
        }
        let target = Target::parse(line.method, line.target)?;
        let facts = reader.finish(line.version, target.authority)?;
        let (RequestLine { method, target: sent, version, .. }, path) = (line, target.path);
        let view =
            RequestView { method, target: sent, path, version, fields: Fields::new(bytes, &table.0), facts };
        Ok(Some((view, length)))
    }

    /// The method, case-sensitive. Never `CONNECT`.
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// The target as it was sent: a path with its query, a URL, or `*`.
    pub const fn target(&self) -> &'a str {
        self.target
    }

    /// The target as the service gets it: path and query, or `*`.
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// The version.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The host, with its port if there is one: that of the target, else the `Host` field (RFC 9112 section 3.2.2). Never
    /// empty; the case is the sender's.
    pub fn host(&self) -> &'a str {
        text(self.facts.host)
    }

    /// Whether [`host`](Self::host) is that of the target, which replaces the `Host` field.
    pub const fn is_host_from_target(&self) -> bool {
        self.facts.is_host_from_target
    }

    /// How the body ends: [`Framing::Empty`], [`Framing::Length`] or [`Framing::Chunked`].
    pub const fn framing(&self) -> Framing {
        self.facts.framing
    }

    /// What `Connection` says.
    pub const fn connection(&self) -> ConnectionOptions {
        self.facts.connection
    }

    /// Whether the sender would keep the connection for another request (RFC 9112 section 9.3).
    pub const fn keeps_alive(&self) -> bool {
        let connection = self.facts.connection;
        !connection.close && (matches!(self.version, Version::Http11) || connection.keep_alive)
    }

    /// The protocols of the `Upgrade` field, if `Connection` says that it is meant (RFC 9110 section 7.8). A service that
    /// changed to HTTP/2 would be asked by the visitor alone, with nothing of what a proxy says and refuses (RFC 9113
    /// section 3.1), so an upgrade that offers it is none.
    pub const fn upgrade(&self) -> Option<&'a [u8]> {
        self.facts.upgrade
    }

    /// Whether the sender waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1). Never without a body.
    pub const fn expects_continue(&self) -> bool {
        self.facts.expects_continue
    }

    /// Whether the sender reads trailer fields (RFC 9110 section 10.1.4).
    pub const fn accepts_trailers(&self) -> bool {
        self.facts.accepts_trailers
    }

    /// Whether `Authorization` uses a scheme that logs in the connection, not the request (NTLM, Negotiate): a connection to a
    /// service that carried it must never carry a request of somebody else.
    pub const fn authenticates_connection(&self) -> bool {
        self.facts.authenticates_connection
    }

    /// The fields as they were sent.
    pub const fn fields(&self) -> Fields<'a> {
        self.fields
    }

    /// How many `Cookie` fields there are.
    pub(crate) const fn cookies(&self) -> usize {
        self.facts.cookies
    }
}

/// What is said of a head without its end.
fn incomplete<T>(bytes: &[u8]) -> Result<Option<T>, RequestError> {
    if bytes.len() > MAX_HEAD_BYTES { Err(HeadError::TooLong.into()) } else { Ok(None) }
}

/// The request line, and where it ends.
struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    version: Version,
    end: usize,
}

impl<'a> RequestLine<'a> {
    /// The line at the beginning of `bytes`; `None` if it is incomplete.
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>, RequestError> {
        let mut start = 0;
        // RFC 9112 section 2.2.
        while bytes[start..].starts_with(b"\r\n") {
            start += 2;
        }
        let line = &bytes[start..];
        let malformed = RequestError::Head(HeadError::RequestLine);
        let method_end = token_prefix(line);
        match line.get(method_end) {
            Some(b' ') if method_end > 0 => {}
            None => return Ok(None),
            Some(b'\r') if line.len() == 1 => return Ok(None),
            Some(_) => return Err(malformed),
        }
        let rest = &line[method_end + 1..];
        let target_end = sent_target_prefix(rest);
        match rest.get(target_end) {
            Some(b' ') if target_end > 0 => {}
            None => return Ok(None),
            Some(b'#') => return Err(RequestError::Fragment),
            Some(_) => return Err(malformed),
        }
        let behind = &rest[target_end + 1..];
        let version = match behind.get(..VERSION_BYTES) {
            Some(b"HTTP/1.1\r\n") => Version::Http11,
            Some(b"HTTP/1.0\r\n") => Version::Http10,
            None if b"HTTP/1.1\r\n".starts_with(behind) || b"HTTP/1.0\r\n".starts_with(behind) => {
                return Ok(None);
            }
            _ if behind.starts_with(b"HTTP/") => return Err(HeadError::Version.into()),
            _ => return Err(malformed),
        };
        let both =
            core::str::from_utf8(&line[..method_end + 1 + target_end]).map_err(|_| RequestError::Target)?;
        let (method, target) = (&both[..method_end], &both[method_end + 1..]);
        let end = start + method_end + 1 + target_end + 1 + VERSION_BYTES;
        Ok(Some(RequestLine { method, target, version, end }))
    }
}

/// A version and its line end.
const VERSION_BYTES: usize = b"HTTP/1.1\r\n".len();

/// Collects what the fields say.
#[derive(Default)]
struct FactsReader<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    coding: Option<&'a [u8]>,
    connection: ConnectionOptions,
    upgrade: Option<&'a [u8]>,
    offers_http2: bool,
    expects_continue: bool,
    accepts_trailers: bool,
    cookies: usize,
    authenticates_connection: bool,
}

impl<'a> FactsReader<'a> {
    fn on_field(&mut self, kind: FieldKind, value: &'a [u8]) -> Result<(), RequestError> {
        match kind {
            FieldKind::Host if self.host.is_some() => return Err(RequestError::HostRepeated),
            FieldKind::Host => self.host = Some(value),
            FieldKind::ContentLength if self.length.is_some() || value.contains(&b',') => {
                return Err(RequestError::LengthRepeated);
            }
            FieldKind::ContentLength => self.length = Some(decimal(value).ok_or(FramingError::Length)?),
            FieldKind::TransferEncoding if self.coding.is_some() => return Err(FramingError::Encoding.into()),
            FieldKind::TransferEncoding => self.coding = Some(value),
            FieldKind::Connection => self.connection.read(value),
            FieldKind::Upgrade => {
                self.upgrade = self.upgrade.or(Some(value));
                self.offers_http2 |= lists_option(value, "h2c");
            }
            FieldKind::Expect => self.expects_continue |= lists_option(value, "100-continue"),
            FieldKind::Te => self.accepts_trailers |= lists_option(value, "trailers"),
            FieldKind::Cookie => self.cookies += 1,
            FieldKind::Authorization => self.authenticates_connection |= logs_in_connection(value),
            _ => {}
        }
        Ok(())
    }

    fn finish(self, version: Version, authority: Option<&'a str>) -> Result<RequestFacts<'a>, RequestError> {
        if self.connection.named > MAX_CONNECTION_OPTIONS {
            return Err(RequestError::ConnectionOptions);
        }
        let framing = match (self.coding, self.length) {
            (None, None) => Framing::Empty,
            (None, Some(length)) => Framing::Length(length),
            (Some(_), Some(_)) => return Err(FramingError::EncodingAndLength.into()),
            (Some(_), None) if version == Version::Http10 => {
                return Err(FramingError::EncodingInHttp10.into());
            }
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (Some(_), None) => return Err(FramingError::Encoding.into()),
        };
        let host = authority.map(str::as_bytes).or(self.host).unwrap_or_default();
        if host.is_empty() {
            return Err(RequestError::HostMissing);
        }
        if !is_host(host) {
            return Err(RequestError::Host);
        }
        let is_http11 = version == Version::Http11;
        let has_body = !matches!(framing, Framing::Empty | Framing::Length(0));
        Ok(RequestFacts {
            host,
            is_host_from_target: authority.is_some(),
            framing,
            connection: self.connection,
            upgrade: self.upgrade.filter(|_| is_http11 && self.connection.upgrade && !self.offers_http2),
            expects_continue: self.expects_continue && is_http11 && has_body,
            accepts_trailers: self.accepts_trailers,
            cookies: self.cookies,
            authenticates_connection: self.authenticates_connection,
        })
    }
}

/// Whether a comma-separated value has the member `option`, in any case, with or without parameters.
fn lists_option(value: &[u8], option: &str) -> bool {
    list_members(value).any(|member| {
        let word = member.split(|byte| *byte == b';').next().unwrap_or_default();
        word.trim_ascii().eq_ignore_ascii_case(option.as_bytes())
    })
}

/// Whether a value of `Authorization` or a challenge names a scheme that logs in the connection.
pub(super) fn logs_in_connection(value: &[u8]) -> bool {
    list_members(value).any(|member| {
        let scheme = member.split(|byte| *byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}
