//! Random UUIDs (RFC 9562) as text, for programs that expect their ids to be one.

use alloc::string::String;

use hvym_tunnel_core::rng::Rng;

/// A random UUID (RFC 9562 section 5.4).
pub(crate) fn random(rng: &mut Rng) -> String {
    let mut raw = rng.bytes::<16>();
    raw[6] = raw[6] & 0x0F | 0x40;
    raw[8] = raw[8] & 0x3F | 0x80;
    to_text(raw)
}

/// Sixteen bytes as the text of a UUID.
pub(crate) fn to_text(raw: [u8; 16]) -> String {
    let hex = data_encoding::HEXLOWER.encode(&raw);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
