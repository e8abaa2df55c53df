//! Exchanges as an HTTP archive (HAR 1.2), which the developer tools of browsers read.

use data_encoding::BASE64;
use hvym_http1::{RequestHead, ResponseHead};
use serde_json::{Value, json};

use crate::capture::exchange::{CapturedExchange, CapturedResponse, ResponseKind};
use crate::redact::MASK;
use crate::view::{FieldView, MessageLine, fields, millis, request_body, text, url};

/// An archive of `entries`, which [`entry`] makes.
pub(crate) fn archive(entries: Vec<Value>) -> Value {
    let creator = json!({ "name": "hvym-tunnel", "version": env!("CARGO_PKG_VERSION") });
    json!({ "log": { "version": "1.2", "creator": creator, "entries": entries } })
}

/// One exchange; its secrets are in it only if `reveal`.
pub(crate) fn entry(exchange: &CapturedExchange, reveal: bool) -> Value {
    let request = &exchange.request;
    let wait = exchange.response.as_ref().map(|response| response.begun_after);
    let sent = request.complete_after.or(wait).unwrap_or_default();
    let end = exchange.duration.or(wait).unwrap_or(sent);
    let begun = wait.unwrap_or(end);
    let mut entry = json!({
        "startedDateTime": date_time(exchange.started.unix_ms),
        "time": millis(end),
        "request": request_of(exchange, reveal),
        "response": exchange.response.as_ref().map_or_else(no_response, |response| {
            response_of(exchange, response, reveal)
        }),
        "cache": {},
        // A response may begin before its request ends.
        "timings": {
            "send": millis(sent.min(begun)),
            "wait": millis(begun.saturating_sub(sent)),
            "receive": millis(end.saturating_sub(begun)),
        },
        "comment": exchange.source.service.to_string(),
    });
    if exchange.kind() == ResponseKind::WebSocket {
        entry["_resourceType"] = "websocket".into();
        entry["_webSocketMessages"] = exchange
            .messages
            .iter()
            .map(|message| {
                let line = MessageLine::new(message);
                let sent = exchange.started.unix_ms as f64 + line.at_ms;
                json!({
                    "type": if line.sender == "visitor" { "send" } else { "receive" },
                    "time": sent / 1000.0,
                    "opcode": if line.text.is_some() { 1 } else { 2 },
                    "data": line.text.or(line.base64),
                })
            })
            .collect();
    }
    entry
}

fn request_of(exchange: &CapturedExchange, reveal: bool) -> Value {
    let request = &exchange.request;
    let Ok(head) = RequestHead::parse_complete(&request.head) else { return json!({}) };
    let body = request_body(request);
    let media_type = head.headers.first("content-type").map(text).unwrap_or_default();
    let query = head.target.split_once('?').map_or("", |(_, query)| query);
    let query: Vec<Value> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            json!({ "name": name, "value": value })
        })
        .collect();
    let mut written = json!({
        "method": head.method,
        "url": url(&head),
        "httpVersion": head.version.as_str(),
        "cookies": cookies(&fields(&head.headers, reveal), "cookie"),
        "headers": pairs(&fields(&head.headers, reveal)),
        "queryString": query,
        "headersSize": request.head.len(),
        "bodySize": request.body.length(),
    });
    if !body.is_empty() {
        written["postData"] = json!({ "mimeType": media_type, "text": String::from_utf8_lossy(&body) });
    }
    written
}

fn response_of(exchange: &CapturedExchange, response: &CapturedResponse, reveal: bool) -> Value {
    let Ok(head) = ResponseHead::parse_complete(&response.head) else { return no_response() };
    let headers = fields(&head.headers, reveal);
    let mut content = json!({
        "size": response.body.length(),
        "mimeType": head.headers.first("content-type").map(text).unwrap_or_default(),
    });
    let is_coded = head.headers.contains("content-encoding");
    match std::str::from_utf8(response.body.bytes()) {
        _ if exchange.kind() == ResponseKind::EventStream => {
            let lines = exchange.messages.iter().map(|message| {
                let name = message.name.as_ref().map(|name| format!("event: {name}\n")).unwrap_or_default();
                let data = String::from_utf8_lossy(&message.data).replace('\n', "\ndata: ");
                format!("{name}data: {data}\n\n")
            });
            content["text"] = lines.collect::<String>().into();
        }
        Ok(body) if !is_coded => content["text"] = body.into(),
        _ => {
            content["text"] = BASE64.encode(response.body.bytes()).into();
            content["encoding"] = "base64".into();
        }
    }
    json!({
        "status": head.status,
        "statusText": head.reason,
        "httpVersion": head.version.as_str(),
        "cookies": cookies(&headers, "set-cookie"),
        "headers": pairs(&headers),
        "content": content,
        "redirectURL": head.headers.first("location").map(text).unwrap_or_default(),
        "headersSize": response.head.len(),
        "bodySize": response.body.length(),
    })
}

/// What the format asks for where there is none.
fn no_response() -> Value {
    json!({
        "status": 0, "statusText": "", "httpVersion": "", "cookies": [], "headers": [],
        "content": { "size": 0, "mimeType": "" }, "redirectURL": "", "headersSize": -1, "bodySize": -1,
    })
}

fn pairs(fields: &[FieldView]) -> Vec<Value> {
    fields.iter().map(|field| json!({ "name": field.name, "value": field.value })).collect()
}

fn cookies(fields: &[FieldView], name: &str) -> Vec<Value> {
    let named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let cookies = named.filter(|field| field.value != MASK).flat_map(|field| {
        // Of a cookie that is set, the rest are its attributes.
        let count = if name == "cookie" { usize::MAX } else { 1 };
        field.value.split(';').take(count).filter_map(|pair| pair.trim().split_once('='))
    });
    cookies.map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// RFC 3339, in UTC.
fn date_time(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days, for days from 1970 on.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
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

    #[test]
    fn an_entry_has_what_the_format_asks_for_and_no_secret() {
        let capture = Capture::new(false);
        let observer = capture.observer();
        let stream = ObservedStream::new(StreamId::external(1, 1), Arc::from("web"), Proto::Http);
        for (direction, bytes) in [
            (
                Direction::ToLocal,
                &b"POST /a?b=1&c HTTP/1.1\r\nHost: x\r\nCookie: s=1; t=2\r\nContent-Length: 2\r\n\r\nhi"[..],
            ),
            (
                Direction::ToTunnel,
                b"HTTP/1.1 200 OK\r\nSet-Cookie: u=3; Path=/\r\nContent-Length: 1\r\n\r\n\xff",
            ),
        ] {
            observer.handle_bytes(&Piece::new(&stream, direction, Some(bytes)));
        }
        let hidden = capture.look(1, |exchange| entry(exchange, false)).expect("it is kept");
        assert_eq!((&hidden["request"]["cookies"], &hidden["response"]["cookies"]), (&json!([]), &json!([])));
        let shown = capture.look(1, |exchange| entry(exchange, true)).expect("it is kept");
        let pair = |name: &str, value: &str| json!({ "name": name, "value": value });
        assert_eq!(shown["request"]["cookies"], json!([pair("s", "1"), pair("t", "2")]));
        assert_eq!(shown["response"]["cookies"], json!([pair("u", "3")]));
        assert_eq!(shown["request"]["queryString"], json!([pair("b", "1"), pair("c", "")]));
        assert_eq!(shown["request"]["postData"]["text"], "hi");
        assert_eq!(shown["response"]["content"]["encoding"], "base64");
        for part in ["send", "wait", "receive"] {
            assert!(shown["timings"][part].as_f64().is_some_and(|ms| ms >= 0.0), "{part}: {shown}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, date) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(date_time(ms), date);
        }
    }
}
