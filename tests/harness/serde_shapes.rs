//! The same messages as `serde` derives them: what ours are compared with.

use hvym_tunnel_core::dialect::{self, MAX_OPEN_RESULT_BYTES, MAX_STREAM_HEADER_BYTES};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::SignedDelegation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a text is read as.
#[derive(Copy, Clone, Debug)]
pub enum Shape {
    /// A control message.
    Signal,
    /// The header of a stream.
    StreamHeader,
    /// The answer to a header.
    OpenResult,
}

/// What a library writes of the message that it reads in `json`; `None` if it reads none.
///
/// # Panics
/// When it writes a result that is too long.
pub fn read(shape: Shape, json: &[u8]) -> Option<String> {
    // A library takes a list of values as well as an object; the protocol does not.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    match shape {
        Shape::Signal => signal(json),
        Shape::StreamHeader => {
            let text = written(&parsed::<StreamHeader>(json)?.checked()?);
            Some(if text.len() > MAX_STREAM_HEADER_BYTES { String::new() } else { text })
        }
        Shape::OpenResult => {
            let verdict: OpenResult = parsed(json)?;
            let text = written(&verdict.as_we_send_it());
            assert!(text.len() <= MAX_OPEN_RESULT_BYTES);
            Some(text)
        }
    }
}

/// What we write of the message that we read in `json`; `None` if we read none.
fn ours(shape: Shape, json: &[u8]) -> Option<String> {
    let framed = |bytes: &[u8]| String::from_utf8(bytes[2..].to_vec()).expect("texts are UTF-8");
    match shape {
        Shape::Signal => dialect::Signal::from_json(json).ok().map(|signal| signal.to_json()),
        Shape::StreamHeader => {
            dialect::StreamHeader::decode(json).ok().map(|o| o.encode().map_or(String::new(), |b| framed(&b)))
        }
        Shape::OpenResult => dialect::OpenResult::decode(json).ok().map(|verdict| framed(&verdict.encode())),
    }
}

/// That both readers accept `json`, or neither, and that both write the same of it.
///
/// # Panics
/// When they differ.
pub fn assert_same(json: &[u8]) {
    for shape in [Shape::Signal, Shape::StreamHeader, Shape::OpenResult] {
        let (ours, theirs) = (ours(shape, json), read(shape, json));
        assert_eq!(ours, theirs, "{shape:?} {}", String::from_utf8_lossy(json));
    }
}

fn parsed<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these have a JSON form")
}

#[derive(Deserialize)]
struct Tag {
    r#type: String,
}

fn signal(json: &[u8]) -> Option<String> {
    let Tag { r#type: tag } = parsed(json)?;
    let signal = match tag.as_str() {
        "auth_challenge" => Signal::AuthChallenge(parsed(json)?),
        "auth_response" => Signal::AuthResponse(parsed(json)?),
        "auth_ok" => Signal::AuthOk(parsed(json)?),
        "auth_failed" => Signal::AuthFailed(parsed(json)?),
        "bind" => Signal::Bind(parsed(json)?),
        "bind_ok" => Signal::BindOk(parsed(json)?),
        "bind_failed" => Signal::BindFailed(parsed(json)?),
        "unbind" => Signal::Unbind(parsed(json)?),
        "unbind_ok" => Signal::UnbindOk(parsed(json)?),
        "unbound" => Signal::Unbound(parsed(json)?),
        "revoke" => Signal::Revoke(parsed(json)?),
        "revoke_ok" => Signal::RevokeOk(parsed(json)?),
        "revoke_failed" => Signal::RevokeFailed(parsed(json)?),
        "claim" => Signal::Claim(parsed(json)?),
        "claim_ok" => Signal::ClaimOk(parsed(json)?),
        "claim_failed" => Signal::ClaimFailed(parsed(json)?),
        "ping" => Signal::Ping(parsed(json)?),
        "pong" => Signal::Pong(parsed(json)?),
        "drain" => Signal::Drain(parsed(json)?),
        "drained" => Signal::Drained,
        "links" => Signal::Links(parsed(json)?),
        "error" => Signal::Error(parsed(json)?),
        _ => Signal::Unknown,
    };
    Some(written(&signal))
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Signal {
    AuthChallenge(AuthChallenge),
    AuthResponse(AuthResponse),
    AuthOk(AuthOk),
    AuthFailed(AuthFailed),
    Bind(Bind),
    BindOk(BindOk),
    BindFailed(BindFailed),
    Unbind(Named),
    UnbindOk(Named),
    Unbound(Unbound),
    Revoke(Revoke),
    RevokeOk(RevokeOk),
    RevokeFailed(RevokeFailed),
    Claim(Claim),
    ClaimOk(ClaimOk),
    ClaimFailed(ClaimFailed),
    Ping(Numbered),
    Pong(Numbered),
    Drain(Drain),
    Drained,
    Links(Links),
    Error(Error),
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct AuthChallenge {
    challenge_id: String,
    challenge: String,
    server_address: String,
    #[serde(default)]
    mux: Vec<String>,
    #[serde(default)]
    version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AuthResponse {
    #[serde(default)]
    challenge_id: Option<String>,
    #[serde(default)]
    jwt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mux: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    join: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    streams: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(default, skip_serializing_if = "is_no_caller")]
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Claim {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct ClaimOk {
    name: String,
    url: String,
}

#[derive(Serialize, Deserialize)]
struct ClaimFailed {
    name: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
}

#[derive(Serialize, Deserialize)]
struct Unbound {
    service: String,
    #[serde(default)]
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AuthOk {
    // Fields: one for each member of the message.
    endpoint: String,
    server_address: String,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mux: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    links: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    streams: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    challenge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption_available: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption_mode: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AuthFailed {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Bind {
    service: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local_port: Option<u16>,
    #[serde(default = "http", skip_serializing_if = "is_unknown")]
    proto: String,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    public: bool,
    #[serde(default = "takeover", skip_serializing_if = "is_not_said")]
    on_conflict: String,
}

#[derive(Serialize, Deserialize)]
struct BindOk {
    service: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Serialize, Deserialize)]
struct BindFailed {
    service: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
}

#[derive(Serialize, Deserialize)]
struct Named {
    service: String,
}

#[derive(Serialize, Deserialize)]
struct Revoke {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct RevokeOk {
    id: String,
    #[serde(default)]
    persisted: bool,
}

#[derive(Serialize, Deserialize)]
struct RevokeFailed {
    id: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
}

#[derive(Serialize, Deserialize)]
struct Numbered {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Drain {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    deadline_ms: u64,
    #[serde(default, skip_serializing_if = "is_session")]
    scope: String,
}

#[derive(Serialize, Deserialize)]
struct Links {
    #[serde(default)]
    wanted: u32,
}

#[derive(Serialize, Deserialize)]
struct Error {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

// Fields: one for each member.
#[derive(Serialize, Deserialize)]
struct StreamHeader {
    service: String,
    #[serde(default)]
    proto: Proto,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    visitor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    probe: bool,
}

impl StreamHeader {
    /// Its three members are those of a delegation, or none of them counts.
    fn checked(self) -> Option<Self> {
        let Some(text) = &self.delegation else { return Some(Self { signature: None, form: None, ..self }) };
        let form = self.form.as_deref()?;
        SignedDelegation::from_parts(text, self.signature.as_deref()?, form).ok().map(|_| self)
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Proto {
    #[default]
    Http,
    Tcp,
    H2,
}

#[derive(Serialize, Deserialize)]
struct OpenResult {
    ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl OpenResult {
    /// A yes has no words, and a no has both, cut to what always fits.
    fn as_we_send_it(&self) -> OpenResult {
        let cut = |text: &Option<String>, max: usize| {
            let text = text.as_deref().unwrap_or_default();
            text[..text.floor_char_boundary(max)].to_owned()
        };
        let words = |text, max| (!self.ok).then(|| cut(text, max));
        OpenResult { ok: self.ok, code: words(&self.code, 64), message: words(&self.message, 512) }
    }
}

fn http() -> String {
    "http".to_owned()
}

fn is_unknown(proto: &str) -> bool {
    !["http", "tcp", "h2"].contains(&proto)
}

fn takeover() -> String {
    "takeover".to_owned()
}

fn is_not_said(mode: &str) -> bool {
    !["reject", "pool", "standby"].contains(&mode)
}

fn is_no_caller(role: &str) -> bool {
    role != "caller"
}

fn is_session(scope: &str) -> bool {
    scope != "link"
}

fn yes() -> bool {
    true
}
