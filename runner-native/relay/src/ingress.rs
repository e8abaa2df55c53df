//! A visitor's request to the service behind an agent and the service's answer back, both as they arrive.
//!
//! What went wrong before anything was answered is put right where that is safe: a request is repeated only when
//! nothing of it was sent, or when repeating it changes nothing (RFC 9110 section 9.2.2).

use http::{Request, Response, StatusCode};
use hvym_tunnel_core::relay::Name;
use hvym_tunnel_pages::Page;
use hyper::body::Incoming;

use super::conduit::Failure;
use super::heads;
use super::live::Live;
use super::passage::Passage;
use super::pool::Choice;
use super::question::Question;
use super::reply::{Answer, Relayed, Reply};
use super::tally::Asked;
use super::upload::Upload;
use super::visitors::Visitor;
use super::{pages, upgrade};

/// Passes one request on to the agent behind `live`; the page says what went wrong.
pub(super) async fn ask(
    visitor: &Visitor,
    live: Live,
    name: Name,
    host: String,
    mut request: Request<Question>,
) -> Result<Answer, Page> {
    let pass = visitor.board.requests.enter().ok_or_else(pages::draining)?;
    let asked = Asked::new(&visitor.board.tally, &live.record, visitor.board.clock);
    let origin = visitor.origin(request.headers());
    // Taken before the request is, because it stays with what came in.
    let visitor_upgrade = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    let wanted = heads::toward_service(&mut head, &host, &origin);
    let permit = body.permit();
    let mut request = Request::from_parts(head, Upload::new(body, visitor.board.clock));
    let upload = request.body().progress();
    if let Some(permit) = permit {
        hyper::ext::on_informational(&mut request, move |interim| {
            if interim.status() == StatusCode::CONTINUE {
                permit.grant();
            }
        });
    }
    let (response, mut passage) =
        asked.with(send(visitor, live, &name, request).await, |(response, _)| response.status())?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match wanted {
            Some(_) => Ok(upgrade::join(visitor, visitor_upgrade, response, passage, pass)),
            None => Err(pages::bad_answer()),
        };
    }
    let (mut head, body) = response.into_parts();
    passage.note(&head);
    heads::toward_visitor(&mut head);
    let still_asked = upload.is_some_and(|upload| !upload.is_over());
    Ok(Response::from_parts(head, Reply::Relayed(Relayed::new(body, passage, still_asked, pass))))
}

/// Sends the request, again if it was lost and may be, and waits for the head of its response.
async fn send(
    visitor: &Visitor,
    mut live: Live,
    name: &Name,
    mut request: Request<Upload>,
) -> Result<(Response<Incoming>, Passage), Page> {
    let board = &visitor.board;
    let limit = board.settings.limits.response_timeout;
    let spare = Spare::of(&request);
    let mut choice = if spare.0.is_some() { Choice::Any } else { Choice::JustUsed };
    let mut is_moved = false;
    loop {
        let mut passage = live.passage(name, choice, is_moved).await?;
        let failure = match passage.ask(request, limit, board.clock).await {
            Ok(response) => return Ok((response, passage)),
            Err(failure) => failure,
        };
        let (again, error) = match failure {
            Failure::TooLate => return Err(Page::upstream_timeout()),
            Failure::Broken { is_late: true } => return Err(pages::late_body()),
            Failure::Broken { is_late: false } => return Err(pages::broken_request()),
            Failure::BadHost => return Err(Page::bad_host()),
            Failure::Bad(error) => (None, Some(error)),
            Failure::Unsent(request) => (Some(*request), None),
            Failure::Lost(error) => (spare.again(), Some(error)),
        };
        tracing::debug!(?error, owner = %name.owner, used = passage.is_used(), "no response");
        let is_up = live.is_up();
        request = match again {
            Some(again) if is_up && passage.is_used() => again,
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
    fn of(request: &Request<Upload>) -> Self {
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

    fn again(&self) -> Option<Request<Upload>> {
        self.0.clone().map(|copy| copy.map(|()| Upload::empty()))
    }
}

/// The session that took the place of one that is gone, if there is one.
fn successor(visitor: &Visitor, gone: &Live, name: &Name) -> Option<Live> {
    visitor.board.roster.agent(&name.owner).filter(|session| !session.is(gone))
}
