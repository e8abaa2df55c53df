//! Which request gets which response.
//!
//! Reading is for everybody who is let in; changing something, and seeing secrets, is for those who know the token.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_ENCODING, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hvym_http1::ResponseHead;
use hvym_tunnel_net::embedded_page::PageFile;
use hvym_tunnel_net::page_files;
use hyper::body::Incoming;
use serde_json::json;

use super::access;
use super::change_events;
use super::respond::{self, Content};
use super::session::Session;
use crate::capture::body::MAX_BODY_BYTES;
use crate::capture::exchange::CapturedExchange;
use crate::curl;
use crate::har;
use crate::replay::{Edit, ReplayError, replay};
use crate::view::{ExchangeDetail, ExchangeSummary, MessageLine, request_body};

/// The page, and what it loads.
static FILES: [PageFile; 4] = page_files!("assets", "inspector");

/// The longest edited request: a whole body, each byte of which JSON may write as six, and a head.
const MAX_EDIT_BYTES: usize = 6 * MAX_BODY_BYTES + 1024 * 1024;

/// Pictures that browsers show and never run.
const PICTURES: [&str; 8] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "image/x-icon",
    "image/svg+xml",
];

/// What is asked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Route {
    File(usize),
    Urls,
    Session,
    Status,
    Events,
    Har,
    Requests,
    Request(u64),
    Messages(u64),
    RequestBody(u64),
    ResponseBody(u64),
    Curl(u64),
    Replay(u64),
}

impl Route {
    fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        if let Some(at) = FILES.iter().position(|file| file.path == path) {
            return Some(Route::File(at));
        }
        let mut parts = path.split('/');
        let parts = [
            parts.next()?,
            parts.next().unwrap_or(""),
            parts.next().unwrap_or(""),
            &parts.collect::<Vec<_>>().join("/"),
        ];
        let id = || parts[2].parse().ok();
        match parts {
            ["urls", "", "", ""] => Some(Route::Urls),
            ["api", "session", "", ""] => Some(Route::Session),
            ["api", "status", "", ""] => Some(Route::Status),
            ["api", "events", "", ""] => Some(Route::Events),
            ["api", "har", "", ""] => Some(Route::Har),
            ["api", "requests", "", ""] => Some(Route::Requests),
            ["api", "requests", _, ""] => id().map(Route::Request),
            ["api", "requests", _, "messages"] => id().map(Route::Messages),
            ["api", "requests", _, "request/body"] => id().map(Route::RequestBody),
            ["api", "requests", _, "response/body"] => id().map(Route::ResponseBody),
            ["api", "requests", _, "curl"] => id().map(Route::Curl),
            ["api", "requests", _, "replay"] => id().map(Route::Replay),
            _ => None,
        }
    }

    const fn methods(self) -> &'static str {
        match self {
            Route::Requests => "GET, HEAD, DELETE",
            Route::Replay(_) => "POST",
            _ => "GET, HEAD",
        }
    }
}

/// The response to a request.
pub(super) async fn answer(session: &Arc<Session>, request: Request<Incoming>) -> Response<Content> {
    let (parts, body) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    if let Err(denied) = access::check(&parts.headers, route == Some(Route::File(0))) {
        return respond::plain(StatusCode::FORBIDDEN, denied.reason());
    }
    let Some(route) = route else { return respond::error(StatusCode::NOT_FOUND, "there is no such page") };
    if !route.methods().split(", ").any(|allowed| allowed == parts.method.as_str()) {
        return respond::method_not_allowed(route.methods());
    }
    let query = parts.uri.query().unwrap_or_default();
    let reveal = parameter(query, "reveal").is_some();
    let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
    if (reveal || !is_read) && !is_authorized(session, &parts.headers) {
        return respond::error(
            StatusCode::UNAUTHORIZED,
            "this needs the token of the page (Authorization: Bearer)",
        );
    }
    match route {
        Route::Replay(id) => send_again(session, id, body).await,
        Route::Requests if !is_read => {
            session.capture.clear();
            respond::bytes(StatusCode::NO_CONTENT, "text/plain", Vec::new())
        }
        route => read(session, route, query, reveal),
    }
}

fn is_authorized(session: &Session, fields: &HeaderMap) -> bool {
    session.is_authorized(fields.get(AUTHORIZATION).map(HeaderValue::as_bytes))
}

fn read(session: &Arc<Session>, route: Route, query: &str, reveal: bool) -> Response<Content> {
    let capture = &session.capture;
    match route {
        Route::File(at) => {
            let file = &FILES[at];
            // The page is here as long as the program; its status says whether visitors can come.
            let is_closed = at == 0 && !session.is_open();
            let status = if is_closed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            respond::bytes(status, file.kind, file.content)
        }
        Route::Urls => respond::json_value(StatusCode::OK, &json!({ "urls": session.urls() })),
        Route::Session => respond::json_value(StatusCode::OK, &json!({ "token": session.token() })),
        Route::Status => respond::json_value(StatusCode::OK, &session.status()),
        Route::Events => change_events::respond(session),
        Route::Har => {
            let archive = har::archive(capture.list(|exchange| har::entry(exchange, reveal)));
            attached(respond::json_value(StatusCode::OK, &archive), "requests.har")
        }
        Route::Requests => {
            let requests = capture.list(ExchangeSummary::new);
            respond::json_value(StatusCode::OK, &json!({ "requests": requests, "status": session.status() }))
        }
        Route::Request(id) => found(capture.look(id, |exchange| {
            respond::json_value(StatusCode::OK, &ExchangeDetail::new(exchange, reveal))
        })),
        Route::Messages(id) => {
            let after = parameter(query, "after").and_then(|after| after.parse::<u64>().ok());
            found(capture.look(id, |exchange| messages(exchange, after)))
        }
        Route::RequestBody(id) => found(capture.look(id, |exchange| {
            respond::captured("application/octet-stream", request_body(&exchange.request))
        })),
        Route::ResponseBody(id) => found(capture.look(id, response_body)),
        Route::Curl(id) => found(
            capture.look(id, |exchange| respond::plain(StatusCode::OK, curl::command(exchange, reveal))),
        ),
        Route::Replay(_) => respond::method_not_allowed(route.methods()),
    }
}

fn found(response: Option<Response<Content>>) -> Response<Content> {
    response.unwrap_or_else(|| respond::error(StatusCode::NOT_FOUND, ReplayError::Unknown.to_string()))
}

/// The messages whose number is above `after`.
fn messages(exchange: &CapturedExchange, after: Option<u64>) -> Response<Content> {
    let newer = exchange.messages.iter().filter(|message| after.is_none_or(|after| message.number > after));
    let lines: Vec<MessageLine> = newer.map(MessageLine::new).collect();
    respond::json_value(StatusCode::OK, &json!({ "total": exchange.messages.total(), "messages": lines }))
}

/// The body as it came: the browser that shows it takes off its content coding.
fn response_body(exchange: &CapturedExchange) -> Response<Content> {
    let Some(captured) = &exchange.response else {
        return respond::error(StatusCode::NOT_FOUND, "there is no response yet");
    };
    let head = ResponseHead::parse_complete(&captured.head).ok();
    let first = |name: &str| head.as_ref().and_then(|head| head.headers.first(name));
    let media_type =
        first("content-type").map(|kind| kind.split(|byte| *byte == b';').next().unwrap_or(kind));
    let is = |picture: &&&str| {
        media_type.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(picture.as_bytes()))
    };
    let kind = PICTURES.iter().find(is).copied().unwrap_or("application/octet-stream");
    let mut response = respond::captured(kind, captured.body.bytes().to_vec());
    // The beginning of something coded cannot be decoded by everybody.
    if let Some(coding) = first("content-encoding").filter(|_| captured.body.is_whole())
        && let Ok(coding) = HeaderValue::from_bytes(coding)
    {
        response.headers_mut().insert(CONTENT_ENCODING, coding);
    }
    response
}

fn attached(mut response: Response<Content>, name: &'static str) -> Response<Content> {
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

async fn send_again(session: &Arc<Session>, id: u64, body: Incoming) -> Response<Content> {
    let Some(_place) = session.replays.take_one() else {
        return respond::error(StatusCode::TOO_MANY_REQUESTS, "too many requests are being sent again");
    };
    let Ok(body) = Limited::new(body, MAX_EDIT_BYTES).collect().await else {
        return respond::error(StatusCode::PAYLOAD_TOO_LARGE, "the edited request is too long");
    };
    let body = body.to_bytes();
    let edit = if body.is_empty() { Ok(Edit::default()) } else { serde_json::from_slice(&body) };
    let edit = match edit {
        Ok(edit) => edit,
        Err(error) => return respond::error(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let service = session.capture.look(id, |exchange| exchange.source.service.clone());
    let outcome = match service.ok_or(ReplayError::Unknown).map(|service| session.agent(&service)) {
        Ok(Ok(agent)) => replay(&session.capture, &agent, id, &edit).await,
        Ok(Err(refusal)) => Err(refusal.into()),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(id) => respond::json_value(StatusCode::ACCEPTED, &json!({ "id": id })),
        Err(error) => {
            let status = match &error {
                ReplayError::Unknown => StatusCode::NOT_FOUND,
                ReplayError::NotKept => StatusCode::CONFLICT,
                ReplayError::Malformed(_) => StatusCode::BAD_REQUEST,
                ReplayError::Refused(_) | ReplayError::Ended => StatusCode::BAD_GATEWAY,
            };
            respond::error(status, error.to_string())
        }
    }
}

/// The value of a parameter; of one without a value, nothing.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_by_all_their_parts() {
        for (path, route) in [
            ("/", Some(Route::File(0))),
            ("/assets/inspector.css", Some(Route::File(2))),
            ("/urls", Some(Route::Urls)),
            ("/api/requests", Some(Route::Requests)),
            ("/api/requests/7", Some(Route::Request(7))),
            ("/api/requests/7/response/body", Some(Route::ResponseBody(7))),
            ("/api/requests/7/replay", Some(Route::Replay(7))),
            ("/api/requests/x", None),
            ("/api/requests/7/replay/x", None),
            ("/api/session/x", None),
            ("/urls/x", None),
            ("/api", None),
            ("//", None),
        ] {
            assert_eq!(Route::parse(path), route, "{path}");
        }
    }

    #[test]
    fn parameters_are_found_with_and_without_a_value() {
        assert_eq!(parameter("a=1&reveal&after=7", "after"), Some("7"));
        assert_eq!(parameter("a=1&reveal&after=7", "reveal"), Some(""));
        assert_eq!(parameter("revealed=1", "reveal"), None);
    }
}
