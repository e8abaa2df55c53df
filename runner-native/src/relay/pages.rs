//! The words of the pages that only a relay has: about its own name, its own limits and its own end.

use hvym_tunnel_core::http1::Page;

/// Seconds after which a relay that is full, or about to be restarted, is worth another try.
const RETRY_SECONDS: u32 = 5;

fn new(status: u16, title: &str, text: String, hint: &str) -> Page {
    Page { status, title: title.to_owned(), text, hint: hint.to_owned(), retry_after: None }
}

/// The relay's own front page.
pub(super) fn welcome(domain: &str) -> Page {
    new(
        200,
        "A tunnel relay",
        format!("This relay gives services on other machines a public address below {domain}."),
        "Its address is at /info. To expose a service of your own: hvym-tunnel expose 3000 --relay with this relay's URL.",
    )
}

/// The relay's own name, but nothing there.
pub(super) fn not_here(path: &str) -> Page {
    new(
        404,
        "There is nothing here",
        format!("The relay itself has no page at {path}."),
        "See /info and /health.",
    )
}

/// Another domain, or none.
pub(super) fn other_domain(domain: &str, host: &str) -> Page {
    new(
        404,
        "This name is not served here",
        format!("This relay serves {domain} and the names below it, and {host} is not one of them."),
        "Check the address, or the DNS record or proxy that led here.",
    )
}

/// Below the relay's domain, and no agent can ever have this name.
pub(super) fn not_an_address(label: &str, domain: &str) -> Page {
    new(
        404,
        "This is not the name of a tunnel",
        format!(
            "{label}.{domain} is not made of a Stellar address: 56 letters and digits that begin with G."
        ),
        "Copy the address again: a character may be missing or mistyped.",
    )
}

/// The agent is there and has bound nothing yet.
pub(super) fn nothing_offered() -> Page {
    let mut page = new(
        503,
        "The tunnel offers nothing yet",
        "The agent is connected, but it has not made a service reachable.".to_owned(),
        "Reload in a moment. If this is your tunnel, see whether the agent reports an error.",
    );
    page.retry_after = Some(RETRY_SECONDS);
    page
}

/// A browser came to a service that carries bytes, or something else to one that speaks HTTP.
pub(super) fn other_language(service: &str) -> Page {
    new(
        404,
        "This service is no website",
        format!("The service {service} does not speak HTTP: it is reached at a port of its own."),
        "Its owner's terminal shows its address: tcp://, a host and a port.",
    )
}

/// The service's answer was no HTTP, or none.
pub(super) fn bad_answer() -> Page {
    new(
        502,
        "The service gave no proper answer",
        "The tunnel works, but the service behind it closed the connection or sent what is not HTTP."
            .to_owned(),
        "If this is your tunnel, check that the service speaks plain HTTP at the port you exposed.",
    )
}

/// The visitor's own fault, found after the head had passed.
pub(super) fn broken_request() -> Page {
    new(
        400,
        "The request is broken",
        "Its body ended too early, or is not what its head announced.".to_owned(),
        "",
    )
}

/// No room for another stream or session.
pub(super) fn overloaded() -> Page {
    let mut page = new(
        503,
        "Too much at once",
        "The tunnel has no room for another request right now.".to_owned(),
        "Reload in a moment.",
    );
    page.retry_after = Some(RETRY_SECONDS);
    page
}

/// The relay is about to end.
pub(super) fn draining() -> Page {
    let mut page = new(
        503,
        "The relay is restarting",
        "This relay finishes what is under way and takes nothing new.".to_owned(),
        "Reload in a moment.",
    );
    page.retry_after = Some(RETRY_SECONDS);
    page
}

/// `CONNECT` would make an open proxy of the relay.
pub(super) fn no_proxy() -> Page {
    new(
        405,
        "This is not a proxy",
        "A relay leads to the services of its agents and nowhere else.".to_owned(),
        "",
    )
}

/// A method the relay's own pages do not take.
pub(super) fn wrong_method() -> Page {
    new(405, "The method is not allowed here", "The relay's own pages can be read only.".to_owned(), "")
}

/// Somebody looks at the agents' entrance with something that is not an agent.
pub(super) fn websocket_wanted() -> Page {
    new(
        426,
        "This is where agents connect",
        "Only a WebSocket of version 13 is taken here.".to_owned(),
        "If there is a proxy in front of this relay, let it pass the Upgrade and Connection fields on.",
    )
}
