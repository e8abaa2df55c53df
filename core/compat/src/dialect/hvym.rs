//! The JSON dialect of the existing HVYM programs: one text message for each request and each response.
//!
//! Unknown messages are ignored, as those programs do. Their relays percent-decode the path of a request, so an agent
//! encodes it again; their agents pass a path on unchanged, so a relay decodes nothing.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use hvym_tunnel_core::dialect::{DecodeError, MAX_CONTROL_BYTES, Signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{CallId, CallMessage, Request, Response, Sealing};
use super::json::{Fields, envelope, line};
use super::{CompatFrame, Dialect, Profile, text_of};
use hvym_http1::{RequestHead, ResponseHead};
use hvym_tunnel_core::message::Message;

/// The name of the encryption mode on the wire.
const SEAL_MODE: &str = "XSalsa20-Poly1305";

/// Agents handle one request at a time and allow 30 s for each, so that requests queue. Their WebSocket library, in
/// Python, accepts messages of 1 MiB.
pub(super) const PROFILE: Profile = Profile {
    agent_limit: 1024 * 1024,
    agent_timeout: Duration::from_secs(30),
    numeric_ids: true,
    ..Profile::with_timeout(60)
};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    stream_id: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct WireRequest {
    method: String,
    path: String,
    #[serde(default)]
    query_string: String,
    #[serde(default)]
    headers: Fields,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WireResponse {
    #[serde(default = "ok")]
    status_code: u16,
    #[serde(default)]
    headers: Fields,
    #[serde(default)]
    body: Option<String>,
}

const fn ok() -> u16 {
    200
}

#[derive(Deserialize)]
struct RequestMessage {
    request: WireRequest,
}

#[derive(Deserialize)]
struct ResponseMessage {
    #[serde(alias = "payload")]
    response: WireResponse,
}

#[derive(Deserialize)]
struct SealedMessage {
    payload: String,
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    stream_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<T>,
}

pub(super) fn decode(message: Message) -> Result<CompatFrame, DecodeError> {
    let text = match message {
        Message::Binary(_) => return Err(DecodeError::NotControl("a binary message".to_string())),
        Message::Text(text) if text.len() > Dialect::MAX_CALL_BYTES => {
            return Err(DecodeError::TooLarge(text.len()));
        }
        Message::Text(text) => text,
    };
    let Some(envelope) = envelope::<Envelope<'_>>(&text) else {
        return Ok(CompatFrame::Signal(Signal::Unknown));
    };
    let id = envelope.stream_id.as_ref().and_then(Value::as_i64).map(CallId::Number);
    let sealing = |what| Ok(CompatFrame::Call(CallMessage::Sealing(what)));
    match (envelope.kind.as_ref(), id) {
        ("tunnel_request", Some(id)) => Ok(CompatFrame::Call(request(id, &text))),
        ("tunnel_response" | "stream_data", Some(id)) => Ok(CompatFrame::Call(response(id, &text))),
        ("stream_close", Some(id)) => Ok(CompatFrame::Call(CallMessage::Broken {
            id,
            error: "the agent closed the stream".to_string(),
        })),
        (kind @ ("tunnel_request_encrypted" | "tunnel_response_encrypted"), _) => Ok(sealed(kind, &text)),
        ("enable_encryption", _) => sealing(Sealing::Enable),
        ("disable_encryption", _) => sealing(Sealing::Disable),
        ("encryption_enabled", _) => sealing(Sealing::Enabled),
        ("encryption_unavailable", _) => sealing(Sealing::Unavailable),
        ("encryption_disabled", _) => sealing(Sealing::Disabled),
        _ if text.len() > MAX_CONTROL_BYTES => Err(DecodeError::TooLarge(text.len())),
        _ => Ok(CompatFrame::Signal(Signal::from_json(&text).unwrap_or(Signal::Unknown))),
    }
}

fn request(id: CallId, text: &[u8]) -> CallMessage {
    let broken = |id, error: String| CallMessage::Broken { id, error };
    let wire = match serde_json::from_slice::<RequestMessage>(text) {
        Ok(message) => message.request,
        Err(e) => return broken(id, e.to_string()),
    };
    let mut target = encoded_path(&wire.path);
    if !wire.query_string.is_empty() {
        target.push('?');
        target.push_str(&wire.query_string);
    }
    let mut head = RequestHead::new(wire.method, target);
    match wire.headers.into_headers() {
        Ok(headers) => head.headers = headers,
        Err(error) => return broken(id, error),
    }
    let body = wire.body.unwrap_or_default().into();
    CallMessage::Request { id, request: Request { head, body }, timeout: 30 }
}

fn response(id: CallId, text: &[u8]) -> CallMessage {
    let wire = match serde_json::from_slice::<ResponseMessage>(text) {
        Ok(message) => message.response,
        Err(e) => return CallMessage::Broken { id, error: e.to_string() },
    };
    let mut head = ResponseHead::new(wire.status_code, "");
    match wire.headers.into_headers() {
        Ok(headers) => head.headers = headers,
        Err(error) => return CallMessage::Broken { id, error },
    }
    let body = wire.body.unwrap_or_default().into();
    CallMessage::Response { id, response: Response { head, body } }
}

fn sealed(kind: &str, text: &[u8]) -> CompatFrame {
    let payload = serde_json::from_slice::<SealedMessage>(text)
        .ok()
        .and_then(|message| BASE64.decode(message.payload.as_bytes()).ok());
    match payload {
        Some(payload) => CompatFrame::Call(CallMessage::Sealed {
            answers: kind == "tunnel_response_encrypted",
            payload: Bytes::from(payload),
        }),
        None => CompatFrame::Signal(Signal::Unknown),
    }
}

/// A decoded path, percent-encoded for a request line, the percent sign included.
fn encoded_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'%' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                out.push_str(&format!("%{byte:02X}"));
            }
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub(super) fn encode(frame: CompatFrame) -> Option<Message> {
    match frame {
        CompatFrame::TokenAuth(_) => None,
        CompatFrame::Signal(signal) => encode_signal(signal),
        CompatFrame::Call(part) => encode_part(part),
    }
}

/// The dialect has no `bind_failed`: a general error is sent instead. Pings have no id.
fn encode_signal(signal: Signal) -> Option<Message> {
    let value = match signal {
        Signal::Ping { .. } => json!({"type": "ping"}),
        Signal::Pong { .. } => json!({"type": "pong"}),
        Signal::Bind { service, local_port, .. } => {
            return line(&Bind { kind: "bind", service: &service, local_port });
        }
        Signal::BindOk { service, local_port, .. } => {
            return line(&Bind { kind: "bind_ok", service: &service, local_port });
        }
        Signal::BindFailed { service, error, .. } => {
            json!({"type": "error", "message": format!("the service {service} is not bound: {error}")})
        }
        Signal::Error { message, .. } => json!({"type": "error", "message": message}),
        _ => return None,
    };
    line(&value)
}

#[derive(Serialize)]
struct Bind<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_port: Option<u16>,
}

fn encode_part(part: CallMessage) -> Option<Message> {
    match part {
        CallMessage::Request { id: CallId::Number(stream_id), request, .. } => {
            let (path, query) = request.head.target.split_once('?').unwrap_or((&request.head.target, ""));
            let wire = WireRequest {
                method: request.head.method.clone(),
                path: path.replace('#', "%23"),
                query_string: query.replace('#', "%23"),
                headers: Fields::from_headers(&request.head.headers),
                body: Some(text_of(&request.body)?),
            };
            line(&Outgoing { kind: "tunnel_request", stream_id, request: Some(wire), response: None })
        }
        CallMessage::Response { id: CallId::Number(stream_id), response } => {
            let wire = WireResponse {
                status_code: response.head.status,
                headers: Fields::from_headers(&response.head.headers),
                body: Some(text_of(&response.body)?),
            };
            line(&Outgoing { kind: "tunnel_response", stream_id, request: None, response: Some(wire) })
        }
        CallMessage::Failed { id, status, error } => {
            let mut head = ResponseHead::new(status, "");
            head.headers.push("Content-Type", "text/plain; charset=utf-8");
            encode_part(CallMessage::Response { id, response: Response { head, body: error.into() } })
        }
        CallMessage::Sealed { answers, payload } => {
            let kind = if answers { "tunnel_response_encrypted" } else { "tunnel_request_encrypted" };
            line(&Sealed { kind, encrypted: true, payload: BASE64.encode(&payload) })
        }
        CallMessage::Sealing(sealing) => line(&match sealing {
            Sealing::Enable => json!({"type": "enable_encryption"}),
            Sealing::Disable => json!({"type": "disable_encryption"}),
            Sealing::Enabled => return line(&SealingMode { kind: "encryption_enabled", mode: SEAL_MODE }),
            Sealing::Unavailable => {
                return line(&SealingRefused {
                    kind: "encryption_unavailable",
                    reason: "No shared key available",
                });
            }
            Sealing::Disabled => json!({"type": "encryption_disabled"}),
        }),
        _ => None,
    }
}

#[derive(Serialize)]
struct Sealed<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    encrypted: bool,
    payload: String,
}

#[derive(Serialize)]
struct SealingMode<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    mode: &'a str,
}

#[derive(Serialize)]
struct SealingRefused<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    reason: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_path_is_encoded_again_and_can_be_no_query_and_no_fragment() {
        assert_eq!(encoded_path("/a b/é?x#y%2F"), "/a%20b/%C3%A9%3Fx%23y%252F");
        assert_eq!(encoded_path("/~a-b_c.d/!$&'()*+,;=:@"), "/~a-b_c.d/!$&'()*+,;=:@");
    }
}
