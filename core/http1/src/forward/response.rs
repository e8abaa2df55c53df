//! A response head as the visitor gets it.

use alloc::vec::Vec;

use bytes::BytesMut;

use super::field_writer::{FieldWriter, write_field};
use super::host_mapping::HostMapping;
use super::request::write_length;
use super::set_cookie::without_shared_domain;
use crate::framing::Framing;
use crate::version::Version;
use crate::view::ResponseView;
use crate::view::connection::names_field;
use crate::view::field_kind::FieldKind;
use crate::view::field_table::text;

const HSTS: &str = "Strict-Transport-Security";

/// How a response head is changed.
#[derive(Copy, Clone, Debug, Default)]
pub struct ResponseRewrite<'a> {
    /// The version that the visitor speaks.
    pub version: Version,
    /// Whether the connection ends after this response. It also does if
    /// [`write_forwarded`](ResponseView::write_forwarded) returns [`Framing::UntilClose`].
    pub closes: bool,
    /// The domain below which every tunnel has its host: cookies for all of it are for the host that sets them alone.
    pub relay_domain: Option<&'a str>,
    /// Names that are mapped back for the visitor.
    pub host: Option<&'a HostMapping>,
    /// The value of `Date`, if the service sent none (RFC 9110 section 6.6.1).
    pub date: Option<&'a str>,
    /// The value of `Strict-Transport-Security`, if the service sent none (RFC 6797 section 6.1).
    pub hsts: Option<&'a str>,
    /// Names of further fields that go.
    pub remove: &'a [&'a str],
}

impl ResponseRewrite<'_> {
    /// Whether a field goes, whatever `Connection` says.
    fn drops(&self, view: &ResponseView<'_>, kind: FieldKind, name: &[u8]) -> bool {
        match kind {
            FieldKind::Connection
            | FieldKind::KeepAlive
            | FieldKind::Te
            | FieldKind::TransferEncoding
            | FieldKind::Upgrade
            | FieldKind::HopByHop
            | FieldKind::ProxyChallenge
            | FieldKind::Proxy => true,
            // One is written, if any.
            FieldKind::ContentLength => true,
            _ => {
                let is_named = view.connection().named > 0
                    && names_field(view.fields().of_kind(FieldKind::Connection), name);
                is_named || self.remove.iter().any(|removed| name.eq_ignore_ascii_case(removed.as_bytes()))
            }
        }
    }

    /// The changed value of a field.
    fn changed(&self, kind: FieldKind, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        if !matches!(kind, FieldKind::Url | FieldKind::SetCookie) {
            return None;
        }
        let mapped = self.host.and_then(|host| host.map_response(text(name), value));
        match self.relay_domain.filter(|_| kind == FieldKind::SetCookie) {
            Some(domain) => without_shared_domain(mapped.as_deref().unwrap_or(value), domain).or(mapped),
            None => mapped,
        }
    }
}

impl ResponseView<'_> {
    /// Appends the head for the visitor, and returns how its body ends there.
    pub fn write_forwarded(&self, rewrite: &ResponseRewrite<'_>, out: &mut BytesMut) -> Framing {
        let fields = self.fields();
        let framing = framing_toward(rewrite.version, self.framing());
        out.extend_from_slice(rewrite.version.as_str().as_bytes());
        let digit = |place: u16| b'0' + u8::try_from(self.status() / place % 10).unwrap_or(0);
        out.extend_from_slice(&[b' ', digit(100), digit(10), digit(1), b' ']);
        out.extend_from_slice(self.reason());
        out.extend_from_slice(b"\r\n");
        let mut writer = FieldWriter::new(fields, out);
        let has_removed = self.connection().named > 0 || !rewrite.remove.is_empty();
        for span in fields.spans() {
            if span.kind == FieldKind::Other && span.is_plain && !has_removed {
                continue;
            }
            let name = fields.name(span);
            if rewrite.drops(self, span.kind, name) {
                writer.skip(span);
            } else if let Some(value) = rewrite.changed(span.kind, name, fields.value(span)) {
                writer.replace(span, &value);
            } else {
                writer.keep(span);
            }
        }
        let out = writer.finish();
        if let Some(length) = self.forwarded_length() {
            write_length(length, out);
        }
        if framing == Framing::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if let Some(date) = rewrite.date.filter(|_| !self.has_date() && self.status() >= 200) {
            write_field(b"Date", date.as_bytes(), out);
        }
        if let Some(hsts) = rewrite.hsts.filter(|_| !fields.contains(HSTS)) {
            write_field(HSTS.as_bytes(), hsts.as_bytes(), out);
        }
        self.write_connection(rewrite, framing, out);
        out.extend_from_slice(b"\r\n");
        framing
    }

    /// Shows `put` each field that a visitor of another version gets, by the same rules, without those of a connection.
    pub fn forward_fields(&self, rewrite: &ResponseRewrite<'_>, mut put: impl FnMut(&str, &[u8])) {
        let fields = self.fields();
        for span in fields.spans() {
            let (name, value) = (fields.name(span), fields.value(span));
            if !rewrite.drops(self, span.kind, name) {
                let changed = rewrite.changed(span.kind, name, value);
                put(text(name), changed.as_deref().unwrap_or(value));
            }
        }
        if let Some(length) = self.forwarded_length() {
            let mut line = BytesMut::new();
            write_length(length, &mut line);
            put("Content-Length", line[b"Content-Length:".len()..].trim_ascii());
        }
        if let Some(date) = rewrite.date.filter(|_| !self.has_date()) {
            put("Date", date.as_bytes());
        }
    }

    /// The length that is passed on: also that of a response to `HEAD` and of a 304, which have no body, but never that of
    /// statuses that may not have one (RFC 9110 section 8.6).
    fn forwarded_length(&self) -> Option<u64> {
        self.length().filter(|_| self.status() >= 200 && self.status() != 204)
    }

    fn write_connection(&self, rewrite: &ResponseRewrite<'_>, framing: Framing, out: &mut BytesMut) {
        // Both statuses are about an upgrade, and say nothing without the field.
        if let Some(protocol) = self.upgrade().filter(|_| matches!(self.status(), 101 | 426)) {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            write_field(b"Upgrade", protocol, out);
        } else if self.status() < 200 {
        } else if rewrite.closes || framing == Framing::UntilClose {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if rewrite.version == Version::Http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
    }
}

/// How a body with this framing ends toward a visitor of this version: in HTTP/1.0 there are no chunks, and in HTTP/1.1 no
/// body needs the end of its connection.
pub const fn framing_toward(version: Version, framing: Framing) -> Framing {
    match (version, framing) {
        (Version::Http10, Framing::Chunked) => Framing::UntilClose,
        (Version::Http11, Framing::UntilClose) => Framing::Chunked,
        (_, framing) => framing,
    }
}
