//! The pages that visitors get when a request or its response cannot be carried.

use alloc::format;
use alloc::string::{String, ToString};

use super::fields::RejectedHead;
use hvym_tunnel_pages::Page;

fn page(status: u16, reason: &'static str, title: &str, text: String, hint: &str) -> Page {
    let (title, hint) = (title.to_string(), hint.to_string());
    Page { status, reason, title, text, hint, retry_after: None, is_away: false }
}

/// 400, 501 or 502: the head cannot be carried.
pub(super) fn rejected(head: RejectedHead) -> Page {
    let hint = "The program behind this tunnel is an older one; with hvym-tunnel there, everything passes.";
    page(head.0, "older-agent", "This request cannot pass the tunnel", head.1.to_string(), hint)
}

/// 400: not HTTP/1.1.
pub(super) fn malformed() -> Page {
    page(400, "malformed", "The request is malformed", "It cannot be read as HTTP/1.1.".to_string(), "")
}

/// 413: larger than one message of the peer may be.
pub(super) fn too_large(limit: usize) -> Page {
    let text = format!(
        "The program behind this tunnel takes requests of at most {} KiB, everything counted.",
        limit / 1024
    );
    page(
        413,
        "body-size",
        "The request is too large",
        text,
        "With hvym-tunnel behind it there is no such limit.",
    )
}

/// 415: the body is not UTF-8.
pub(super) fn not_text() -> Page {
    let text = "The program behind this tunnel takes text in UTF-8 alone, and this request's body is none.";
    page(
        415,
        "not-text",
        "The request's body cannot pass",
        text.to_string(),
        "With hvym-tunnel behind it everything passes.",
    )
}

/// 502: the peer replaced bytes of the response.
pub(super) fn lost_bytes() -> Page {
    let text = "The program behind this tunnel carries text alone. It has changed the bytes of this answer, so they \
                are not shown.";
    page(
        502,
        "damaged",
        "The answer was damaged",
        text.to_string(),
        "With hvym-tunnel behind it everything passes.",
    )
}

/// 5xx: the peer reports a failure, or its response is malformed.
pub(super) fn failed(status: u16, error: &str) -> Page {
    let status = if matches!(status, 500..=599) { status } else { 502 };
    page(
        status,
        "agent-error",
        "The service did not answer",
        format!("The program behind this tunnel says: {error}"),
        "",
    )
}

/// 504: no response within the timeout.
pub(super) fn late() -> Page {
    Page::upstream_timeout()
}

/// 503: too many bytes are held.
pub(super) fn overloaded() -> Page {
    let text = "Too many large requests are on their way through this tunnel.".to_string();
    Page { retry_after: Some(5), ..page(503, "busy", "The tunnel is busy", text, "Reload in a moment.") }
}
