//! What a [`Tap`](super::Tap) reports: one request and its outcome.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use crate::view::ResponseError;

/// Maximum bytes of a method that are recorded; registered methods have at most 17.
pub const MAX_RECORDED_METHOD_BYTES: usize = 32;

/// Maximum bytes of a target that are recorded, enough for display in an access log.
pub const MAX_RECORDED_TARGET_BYTES: usize = 1024;

/// Maximum bytes of a host that are recorded: a DNS name has at most 253, a port six more.
pub const MAX_RECORDED_HOST_BYTES: usize = 260;

/// Maximum bytes of an `X-Forwarded-For` field that are recorded: an IPv6 address in its longest form has 45.
pub const MAX_RECORDED_CLIENT_BYTES: usize = 64;

/// One request and its outcome. `T` is a point in time, `F` what the caller's [`Sniff`](super::Sniff) finds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AccessRecord<T, F> {
    // Fields: what a line of an access log says.
    /// The method, truncated to [`MAX_RECORDED_METHOD_BYTES`].
    pub method: Cow<'static, str>,
    /// The target as sent, truncated to [`MAX_RECORDED_TARGET_BYTES`].
    pub target: String,
    /// The `Host` field, truncated to [`MAX_RECORDED_HOST_BYTES`].
    pub host: Option<Arc<str>>,
    /// The first `X-Forwarded-For` field up to its first comma, truncated to [`MAX_RECORDED_CLIENT_BYTES`]: whom the proxy in
    /// front names as the client, and no more to be believed than that proxy.
    pub client: Option<Arc<str>>,
    /// The status of the final response; `None` if the connection ended before it.
    pub status: Option<u16>,
    /// When the request's first byte was observed.
    pub started: T,
    /// From then to the response's last byte, or to the end of the connection.
    pub duration: Duration,
    /// Bytes of the request's body, without their framing, that were observed before the response's last byte.
    pub request_bytes: u64,
    /// Bytes of the response's body, without their framing.
    pub response_bytes: u64,
    /// The connection changed its protocol (`101`, or a granted `CONNECT`). The record is reported at that moment, because the
    /// connection may last for days; later bytes are counted in [`Tap::request_bytes`](super::Tap::request_bytes) and
    /// [`Tap::response_bytes`](super::Tap::response_bytes).
    pub upgraded: bool,
    /// Whether the response was complete.
    pub complete: bool,
    /// Why what came in place of the response is none that a proxy passes on; then [`status`](Self::status) is `None`.
    pub refused: Option<ResponseError>,
    /// What [`Sniff::inspect`](super::Sniff::inspect) found in the response.
    pub finding: Option<F>,
}

impl<T, F> AccessRecord<T, F> {
    /// The record of a request without a response.
    pub(super) fn new(
        method: &str,
        target: &str,
        host: Option<Arc<str>>,
        client: Option<Arc<str>>,
        started: T,
    ) -> Self {
        AccessRecord {
            method: recorded_method(method),
            target: truncated(target, MAX_RECORDED_TARGET_BYTES),
            host,
            client,
            status: None,
            started,
            duration: Duration::ZERO,
            request_bytes: 0,
            response_bytes: 0,
            upgraded: false,
            complete: false,
            refused: None,
            finding: None,
        }
    }
}

/// Methods that nearly all requests have, which are recorded without a copy.
const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"];

fn recorded_method(method: &str) -> Cow<'static, str> {
    match METHODS.into_iter().find(|known| *known == method) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(truncated(method, MAX_RECORDED_METHOD_BYTES)),
    }
}

/// The beginning of `text`, at most `limit` bytes, cut at a character boundary.
pub(super) fn truncated(text: &str, limit: usize) -> String {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    String::from(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_border() {
        assert_eq!(truncated("/caf\u{e9}", 5), "/caf");
        assert_eq!(truncated("/caf\u{e9}", 6), "/caf\u{e9}");
    }
}
