//! A request as a command line of curl, for a POSIX shell.

use std::fmt::Write;

use data_encoding::BASE64;
use hvym_http1::RequestHead;

use crate::capture::exchange::CapturedExchange;
use crate::view::{fields, request_body, url};

/// Fields that curl writes itself.
const OWN_FIELDS: [&str; 5] =
    ["host", "content-length", "transfer-encoding", "connection", "accept-encoding"];
/// Fields that the relay added.
const RELAY_FIELDS: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"];

/// The command that asks the same again as a visitor; secrets are in it only if `reveal`.
pub(crate) fn command(exchange: &CapturedExchange, reveal: bool) -> String {
    let request = &exchange.request;
    let Ok(head) = RequestHead::parse_complete(&request.head) else { return String::new() };
    let mut command = String::from("curl");
    let body = request_body(request);
    match (head.method.as_str(), body.is_empty()) {
        ("GET", true) | ("POST", false) => {}
        ("HEAD", _) => command.push_str(" --head"),
        (method, _) => put(&mut command, format_args!(" --request {}", quoted(method))),
    }
    let url = url(&head);
    // What curl would take for a pattern, or for a way around folders.
    if url.contains(['[', ']', '{', '}']) {
        command.push_str(" --globoff");
    }
    if head.target.contains("/.") {
        command.push_str(" --path-as-is");
    }
    put(&mut command, format_args!(" {}", quoted(&url)));
    for field in fields(&head.headers, reveal) {
        let is_left_out = |names: &[&str]| names.iter().any(|name| field.name.eq_ignore_ascii_case(name));
        if !is_left_out(&OWN_FIELDS) && !is_left_out(&RELAY_FIELDS) {
            // With a colon, a field without a value takes out one of curl's own.
            let line = match field.value.is_empty() {
                true => format!("{};", field.name),
                false => format!("{}: {}", field.name, field.value),
            };
            put(&mut command, format_args!(" \\\n  --header {}", quoted(&line)));
        }
    }
    if head.headers.contains("accept-encoding") {
        command.push_str(" \\\n  --compressed");
    }
    if !body.is_empty() && !head.headers.contains("content-type") {
        // Of its own accord curl says that it is a form.
        command.push_str(" \\\n  --header 'Content-Type:'");
    }
    match std::str::from_utf8(&body) {
        _ if body.is_empty() => command,
        Ok(body) if !body.contains('\0') => {
            put(&mut command, format_args!(" \\\n  --data-raw {}", quoted(body)));
            command
        }
        _ => {
            let body = BASE64.encode(&body);
            format!("printf %s {body} | base64 -d | {command} \\\n  --data-binary @-")
        }
    }
}

fn put(command: &mut String, text: std::fmt::Arguments<'_>) {
    // A `String` takes everything.
    let _written = command.write_fmt(text);
}

/// A word of a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hvym_tunnel_core::dialect::Proto;
    use hvym_tunnel_core::mux::StreamId;
    use hvym_tunnel_net::copy::Direction;
    use hvym_tunnel_net::observer::{ObservedStream, Piece};

    use super::*;
    use crate::capture::Capture;

    fn command_of(request: &[u8], reveal: bool) -> String {
        let capture = Capture::new(false);
        let stream = ObservedStream::new(StreamId::external(1, 1), Arc::from("web"), Proto::Http);
        capture.observer().handle_bytes(&Piece::new(&stream, Direction::ToLocal, Some(request)));
        capture.look(1, |exchange| command(exchange, reveal)).expect("it is kept")
    }

    #[test]
    fn a_request_is_a_command_that_asks_as_a_visitor_does() {
        let request =
            b"PUT /a?b HTTP/1.1\r\nHost: x.example\r\nX-Forwarded-Proto: https\r\nAccept-Encoding: gzip\r\n\
            Cookie: a=1\r\nX-Quote: it's\r\nX-Empty:\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nit's\n";
        let expected = "curl --request 'PUT' 'https://x.example/a?b' \\\n  --header 'Cookie: COOKIE' \\\n  \
            --header 'X-Quote: it'\\''s' \\\n  --header 'X-Empty;' \\\n  --header 'Content-Type: a/b' \\\n  --compressed \\\n  --data-raw 'it'\\''s\n'";
        assert_eq!(command_of(request, false), expected.replace("COOKIE", crate::redact::MASK));
        assert_eq!(command_of(request, true), expected.replace("COOKIE", "a=1"));
        assert_eq!(command_of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false), "curl 'http://x/'");
    }

    #[test]
    fn an_address_is_taken_as_it_is() {
        let command = command_of(b"GET /../x?a[]={1,2} HTTP/1.1\r\nHost: x\r\n\r\n", false);
        assert_eq!(command, "curl --globoff --path-as-is 'http://x/../x?a[]={1,2}'");
    }

    #[test]
    fn a_body_that_is_no_text_goes_through_base64() {
        let command = command_of(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\xff\0", false);
        assert_eq!(
            command,
            "printf %s /wA= | base64 -d | curl 'http://x/' \\\n  --header 'Content-Type:' \\\n  --data-binary @-"
        );
    }
}
