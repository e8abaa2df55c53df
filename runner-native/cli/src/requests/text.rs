//! Requests as text for a terminal. What strangers sent is escaped.

use std::fmt::Write;

use serde_json::Value;

use crate::report::escaped;

/// The most of a body that is shown.
const MAX_SHOWN_BYTES: usize = 64 * 1024;

/// One line about a request.
pub(super) fn line(request: &Value) -> String {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let status = request["status"].as_u64().map_or_else(|| "-".to_owned(), |status| status.to_string());
    let millis = request["duration_ms"].as_f64();
    let millis = millis.map_or_else(|| text("progress").to_owned(), |millis| format!("{millis:.0} ms"));
    let path = text("target").split('?').next().unwrap_or_default();
    let (method, path, service) = (escaped(text("method")), escaped(path), escaped(text("service")));
    let id = request["id"].as_u64().unwrap_or_default();
    let mut line = format!("{id:>5}  {method:<6} {path:<40} {status:>3}  {millis:>8}  [{service}]");
    if let Some(of) = request["replay_of"].as_u64() {
        put(&mut line, format_args!("  again {of}"));
    }
    line
}

/// One request and its response whole.
pub(super) fn detail(detail: &Value, request: &[u8], response: &[u8], messages: &Value) -> String {
    let text = |name: &str| escaped(detail[name].as_str().unwrap_or_default()).into_owned();
    let mut shown =
        format!("{} {} {}\n", text("method"), text("target"), escape(&detail["request"]["version"]));
    part(&mut shown, &detail["request"], request);
    if let Some(answered) = detail.get("response") {
        let (version, reason) = (escape(&answered["version"]), escape(&answered["reason"]));
        put(&mut shown, format_args!("\n{version} {} {reason}\n", detail["status"]));
        part(&mut shown, answered, response);
    }
    for message in messages["messages"].as_array().into_iter().flatten() {
        let sender = if message["sender"] == "visitor" { '>' } else { '<' };
        let said = message["text"].as_str().map_or_else(
            || format!("({} bytes)", message["length"]),
            |said| said.lines().map(escaped).collect::<Vec<_>>().join("\n  "),
        );
        put(&mut shown, format_args!("\n{sender} {} {said}", escape(&message["kind"])));
    }
    let end = detail["timing"]["end_ms"].as_f64();
    let end = end.map_or_else(|| text("progress"), |end| format!("{end:.1} ms"));
    put(&mut shown, format_args!("\n# {end}, {}", text("url")));
    shown
}

fn part(shown: &mut String, part: &Value, body: &[u8]) {
    for field in part["headers"].as_array().into_iter().flatten() {
        put(shown, format_args!("{}: {}\n", escape(&field["name"]), escape(&field["value"])));
    }
    if body.is_empty() {
        return;
    }
    let cut = &body[..body.len().min(MAX_SHOWN_BYTES)];
    match std::str::from_utf8(cut) {
        Ok(text) => {
            let text = text.lines().map(escaped).collect::<Vec<_>>().join("\n");
            put(shown, format_args!("\n{text}\n"));
        }
        Err(_) => put(shown, format_args!("\n({} bytes that are no text)\n", body.len())),
    }
    if cut.len() < body.len() || part["body"]["whole"] == false {
        put(shown, format_args!("(the beginning of {} bytes)\n", part["body"]["length"]));
    }
}

fn escape(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default()).into_owned()
}

fn put(text: &mut String, more: std::fmt::Arguments<'_>) {
    // A `String` takes everything.
    let _written = text.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_strangers_sent_reaches_no_terminal_as_it_came() {
        let evil = "/\u{1b}[2J";
        let request =
            json!({ "id": 7, "method": "GET", "target": evil, "service": "web", "progress": "open" });
        assert!(!line(&request).contains('\u{1b}'));
        let headers = json!([{ "name": "X", "value": evil }]);
        let shown = json!({
            "method": "GET", "target": evil, "status": 200, "url": evil, "timing": {}, "progress": "open",
            "request": { "version": "HTTP/1.1", "headers": headers, "body": { "whole": true } },
            "response": { "version": "HTTP/1.1", "reason": evil, "headers": headers, "body": { "whole": true } },
        });
        let messages = json!({ "messages": [{ "sender": "visitor", "kind": "text", "text": evil }] });
        let text = detail(&shown, evil.as_bytes(), evil.as_bytes(), &messages);
        assert!(!text.contains('\u{1b}') && text.contains("[2J"), "{text}");
    }
}
