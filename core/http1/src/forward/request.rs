//! A request head as the service gets it.
//!
//! Order and spelling are kept. No `Via` is added, because some servers stop compressing for requests with one.

use bytes::BytesMut;

use super::field_writer::{FieldWriter, write_field};
use super::forwarded_block::ForwardedBlock;
use super::host_mapping::HostMapping;
use crate::framing::Framing;
use crate::view::RequestView;
use crate::view::connection::names_field;
use crate::view::field_kind::FieldKind;
use crate::view::field_table::text;

/// What becomes of the fields that say who the visitor is.
#[derive(Copy, Clone, Debug)]
pub enum ForwardedFields<'a> {
    /// They are a relay's, and stay.
    Keep,
    /// They are a visitor's: they go, in every spelling, and these come.
    Replace(&'a ForwardedBlock),
}

/// How a request head is changed.
#[derive(Copy, Clone, Debug)]
pub struct RequestRewrite<'a> {
    /// `Forwarded`, `X-Forwarded-...` and what else only a relay may say.
    pub forwarded: ForwardedFields<'a>,
    /// Whether the fields stay in which other proxies write the visitor's address (`X-Real-IP`, `CF-Connecting-IP`): only if
    /// such a proxy is before us, and is the only way to us.
    pub keeps_client_address: bool,
    /// Names that are mapped for the service.
    pub host: Option<&'a HostMapping>,
    /// Names of further fields that go.
    pub remove: &'a [&'a str],
}

impl RequestRewrite<'_> {
    /// Whether a field goes, whatever `Connection` says.
    fn drops(&self, kind: FieldKind, name: &[u8]) -> bool {
        match kind {
            FieldKind::Connection
            | FieldKind::KeepAlive
            | FieldKind::Te
            | FieldKind::Upgrade
            | FieldKind::TransferEncoding
            | FieldKind::HopByHop
            | FieldKind::ProxyChallenge
            | FieldKind::ProxyStatus
            | FieldKind::Proxy
            | FieldKind::Alias => true,
            FieldKind::Claim => matches!(self.forwarded, ForwardedFields::Replace(_)),
            FieldKind::ClientAddress => {
                matches!(self.forwarded, ForwardedFields::Replace(_)) && !self.keeps_client_address
            }
            _ => self.remove.iter().any(|removed| name.eq_ignore_ascii_case(removed.as_bytes())),
        }
    }

    /// The mapped value of a field.
    fn mapped(&self, kind: FieldKind, name: &[u8], value: &[u8]) -> Option<alloc::vec::Vec<u8>> {
        if !matches!(kind, FieldKind::Url | FieldKind::Host) {
            return None;
        }
        self.host?.map_request(text(name), value)
    }

    /// Appends our own fields and the empty line.
    fn finish(&self, upgrade: Option<&[u8]>, accepts_trailers: bool, is_chunked: bool, out: &mut BytesMut) {
        if is_chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if let Some(protocol) = upgrade {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            write_field(b"Upgrade", protocol, out);
        } else if accepts_trailers {
            out.extend_from_slice(b"Connection: te\r\nTE: trailers\r\n");
        }
        if let ForwardedFields::Replace(block) = self.forwarded {
            out.extend_from_slice(block.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl RequestView<'_> {
    /// Appends the head for the service: HTTP/1.1, with the fields of this hop dropped.
    pub fn write_forwarded(&self, rewrite: &RequestRewrite<'_>, out: &mut BytesMut) {
        let fields = self.fields();
        let (method, path) = self.request_line();
        write_request_line(method, path, out);
        if self.is_host_from_target() {
            self.write_host(rewrite, out);
        }
        let mut are_cookies_written = false;
        let has_removed = self.connection().named > 0 || !rewrite.remove.is_empty();
        let mut writer = FieldWriter::new(fields, out);
        for span in fields.spans() {
            if span.kind == FieldKind::Other && span.is_plain && !has_removed {
                continue;
            }
            let (kind, name) = (span.kind, fields.name(span));
            if rewrite.drops(kind, name) || self.drops(kind, name) {
                writer.skip(span);
            } else if kind == FieldKind::Cookie && self.cookies() > 1 {
                let out = writer.out_instead(span);
                if !core::mem::replace(&mut are_cookies_written, true) {
                    write_cookies(name, fields.of_kind(FieldKind::Cookie), out);
                }
            } else if let Some(value) = rewrite.mapped(kind, name, fields.value(span)) {
                writer.replace(span, &value);
            } else {
                writer.keep(span);
            }
        }
        let is_chunked = self.framing() == Framing::Chunked;
        rewrite.finish(self.upgrade(), self.accepts_trailers(), is_chunked, writer.finish());
    }

    /// Whether a field goes because of others.
    fn drops(&self, kind: FieldKind, name: &[u8]) -> bool {
        (kind == FieldKind::Host && self.is_host_from_target())
            || (self.connection().named > 0
                && names_field(self.fields().of_kind(FieldKind::Connection), name))
    }

    fn write_host(&self, rewrite: &RequestRewrite<'_>, out: &mut BytesMut) {
        let host = self.host_bytes();
        match rewrite.mapped(FieldKind::Host, b"host", host) {
            Some(mapped) => write_field(b"Host", &mapped, out),
            None => write_field(b"Host", host, out),
        }
    }
}

/// A request that did not come in HTTP/1.1.
#[derive(Copy, Clone, Debug)]
pub struct RequestParts<'a> {
    /// The method, a token.
    pub method: &'a str,
    /// Path and query, or `*`.
    pub path: &'a str,
    /// The host, with its port if there is one. A `Host` field is ignored.
    pub host: &'a str,
    /// How the body will end. `Content-Length` is written from this and not from the fields.
    pub framing: Framing,
}

/// Appends the head in HTTP/1.1 of a request that came in another version, by the rules of
/// [`RequestView::write_forwarded`]. Names and values are the caller's to validate: they contain no line ends.
pub fn write_request_head<'a>(
    parts: &RequestParts<'_>,
    fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    rewrite: &RequestRewrite<'_>,
    out: &mut BytesMut,
) {
    write_request_line(parts.method.as_bytes(), parts.path.as_bytes(), out);
    match rewrite.mapped(FieldKind::Host, b"host", parts.host.as_bytes()) {
        Some(mapped) => write_field(b"Host", &mapped, out),
        None => write_field(b"Host", parts.host.as_bytes(), out),
    }
    let cookies =
        fields.clone().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).map(|(_, value)| value);
    let (mut are_cookies_written, mut accepts_trailers) = (false, false);
    for (name, value) in fields {
        let (kind, name) = (FieldKind::classify(name.as_bytes()), name.as_bytes());
        accepts_trailers |= kind == FieldKind::Te && value.trim_ascii().eq_ignore_ascii_case(b"trailers");
        if rewrite.drops(kind, name) || matches!(kind, FieldKind::Host | FieldKind::ContentLength) {
            continue;
        }
        match rewrite.mapped(kind, name, value) {
            Some(value) => write_field(name, &value, out),
            None if kind == FieldKind::Cookie => {
                if !core::mem::replace(&mut are_cookies_written, true) {
                    write_cookies(name, cookies.clone(), out);
                }
            }
            None => write_field(name, value, out),
        }
    }
    if let Framing::Length(length) = parts.framing {
        write_length(length, out);
    }
    rewrite.finish(None, accepts_trailers, parts.framing == Framing::Chunked, out);
}

fn write_request_line(method: &[u8], path: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(method);
    out.extend_from_slice(b" ");
    // A URL without a path may have a query.
    if path.starts_with(b"?") {
        out.extend_from_slice(b"/");
    }
    out.extend_from_slice(path);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// HTTP/2 may cut cookies into several fields, which HTTP/1.1 must see as one (RFC 9113 section 8.2.3).
fn write_cookies<'a>(name: &[u8], values: impl Iterator<Item = &'a [u8]>, out: &mut BytesMut) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    // An empty one would leave white space at the end, which the next recipient drops.
    for (at, value) in values.filter(|value| !value.is_empty()).enumerate() {
        if at > 0 {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `Content-Length`.
pub(super) fn write_length(length: u64, out: &mut BytesMut) {
    use core::fmt::Write as _;
    // Writing to `BytesMut` cannot fail.
    let _ = write!(out, "Content-Length: {length}\r\n");
}
