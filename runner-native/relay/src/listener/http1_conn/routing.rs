//! Which way a request goes, by its host: to an agent's service, or to whoever else answers it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use hvym_http1::{ForwardedBlock, ForwardedFields, Framing, RequestError, RequestRewrite, RequestView};
use hvym_proxy::limits::{LimitError, Use, VisitorKey};
use hvym_tunnel_core::relay::{Name, NameError};
use hvym_tunnel_pages::Page;

use super::local::{Handler, LocalAnswer};
use crate::api;
use crate::http1::body_pipe::body_pipe;
use crate::http1::request_body::RequestBody;
use crate::limits::visitor_counts::RequestPermit;
use crate::listener::{held, https_redirect, path_route, proxy_prefix, routing};
use crate::metrics::RequestRecord;
use crate::pages;
use crate::proxy::proxy;
use crate::proxy::request_log;
use crate::router::Route;
use crate::sessions::{Assigned, Destination, HostTarget, ServiceTarget};
use crate::sign_in;
use crate::upstream::pool::StreamUser;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;
use crate::visitor::upgraded::OnUpgrade;
use hvym_tunnel_net::shutdown::TaskGuard;

/// What becomes of a request.
pub(super) enum Routed<'a> {
    /// It is passed on over HTTP/1.1, with this head.
    Forward { head: Bytes, request: Forwarded<'a> },
    /// A handler answers it.
    Local(LocalAnswer<'a>),
    /// It is answered with an error.
    Page(Page),
}

/// A request on its way to a service, and what counts it.
pub(super) struct Forwarded<'a> {
    pub(super) name: Arc<Name>,
    /// Who is to answer it; `None`: to be awaited.
    pub(super) assigned: Option<Assigned>,
    pub(super) user: StreamUser,
    pub(super) logs_in: bool,
    permit: Option<RequestPermit>,
    record: Option<RequestRecord<'a>>,
    _guard: TaskGuard,
}

impl Forwarded<'_> {
    /// Whether its visitor must not be slow.
    pub(super) fn is_rate_enforced(&self) -> bool {
        self.permit.as_ref().is_some_and(RequestPermit::is_pressed)
    }

    /// The response has begun.
    pub(super) fn answered(&mut self, status: StatusCode) {
        if let Some(record) = self.record.take() {
            record.answer(status);
        }
    }

    /// The service is done with it, or it is a tunnel.
    pub(super) fn leave(&mut self) {
        drop(self.permit.take().map(RequestPermit::over));
    }

    /// It is answered with `page` instead.
    pub(super) fn fail(&mut self, page: &Page) {
        self.leave();
        if let Some(record) = self.record.take() {
            record.fail(page);
        }
    }

    /// Whether the link that carries it still does.
    pub(super) fn is_session_up(&self) -> bool {
        self.assigned.as_ref().is_some_and(|assigned| assigned.session.is_up())
    }

    /// Goes to another session that serves the service, or will in a moment, if there is any.
    pub(super) fn move_elsewhere(&mut self, visitor: &Visitor) -> bool {
        let other = visitor.state.sessions.try_assign(&self.name, false);
        let is_served = other.is_ok();
        self.assigned = other.ok().flatten();
        is_served
    }
}

/// What a connection remembers from one request to the next.
#[derive(Default)]
pub(super) struct RouteCache {
    target: Option<CachedTarget>,
    /// What services are told of the visitor, and whom their connections are for.
    forwarded: ForwardedBlock,
    user: Option<(StreamUser, Option<VisitorKey>)>,
}

struct CachedTarget {
    host: String,
    /// Of the table of sessions when it was asked.
    generation: u64,
    service: ServiceTarget,
}

impl RouteCache {
    fn find(&mut self, visitor: &Visitor, host: &str) -> Result<HostTarget, NameError> {
        let sessions = &visitor.state.sessions;
        let generation = sessions.generation();
        if let Some(cached) = &self.target
            && cached.generation == generation
            && cached.host == host
        {
            return Ok(HostTarget::Served(cached.service.clone()));
        }
        let found = sessions.find(host);
        self.target = match &found {
            Ok(HostTarget::Served(service)) => {
                Some(CachedTarget { host: host.to_owned(), generation, service: service.clone() })
            }
            _ => None,
        };
        found
    }
}

/// Decides which way a request goes; the head for a service is written into `heads`.
pub(super) fn route<'a>(
    visitor: &'a Arc<Visitor>,
    view: &RequestView<'_>,
    cache: &mut RouteCache,
    heads: &mut BytesMut,
) -> Routed<'a> {
    let fields = || view.fields().iter().collect::<Vec<_>>();
    if visitor.is_banned(fields) {
        return Routed::Page(pages::banned());
    }
    if let Some(answer) = https_redirect::redirect(visitor, fields, view.host(), view.path()) {
        return ready(view, answer);
    }
    let host = match visitor.state.plugins.router.route(view.host()) {
        Route::Here(host) => host,
        Route::Elsewhere(origin) => return ready(view, routing::elsewhere(&origin, view.path())),
    };
    let FoundTarget { target: reached, path, is_shared } = find_target(visitor, view, cache, &host);
    if visitor.is_reserved() && (reached.is_ok() || !api::is_agent_endpoint(view.path())) {
        return Routed::Page(pages::over_limit(LimitError::Connections));
    }
    if reached.is_ok() && visitor.state.is_fenced() {
        return Routed::Page(pages::fenced());
    }
    if let Some(answer) = signs_in(visitor, view, &path, &reached) {
        return answer;
    }
    if let Some(page) = held::missing(&visitor.state, &reached) {
        let host = host.into_owned();
        return local(view, &path, |request| {
            Box::pin(async move { held::answer(visitor, page, host, request).await })
        });
    }
    let target = match reached {
        Ok(target) => target,
        Err(name) => {
            return local(view, &path, |request| {
                Box::pin(async move { api::answer(visitor, &name, request).await })
            });
        }
    };
    let is_http2 = target.is_http2();
    let destination = match target.destination() {
        Ok(destination) => destination,
        Err(page) => return Routed::Page(page),
    };
    if !is_http2 && path == view.path() && !request_log::is_logged(&visitor.state, &destination.name) {
        return forward(visitor, view, destination, cache, heads);
    }
    let host = host.into_owned();
    local(view, &path, |request| {
        Box::pin(async move {
            let (mut answer, permit) = proxy(visitor, destination, host, request).await;
            if is_shared {
                path_route::confine(answer.headers_mut());
            }
            (answer, permit)
        })
    })
}

/// What the relay answers itself where a key may open a private service.
fn signs_in<'a>(
    visitor: &Visitor,
    view: &RequestView<'_>,
    path: &str,
    reached: &Result<HostTarget, NameError>,
) -> Option<Routed<'a>> {
    let state = &visitor.state;
    if !sign_in::concerns(state, reached) {
        return None;
    }
    Some(ready(view, sign_in::answer(state, reached, &head(view, path)?)?))
}

/// What a request is for.
struct FoundTarget<'p> {
    target: Result<HostTarget, NameError>,
    /// The path and query for the service.
    path: Cow<'p, str>,
    /// Whether the path named the agent, which has its origin in common with others.
    is_shared: bool,
}

fn find_target<'p>(
    visitor: &Visitor,
    view: &RequestView<'p>,
    cache: &mut RouteCache,
    host: &str,
) -> FoundTarget<'p> {
    let target = cache.find(visitor, host);
    if target.as_ref().is_err_and(NameError::means_relay)
        && let Some((guest, rest)) = path_route::find(&visitor.state, view.path())
    {
        return FoundTarget { target: Ok(guest), path: Cow::Owned(rest.to_string()), is_shared: true };
    }
    let fields = || view.fields().iter().collect::<Vec<_>>();
    let cut = target
        .as_ref()
        .ok()
        .filter(|_| visitor.is_behind_proxy())
        .and_then(|target| proxy_prefix::cut(target, &fields(), view.path()));
    let path = cut.map_or(Cow::Borrowed(view.path()), |rest| Cow::Owned(rest.to_owned()));
    FoundTarget { target, path, is_shared: false }
}

fn forward<'a>(
    visitor: &'a Arc<Visitor>,
    view: &RequestView<'_>,
    destination: Destination,
    cache: &mut RouteCache,
    heads: &mut BytesMut,
) -> Routed<'a> {
    let state = &visitor.state;
    let Some(guard) = state.lifecycle.requests.enter() else { return Routed::Page(pages::draining()) };
    if visitor.is_behind_proxy() || cache.forwarded.host() != view.host() {
        let client = visitor.client_info(&view.fields().iter().collect::<Vec<_>>());
        cache.forwarded = ForwardedBlock::new(&client, view.host());
        cache.user = Some((visitor.stream_user(&client), visitor.key(&client)));
    }
    let Some((user, key)) = cache.user else { return Routed::Page(pages::overloaded()) };
    let kind = if view.upgrade().is_some() { Use::Tunnel } else { Use::Request };
    let permit = match state.limits.enter(key, &destination.name, kind) {
        Ok(permit) => permit,
        Err(error) => return Routed::Page(pages::over_limit(error)),
    };
    if !destination.takes_request(state.clock.now()) {
        drop(permit.over());
        return Routed::Page(pages::over_rate());
    }
    let record = state.record_request(&destination, view.method(), view.path());
    let Destination { name, assigned } = destination;
    let rewrite = RequestRewrite {
        forwarded: ForwardedFields::Replace(&cache.forwarded),
        keeps_client_address: false,
        host: None,
        remove: &[],
    };
    view.write_forwarded(&rewrite, heads);
    let request = Forwarded {
        name,
        assigned,
        user,
        logs_in: view.authenticates_connection(),
        permit: Some(permit),
        record: Some(record),
        _guard: guard,
    };
    Routed::Forward { head: heads.split().freeze(), request }
}

/// A request that a handler answers.
fn local<'a>(
    view: &RequestView<'_>,
    path: &str,
    handler: impl FnOnce(Request<RequestBody>) -> Handler<'a>,
) -> Routed<'a> {
    let (body, reader) = body_pipe();
    let length = match view.framing() {
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
        Framing::Empty | Framing::UntilClose | Framing::Tunnel => Some(0),
    };
    let Some(mut request) = head(view, path) else {
        return Routed::Page(pages::refused(&RequestError::Target));
    };
    let (upgrade, on_upgrade) = OnUpgrade::new();
    if view.upgrade().is_some() {
        request.extensions_mut().insert(on_upgrade);
    }
    let request = request.map(|()| RequestBody::piped(reader, length));
    Routed::Local(LocalAnswer::Handling { handler: handler(request), body, upgrade })
}

/// The head of a request for those who know HTTP by the types of hyper; `None` if these cannot say it.
fn head(view: &RequestView<'_>, path: &str) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(view.method().as_bytes()).ok()?;
    *request.uri_mut() =
        if path.starts_with('?') { format!("/{path}").parse().ok()? } else { path.parse().ok()? };
    if view.version() == hvym_http1::Version::Http10 {
        *request.version_mut() = Version::HTTP_10;
    }
    let fields = request.headers_mut();
    for (name, value) in view.fields().iter() {
        fields.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    fields.insert(HOST, HeaderValue::from_str(view.host()).ok()?);
    Some(request)
}

/// A handler that has answered already.
fn ready<'a>(view: &RequestView<'_>, answer: Answer) -> Routed<'a> {
    local(view, "/", |_| Box::pin(async move { (answer, None) }))
}
