//! Streams a visitor's request to a service and the response back.
//!
//! A request that got no response is retried if nothing of it was sent, or if it is idempotent and without a body
//! (RFC 9110 section 9.2.2).

use http::{Request, Response, StatusCode};
use hvym_proxy::Choice;
use hvym_tunnel_core::relay::Name;
use hvym_tunnel_pages::Page;
use hyper::body::Incoming;

use super::upgrade;
use crate::http1::forwarded::ClientInfo;
use crate::http1::head_rewrite;
use crate::http1::request_body::RequestBody;
use crate::metrics::RequestRecord;
use crate::pages;
use crate::sessions::{AgentSession, Wanted};
use crate::upstream::conn::UpstreamConn;
use crate::upstream::error::UpstreamError;
use crate::upstream::pool::{StreamUser, logs_in_connection};
use crate::upstream::request_upload::{RequestUpload, UploadFailure};
use crate::upstream::response_body::{Answer, Relayed, ResponseBody};
use crate::visitor::Visitor;

/// Forwards one request to the agent of `live`.
pub(crate) async fn forward(
    visitor: &Visitor,
    live: AgentSession,
    name: &Name,
    host: String,
    client: ClientInfo,
    mut request: Request<RequestBody>,
) -> Result<Answer, Page> {
    let pass = visitor.state.lifecycle.requests.enter().ok_or_else(pages::draining)?;
    let asked = RequestRecord::new(&visitor.state.metrics, &live.record, visitor.state.clock);
    // Taken from the incoming request, before its parts are moved.
    let visitor_upgrade = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    let wanted = head_rewrite::rewrite_request(&mut head, &host, &client);
    let permit = body.permit();
    let mut request = Request::from_parts(head, RequestUpload::new(body, visitor.state.clock));
    let upload = request.body().progress();
    if let Some(permit) = permit {
        hyper::ext::on_informational(&mut request, move |interim| {
            if interim.status() == StatusCode::CONTINUE {
                permit.grant();
            }
        });
    }
    let (response, mut upstream) = asked
        .with(send(visitor, visitor.stream_user(&client), live, name, request).await, |(response, _)| {
            response.status()
        })?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match wanted {
            Some(_) => Ok(upgrade::join(visitor, visitor_upgrade, response, upstream, pass)),
            None => Err(pages::bad_answer()),
        };
    }
    let (mut head, body) = response.into_parts();
    upstream.note(&head);
    head_rewrite::rewrite_response(&mut head);
    let still_asked = upload.is_some_and(|upload| !upload.is_over());
    Ok(Response::from_parts(head, ResponseBody::Relayed(Relayed::new(body, upstream, still_asked, pass))))
}

/// Sends the request, with retries, and waits for the response head.
async fn send(
    visitor: &Visitor,
    user: StreamUser,
    mut live: AgentSession,
    name: &Name,
    mut request: Request<RequestUpload>,
) -> Result<(Response<Incoming>, UpstreamConn), Page> {
    let state = &visitor.state;
    let limit = state.settings.options.limits.response_timeout;
    let retry = RetryCopy::new(&request);
    let mut choice = if retry.0.is_some() { Choice::Any } else { Choice::JustUsed };
    let logs_in = logs_in_connection(request.headers());
    let mut is_moved = false;
    loop {
        visitor.note_pool(&live.pool);
        let mut upstream = live.upstream(user, name, Wanted { choice, logs_in, is_new: is_moved }).await?;
        let failure = match upstream.ask(request, limit, state.clock).await {
            Ok(response) => return Ok((response, upstream)),
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
        let is_up = live.is_up();
        request = match again {
            Some(again) if is_up && upstream.is_used() => again,
            Some(again) if !is_up && !is_moved => {
                let Some(newer) = successor(visitor, &live, name) else { return Err(Page::agent_lost()) };
                (live, is_moved) = (newer, true);
                again
            }
            _ if is_up => return Err(pages::bad_answer()),
            _ => return Err(Page::agent_lost()),
        };
        choice = Choice::Fresh;
    }
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

/// The session that replaced one that ended, if any.
fn successor(visitor: &Visitor, gone: &AgentSession, name: &Name) -> Option<AgentSession> {
    visitor.state.sessions.agent(&name.owner).filter(|session| !session.is(gone))
}
