//! The page at the host name of a service that is not public, where whoever has a key opens a private one, and the files that
//! it loads: the browser package, as `cargo xtask wasm --embed` has put it into this crate.
//!
//! It is the same page whether there is a private service of that name or none. Knows no session and sets no cookie.

mod files;

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hvym_tunnel_core::relay::{NameError, Owner};
use hvym_tunnel_pages::{Format, Page};

use crate::relay_state::RelayState;
use crate::sessions::HostTarget;
use crate::upstream::response_body::{self, Answer, ResponseBody};
use files::FILES;

/// The folder of the files, at each such host. The folder itself is the page, too, for those whose browser has it replaced by
/// the service.
const FOLDER: &str = "/.hvym-tunnel/";
/// The script that may act for the whole origin.
const WORKER: &str = "bridge-worker.js";
const TEMPLATE: &str = include_str!("../sign-in/sign-in.html");
const ERROR_CODE: HeaderName = HeaderName::from_static("hvym-tunnel-error");
const SERVICE_WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Whether a request to such a host may be answered here.
pub(crate) fn concerns(state: &RelayState, found: &Result<HostTarget, NameError>) -> bool {
    let is_there = matches!(
        found,
        Ok(HostTarget::NotPublic(_) | HostTarget::Missing(_)) | Err(NameError::NotConnected(_))
    );
    // Without callers a key opens nothing.
    is_there && state.settings.reaching
}

/// The page or a file of it; `None` if the request is for somebody else, or its agent may be about to come back.
pub(crate) fn answer<B>(
    state: &RelayState,
    found: &Result<HostTarget, NameError>,
    request: &Request<B>,
) -> Option<Answer> {
    if let Some(name) = request.uri().path().strip_prefix(FOLDER).filter(|_| is_read(request.method()))
        && concerns(state, found)
        && let Some(file) = file(state, name, request.headers())
    {
        return Some(file);
    }
    let is_held = state.hold.is_active(state.clock.now());
    page(state, found.as_ref().ok().filter(|_| !is_held)?, request)
}

/// A file. Whether an agent is connected does not matter: a browser that has the worker needs the files then, too.
fn file(state: &RelayState, name: &str, fields: &HeaderMap) -> Option<Answer> {
    let (_, content) = FILES.iter().find(|(known, _)| *known == name)?;
    let tag = format!("\"{}\"", hash(content));
    let is_known = fields.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut answer = match is_known {
        true => response_body::empty(StatusCode::NOT_MODIFIED),
        false => Response::new(ResponseBody::Whole(Full::from(*content))),
    };
    let headers = answer.headers_mut();
    headers.insert(ETAG, HeaderValue::try_from(tag).ok()?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    // Asked for each time: the worker of a browser and the relay must fit.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if name == WORKER {
        headers.insert(SERVICE_WORKER_ALLOWED, HeaderValue::from_static("/"));
    }
    Some(protected(answer, state))
}

/// The page, for people who ask for a service that is not public.
pub(crate) fn page<B>(state: &RelayState, found: &HostTarget, request: &Request<B>) -> Option<Answer> {
    let HostTarget::NotPublic(name) = found else { return None };
    let (Owner::Identity(owner), Some(service)) = (&name.owner, &name.service) else { return None };
    let is_for_people = is_read(request.method()) && response_body::format(request) != Format::Json;
    if !is_for_people || !state.settings.reaching {
        return None;
    }
    // All of them are of letters, digits and punctuation that HTML does not know.
    let html = TEMPLATE
        .replace("{relay}", &state.settings.options.agent_url(state.info.port).to_string())
        .replace("{relay_address}", &state.info.address.to_string())
        .replace("{owner}", &owner.to_string())
        .replace("{service}", service);
    let mut answer = Response::new(ResponseBody::Whole(Full::from(html)));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // The same as other formats have.
    headers.insert(ERROR_CODE, HeaderValue::try_from(Page::unknown_service(service).code()?).ok()?);
    Some(protected(answer, state))
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// What the page and the worker may load and whom they may speak to: this origin and the relay. A page that has opened this one,
/// as an application of the same origin may, does not reach into it.
fn protected(mut answer: Answer, state: &RelayState) -> Answer {
    let relay = state.settings.options.agent_url(state.info.port);
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self' {relay}; \
         worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types hvym-tunnel"
    );
    let headers = answer.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for name in [CROSS_ORIGIN_OPENER_POLICY, CROSS_ORIGIN_RESOURCE_POLICY] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    answer
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("wasm") => "application/wasm",
        Some("css") => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    }
}

/// The first 16 characters of a SHA-256.
fn hash(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
