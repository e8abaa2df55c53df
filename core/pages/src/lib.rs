//! The responses a tunnel sends itself when a service cannot answer, as HTML for people and JSON for programs.
//!
//! This crate knows the texts and the layout. When to send which page is the caller's decision.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use bytes::Bytes;
use hvym_http1::{ResponseHead, list_members};

/// `Retry-After` in seconds while an agent reconnects: a little more than its first delays.
const RECONNECT_SECONDS: u32 = 5;

/// The field of every page about an error: its [code](Page::code). Responses of services have none.
pub const ERROR_FIELD: &str = "Hvym-Tunnel-Error";

/// The complete style of a page. Nothing is loaded from elsewhere, so that a page works without a network.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--soft:#60646c;--paper:#fcfcfd;--line:#e0e1e6}\
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--soft:#b0b4ba;--paper:#111113;--line:#363a3f}}\
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);color:var(--ink);\
font:16px/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;width:min(100%,38rem);padding:2rem}\
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25}\
p{margin:0 0 .75rem;overflow-wrap:anywhere}\
.hint{color:var(--soft)}\
footer{margin-top:2rem;padding-top:.75rem;border-top:1px solid var(--line);color:var(--soft);font-size:.875rem}";

/// The media type of a page.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// HTML, for people.
    #[default]
    Html,
    /// The same for somebody who read: while the service [is away](Page::is_away), a browser asks again by itself.
    ReloadingHtml,
    /// JSON, for programs: an object with `status`, `code`, `title`, `text` and `hint`.
    Json,
}

impl Format {
    /// What a request with this method and `Accept` field prefers (RFC 9110 section 12.5.1); HTML if the field is missing or
    /// prefers neither. Only the answer to `GET` reloads: what a form has sent must not be lost.
    pub fn preferred(method: &str, accept: Option<&[u8]>) -> Self {
        let html = if method == "GET" { Format::ReloadingHtml } else { Format::Html };
        let Some(accept) = accept else { return html };
        let json_weight = weight(accept, ["application/json", "application/*"]);
        let html_weight = weight(accept, ["text/html", "text/*"]);
        if json_weight > html_weight && json_weight.0 > 0 { Format::Json } else { html }
    }

    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Html | Format::ReloadingHtml => "text/html; charset=utf-8",
            Format::Json => "application/json",
        }
    }
}

/// A response that is sent in place of that of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// One word for what happened, the same in all versions: with the status it is the page's [code](Self::code). Empty for a
    /// page about no error.
    pub reason: &'static str,
    /// What happened, in a few words.
    pub title: String,
    /// What happened, in a sentence or two.
    pub text: String,
    /// Who has to do what; may be empty.
    pub hint: String,
    /// Seconds until a retry makes sense, sent as `Retry-After` (RFC 9110 section 10.2.3).
    pub retry_after: Option<u32>,
    /// Whether the service is away for a while, and nothing is wrong with the request.
    pub is_away: bool,
}

impl Page {
    /// The agent is connected, and nothing accepts connections where the service should be (502). Strangers are not told where
    /// that is; the `owner`, who visits from the relay's own machine, is told what to do.
    pub fn nothing_listening(owner: bool) -> Self {
        let (text, hint) = if owner {
            (
                "The tunnel works, but nothing accepts connections where the exposed service should be.",
                "Start the service, or expose the port that it listens at: the agent's terminal says which one it tries. \
                 Then this page loads by itself.",
            )
        } else {
            (
                "The tunnel works, but the service behind it is not running.",
                "This page loads by itself once it is. If this is your tunnel, start the service: the agent's terminal \
                 says which.",
            )
        };
        Page {
            status: 502,
            reason: "refused",
            title: "Nothing is listening".to_string(),
            text: text.to_string(),
            hint: hint.to_string(),
            retry_after: Some(RECONNECT_SECONDS),
            is_away: true,
        }
    }

    /// The service accepted the request and did not respond in time (504).
    pub fn upstream_timeout() -> Self {
        Page {
            status: 504,
            reason: "timeout",
            title: "The service did not answer".to_string(),
            text: "The tunnel works, but the service behind it did not answer in time.".to_string(),
            hint: "Reload to try again. If this is your tunnel, see what the service is busy with."
                .to_string(),
            retry_after: None,
            is_away: false,
        }
    }

    /// No agent is connected for `address` (503).
    pub fn no_agent(address: &str) -> Self {
        Page {
            status: 503,
            reason: "offline",
            title: "The tunnel is not connected".to_string(),
            text: format!("No agent is connected for {address}."),
            hint: "If this is your tunnel, start the agent; if it runs, it is reconnecting. Otherwise ask its owner."
                .to_string(),
            retry_after: Some(RECONNECT_SECONDS),
            is_away: true,
        }
    }

    /// The agent disconnected while the request was in flight (503).
    pub fn agent_lost() -> Self {
        Page {
            status: 503,
            reason: "interrupted",
            title: "The tunnel was interrupted".to_string(),
            text: "The agent went away before the service had answered. The request may have reached the service."
                .to_string(),
            hint: "Reload in a moment: the agent reconnects by itself.".to_string(),
            retry_after: Some(RECONNECT_SECONDS),
            is_away: true,
        }
    }

    /// The service began its response and failed (500).
    pub fn service_failed() -> Self {
        Page {
            status: 500,
            reason: "failed",
            title: "The service failed".to_string(),
            text: "The tunnel works, but the service behind it failed while it answered.".to_string(),
            hint: "If this is your tunnel, look at the service's own messages.".to_string(),
            retry_after: None,
            is_away: false,
        }
    }

    /// There is no service of this `name` (404).
    pub fn unknown_service(name: &str) -> Self {
        Page {
            status: 404,
            reason: "service",
            title: "There is no such service".to_string(),
            text: format!("No service is named {name} here."),
            hint: "Check the address for a typing error, or ask the person who gave it to you.".to_string(),
            retry_after: None,
            is_away: false,
        }
    }

    /// The request has no `Host`, several, or one that is not a host name (400).
    pub fn bad_host() -> Self {
        Page {
            status: 400,
            reason: "host",
            title: "The request names no valid host".to_string(),
            text: "This relay tells services apart by the host name, and this request has none that can be read."
                .to_string(),
            hint: "Send exactly one Host field with the name of the service.".to_string(),
            retry_after: None,
            is_away: false,
        }
    }

    /// What a person gives to whoever helps, as `HT-502-refused`; `None` of a page about no error.
    pub fn code(&self) -> Option<String> {
        (!self.reason.is_empty()).then(|| format!("HT-{}-{}", self.status, self.reason))
    }

    /// The complete response to a request of this `method`, for a connection that closes after it. The response to `HEAD` is
    /// its head alone.
    pub fn response(&self, format: Format, method: &str) -> Bytes {
        let body = self.body(format);
        let head = self.head(format, body.len());
        let head = head.encode().expect("a page's head consists of constants and numbers");
        if method == "HEAD" {
            return head;
        }
        let mut out = Vec::with_capacity(head.len() + body.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(body.as_bytes());
        Bytes::from(out)
    }

    /// The head for a body of `body_bytes` bytes, for callers that write heads themselves. A status outside of 100 to 999
    /// becomes 500.
    pub fn head(&self, format: Format, body_bytes: usize) -> ResponseHead {
        let status = if matches!(self.status, 100..=999) { self.status } else { 500 };
        let mut head = ResponseHead::new(status, reason(status));
        head.headers.push("Content-Type", format.content_type());
        head.headers.push("Content-Length", body_bytes.to_string());
        head.headers.push("Cache-Control", "no-store");
        head.headers.push("Connection", "close");
        // A page repeats text of the request, which must not run as a script.
        head.headers.push("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
        head.headers.push("X-Content-Type-Options", "nosniff");
        if let Some(code) = self.code() {
            head.headers.push(ERROR_FIELD, code);
        }
        if let Some(seconds) = self.retry_after {
            head.headers.push("Retry-After", seconds.to_string());
        }
        head
    }

    /// The body alone.
    pub fn body(&self, format: Format) -> String {
        match format {
            Format::Html => self.html(""),
            Format::ReloadingHtml => self.html(&self.reload()),
            Format::Json => self.json(),
        }
    }

    /// What has a browser ask again by itself, if that makes sense.
    fn reload(&self) -> String {
        match self.retry_after.filter(|_| self.is_away) {
            Some(seconds) => format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n"),
            None => String::new(),
        }
    }

    fn html(&self, reload: &str) -> String {
        let (title, text) = (EscapedHtml(&self.title), EscapedHtml(&self.text));
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             {reload}<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n<p>{text}</p>\n"
        );
        if !self.hint.is_empty() {
            append(&mut out, format_args!("<p class=\"hint\">{}</p>\n", EscapedHtml(&self.hint)));
        }
        let reason = reason(self.status);
        let code = self.code().map(|code| format!(" · {code}")).unwrap_or_default();
        append(&mut out, format_args!("<footer>{} {reason}{code} · hvym-tunnel</footer>\n", self.status));
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }

    fn json(&self) -> String {
        let (title, text, hint) =
            (EscapedJson(&self.title), EscapedJson(&self.text), EscapedJson(&self.hint));
        let status = self.status;
        let code = self.code().map(|code| format!("\"code\":\"{code}\",")).unwrap_or_default();
        format!(
            "{{\"status\":{status},{code}\"title\":\"{title}\",\"text\":\"{text}\",\"hint\":\"{hint}\"}}\n"
        )
    }
}

/// The reason phrases of the statuses that pages have (RFC 9110 section 15).
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

fn append(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String does not fail");
}

/// Text escaped for HTML, between tags or in a quoted attribute.
struct EscapedHtml<'a>(&'a str);

impl fmt::Display for EscapedHtml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// Text escaped for a JSON string (RFC 8259 section 7).
struct EscapedJson<'a>(&'a str);

impl fmt::Display for EscapedJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' => f.write_str("\\\""),
            '\\' => f.write_str("\\\\"),
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c)),
            c => f.write_char(c),
        })
    }
}

/// The preference for a media type: the quality in thousandths of the most specific range that covers it, then how specific
/// that range is (RFC 9110 section 12.5.1). `ranges` are the type itself and `type/*`; `*/*` covers everything.
fn weight(accept: &[u8], ranges: [&str; 2]) -> (u16, u8) {
    let mut best = (0, 0);
    for member in list_members(accept) {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let Some(range) = parts.next() else { continue };
        let specific = match range {
            range if range.eq_ignore_ascii_case(ranges[0].as_bytes()) => 3,
            range if range.eq_ignore_ascii_case(ranges[1].as_bytes()) => 2,
            b"*/*" => 1,
            _ => continue,
        };
        if specific > best.1 {
            best = (parts.find_map(quality).unwrap_or(1000), specific);
        }
    }
    best
}

/// `q=0.8` in thousandths; `None` for another parameter. A malformed quality (RFC 9110 section 12.4.2) is 0.
fn quality(parameter: &[u8]) -> Option<u16> {
    let (name, value) = (parameter.get(..2)?, parameter.get(2..)?);
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, fraction) = match value {
        [b'1', ..] => return Some(1000),
        [b'0', b'.', fraction @ ..] => (0, fraction),
        _ => return Some(0),
    };
    let digits = [100, 10, 1].into_iter().zip(fraction);
    Some(digits.fold(whole, |sum, (place, byte)| match byte {
        b'0'..=b'9' => sum + place * u16::from(byte - b'0'),
        _ => sum,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_given_to_whoever_prefers_it() {
        let json =
            ["application/json", "application/json, text/plain, */*", "text/html;q=0.5, application/*"];
        let html = [
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html, application/json",
            "application/json;q=0.1, */*;q=0.9",
            "application/json;q=zero",
            "image/png",
            "",
            ";;;,,q=",
        ];
        for accept in json {
            for method in ["GET", "POST"] {
                assert_eq!(Format::preferred(method, Some(accept.as_bytes())), Format::Json, "{accept}");
            }
        }
        for accept in html {
            assert_eq!(Format::preferred("GET", Some(accept.as_bytes())), Format::ReloadingHtml, "{accept}");
            assert_eq!(Format::preferred("POST", Some(accept.as_bytes())), Format::Html, "{accept}");
        }
        assert_eq!(Format::preferred("GET", None), Format::ReloadingHtml);
        assert_eq!(Format::preferred("HEAD", None), Format::Html);
    }

    #[test]
    fn quality_is_read_in_thousandths() {
        assert_eq!(quality(b"q=0.8"), Some(800));
        assert_eq!(quality(b"Q=0.123"), Some(123));
        assert_eq!(quality(b"q=1.000"), Some(1000));
        assert_eq!(quality(b"q="), Some(0));
        assert_eq!(quality(b"charset=utf-8"), None);
    }

    #[test]
    fn words_of_a_stranger_are_only_words() {
        let page = Page::unknown_service("<script>\"x\"</script>&'\n\u{7f}\\");
        let html = page.body(Format::Html);
        assert!(html.contains("&lt;script&gt;&quot;x&quot;&lt;/script&gt;&amp;&#39;"));
        assert!(!html.contains("<script"));
        let json = page.body(Format::Json);
        assert!(json.contains("<script>\\\"x\\\"</script>&'\\u000a\\u007f\\\\ here."));
    }
}
