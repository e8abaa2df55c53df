//! Streams a visitor's request to a service and the response back.
//!
//! A request that got no response is retried if nothing of it was sent, or if it is idempotent and without a body
//! (RFC 9110 section 9.2.2).

use http::header::{HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode};
use hvym_http1::{ClientInfo, ForwardedBlock, is_upgrade_offered};
use hvym_proxy::{Choice, MAX_MOVES, MinRate};
use hvym_tunnel_pages::Page;
use hyper::body::Incoming;

use super::upgrade;
use crate::http1::auth::logs_in_connection;
use crate::http1::head_rewrite;
use crate::http1::request_body::{Permit, RequestBody};
use crate::pages;
use crate::sessions::{Assigned, Destination, Wanted};
use crate::upstream::conn::UpstreamConn;
use crate::upstream::error::UpstreamError;
use crate::upstream::pool::StreamUser;
use crate::upstream::relayed::{Relayed, RequestGuard};
use crate::upstream::request_upload::{RequestUpload, UploadFailure};
use crate::upstream::response_body::{self, Answer, ResponseBody};
use crate::visitor::Visitor;
use crate::visitor::upgraded::OnUpgrade;

/// Forwards one request to `destination`. `rate` is how slow its body may come, if that is limited.
pub(crate) async fn forward(
    visitor: &Visitor,
    destination: Destination,
    host: String,
    client: ClientInfo,
    request: Request<RequestBody>,
    rate: Option<MinRate>,
) -> Result<Answer, Page> {
    let guard = visitor.state.lifecycle.requests.enter().ok_or_else(pages::draining)?;
    let asked = visitor.state.record_request(&destination, request.method().as_str(), request.uri().path());
    let user = visitor.stream_user(&client);
    let (mut head, body) = request.into_parts();
    let on_upgrade = head.extensions.remove::<OnUpgrade>();
    let forwarded = ForwardedBlock::new(&client, &host);
    let wanted = head_rewrite::rewrite_request(&mut head, &forwarded);
    let permit = body.permit();
    let tunnel_timeout = visitor.state.settings.options.visitors.tunnel_timeout;
    let request =
        Request::from_parts(head, RequestUpload::new(body, rate, tunnel_timeout, visitor.state.clock));
    let upload = request.body().progress();
    let sent = send(visitor, user, destination, request, permit).await;
    let (response, upstream, assigned) = asked.with(sent, |(response, ..)| response.status())?;
    let guard: RequestGuard = Box::new((guard, assigned));
    if let Some(upload) = &upload {
        upload.answer();
    }
    let (mut head, body) = response.into_parts();
    head_rewrite::rewrite_response(&mut head, &visitor.state.settings.options.ingress.domain);
    let body = match (upstream, body) {
        (UpstreamConn::Own(pooled), _) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
            let chosen = head.headers.get(UPGRADE).map(HeaderValue::as_bytes);
            let is_wanted = wanted
                .zip(chosen)
                .is_some_and(|(offered, chosen)| is_upgrade_offered(offered.as_bytes(), chosen));
            let Some(on_upgrade) = on_upgrade.filter(|_| is_wanted) else { return Err(pages::bad_answer()) };
            upgrade::join(visitor, on_upgrade, pooled, guard);
            return Ok(Response::from_parts(head, response_body::no_body()));
        }
        (UpstreamConn::Own(pooled), _) => Relayed::http1(pooled, upload, guard),
        (UpstreamConn::Shared { h2_conn, .. }, Some(body)) => Relayed::http2(body, h2_conn, upload, guard),
        (UpstreamConn::Shared { .. }, None) => return Err(pages::bad_answer()),
    };
    Ok(Response::from_parts(head, ResponseBody::Relayed(body)))
}

/// Sends the request, with retries, and waits for the response head.
async fn send(
    visitor: &Visitor,
    user: StreamUser,
    destination: Destination,
    mut request: Request<RequestUpload>,
    permit: Option<Permit>,
) -> Result<(Response<Option<Incoming>>, UpstreamConn, Assigned), Page> {
    let (state, Destination { name, mut assigned }) = (&visitor.state, destination);
    let limit = state.settings.options.limits.response_timeout;
    let retry = RetryCopy::new(&request);
    let mut choice = if retry.0.is_some() { Choice::Any } else { Choice::JustUsed };
    let logs_in = logs_in_connection(request.headers());
    let mut moves = 0;
    loop {
        let wanted = Wanted { choice, logs_in };
        let (mut upstream, live) = state.sessions.upstream(user, &name, assigned.take(), wanted).await?;
        visitor.note_pool(&live.session.pool);
        let asked = match &mut upstream {
            UpstreamConn::Own(pooled) => {
                let asked = pooled.h1_conn.ask(request, permit.clone(), limit, state.clock).await;
                asked.map(|response| response.map(|()| None))
            }
            UpstreamConn::Shared { h2_conn, .. } => {
                let asked = h2_conn.ask(with_permit(request, &permit), limit, state.clock).await;
                asked.map(|response| response.map(Some))
            }
        };
        let failure = match asked {
            Ok(response) => return Ok((response, upstream, live)),
            Err(failure) => failure,
        };
        let (again, error) = match failure {
            UpstreamError::TooLate => return Err(Page::upstream_timeout()),
            UpstreamError::Upload(UploadFailure::TimedOut) => return Err(pages::late_body()),
            UpstreamError::Upload(UploadFailure::Broken) => return Err(pages::broken_request()),
            UpstreamError::BadHost => return Err(Page::bad_host()),
            UpstreamError::Bad(error) => (None, Some(error)),
            UpstreamError::Unsent(request) => (Some(*request), None),
            UpstreamError::Lost(error) => (retry.again(), Some(error)),
        };
        tracing::debug!(?error, owner = %name.owner, used = upstream.is_used(), "no response");
        let is_up = live.session.is_up();
        request = match again {
            Some(again) if is_up && upstream.is_used() => {
                assigned = Some(live);
                again
            }
            Some(again) if !is_up && moves < MAX_MOVES => {
                assigned = state.sessions.try_assign(&name, false).map_err(|_| Page::agent_lost())?;
                moves += 1;
                again
            }
            _ if is_up => return Err(pages::bad_answer()),
            _ => return Err(Page::agent_lost()),
        };
        choice = Choice::Fresh;
    }
}

/// A request over HTTP/2 whose body waits for `permit`.
fn with_permit(mut request: Request<RequestUpload>, permit: &Option<Permit>) -> Request<RequestUpload> {
    if let Some(permit) = permit.clone() {
        hyper::ext::on_informational(&mut request, move |interim| {
            if interim.status() == StatusCode::CONTINUE {
                permit.grant();
            }
        });
    }
    request
}

/// A copy of a request that is safe to retry.
struct RetryCopy(Option<Request<()>>);

impl RetryCopy {
    fn new(request: &Request<RequestUpload>) -> Self {
        if !request.body().is_empty() || !request.method().is_idempotent() {
            return Self(None);
        }
        let mut copy = Request::new(());
        copy.method_mut().clone_from(request.method());
        copy.uri_mut().clone_from(request.uri());
        copy.headers_mut().clone_from(request.headers());
        copy.extensions_mut().clone_from(request.extensions());
        Self(Some(copy))
    }

    fn again(&self) -> Option<Request<RequestUpload>> {
        self.0.clone().map(|copy| copy.map(|()| RequestUpload::empty()))
    }
}
