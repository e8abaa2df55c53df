//! Which trailer fields a proxy forwards (RFC 9110 section 6.5).

use bytes::BytesMut;

use super::field_writer::write_field;
use crate::view::field_kind::FieldKind;

/// Whose fields they are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// A request: of a visitor.
    Request,
    /// A response: of a service.
    Response,
}

/// Whether a trailer field of this name is forwarded: none that a head would lose, none that frames or routes the message, and
/// none that authenticates it (RFC 9110 section 6.5.1).
pub fn is_trailer_forwarded(name: &str, direction: MessageKind) -> bool {
    match FieldKind::classify(name.as_bytes()) {
        FieldKind::Host
        | FieldKind::ContentLength
        | FieldKind::TransferEncoding
        | FieldKind::Connection
        | FieldKind::KeepAlive
        | FieldKind::Te
        | FieldKind::Trailer
        | FieldKind::Upgrade
        | FieldKind::Expect
        | FieldKind::HopByHop
        | FieldKind::Proxy
        | FieldKind::Challenge
        | FieldKind::SetCookie => false,
        FieldKind::Claim | FieldKind::ClientAddress | FieldKind::Cookie | FieldKind::Authorization => {
            direction == MessageKind::Response
        }
        FieldKind::Other | FieldKind::ProxyStatus | FieldKind::Url | FieldKind::Date => true,
    }
}

/// Appends those lines of a trailer section, as [`Chunked`](crate::Chunked) gives them, that are forwarded. A line that is no
/// field is dropped.
pub fn write_trailers(section: &[u8], direction: MessageKind, out: &mut BytesMut) {
    for line in section.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let text = core::str::from_utf8(name).ok().filter(|name| crate::syntax::is_token(name));
        if text.is_some_and(|name| is_trailer_forwarded(name, direction)) && crate::syntax::is_value(value) {
            write_field(name, value, out);
        }
    }
}
