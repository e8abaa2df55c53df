//! Routes requests by their host name: to an agent, to the relay's own API, or to another relay.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, LOCATION, STRICT_TRANSPORT_SECURITY};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hvym_http1::{RequestError, content_length};
use hvym_proxy::limits::LimitError;
use hvym_tunnel_core::relay::NameError;
use hvym_tunnel_pages::Page;
use hyper::body::Incoming;

use super::request_log::begin_http2;
use super::{held, https_redirect, path_route, proxy_prefix};
use crate::api;
use crate::http1::head_rewrite;
use crate::http1::request_body::RequestBody;
use crate::limits::visitor_counts::RequestPermit;
use crate::pages;
use crate::proxy::{self, proxy};
use crate::router::Route;
use crate::sessions::HostTarget;
use crate::sign_in;
use crate::upstream::response_body::{self, Answer};
use crate::visitor::Visitor;
use crate::visitor::in_flight::InFlight;

/// Answers one request.
pub(super) async fn answer(visitor: &Arc<Visitor>, request: Request<Incoming>) -> Response<InFlight> {
    let pending = visitor.responses.begin();
    let mut record = begin_http2(visitor, &request);
    let (mut answer, mut permit) = route(visitor, request).await;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        visitor.slot().hold(permit.take());
    }
    if let Some(hsts) = visitor.hsts().and_then(|value| HeaderValue::from_str(value).ok()) {
        answer.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert(hsts);
    }
    if let Some(record) = &mut record {
        record.set_status(answer.status().as_u16());
    }
    answer.map(|reply| InFlight::new(reply, (permit, record), pending))
}

/// Routes one request by its host name.
async fn route(visitor: &Arc<Visitor>, request: Request<Incoming>) -> (Answer, Option<RequestPermit>) {
    let format = response_body::format(&request);
    if let Some(error) = request_error(&request) {
        return (response_body::page(&pages::refused(&error), format), None);
    }
    let (mut head, body) = request.into_parts();
    let Ok(host) = head_rewrite::settle_host(&mut head) else {
        return (response_body::page(&Page::bad_host(), format), None);
    };
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let fields = || proxy::fields(&head.headers);
    if visitor.is_banned(fields) {
        return (response_body::page(&pages::banned(), format), None);
    }
    if let Some(answer) = https_redirect::redirect(visitor, fields, &host, path) {
        return (answer, None);
    }
    let host = match visitor.state.plugins.router.route(&host) {
        Route::Here(name) if *name == host => host,
        Route::Here(name) => name.into_owned(),
        Route::Elsewhere(origin) => return (elsewhere(&origin, path), None),
    };
    let (mut reached, mut is_shared) = (visitor.state.sessions.find(&host), false);
    if reached.as_ref().is_err_and(NameError::means_relay)
        && let Some((guest, rest)) =
            head.uri.path_and_query().and_then(|target| path_route::find(&visitor.state, target.as_str()))
    {
        head.uri = Uri::from(rest);
        (reached, is_shared) = (Ok(guest), true);
    }
    if let Some(rest) = reached.as_ref().ok().and_then(|target| without_prefix(visitor, target, &head)) {
        head.uri = rest;
    }
    let limit = visitor.state.settings.options.limits.body_timeout;
    let request = Request::from_parts(head, RequestBody::new(body, limit));
    if let Some(page) = refusal(visitor, reached.is_ok()) {
        return (response_body::page(&page, format), None);
    }
    if let Some(answer) = sign_in::answer(&visitor.state, &reached, &request) {
        return (answer, None);
    }
    if let Some(page) = held::missing(&visitor.state, &reached) {
        return Box::pin(held::answer(visitor, page, host, request)).await;
    }
    match reached {
        Ok(target) => match target.destination() {
            Ok(destination) => {
                let (mut answer, permit) = proxy(visitor, destination, host, request).await;
                if is_shared {
                    path_route::confine(answer.headers_mut());
                }
                (answer, permit)
            }
            Err(page) => (response_body::page(&page, format), None),
        },
        // Boxed, so that its large future does not add to every request.
        Err(name) => Box::pin(api::answer(visitor, &name, request)).await,
    }
}

/// Why nobody's service may answer, whether a host `is_served` or not.
fn refusal(visitor: &Visitor, is_served: bool) -> Option<Page> {
    // No agent logs in over HTTP/2.
    if visitor.is_reserved() {
        return Some(pages::over_limit(LimitError::Connections));
    }
    (is_served && visitor.state.is_fenced()).then(pages::fenced)
}

/// The path for the service, where a trusted proxy put a prefix before it.
fn without_prefix(visitor: &Visitor, target: &HostTarget, head: &Parts) -> Option<Uri> {
    let path = head.uri.path_and_query().filter(|_| visitor.is_behind_proxy())?;
    proxy_prefix::cut(target, &proxy::fields(&head.headers), path.as_str())?.parse().ok()
}

/// The redirect to another relay.
pub(super) fn elsewhere(origin: &str, path: &str) -> Answer {
    let mut answer = response_body::empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(location) = HeaderValue::try_from(format!("{origin}{path}")) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// Why a request is refused, whatever its host.
fn request_error<B>(request: &Request<B>) -> Option<RequestError> {
    let is_star = request.uri().path() == "*" && request.method() != Method::OPTIONS;
    match request.method() {
        &Method::CONNECT => Some(RequestError::Connect),
        _ if is_star => Some(RequestError::Target),
        _ => {
            let lengths = request.headers().get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
            content_length(lengths).err().map(RequestError::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use hvym_http1::FramingError;

    use super::*;

    #[test]
    fn lengths_that_differ_are_refused_in_any_version() {
        let request = |lengths: &[&str]| {
            let mut request = Request::builder().uri("https://a.example/").method(Method::POST);
            for length in lengths {
                request = request.header(CONTENT_LENGTH, *length);
            }
            request_error(&request.body(()).expect("a request"))
        };
        assert_eq!(request(&["5", "5"]), None);
        assert_eq!(request(&["5", "6"]), Some(RequestError::Framing(FramingError::LengthsDiffer)));
        assert_eq!(request(&["+5"]), Some(RequestError::Framing(FramingError::Length)));
    }
}
