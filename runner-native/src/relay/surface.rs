//! What the relay says under its own name: who it is, whether it lives, and where agents connect.

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hvym_tunnel_core::dialect::MUX_YAMUX;
use hvym_tunnel_core::relay::NameError;
use hyper::body::Incoming;
use serde::Serialize;

use super::reply::{self, Answer, Reply};
use super::visitors::Visitor;
use super::{connect, pages};

/// The name by which existing programs recognise a relay of this protocol.
const SERVICE: &str = "hvym_tunnler";

#[derive(Serialize)]
struct Health<'a> {
    status: &'a str,
    service: &'a str,
    server_address: String,
}

#[derive(Serialize)]
struct Info<'a> {
    server_address: String,
    websocket_url: String,
    /// The services agents may bind; empty is every service.
    services: Vec<String>,
    version: &'a str,
    mux: &'a [&'a str],
}

/// Answers a request that names no agent. `name` says what it names instead: the relay itself, another domain
/// (an IP address, when a load balancer looks whether we live), or nothing that could be an agent.
pub(super) fn answer(visitor: &Visitor, name: &NameError, request: Request<Incoming>) -> Answer {
    let format = reply::format(request.headers());
    let options = &visitor.board.settings.options;
    if let NameError::NotAnAddress(label) = name {
        return reply::page(&pages::not_an_address(label, &options.domain), format);
    }
    let path = request.uri().path();
    if path == "/connect" {
        return connect::answer(visitor, request);
    }
    if path == "/ws/tunnel" && visitor.board.guests.are_expected() {
        return connect::answer_guest(visitor, request);
    }
    let page = match (path, name) {
        ("/health" | "/info", _) | ("/", NameError::Bare) if !readable(request.method()) => {
            let mut answer = reply::page(&pages::wrong_method(), format);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        ("/health", _) => return health(visitor),
        ("/info", _) => return info(visitor),
        ("/", NameError::Bare) => pages::welcome(&options.domain),
        (_, NameError::OtherDomain { domain, host }) => pages::other_domain(domain, host),
        (path, _) => pages::not_here(path),
    };
    reply::page(&page, format)
}

fn readable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn health(visitor: &Visitor) -> Answer {
    let server_address = visitor.board.address.to_string();
    json(&Health { status: "healthy", service: SERVICE, server_address })
}

fn info(visitor: &Visitor) -> Answer {
    let board = &visitor.board;
    let options = &board.settings.options;
    json(&Info {
        server_address: board.address.to_string(),
        websocket_url: format!("{}{}", options.agent_url(board.port), "/connect"),
        services: options.services.iter().map(ToString::to_string).collect(),
        version: env!("CARGO_PKG_VERSION"),
        mux: &[MUX_YAMUX],
    })
}

fn json(value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("texts and lists of texts are JSON");
    let mut answer = Response::new(Reply::Whole(Full::from(Bytes::from(body))));
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // An agent in a browser tab reads this from a page of another origin; nothing here is secret.
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}
