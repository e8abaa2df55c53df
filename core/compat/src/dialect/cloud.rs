//! The message protocol of CloudToLocalLLM: a token in the upgrade, then requests, answers and pings as text.
//!
//! Its programs validate the format of timestamps and use none, so a constant is sent. A pong repeats the ping's id.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};

use hvym_tunnel_core::dialect::{DecodeError, MAX_CONTROL_BYTES, Signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{CallId, CallMessage, Request, Response};
use super::json::{CookieListFields, Fields, envelope, line, parsed};
use super::{CompatFrame, Dialect, Profile, text_of};
use hvym_http1::{RequestHead, ResponseHead};
use hvym_tunnel_core::message::Message;

/// A timestamp of the required format: UTC with milliseconds.
const SOME_TIME: &str = "1970-01-01T00:00:00.000Z";
/// Timeout of their relays, seconds; later versions wait four times as long for language models.
const TIMEOUT: u32 = 120;
/// Prefix of the ids of our pings; the ping's number follows.
const OWN_PING: &str = "00000000-0000-4000-8000-";

/// Language models need long timeouts. A wrong token is refused after the upgrade by a close code alone.
pub(super) const PROFILE: Profile = Profile {
    methods: Some(&["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    strips_authorization: true,
    sends_before_auth: true,
    auth_close_code: Some(4001),
    ..Profile::with_timeout(TIMEOUT)
};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    id: Option<Value>,
}

#[derive(Deserialize)]
struct WireRequest {
    method: String,
    path: String,
    #[serde(default)]
    headers: Fields,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
struct WireResponse {
    status: u16,
    #[serde(default)]
    headers: CookieListFields,
    body: String,
}

#[derive(Deserialize)]
struct WireError {
    error: String,
    #[serde(default)]
    code: Option<Value>,
}

pub(super) fn decode(message: Message) -> Result<CompatFrame, DecodeError> {
    let text = match message {
        Message::Binary(_) => return Ok(CompatFrame::Signal(Signal::Unknown)),
        Message::Text(text) if text.len() > Dialect::MAX_CALL_BYTES => {
            return Err(DecodeError::TooLarge(text.len()));
        }
        Message::Text(text) => text,
    };
    let Some(Envelope { kind, id: Some(Value::String(id)) }) = envelope(&text) else {
        return Ok(CompatFrame::Signal(Signal::Unknown));
    };
    if id.is_empty() || id.len() > MAX_CONTROL_BYTES {
        return Ok(CompatFrame::Signal(Signal::Unknown));
    }
    let name = CallId::Text(id.clone());
    let part = match kind.as_ref() {
        "http_request" => request(name.clone(), &text),
        "http_response" => response(name.clone(), &text),
        "error" => failed(name.clone(), &text),
        "ping" => Ok(CallMessage::Echo(id)),
        "pong" => return Ok(CompatFrame::Signal(Signal::Pong { id: own_ping(&id) })),
        _ => return Ok(CompatFrame::Signal(Signal::Unknown)),
    };
    Ok(CompatFrame::Call(part.unwrap_or_else(|error| CallMessage::Broken { id: name, error })))
}

fn request(id: CallId, text: &[u8]) -> Result<CallMessage, String> {
    let wire: WireRequest = parsed(text)?;
    if !PROFILE.allows_method(&wire.method.to_ascii_uppercase()) {
        return Err("a method that is not known".to_string());
    }
    let mut head = RequestHead::new(wire.method, wire.path);
    head.headers = wire.headers.into_headers()?;
    let body = wire.body.unwrap_or_default().into();
    Ok(CallMessage::Request { id, request: Request { head, body }, timeout: TIMEOUT })
}

fn response(id: CallId, text: &[u8]) -> Result<CallMessage, String> {
    let wire: WireResponse = parsed(text)?;
    let mut head = ResponseHead::new(wire.status, "");
    head.headers = wire.headers.0.into_headers()?;
    Ok(CallMessage::Response { id, response: Response { head, body: wire.body.into() } })
}

/// The code is a number in their programs and a name in their documentation.
fn failed(id: CallId, text: &[u8]) -> Result<CallMessage, String> {
    let wire: WireError = parsed(text)?;
    let status = match wire.code {
        Some(Value::Number(code)) => code.as_u64().and_then(|code| u16::try_from(code).ok()),
        Some(Value::String(word)) => match word.as_str() {
            "REQUEST_TIMEOUT" | "LLM_REQUEST_TIMEOUT" => Some(504),
            "DESKTOP_CLIENT_DISCONNECTED" | "WEBSOCKET_SEND_FAILED" => Some(503),
            _ => None,
        },
        _ => None,
    };
    Ok(CallMessage::Failed { id, status: status.unwrap_or(502), error: wire.error })
}

fn own_ping(id: &str) -> Option<u64> {
    id.strip_prefix(OWN_PING).and_then(|number| u64::from_str_radix(number, 16).ok())
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wire<'a> {
    HttpRequest {
        id: &'a str,
        method: &'a str,
        path: &'a str,
        headers: Fields,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    HttpResponse {
        id: &'a str,
        status: u16,
        headers: CookieListFields,
        body: String,
    },
    Ping {
        id: &'a str,
        timestamp: &'a str,
    },
    Pong {
        id: &'a str,
        timestamp: &'a str,
    },
}

pub(super) fn encode(frame: CompatFrame) -> Option<Message> {
    match frame {
        CompatFrame::Signal(Signal::Ping { id: Some(number) }) => {
            // Twelve hexadecimal digits outlast any link.
            let id = format!("{OWN_PING}{:012x}", number & 0xFFFF_FFFF_FFFF);
            line(&Wire::Ping { id: &id, timestamp: SOME_TIME })
        }
        CompatFrame::Call(CallMessage::Echoed(id)) => line(&Wire::Pong { id: &id, timestamp: SOME_TIME }),
        CompatFrame::Call(CallMessage::Request { id: CallId::Text(id), request, .. }) => {
            let body = text_of(&request.body)?;
            line(&Wire::HttpRequest {
                id: &id,
                method: &request.head.method,
                path: &request.head.target,
                headers: Fields::from_headers(&request.head.headers),
                body: Some(body).filter(|body| !body.is_empty()),
            })
        }
        CompatFrame::Call(CallMessage::Response { id: CallId::Text(id), response }) => {
            let headers = CookieListFields(Fields::from_headers(&response.head.headers));
            let body = text_of(&response.body)?;
            line(&Wire::HttpResponse { id: &id, status: response.head.status, headers, body })
        }
        // Their own agent sends such a response instead of an `error`.
        CompatFrame::Call(CallMessage::Failed { id: CallId::Text(id), status, error }) => {
            let headers = CookieListFields(Fields::one("content-type", "application/json"));
            let body = json!({"error": reason(status), "message": error}).to_string();
            line(&Wire::HttpResponse { id: &id, status, headers, body })
        }
        _ => None,
    }
}

/// The error texts of their agent.
const fn reason(status: u16) -> &'static str {
    match status {
        400..=499 => "Bad request",
        503 => "Service unavailable",
        504 => "Gateway timeout",
        _ => "Internal server error",
    }
}
