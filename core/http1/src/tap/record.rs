//! What a [`Tap`](super::Tap) reports: one request and its outcome.

use alloc::string::String;
use core::time::Duration;

use crate::head::RequestHead;

/// The most bytes of a method that are kept; registered ones have at most 17.
pub const MAX_RECORDED_METHOD_BYTES: usize = 32;

/// The most bytes of a target that are kept: it is shown to a person, who reads no further.
pub const MAX_RECORDED_TARGET_BYTES: usize = 1024;

/// The most bytes of a host that are kept: a DNS name has at most 253, a port six more.
pub const MAX_RECORDED_HOST_BYTES: usize = 260;

/// One request and its outcome. `T` is a point in time, `F` what the caller's [`Sniff`](super::Sniff) finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessRecord<T, F> {
    /// The method, cut to [`MAX_RECORDED_METHOD_BYTES`].
    pub method: String,
    /// The target as sent, cut to [`MAX_RECORDED_TARGET_BYTES`].
    pub target: String,
    /// What the visitor asked for as `Host`, cut to [`MAX_RECORDED_HOST_BYTES`].
    pub host: Option<String>,
    /// The status of the final response, or `None` if none was seen before the connection ended.
    pub status: Option<u16>,
    /// When the request's first byte was seen.
    pub started: T,
    /// From then to the response's last byte, or to the end of the connection if that never came.
    pub duration: Duration,
    /// Bytes of the request, head and framing included, that were seen before the response's last byte.
    pub request_bytes: u64,
    /// Bytes of the response, interim responses, head and framing included.
    pub response_bytes: u64,
    /// The connection became something else (101, or a granted `CONNECT`). Told when it does, because that may go on
    /// for days; how much passed is in [`Tap::request_bytes`](super::Tap::request_bytes) and
    /// [`Tap::response_bytes`](super::Tap::response_bytes).
    pub upgraded: bool,
    /// Whether the response was seen to its proper end.
    pub complete: bool,
    /// What [`Sniff::inspect`](super::Sniff::inspect) found in the response.
    pub finding: Option<F>,
}

impl<T, F> AccessRecord<T, F> {
    /// A request whose head took `request_bytes` and which nothing has answered.
    pub(super) fn new(head: &RequestHead, started: T, request_bytes: u64) -> Self {
        AccessRecord {
            method: shortened(&head.method, MAX_RECORDED_METHOD_BYTES),
            target: shortened(&head.target, MAX_RECORDED_TARGET_BYTES),
            host: head.headers.first("host").map(shown_host),
            status: None,
            started,
            duration: Duration::ZERO,
            request_bytes,
            response_bytes: 0,
            upgraded: false,
            complete: false,
            finding: None,
        }
    }
}

fn shown_host(value: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(value), MAX_RECORDED_HOST_BYTES)
}

/// The beginning of `text`, at most `limit` bytes, cut at a character border.
fn shortened(text: &str, limit: usize) -> String {
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
        assert_eq!(shortened("/caf\u{e9}", 5), "/caf");
        assert_eq!(shortened("/caf\u{e9}", 6), "/caf\u{e9}");
    }
}
