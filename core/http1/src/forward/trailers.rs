//! Which trailer fields a proxy forwards (RFC 9110 section 6.5).

use crate::syntax::{is_token, is_value};
use crate::view::field_kind::FieldKind;

/// Whose fields they are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// A request: of a visitor.
    Request,
    /// A response: of a service.
    Response,
}

/// Whether a request's field of this name goes, in any spelling: only a proxy says who a visitor is, and writes it anew
/// ([`ForwardedBlock`](crate::ForwardedBlock)), or CGI takes it for a field that frames the message or ends at a hop
/// (`Transfer_Encoding`, `Proxy`).
pub fn is_reserved_field(name: &str) -> bool {
    let kind = FieldKind::classify(name.as_bytes());
    matches!(kind, FieldKind::Claim | FieldKind::ClientAddress | FieldKind::Alias | FieldKind::Proxy)
}

/// Whether a trailer field of this name is forwarded: none that a head would lose, none that frames or routes the message, and
/// none that authenticates it (RFC 9110 section 6.5.1).
pub fn is_trailer_forwarded(name: &str, kind: MessageKind) -> bool {
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
        | FieldKind::ProxyChallenge
        | FieldKind::SetCookie => false,
        FieldKind::Claim
        | FieldKind::ClientAddress
        | FieldKind::Alias
        | FieldKind::Cookie
        | FieldKind::Authorization
        | FieldKind::ProxyStatus => kind == MessageKind::Response,
        FieldKind::Other | FieldKind::Url | FieldKind::Date => true,
    }
}

/// The fields in a trailer section, as [`Decoded::trailers`](crate::Decoded::trailers) gives it, that are forwarded. A line that
/// is no field is skipped.
pub fn trailer_fields(section: &[u8], kind: MessageKind) -> impl Iterator<Item = (&str, &[u8])> {
    let lines = section.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = core::str::from_utf8(&line[..colon]).ok().filter(|name| is_token(name))?;
        Some((name, line[colon + 1..].trim_ascii())).filter(|(_, value)| is_value(value))
    });
    fields.filter(move |(name, _)| is_trailer_forwarded(name, kind))
}
