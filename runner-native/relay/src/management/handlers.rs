//! What each route does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use hvym_tunnel_net::exposition;
use serde::de::DeserializeOwned;

use super::actions::{ActionError, BanSubject, KickSubject, ban, kick, unban};
use super::routes::{Operation, decoded};
use super::shapes::{DoneReport, EndedReport, NewBan, NewDrain, NewKick};
use super::{ApiCaller, ApiResponse, content, error, history, json, openapi, relays, reports, requests};
use crate::access::BanError;
use crate::audit::MAX_LATEST;
use crate::relay_state::RelayState;

/// The longest drain: whoever means longer means something else.
const MAX_DRAIN_SECONDS: u64 = 86_400;

/// Does what a request asks for.
pub(super) async fn run(
    state: &Arc<RelayState>,
    caller: ApiCaller,
    operation: Operation,
    parameter: Option<&str>,
    request: &Request<Bytes>,
) -> ApiResponse {
    let (ok, query) = (StatusCode::OK, request.uri().query().unwrap_or_default());
    match operation {
        Operation::Alive => content(ok, "text/plain; charset=utf-8", "ok\n"),
        Operation::Ready => ready(state).await,
        Operation::Metrics => content(ok, exposition::CONTENT_TYPE, state.prometheus()),
        Operation::Description => json(ok, &openapi::document()),
        Operation::Status => json(ok, &reports::status(state)),
        Operation::History => json(ok, &history::report(state)),
        Operation::Agents => json(ok, &reports::agents(state, caller)),
        Operation::Sessions => json(ok, &reports::sessions(state, caller)),
        Operation::Services => json(ok, &reports::service_list(state, caller)),
        Operation::Names => json(ok, &reports::names(state, caller)),
        Operation::Requests => requests::requests(state, caller, query),
        Operation::Relays => json(ok, &relays::report(state)),
        Operation::Bans => json(ok, &reports::bans(state)),
        Operation::Limits => json(ok, &reports::limits(state)),
        Operation::Config => json(ok, &reports::config(state)),
        Operation::Audit => audit(state, query),
        Operation::Kick | Operation::Ban => end(state, operation, request.body()).await,
        Operation::Unban => lift(state, decoded(parameter.unwrap_or_default()).into_owned()).await,
        Operation::Reload => match state.reload_now().await {
            Ok(()) => done("options, certificates, keys and lists are read again"),
            Err(mistakes) => error(StatusCode::UNPROCESSABLE_ENTITY, mistakes.join("\n")),
        },
        Operation::Drain => drain(state, request.body()),
    }
}

async fn ready(state: &RelayState) -> ApiResponse {
    let outcome = if state.lifecycle.parting.is_cancelled() {
        Err("the relay takes nothing new: it ends".to_owned())
    } else if state.is_fenced() {
        Err("other relays may serve what this one does, and it cannot ask".to_owned())
    } else {
        state.readiness.check(state.clock).await
    };
    let kind = "text/plain; charset=utf-8";
    match outcome {
        Ok(()) if state.cluster.as_ref().is_some_and(|cluster| !cluster.is_available()) => {
            content(StatusCode::OK, kind, "ready\nother relays: the store that they share does not answer\n")
        }
        Ok(()) => content(StatusCode::OK, kind, "ready\n"),
        Err(why) => content(StatusCode::SERVICE_UNAVAILABLE, kind, format!("not ready: {why}\n")),
    }
}

fn audit(state: &RelayState, query: &str) -> ApiResponse {
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("limit="));
    let limit = match asked.map(str::parse::<usize>) {
        None => MAX_LATEST,
        Some(Ok(limit @ 1..=MAX_LATEST)) => limit,
        Some(_) => {
            return error(StatusCode::BAD_REQUEST, format!("limit is a number from 1 to {MAX_LATEST}"));
        }
    };
    json(StatusCode::OK, &reports::audit(state, limit))
}

async fn end(state: &Arc<RelayState>, operation: Operation, body: &Bytes) -> ApiResponse {
    let state = Arc::clone(state);
    // What is written to the disk would hold up a thread that serves visitors.
    let ended = if operation == Operation::Kick {
        let NewKick { agent, session, reason } = match read(body) {
            Ok(kick) => kick,
            Err(refusal) => return refusal,
        };
        let subject = match (agent, session) {
            (Some(agent), None) => KickSubject::Agent(agent),
            (None, Some(session)) => KickSubject::Session(session),
            _ => return error(StatusCode::BAD_REQUEST, "either an agent or a session is needed"),
        };
        kick(&state, subject, &reason)
    } else {
        let NewBan { subject, seconds, reason } = match read(body) {
            Ok(ban) => ban,
            Err(refusal) => return refusal,
        };
        match BanSubject::parse(&subject) {
            Ok(subject) => smol::unblock(move || ban(&state, subject, seconds, &reason)).await,
            Err(error) => Err(error),
        }
    };
    ended.map_or_else(|error| refused(&error), |ended| json(StatusCode::OK, &EndedReport { ended }))
}

async fn lift(state: &Arc<RelayState>, subject: String) -> ApiResponse {
    let state = Arc::clone(state);
    let lifted = match BanSubject::parse(&subject) {
        Ok(subject) => smol::unblock(move || unban(&state, subject)).await,
        Err(error) => Err(error),
    };
    lifted.map_or_else(|error| refused(&error), |()| done("the ban is lifted"))
}

fn drain(state: &RelayState, body: &Bytes) -> ApiResponse {
    let wanted = if body.is_empty() { Ok(NewDrain::default()) } else { read(body) };
    let seconds = match wanted {
        Ok(NewDrain { seconds }) => seconds.unwrap_or(state.settings.options.restart.drain_timeout.as_secs()),
        Err(refusal) => return refusal,
    };
    if seconds > MAX_DRAIN_SECONDS {
        return error(StatusCode::BAD_REQUEST, format!("seconds are at most {MAX_DRAIN_SECONDS}"));
    }
    state.lifecycle.request_drain(Duration::from_secs(seconds));
    done(&format!("the relay takes nothing new, and ends within {seconds} s"))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiResponse> {
    serde_json::from_slice(body)
        .map_err(|why| error(StatusCode::BAD_REQUEST, format!("the content is not what is needed: {why}")))
}

fn done(done: &str) -> ApiResponse {
    json(StatusCode::OK, &DoneReport { done: done.to_owned() })
}

fn refused(why: &ActionError) -> ApiResponse {
    let status = match why {
        ActionError::NotLoggedIn | ActionError::NotBanned => StatusCode::NOT_FOUND,
        ActionError::Subject(_) => StatusCode::BAD_REQUEST,
        ActionError::Ban(BanError::Unwritable(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        ActionError::Ban(_) => StatusCode::CONFLICT,
    };
    error(status, why.to_string())
}
