//! Every route in one table, by which requests are led, methods are checked, and the description is made.

use std::borrow::Cow;

use http::Method;
use hvym_tunnel_net::api_routes::{self, route};
use percent_encoding::percent_decode_str;

/// What a request asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    Alive,
    Ready,
    Metrics,
    Status,
    History,
    Agents,
    Sessions,
    Services,
    Names,
    Requests,
    Relays,
    Bans,
    Ban,
    Unban,
    Kick,
    Limits,
    Config,
    Audit,
    Reload,
    Drain,
    Description,
}

/// Who may use a route.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Level {
    /// Whoever reaches the listener for operators.
    Anyone,
    /// The operator, and owners of agents, who are told of their own alone.
    Owner,
    /// The operator.
    Operator,
}

/// One method of one path.
pub(super) type ApiRoute = api_routes::ApiRoute<Level, Operation>;
/// Where a request leads.
pub(super) type Found<'a> = api_routes::Found<'a, Level, Operation>;

/// The table.
#[rustfmt::skip]
pub(super) static ROUTES: [ApiRoute; 21] = [
    route(Method::GET, "/healthz", Level::Anyone, Operation::Alive, "Whether the process answers"),
    route(Method::GET, "/readyz", Level::Anyone, Operation::Ready, "Whether visitors are served: by a request of the relay to itself, at most one a second"),
    route(Method::GET, "/metrics", Level::Anyone, Operation::Metrics, "Metrics in Prometheus' text format"),
    route(Method::GET, "/api/v1/openapi.json", Level::Anyone, Operation::Description, "This description"),
    route(Method::GET, "/api/v1/status", Level::Operator, Operation::Status, "The relay and its counters"),
    route(Method::GET, "/api/v1/history", Level::Operator, Operation::History, "What happened in each interval of the last hour"),
    route(Method::GET, "/api/v1/agents", Level::Owner, Operation::Agents, "Who is logged in, and with which services"),
    route(Method::GET, "/api/v1/sessions", Level::Owner, Operation::Sessions, "The sessions of agents, and what they carried"),
    route(Method::GET, "/api/v1/services", Level::Owner, Operation::Services, "The services, and where they are reached"),
    route(Method::GET, "/api/v1/names", Level::Owner, Operation::Names, "Names beside those made of addresses, and who has them"),
    route(Method::GET, "/api/v1/requests", Level::Owner, Operation::Requests, "The latest requests to the services of one identity"),
    route(Method::GET, "/api/v1/relays", Level::Operator, Operation::Relays, "The relays of the domain, and who is at each"),
    route(Method::GET, "/api/v1/bans", Level::Operator, Operation::Bans, "Who is banned, until when, and why"),
    route(Method::POST, "/api/v1/bans", Level::Operator, Operation::Ban, "Ban an identity or a network, and end its sessions"),
    route(Method::DELETE, "/api/v1/bans/{subject}", Level::Operator, Operation::Unban, "Lift a ban"),
    route(Method::POST, "/api/v1/kicks", Level::Operator, Operation::Kick, "End the sessions of an agent, which may log in again"),
    route(Method::GET, "/api/v1/limits", Level::Operator, Operation::Limits, "The limits, and how much of them is used"),
    route(Method::GET, "/api/v1/config", Level::Operator, Operation::Config, "The options, without secrets"),
    route(Method::GET, "/api/v1/audit", Level::Operator, Operation::Audit, "The latest records of the audit log"),
    route(Method::POST, "/api/v1/reload", Level::Operator, Operation::Reload, "Read certificates, keys and lists again"),
    route(Method::POST, "/api/v1/drain", Level::Operator, Operation::Drain, "Take nothing new, and end when what is under way is over"),
];

/// Whether a path is one of these at the relay's own domain too.
pub(crate) fn is_managed(path: &str) -> bool {
    path.starts_with("/api/v1/") || ROUTES.iter().any(|route| route.path == path)
}

/// Where a request leads.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Found<'a> {
    api_routes::find(&ROUTES, method, path)
}

/// What stands in a path, as it was meant.
pub(super) fn decoded(parameter: &str) -> Cow<'_, str> {
    percent_decode_str(parameter).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: Method, path: &str) -> Option<(Operation, Option<String>)> {
        match find(&method, path) {
            Found::Route(route, parameter) => {
                Some((route.operation, parameter.map(|parameter| decoded(parameter).into_owned())))
            }
            _ => None,
        }
    }

    #[test]
    fn a_request_is_led_by_its_method_and_path() {
        assert_eq!(operation(Method::GET, "/api/v1/bans"), Some((Operation::Bans, None)));
        assert_eq!(operation(Method::HEAD, "/healthz"), Some((Operation::Alive, None)));
        let network = Some((Operation::Unban, Some("192.0.2.0/24".to_owned())));
        assert_eq!(operation(Method::DELETE, "/api/v1/bans/192.0.2.0%2F24"), network);
        for path in ["/", "/api/v1", "/api/v1/bans/", "/api/v1/bans/a/b", "/API/v1/bans", "/healthz/"] {
            assert!(!matches!(find(&Method::DELETE, path), Found::Route(..)), "{path}");
        }
        let Found::OtherMethods(methods) = find(&Method::PUT, "/api/v1/bans") else { panic!("it is there") };
        assert_eq!(methods, "GET, HEAD, POST");
        assert!(is_managed("/api/v1/anything") && is_managed("/metrics") && !is_managed("/api/tunnels"));
    }

    #[test]
    fn whatever_tells_or_changes_something_of_agents_needs_the_operator() {
        for route in &ROUTES {
            let is_open = ["/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"].contains(&route.path);
            assert_eq!(route.level == Level::Anyone, is_open, "{}", route.path);
        }
    }
}
