//! The texts of error pages that only a relay sends: about its own domain, limits and shutdown.

use hvym_http1::{MAX_HEAD_BYTES, MAX_HEADERS, RequestError};
use hvym_proxy::HeadRefusal;
use hvym_proxy::limits::{LimitError, LoginRefusal};
use hvym_tunnel_pages::Page;

/// `Retry-After` of a relay that is full or restarts, seconds.
const RETRY_SECONDS: u32 = 5;

fn new(status: u16, reason: &'static str, title: &str, text: String, hint: &str) -> Page {
    let (title, hint) = (title.to_owned(), hint.to_owned());
    Page { status, reason, title, text, hint, retry_after: None, is_away: false }
}

fn later(status: u16, reason: &'static str, title: &str, text: &str, hint: &str) -> Page {
    Page { retry_after: Some(RETRY_SECONDS), ..new(status, reason, title, text.to_owned(), hint) }
}

/// The same, for what ends without anybody's doing: a browser asks again.
fn away(status: u16, reason: &'static str, title: &str, text: &str, hint: &str) -> Page {
    Page { is_away: true, ..later(status, reason, title, text, hint) }
}

/// The relay's own front page.
pub(super) fn welcome(domain: &str) -> Page {
    new(
        200,
        "",
        "A tunnel relay",
        format!("This relay gives services on other machines a public address below {domain}."),
        "Its address is at /info. To expose a service of your own: hvym-tunnel expose 3000 --relay with this relay's URL.",
    )
}

/// 404 for a path of the relay's own domain.
pub(super) fn not_here(path: &str) -> Page {
    new(
        404,
        "path",
        "There is nothing here",
        format!("The relay itself has no page at {path}."),
        "See /info and /health.",
    )
}

/// The host is another domain, or none.
pub(super) fn other_domain(domain: &str, host: &str) -> Page {
    new(
        404,
        "domain",
        "This name is not served here",
        format!("This relay serves {domain} and the names below it, and {host} is not one of them."),
        "Check the address, or the DNS record or proxy that led here.",
    )
}

/// A sub-domain of the relay that no agent can have.
pub(super) fn not_an_address(label: &str, domain: &str) -> Page {
    new(
        404,
        "name",
        "This is not the name of a tunnel",
        format!("Nobody has the name {label}.{domain}."),
        "Copy the address again: a character may be missing or mistyped.",
    )
}

/// The agent is connected and has bound no service.
pub(super) fn nothing_offered() -> Page {
    away(
        503,
        "unbound",
        "The tunnel offers nothing yet",
        "The agent is connected, but it has not made a service reachable.",
        "Reload in a moment. If this is your tunnel, see whether the agent reports an error.",
    )
}

/// An HTTP request for a TCP service, or a TCP connection for an HTTP service.
pub(super) fn other_language(service: &str) -> Page {
    new(
        404,
        "protocol",
        "This service is no website",
        format!("The service {service} does not speak HTTP: it is reached at a port of its own."),
        "Its owner's terminal shows its address: tcp://, a host and a port.",
    )
}

/// The relay stood still, and asks the others what they have taken over since.
pub(super) fn fenced() -> Page {
    away(
        503,
        "cluster",
        "One moment",
        "This relay is finding out which of several relays has the tunnel.",
        "Reload in a moment.",
    )
}

/// 502: the service sent no HTTP response.
pub(super) fn bad_answer() -> Page {
    new(
        502,
        "response",
        "The service gave no proper answer",
        "The tunnel works, but the service behind it closed the connection or sent what is not HTTP."
            .to_owned(),
        "If this is your tunnel, check that the service speaks plain HTTP at the port you exposed.",
    )
}

/// The head of a request was refused.
pub(super) fn refused_head(reason: HeadRefusal) -> Page {
    match reason {
        HeadRefusal::Head(error) => refused(&error),
        HeadRefusal::Late => new(
            408,
            "slow-head",
            "The request took too long",
            "Its head did not come whole in time.".to_owned(),
            "Reload; if it happens again, look at your network.",
        ),
    }
}

/// A request that was refused before routing.
pub(super) fn refused(error: &RequestError) -> Page {
    match error {
        RequestError::Connect => no_proxy(),
        RequestError::HostMissing | RequestError::HostRepeated | RequestError::Host => Page::bad_host(),
        error if error.status() == 431 => new(
            431,
            "head-size",
            "The request's head is too large",
            format!(
                "It has more than {MAX_HEADERS} fields or {} KiB, cookies included.",
                MAX_HEAD_BYTES / 1024
            ),
            "Delete the cookies of this site and reload.",
        ),
        error if error.status() == 501 => new(
            501,
            "coding",
            "The request's coding is not known here",
            "Its Transfer-Encoding is something else than chunked.".to_owned(),
            "Whoever wrote the program that sent it can leave the coding out.",
        ),
        why => new(
            400,
            "malformed",
            "The request is malformed",
            format!("Two programs could read it differently, so it is not passed on: {why}."),
            "If you did not write it yourself, tell whoever made the program that sent it.",
        ),
    }
}

/// 408: the request body arrived later than the timeout.
pub(super) fn late_body() -> Page {
    new(
        408,
        "slow-body",
        "The request took too long",
        "Nothing more of its body came, and the service could not wait for ever.".to_owned(),
        "Send it again; if it happens again, look at your network.",
    )
}

/// A limit on visitors is reached: 503 where all share it, 429 where it is the visitor's own.
pub(super) fn over_limit(limit: LimitError) -> Page {
    let busy = "Too many requests";
    match limit {
        LimitError::Connections => later(
            503,
            "connections",
            "The relay is full",
            "This relay has as many connections as it takes.",
            "Reload in a moment. If this is your relay, raise --max-connections.",
        ),
        LimitError::Requests | LimitError::ServiceRequests => overloaded(),
        LimitError::VisitorConnections => later(
            429,
            "visitor-connections",
            "Too many connections",
            "Your network has as many connections to this relay as one visitor may have.",
            "Close some of them. If this is your relay, see --visitor-connections and --trusted-proxy.",
        ),
        LimitError::ConnectionRate => later(
            429,
            "visitor-rate",
            "Too many connections",
            "Your network opens connections to this relay faster than one visitor may.",
            "Reload in a moment. If this is your relay, see --visitor-rate and --trusted-proxy.",
        ),
        LimitError::VisitorRequests => later(
            429,
            "visitor-requests",
            busy,
            "Your network has as many requests under way as one visitor may have.",
            "Wait until some are answered. If this is your relay, see --visitor-requests and --trusted-proxy.",
        ),
        LimitError::VisitorTunnels => later(
            429,
            "visitor-tunnels",
            busy,
            "Your network has as many WebSockets open as one visitor may have.",
            "Close some of them. If this is your relay, see --visitor-tunnels and --trusted-proxy.",
        ),
        LimitError::ResetRate => later(
            429,
            "visitor-resets",
            busy,
            "Your network breaks off requests faster than one visitor may.",
            "Reload in a moment. If this is your relay, see --visitor-resets and --trusted-proxy.",
        ),
    }
}

/// 429: the agent gets as many requests as its relay's operator lets it have.
pub(super) fn over_rate() -> Page {
    later(
        429,
        "agent-rate",
        "Too many requests",
        "This address gets more requests than its relay carries for it.",
        "Reload in a moment. If this is your relay, see rate= in its list of agents.",
    )
}

/// 400: the request body is malformed.
pub(super) fn broken_request() -> Page {
    new(
        400,
        "body",
        "The request is broken",
        "Its body ended too early, or is not what its head announced.".to_owned(),
        "Send it again. If you did not write it yourself, tell whoever made the program that sent it.",
    )
}

/// No capacity for another stream or session.
pub(super) fn overloaded() -> Page {
    later(
        503,
        "busy",
        "Too much at once",
        "The tunnel has no room for another request right now.",
        "Reload in a moment. If this is your relay, see its limits on requests and streams.",
    )
}

/// A limit on logins is reached: 503 where all share it, 429 where it is the address's own.
pub(super) fn over_logins(limit: LoginRefusal) -> Page {
    let status = match limit {
        LoginRefusal::AddressPending | LoginRefusal::AddressRate | LoginRefusal::AddressAgents => 429,
        LoginRefusal::Pending | LoginRefusal::Rate | LoginRefusal::Agents => 503,
    };
    let mut text = limit.to_string();
    text[..1].make_ascii_uppercase();
    later(status, "logins", "Too many logins", &format!("{text}."), "Try again in a moment.")
}

/// The agent's link carries as many streams as it may, and none became free in time.
pub(super) fn link_full(streams: usize) -> Page {
    later(
        503,
        "streams",
        "Too much at once",
        &format!(
            "The tunnel carries {streams} connections to its services at once, and has no room for another request."
        ),
        "Reload in a moment. If this is your relay, see --link-streams; an agent's own limit is that of its open files.",
    )
}

/// The relay has its maximum of agents.
pub(super) fn no_more_agents() -> Page {
    later(
        503,
        "agents",
        "The relay is full",
        "This relay has as many agents as it takes.",
        "Try again in a moment. If this is your relay, raise --max-agents.",
    )
}

/// The relay is shutting down.
pub(super) fn draining() -> Page {
    away(
        503,
        "restarting",
        "The relay is restarting",
        "This relay finishes what is under way and takes nothing new.",
        "Reload in a moment.",
    )
}

/// `CONNECT` would make an open proxy of the relay.
pub(super) fn no_proxy() -> Page {
    new(
        405,
        "proxy",
        "This is not a proxy",
        "A relay leads to the services of its agents and nowhere else.".to_owned(),
        "Ask for the service by its own name.",
    )
}

/// 405 of the relay's own pages.
pub(super) fn wrong_method() -> Page {
    let text = "The relay's own pages can be read only.".to_owned();
    new(405, "method", "The method is not allowed here", text, "Ask with GET.")
}

/// The origin is not among those that may connect.
pub(super) fn foreign_origin() -> Page {
    new(
        403,
        "origin",
        "Pages of this origin may not connect here",
        "This relay lets only some websites connect as agents.".to_owned(),
        "If this is your relay, name the website with --allow-origin.",
    )
}

/// The operator has banned the visitor's network.
pub(super) fn banned() -> Page {
    new(
        403,
        "banned",
        "You may not come here",
        "The operator of this relay has banned the network that you come from.".to_owned(),
        "If that is a mistake, ask the operator.",
    )
}

/// An agent dialled the relay by a name that is not its own.
pub(super) fn not_a_name(host: &str, domain: &str) -> Page {
    new(
        421,
        "relay-name",
        "This relay does not go by this name",
        format!(
            "Agents dial this relay as {domain}, and {host} may lead to another one, so no login is made here."
        ),
        "Dial its own name. If this is your relay, name the other one with --also-name; a proxy in front has to pass Host on.",
    )
}

/// A page of another machine asks a relay that is for this machine alone.
pub(super) fn foreign_page() -> Page {
    new(
        403,
        "foreign-page",
        "Websites may not use this relay",
        "This relay is for programs and pages of this machine alone.".to_owned(),
        "If the website is yours, name it with --allow-origin, or run a relay with a domain.",
    )
}

/// A host name of somebody else's that leads to a relay for this machine alone.
pub(super) fn foreign_host(domain: &str, host: &str) -> Page {
    new(
        421,
        "foreign-host",
        "This name does not belong to this relay",
        format!("This relay is for this machine alone and is called {domain}, not {host}."),
        "If the name is yours, give it to the relay with --domain.",
    )
}

/// A request for the agents' endpoint that is no WebSocket upgrade.
pub(super) fn websocket_wanted() -> Page {
    new(
        426,
        "upgrade",
        "This is where agents connect",
        "Only a WebSocket of version 13 is taken here.".to_owned(),
        "If there is a proxy in front of this relay, let it pass the Upgrade and Connection fields on.",
    )
}
