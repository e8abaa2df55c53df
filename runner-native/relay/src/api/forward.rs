//! Tunely's `forward`: one request to an agent's service as JSON, and its response as JSON.
//!
//! The request is proxied like a visitor's, under the same limits. Bodies that JSON cannot carry are refused, not
//! changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, SET_COOKIE, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hvym_proxy::limits::Use;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::json;
use crate::http1::request_body::RequestBody;
use crate::proxy::request_log;
use crate::relay_state::RelayState;
use crate::sessions::HostTarget;
use crate::upstream::response_body::{Answer, ResponseBody};
use crate::visitor::Visitor;
use hvym_tunnel_net::timeout::within;

/// The largest request and response, bytes. Both are buffered, and again as JSON. Tunely's own relay has the same
/// limit.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Default and largest timeout of a response, as in Tunely's relay.
const TIMEOUT: Duration = Duration::from_secs(1800);
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// Header fields of connection and framing, which the relay sets itself.
const OURS: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE];

/// The request.
#[derive(Deserialize)]
struct ForwardRequest<'a> {
    #[serde(default = "get")]
    method: String,
    #[serde(default = "root")]
    path: String,
    headers: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    /// Seconds.
    timeout: Option<f64>,
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

/// The response.
#[derive(Serialize)]
struct Outcome {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Option<Box<RawValue>>,
    duration_ms: u64,
    error: Option<String>,
}

impl Outcome {
    fn failed(status: u16, error: impl Into<String>) -> Self {
        Self { status, headers: BTreeMap::new(), body: None, duration_ms: 0, error: Some(error.into()) }
    }

    fn too_large() -> Self {
        Self::failed(502, format!("Response too large (> {MAX_BYTES} bytes), or it broke off"))
    }
}

/// Answers `POST /api/tunnels/{domain}/forward`, asked by the operator.
pub(super) async fn answer(visitor: &Visitor, domain: &str, request: Request<RequestBody>) -> Answer {
    let state = &visitor.state;
    let limit = state.settings.options.limits.body_timeout;
    let read = within(limit, Limited::new(request.into_body(), MAX_BYTES).collect()).await;
    let asked = match read {
        Some(Ok(body)) => body.to_bytes(),
        Some(Err(_)) => {
            let text = format!("The body broke off, or is larger than {MAX_BYTES} bytes");
            return json::detail(StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        None => return json::detail(StatusCode::REQUEST_TIMEOUT, "The body did not come in time"),
    };
    let (request, limit) = match compose(&asked) {
        Ok(composed) => composed,
        Err(refused) => return refused.answer(),
    };
    let begun = state.clock.now();
    let outcome = within(limit, run(visitor, domain, request)).await;
    let mut outcome = outcome.unwrap_or_else(|| Outcome::failed(504, "Request timeout"));
    outcome.duration_ms = u64::try_from((state.clock.now() - begun).as_millis()).unwrap_or(u64::MAX);
    json::answer(&outcome)
}

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
enum Refused {
    /// The JSON is not what `forward` takes.
    #[error("{0}")]
    Form(String),
    /// The path is invalid.
    #[error("Invalid path: {0}")]
    Path(&'static str),
    /// The header field is invalid.
    #[error("Invalid header: {}", .0.escape_debug())]
    Field(String),
}

impl Refused {
    /// As Tunely's tools read it.
    fn answer(&self) -> Answer {
        #[derive(Serialize)]
        struct Misunderstood {
            r#type: &'static str,
            loc: [&'static str; 1],
            msg: String,
        }
        match self {
            Refused::Form(_) => {
                let why = Misunderstood { r#type: "value_error", loc: ["body"], msg: self.to_string() };
                json::detail(StatusCode::UNPROCESSABLE_ENTITY, [why])
            }
            Refused::Path(_) | Refused::Field(_) => json::detail(StatusCode::BAD_REQUEST, self.to_string()),
        }
    }
}

/// The request to the service, and its timeout.
fn compose(asked: &[u8]) -> Result<(Request<RequestBody>, Duration), Refused> {
    let misunderstood = |what: &str| Refused::Form(what.to_owned());
    let asked: ForwardRequest =
        serde_json::from_slice(asked).map_err(|error| Refused::Form(error.to_string()))?;
    let limit = match asked.timeout.map(Duration::try_from_secs_f64) {
        None => TIMEOUT,
        Some(Ok(limit)) if !limit.is_zero() => limit,
        Some(_) => return Err(misunderstood("timeout: a positive number of seconds is needed")),
    };
    let method = asked.method.to_ascii_uppercase();
    let method = Method::from_bytes(method.as_bytes()).ok().filter(|method| *method != Method::CONNECT);
    let method = method.ok_or_else(|| misunderstood("method: this cannot be asked"))?;
    let uri = target(&asked.path)?;
    let mut headers = fields(asked.headers.unwrap_or_default())?;
    let body = match asked.body.map(RawValue::get) {
        None | Some("null") => Bytes::new(),
        Some(text) => {
            if !headers.contains_key(CONTENT_TYPE) && text.starts_with(['{', '[']) {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            said(text)
        }
    };
    // A compressed body cannot be carried in JSON.
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    let mut request = Request::new(RequestBody::whole(body));
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    Ok((request, limit.min(MAX_TIMEOUT)))
}

/// The path and query. It must begin with exactly one `/`, so that nothing in it can be parsed as a host.
fn target(path: &str) -> Result<Uri, Refused> {
    if !path.starts_with('/') {
        return Err(Refused::Path("must start with '/'"));
    }
    if path.starts_with("//") {
        return Err(Refused::Path("must start with exactly one '/'"));
    }
    let is_written = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let parsed = path.parse().ok().filter(|_| is_written);
    parsed.ok_or(Refused::Path("write other characters as %XX"))
}

fn fields(asked: BTreeMap<String, String>) -> Result<HeaderMap, Refused> {
    let mut fields = HeaderMap::new();
    for (name, value) in asked {
        let (Ok(field), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::try_from(&value)) else {
            return Err(Refused::Field(name));
        };
        if !OURS.contains(&field) {
            fields.append(field, value);
        }
    }
    Ok(fields)
}

/// The body of a JSON value: a string's content, else the JSON text.
fn said(json: &str) -> Bytes {
    match serde_json::from_str::<Cow<str>>(json) {
        Ok(text) => Bytes::from(text.into_owned()),
        Err(_) => Bytes::copy_from_slice(json.as_bytes()),
    }
}

async fn run(visitor: &Visitor, domain: &str, mut request: Request<RequestBody>) -> Outcome {
    let state = &visitor.state;
    let absent = || Outcome::failed(503, format!("Tunnel not connected: {domain}"));
    let found = state.sessions.find(&host(state, domain)).map(HostTarget::destination);
    let Ok(Ok(destination)) = found else { return absent() };
    let host = state.authority(&destination.name);
    let Ok(value) = HeaderValue::try_from(&host) else { return absent() };
    request.headers_mut().insert(HOST, value);
    let client = visitor.client_info(&crate::proxy::fields(request.headers()));
    let Ok(permit) = state.limits.enter(visitor.key(&client), &destination.name, Use::Request) else {
        return Outcome::failed(503, "Too many requests are under way");
    };
    let _permit = permit.over();
    if !destination.takes_request(state.clock.now()) {
        return Outcome::failed(503, "This agent gets more requests than its relay carries for it");
    }
    match request_log::forward(visitor, destination, host, client, request, None).await {
        Ok(answer) => read(answer).await,
        Err(page) if page.status == 504 => Outcome::failed(504, "Request timeout"),
        Err(page) => Outcome::failed(page.status, page.text),
    }
}

/// The host name of what Tunely calls a domain.
pub(super) fn host(state: &RelayState, domain: &str) -> String {
    format!("{domain}.{}", state.settings.options.ingress.domain)
}

async fn read(answer: Response<ResponseBody>) -> Outcome {
    let (head, body) = answer.into_parts();
    let Ok(body) = Limited::new(body, MAX_BYTES).collect().await else { return Outcome::too_large() };
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &head.headers {
        let text: String = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        // Cookie dates contain commas, so cookies cannot be joined by one.
        let separator = if *name == SET_COOKIE { "\n" } else { ", " };
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|all| all.extend([separator, &text]))
            .or_insert(text);
    }
    let is_coded = head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    let text = std::str::from_utf8(&body.to_bytes()).ok().filter(|_| !is_coded).and_then(written);
    let error = text.is_none().then(|| "The body is no text, and cannot be carried here".to_owned());
    Outcome { status: head.status.as_u16(), headers, body: text, duration_ms: 0, error }
}

/// JSON as it is, everything else as a string.
fn written(body: &str) -> Option<Box<RawValue>> {
    if serde_json::from_str::<IgnoredAny>(body).is_ok() {
        return RawValue::from_string(body.to_owned()).ok();
    }
    serde_json::value::to_raw_value(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_with_one_slash_and_nothing_in_it_is_a_host() {
        for path in ["/", "/a%2F..%2fb?x=@y", "/@host/", "/a//b"] {
            assert!(target(path).is_ok(), "{path}");
        }
        for path in ["", "@evil/", "x", "//evil.example/", "/a b", "/a\r\nX: y", "/ü", "/a#b", "http://x/"] {
            assert!(matches!(target(path), Err(Refused::Path(_))), "{path}");
        }
    }

    #[test]
    fn a_field_cannot_bring_another_one_nor_change_the_framing() {
        let fields_of = |name: &str, value: &str| fields([(name.to_owned(), value.to_owned())].into());
        for (name, value) in [("X", "a\r\nY: b"), ("X Y", "a"), ("", "a"), ("X\nY", "a"), ("X", "a\0")] {
            assert!(fields_of(name, value).is_err(), "{name:?}: {value:?}");
        }
        for name in ["Host", "transfer-encoding", "Content-Length", "Upgrade", "connection", "Expect"] {
            assert!(fields_of(name, "1").is_ok_and(|fields| fields.is_empty()), "{name}");
        }
        assert!(fields_of("X-A", "1").is_ok_and(|fields| fields["x-a"] == "1"));
    }

    #[test]
    fn a_timeout_has_an_end() {
        let limit = |asked: &str| compose(asked.as_bytes()).map(|(_, limit)| limit.as_secs()).ok();
        assert_eq!(limit("{}"), Some(600));
        assert_eq!(limit(r#"{"timeout":1e18}"#), Some(600));
        assert_eq!(limit(r#"{"timeout":2.5}"#), Some(2));
        for asked in
            [r#"{"timeout":0}"#, r#"{"timeout":-1}"#, r#"{"timeout":1e300}"#, "[]", "{", r#"{"path":1}"#]
        {
            assert_eq!(limit(asked), None, "{asked}");
        }
    }

    #[test]
    fn a_body_is_carried_as_it_was_written() {
        assert_eq!(said(r#""a\nb""#), "a\nb");
        assert_eq!(
            said(r#"{"b": 1.0, "a": 12345678901234567890123}"#),
            r#"{"b": 1.0, "a": 12345678901234567890123}"#
        );
        let back = |body: &str| written(body).map(|raw| raw.get().to_owned());
        assert_eq!(back(r#"{"b": 1.0}"#).as_deref(), Some(r#"{"b": 1.0}"#));
        assert_eq!(back("plain").as_deref(), Some(r#""plain""#));
        assert_eq!(back("").as_deref(), Some(r#""""#));
    }
}
