//! Strict validation of HTTP/1.1 request heads. Knows no socket and no time.
//!
//! It refuses every head that two parsers could read differently (RFC 9112 section 11.2), so that the relay, hyper
//! and the service agree on what was accepted.

use http::Uri;
use hvym_http1::{Body, Framing, FramingError, HeadError, HeadScanner, LineEndings, RequestHead, Version};
use hvym_tunnel_pages::Format;

use crate::settings::MAX_FIELDS;

/// Why a request is refused before routing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RequestError {
    /// No HTTP, or HTTP that two parsers could read differently; what exactly.
    Malformed(String),
    /// More bytes or fields than a head may have.
    TooLarge,
    /// A transfer coding other than `chunked`.
    Coding,
    /// `CONNECT`.
    Proxy,
    /// The head arrived later than the timeout.
    Late,
}

impl RequestError {
    fn malformed(why: impl ToString) -> Self {
        RequestError::Malformed(why.to_string())
    }
}

impl From<HeadError> for RequestError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::TooLong | HeadError::TooManyHeaders => RequestError::TooLarge,
            other => RequestError::malformed(other),
        }
    }
}

/// Finds the end of a visitor's head. Lines end with CR LF and nothing else.
pub(crate) const fn scanner() -> HeadScanner {
    HeadScanner::new(LineEndings::Strict)
}

/// What follows a head that was let through.
#[derive(Debug)]
pub(crate) struct Framed {
    /// The request's body.
    pub(crate) body: Body,
    /// Whether what comes after it may be another protocol: that is for the answer to say.
    pub(crate) may_change: bool,
}

/// Validates a complete head.
///
/// # Errors
/// Why it is refused.
pub(crate) fn validate_head(bytes: &[u8]) -> Result<Framed, RequestError> {
    let whole = RequestHead::parse(bytes)?.filter(|(_, used)| *used == bytes.len());
    let Some((head, _)) = whole else { return Err(RequestError::malformed("the head ends twice")) };
    if head.headers.len() > MAX_FIELDS {
        return Err(RequestError::TooLarge);
    }
    if head.method == "CONNECT" {
        return Err(RequestError::Proxy);
    }
    target(&head)?;
    // Equal lengths are harmless here, but indicate request smuggling.
    let lengths: Vec<&[u8]> = head.headers.all("content-length").collect();
    if lengths.len() > 1 || lengths.iter().any(|value| value.contains(&b',')) {
        return Err(RequestError::malformed("the length of the body is said more than once"));
    }
    let framing = Framing::for_request(&head).map_err(|error| match error {
        FramingError::Encoding => RequestError::Coding,
        error => RequestError::malformed(error),
    })?;
    let may_change = head.version == Version::Http11
        && head.headers.contains("upgrade")
        && head.headers.contains_token("connection", "upgrade");
    Ok(Framed { body: Body::new(framing), may_change })
}

/// A path, an `http` URL, or `*` for `OPTIONS` (RFC 9112 section 3.2).
fn target(head: &RequestHead) -> Result<(), RequestError> {
    if head.target == "*" && head.method == "OPTIONS" {
        return Ok(());
    }
    let uri: Uri =
        head.target.parse().map_err(|_| RequestError::malformed("the target is no path and no URL"))?;
    let is_url = matches!(uri.scheme_str(), Some("http" | "https"));
    if is_url || (uri.scheme().is_none() && head.target.starts_with('/')) {
        return Ok(());
    }
    Err(RequestError::malformed("the target is no path and no URL"))
}

/// The format of the error page for a head that may be malformed.
pub(crate) fn wanted_format(bytes: &[u8]) -> Format {
    let name = b"accept:";
    let accept = bytes.split(|byte| *byte == b'\n').find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    });
    Format::preferred(accept)
}

#[cfg(test)]
mod tests {
    use hvym_http1::MAX_HEAD_BYTES;

    use super::*;

    #[test]
    fn a_head_is_found_however_it_is_cut() {
        let head = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let whole = head.len() - b"rest".len();
        for cut in 0..whole {
            let mut scanner = scanner();
            assert_eq!(scanner.feed(&head[..cut]), Ok(None), "{cut}");
            assert_eq!(scanner.feed(&head[cut..]), Ok(Some(whole - cut)), "{cut}");
            assert_eq!(scanner.scanned(), whole, "{cut}");
        }
        assert!(validate_head(&head[..whole]).is_ok());
    }

    #[test]
    fn a_head_without_end_is_too_large() {
        let long = vec![b'a'; MAX_HEAD_BYTES + 1];
        assert_eq!(scanner().feed(&long).map_err(RequestError::from), Err(RequestError::TooLarge));
    }

    #[test]
    fn only_a_request_that_means_it_may_change_the_protocol() {
        let may_change = |fields: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            validate_head(head.as_bytes()).expect("a good head").may_change
        };
        assert!(may_change("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
        assert!(!may_change("Upgrade: websocket\r\n"));
        assert!(!may_change("Connection: upgrade\r\n"));
    }

    #[test]
    fn a_length_is_said_once() {
        let judged =
            |fields: &str| validate_head(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
        assert!(judged("Content-Length: 5\r\n").is_ok());
        let twice = "the length of the body is said more than once";
        for fields in ["Content-Length: 5, 5\r\n", "Content-Length: 5\r\ncontent-length: 5\r\n"] {
            let refused = judged(fields).map(|framed| framed.body);
            assert_eq!(refused, Err(RequestError::Malformed(twice.to_owned())), "{fields}");
        }
    }

    #[test]
    fn a_head_has_only_so_many_fields() {
        let judged = |count: usize| {
            let fields = "X: y\r\n".repeat(count);
            validate_head(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes())
                .map(|framed| framed.may_change)
        };
        assert_eq!(judged(MAX_FIELDS - 1), Ok(false));
        assert_eq!(judged(MAX_FIELDS), Ok(false));
        assert_eq!(judged(MAX_FIELDS + 1), Err(RequestError::TooLarge));
    }

    #[test]
    fn a_broken_head_may_still_say_what_it_reads() {
        assert_eq!(wanted_format(b"GET\r\nACCEPT: application/json\r\n"), Format::Json);
        assert_eq!(wanted_format(b"\x00\xff"), Format::Html);
    }
}
