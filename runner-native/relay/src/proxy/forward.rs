//! A visitor's request to the service behind an agent and the service's answer back, both as they arrive.
//!
//! What went wrong before anything was answered is put right where that is safe: a request is repeated only when
//! nothing of it was sent, or when repeating it changes nothing (RFC 9110 section 9.2.2).

use http::{Request, Response, StatusCode};
use hvym_tunnel_core::relay::Name;
use hvym_tunnel_pages::Page;
use hyper::body::Incoming;

use super::upgrade;
use crate::http1::head_rewrite;
use crate::http1::request_body::RequestBody;
use crate::metrics::AskedRequest;
use crate::pages;
use crate::sessions::AgentSession;
use crate::upstream::conn::UpstreamConn;
use crate::upstream::error::UpstreamError;
use crate::upstream::pool::Choice;
use crate::upstream::request_upload::{RequestUpload, UploadFailure};
use crate::upstream::response_body::{Answer, Relayed, ResponseBody};
use crate::visitor::Visitor;

/// Passes one request on to the agent behind `live`; the page says what went wrong.
pub(crate) async fn forward(
    visitor: &Visitor,
    live: AgentSession,
    name: Name,
    host: String,
    mut request: Request<RequestBody>,
) -> Result<Answer, Page> {
    let pass = visitor.state.lifecycle.requests.enter().ok_or_else(pages::draining)?;
    let asked = AskedRequest::new(&visitor.state.metrics, &live.record, visitor.state.clock);
    let origin = visitor.client_info(request.headers());
    // Taken before the request is, because it stays with what came in.
    let visitor_upgrade = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    let wanted = head_rewrite::rewrite_request(&mut head, &host, &origin);
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
    let (response, mut upstream) =
        asked.with(send(visitor, live, &name, request).await, |(response, _)| response.status())?;
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

/// Sends the request, again if it was lost and may be, and waits for the head of its response.
async fn send(
    visitor: &Visitor,
    mut live: AgentSession,
    name: &Name,
    mut request: Request<RequestUpload>,
) -> Result<(Response<Incoming>, UpstreamConn), Page> {
    let state = &visitor.state;
    let limit = state.settings.options.limits.response_timeout;
    let spare = Spare::new(&request);
    let mut choice = if spare.0.is_some() { Choice::Any } else { Choice::JustUsed };
    let mut is_moved = false;
    loop {
        let mut upstream = live.upstream(name, choice, is_moved).await?;
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
            UpstreamError::Lost(error) => (spare.again(), Some(error)),
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

/// What it takes to ask once more, if that is safe whatever became of the first time.
struct Spare(Option<Request<()>>);

impl Spare {
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

/// The session that took the place of one that is gone, if there is one.
fn successor(visitor: &Visitor, gone: &AgentSession, name: &Name) -> Option<AgentSession> {
    visitor.state.sessions.agent(&name.owner).filter(|session| !session.is(gone))
}
