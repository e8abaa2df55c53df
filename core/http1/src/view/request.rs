//! A request head, read where it lies.
//!
//! It refuses every head that two parsers could read differently (RFC 9112 section 11.2), so that the proxy and the service
//! agree on what was accepted.

use super::connection::ConnectionOptions;
use super::error::RequestError;
use super::field_kind::FieldKind;
use super::field_lines::read_fields;
use super::field_table::{FieldTable, Fields, text};
use super::start_line::RequestLine;
use super::target::Target;
use crate::error::HeadError;
use crate::framing::{Framing, FramingFields};
use crate::limits::{MAX_CONNECTION_OPTIONS, MAX_HEAD_BYTES};
use crate::list::list_members;
use crate::syntax::is_host;
use crate::version::Version;

/// A request head that a proxy may forward: what routing and framing need to know of it, borrowed from its bytes.
#[derive(Copy, Clone, Debug)]
pub struct RequestView<'a> {
    /// A token.
    method: &'a [u8],
    /// UTF-8, as the path is, which lies in it.
    target: &'a [u8],
    path: &'a [u8],
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
    /// Reads one complete head, whose end [`HeadScanner`](crate::HeadScanner) found with [`LineEndings::Strict`](crate::LineEndings::Strict).
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
        let Some(line) = RequestLine::parse::<false>(bytes)? else { return incomplete(bytes) };
        let mut reader = FactsReader::default();
        let on_field = |kind, value| reader.on_field(kind, value);
        let Some(length) = read_fields::<false, false, _>(bytes, line.end, table, on_field)? else {
            return incomplete(bytes);
        };
        if line.method == b"CONNECT" {
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
    pub fn method(&self) -> &'a str {
        text(self.method)
    }

    /// The target as it was sent: a path with its query, a URL, or `*`.
    pub fn target(&self) -> &'a str {
        text(self.target)
    }

    /// The target as the service gets it: path and query, or `*`.
    pub fn path(&self) -> &'a str {
        text(self.path)
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

    /// Method and path.
    pub(crate) const fn request_line(&self) -> (&'a [u8], &'a [u8]) {
        (self.method, self.path)
    }

    pub(crate) const fn host_bytes(&self) -> &'a [u8] {
        self.facts.host
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

/// Collects what the fields say.
#[derive(Default)]
struct FactsReader<'a> {
    host: Option<&'a [u8]>,
    framing: FramingFields,
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
            FieldKind::ContentLength if self.framing.length().is_some() || value.contains(&b',') => {
                return Err(RequestError::LengthRepeated);
            }
            FieldKind::ContentLength => self.framing.read_length(value)?,
            FieldKind::TransferEncoding => self.framing.read_coding(value),
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

    fn finish(self, version: Version, authority: Option<&'a [u8]>) -> Result<RequestFacts<'a>, RequestError> {
        if self.connection.named > MAX_CONNECTION_OPTIONS {
            return Err(RequestError::ConnectionOptions);
        }
        let framing = self.framing.request_framing(b"", version)?;
        let host = authority.or(self.host).unwrap_or_default();
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
