//! The dialect of tunely, 1.1 and 2.0: a token first, then requests as text, connections as text or binary.
//!
//! Timestamps, which no program uses, are left out. UDP messages are not supported, and ignored.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hvym_tunnel_core::dialect::{DecodeError, MAX_CONTROL_BYTES, Signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{CallId, CallMessage, Request, Response};
use super::json::{Fields, envelope, line, parsed};
use super::token_auth::TokenAuth;
use super::{CompatFrame, Dialect, Profile, text_of};
use crate::uuid;
use hvym_http1::{RequestHead, ResponseHead};
use hvym_tunnel_core::message::Message;

/// The first byte of every binary message.
const BINARY_VERSION: u8 = 2;
/// The second byte of a binary message with bytes of a connection.
const BINARY_TCP: u8 = 1;
/// Default timeout of a request, seconds: that of the existing servers.
const TIMEOUT: u32 = 300;

/// Python agents, which accept 1 MiB, get connections instead of messages; Node agents and servers accept large messages.
pub(super) const PROFILE: Profile = Profile {
    streams_bodies: true,
    relay_pings: false,
    sends_before_auth: true,
    ..Profile::with_timeout(TIMEOUT)
};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    conn_id: Option<Value>,
}

#[derive(Deserialize)]
struct Auth {
    token: String,
    #[serde(default)]
    client_version: Option<String>,
    #[serde(default)]
    force: Option<Value>,
    #[serde(default)]
    capabilities: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct AuthOk {
    domain: String,
    tunnel_id: Value,
    #[serde(default)]
    capabilities: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct AuthError {
    error: String,
    #[serde(default)]
    code: Option<String>,
}

#[derive(Deserialize)]
struct WireRequest {
    method: String,
    path: String,
    #[serde(default)]
    headers: Fields,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    timeout: Option<f64>,
}

#[derive(Deserialize)]
struct WireResponse {
    status: u16,
    #[serde(default)]
    headers: Fields,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct WireChunk {
    data: String,
    #[serde(default)]
    sequence: u64,
    #[serde(default)]
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct WireEnd {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    total_chunks: u64,
}

#[derive(Deserialize)]
struct WireData {
    data: String,
    #[serde(default)]
    sequence: u64,
}

pub(super) fn decode(message: Message) -> Result<CompatFrame, DecodeError> {
    match message {
        Message::Binary(data) => Ok(binary(data)),
        Message::Text(text) if text.len() > Dialect::MAX_CALL_BYTES => Err(DecodeError::TooLarge(text.len())),
        Message::Text(text) => decode_text(&text),
    }
}

/// Ignores everything but frames of a connection, as the existing server does.
fn binary(mut data: Bytes) -> CompatFrame {
    match data.first_chunk::<18>() {
        Some([BINARY_VERSION, BINARY_TCP, raw @ ..]) => {
            let id = CallId::Text(uuid::to_text(*raw));
            let data = data.split_off(18);
            CompatFrame::Call(CallMessage::Data { id, data, sequence: 0, binary: true })
        }
        _ => CompatFrame::Signal(Signal::Unknown),
    }
}

fn decode_text(text: &[u8]) -> Result<CompatFrame, DecodeError> {
    let Some(envelope) = envelope::<Envelope<'_>>(text) else {
        return Ok(CompatFrame::Signal(Signal::Unknown));
    };
    let name = |value: Option<Value>| match value {
        Some(Value::String(text)) => Some(CallId::Text(text)),
        _ => None,
    };
    let kind = envelope.kind;
    if let "auth" | "auth_ok" | "auth_error" = kind.as_ref() {
        return token_auth(&kind, text).map(CompatFrame::TokenAuth);
    }
    let part = match (kind.as_ref(), name(envelope.id), name(envelope.conn_id)) {
        ("request", Some(id), _) => or_broken(id, text, request),
        ("response", Some(id), _) => or_broken(id, text, response),
        ("stream_start", Some(id), _) => or_broken(id, text, started),
        ("stream_chunk", Some(id), _) => or_broken(id, text, chunk),
        ("stream_end", Some(id), _) => or_broken(id, text, ended),
        ("tcp_connect", _, Some(id)) => CallMessage::Connect { id },
        ("tcp_data", _, Some(id)) => data(id, text),
        ("tcp_close", _, Some(id)) => CallMessage::Close { id, error: closing(text) },
        ("ping", ..) => return Ok(CompatFrame::Signal(Signal::Ping { id: None })),
        ("pong", ..) => return Ok(CompatFrame::Signal(Signal::Pong { id: None })),
        _ => return Ok(CompatFrame::Signal(Signal::Unknown)),
    };
    Ok(CompatFrame::Call(part))
}

fn token_auth(kind: &str, text: &[u8]) -> Result<TokenAuth, DecodeError> {
    let fault = |e: serde_json::Error| DecodeError::NotControl(e.to_string());
    if text.len() > MAX_CONTROL_BYTES {
        return Err(DecodeError::TooLarge(text.len()));
    }
    match kind {
        "auth" => serde_json::from_slice(text).map_err(fault).map(|auth: Auth| TokenAuth::Request {
            token: auth.token,
            version: auth.client_version.unwrap_or_default(),
            force: auth.force.is_some_and(|force| is_yes(&force)),
            capabilities: auth.capabilities.unwrap_or_default(),
        }),
        "auth_ok" => serde_json::from_slice(text).map_err(fault).map(|ok: AuthOk| TokenAuth::Granted {
            name: ok.domain,
            id: ok.tunnel_id.as_str().map_or_else(|| ok.tunnel_id.to_string(), String::from),
            capabilities: ok.capabilities,
        }),
        _ => serde_json::from_slice(text).map_err(fault).map(|refused: AuthError| TokenAuth::Refused {
            code: refused.code.unwrap_or_default(),
            error: refused.error,
        }),
    }
}

/// Values that the existing server's parser accepts as `true`.
fn is_yes(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_i64() == Some(1),
        Value::String(text) => matches!(text.as_str(), "yes" | "true" | "1" | "on" | "y" | "t"),
        _ => false,
    }
}

fn or_broken(id: CallId, text: &[u8], read: fn(CallId, &[u8]) -> Result<CallMessage, String>) -> CallMessage {
    read(id.clone(), text).unwrap_or_else(|error| CallMessage::Broken { id, error })
}

fn request(id: CallId, text: &[u8]) -> Result<CallMessage, String> {
    let wire: WireRequest = parsed(text)?;
    let mut head = RequestHead::new(wire.method, encoded(&wire.path));
    head.headers = wire.headers.into_headers()?;
    let body = wire.body.map(unquoted).unwrap_or_default().into();
    let timeout =
        wire.timeout.filter(|t| *t >= 0.0 && *t < f64::from(u32::MAX)).map_or(TIMEOUT, |t| t as u32);
    Ok(CallMessage::Request { id, request: Request { head, body }, timeout })
}

/// Servers encode every body that is no JSON document as a JSON string.
fn unquoted(body: String) -> String {
    match body.as_bytes() {
        [b'"', ..] => serde_json::from_str(&body).unwrap_or(body),
        _ => body,
    }
}

/// Percent-encodes what a request line cannot contain. Servers decode a path incompletely, so that remaining escapes are
/// left as they are.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !br##"#"<>\^`{|}"##.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn response(id: CallId, text: &[u8]) -> Result<CallMessage, String> {
    let wire: WireResponse = parsed(text)?;
    if let (Some(error), None) = (&wire.error, &wire.body) {
        // One of the clients sends 500 for a service that it cannot reach.
        let status = if wire.status == 500 { 502 } else { wire.status };
        return Ok(CallMessage::Failed { id, status, error: error.clone() });
    }
    let mut head = ResponseHead::new(wire.status, "");
    head.headers = wire.headers.into_headers()?;
    let body = wire.body.unwrap_or_default().into();
    Ok(CallMessage::Response { id, response: Response { head, body } })
}

fn started(id: CallId, text: &[u8]) -> Result<CallMessage, String> {
    let wire: WireResponse = parsed(text)?;
    let mut head = ResponseHead::new(wire.status, "");
    head.headers = wire.headers.into_headers()?;
    Ok(CallMessage::Started { id, head })
}

fn chunk(id: CallId, text: &[u8]) -> Result<CallMessage, String> {
    let wire: WireChunk = parsed(text)?;
    let data = match wire.encoding.as_deref() {
        None | Some("plain") => Bytes::from(wire.data),
        Some("base64") => BASE64.decode(wire.data.as_bytes()).map_err(|e| e.to_string())?.into(),
        Some(other) => return Err(format!("a piece in the encoding {other:?}")),
    };
    Ok(CallMessage::Chunk { id, data, sequence: wire.sequence })
}

fn ended(id: CallId, text: &[u8]) -> Result<CallMessage, String> {
    let wire: WireEnd = parsed(text)?;
    Ok(CallMessage::Ended { id, error: wire.error, chunks: wire.total_chunks })
}

fn data(id: CallId, text: &[u8]) -> CallMessage {
    let wire = parsed::<WireData>(text);
    match wire.map(|wire| (BASE64.decode(wire.data.as_bytes()), wire.sequence)) {
        Ok((Ok(data), sequence)) => CallMessage::Data { id, data: data.into(), sequence, binary: false },
        // A gap in the byte stream would be worse than its end.
        _ => CallMessage::Close { id, error: Some("malformed data".to_string()) },
    }
}

fn closing(text: &[u8]) -> Option<String> {
    parsed::<WireEnd>(text).ok().and_then(|wire| wire.error)
}

pub(super) fn encode(frame: CompatFrame) -> Option<Message> {
    match frame {
        CompatFrame::Signal(Signal::Ping { .. }) => line(&json!({"type": "ping"})),
        CompatFrame::Signal(Signal::Pong { .. }) => line(&json!({"type": "pong"})),
        CompatFrame::Signal(_) => None,
        CompatFrame::TokenAuth(auth) => encode_token_auth(&auth),
        CompatFrame::Call(part) => encode_part(part),
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wire<'a> {
    Auth {
        token: &'a str,
        client_version: &'a str,
        force: bool,
        capabilities: &'a [String],
    },
    AuthOk {
        domain: &'a str,
        tunnel_id: &'a str,
        server_version: &'a str,
        capabilities: &'a [String],
    },
    AuthError {
        error: &'a str,
        code: &'a str,
    },
    Request {
        id: &'a str,
        method: &'a str,
        path: &'a str,
        headers: Fields,
        body: Option<&'a str>,
        timeout: f64,
        stream_ok: bool,
    },
    Response {
        id: &'a str,
        status: u16,
        headers: Fields,
        body: &'a str,
        error: Option<&'a str>,
        duration_ms: u32,
    },
    StreamStart {
        id: &'a str,
        status: u16,
        headers: Fields,
    },
    StreamChunk {
        id: &'a str,
        data: &'a str,
        sequence: u64,
        encoding: &'a str,
    },
    StreamEnd {
        id: &'a str,
        error: Option<&'a str>,
        duration_ms: u32,
        total_chunks: u64,
    },
    TcpConnect {
        conn_id: &'a str,
    },
    TcpData {
        conn_id: &'a str,
        data: String,
        sequence: u64,
    },
    TcpClose {
        conn_id: &'a str,
        error: Option<&'a str>,
    },
}

fn encode_token_auth(auth: &TokenAuth) -> Option<Message> {
    line(&match auth {
        TokenAuth::Request { token, version, force, capabilities } => {
            Wire::Auth { token, client_version: version, force: *force, capabilities }
        }
        TokenAuth::Granted { name, id, capabilities } => Wire::AuthOk {
            domain: name,
            tunnel_id: id,
            server_version: "",
            capabilities: capabilities.as_deref().unwrap_or_default(),
        },
        TokenAuth::Refused { code, error } => Wire::AuthError { error, code },
    })
}

fn encode_part(part: CallMessage) -> Option<Message> {
    match &part {
        CallMessage::Request { id: CallId::Text(id), request, timeout } => {
            let body = text_of(&request.body)?;
            line(&Wire::Request {
                id,
                method: &request.head.method,
                path: &request.head.target.replace('#', "%23"),
                headers: Fields::from_headers(&request.head.headers),
                body: Some(body.as_str()).filter(|body| !body.is_empty()),
                timeout: f64::from(*timeout),
                stream_ok: false,
            })
        }
        CallMessage::Response { id: CallId::Text(id), response } => {
            let (status, headers) = (response.head.status, Fields::from_headers(&response.head.headers));
            // Servers parse the body as JSON and send the value; a JSON string is sent unchanged.
            let body = serde_json::to_string(&text_of(&response.body)?).ok()?;
            line(&Wire::Response { id, status, headers, body: &body, error: None, duration_ms: 0 })
        }
        CallMessage::Failed { id: CallId::Text(id), status, error } => {
            let headers = Fields::one("content-type", "text/plain; charset=utf-8");
            let (status, body) = (*status, serde_json::to_string(error).ok()?);
            line(&Wire::Response { id, status, headers, body: &body, error: Some(error), duration_ms: 0 })
        }
        CallMessage::Started { id: CallId::Text(id), head } => {
            let headers = Fields::from_headers(&head.headers);
            line(&Wire::StreamStart { id, status: head.status, headers })
        }
        CallMessage::Chunk { id: CallId::Text(id), data, sequence } => {
            let data = &text_of(data)?;
            line(&Wire::StreamChunk { id, data, sequence: *sequence, encoding: "plain" })
        }
        CallMessage::Ended { id: CallId::Text(id), error, chunks } => {
            let error = error.as_deref();
            line(&Wire::StreamEnd { id, error, duration_ms: 0, total_chunks: *chunks })
        }
        CallMessage::Connect { id: CallId::Text(conn_id) } => line(&Wire::TcpConnect { conn_id }),
        CallMessage::Data { id: CallId::Text(conn_id), data, sequence, binary } => {
            if let Some(raw) = uuid_bytes(conn_id).filter(|_| *binary) {
                return Some(Message::Binary(packed_frame(raw, data)));
            }
            let data = BASE64.encode(data);
            line(&Wire::TcpData { conn_id, data, sequence: *sequence })
        }
        CallMessage::Close { id: CallId::Text(conn_id), error } => {
            line(&Wire::TcpClose { conn_id, error: error.as_deref() })
        }
        _ => None,
    }
}

fn packed_frame(raw: [u8; 16], data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(18 + data.len());
    frame.put_slice(&[BINARY_VERSION, BINARY_TCP]);
    frame.put_slice(&raw);
    frame.put_slice(data);
    frame.freeze()
}

/// The bytes of a UUID in its usual form; other names cannot be sent in binary messages.
fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let dashes = text.bytes().enumerate().filter(|(_, byte)| *byte == b'-').map(|(at, _)| at);
    if text.len() != 36 || !dashes.eq([8, 13, 18, 23]) {
        return None;
    }
    let hex: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    HEXLOWER_PERMISSIVE.decode(&hex).ok()?.try_into().ok()
}
