//! Every route of the API in one table, by which requests are led, methods are checked, and the description is made.

use http::Method;
use hvym_tunnel_net::api_routes::{self, route};

use super::guard::AccessLevel::{self, LocalControl, LocalRead, Token};

/// What a request asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    Health,
    Status,
    Connections,
    Metrics,
    Version,
    Start,
    Stop,
    Restart,
    Services,
    Bind,
    Unbind,
    Join,
    Requests,
    History,
    ForgetEndpoints,
    Alerts,
    ClearAlerts,
    Acknowledge,
    AlertLimits,
    SetAlertLimits,
    Check,
    Reload,
    ReadSettings,
    ChangeSettings,
    SettingsSchema,
    ExportSettings,
    ImportSettings,
    BackUpSettings,
    ResetSettings,
    Drain,
    Events,
    Description,
    Prometheus,
    Live,
}

impl Operation {
    /// Whether the owner may ask for it from afar. Who that is, a relay says. So it is nothing that reads a file, names a program
    /// or offers something else of this machine, and nothing that ends the link by which it came.
    pub(super) const fn is_for_owner(self) -> bool {
        match self {
            Operation::Health
            | Operation::Status
            | Operation::Connections
            | Operation::Metrics
            | Operation::Version
            | Operation::Restart
            | Operation::Services
            | Operation::Requests
            | Operation::History
            | Operation::Alerts
            | Operation::ClearAlerts
            | Operation::Acknowledge
            | Operation::AlertLimits
            | Operation::Check
            | Operation::Events
            | Operation::Description
            | Operation::Live => true,
            Operation::Start
            | Operation::Stop
            | Operation::Bind
            | Operation::Unbind
            | Operation::Join
            | Operation::ForgetEndpoints
            | Operation::SetAlertLimits
            | Operation::Reload
            | Operation::ReadSettings
            | Operation::ChangeSettings
            | Operation::SettingsSchema
            | Operation::ExportSettings
            | Operation::ImportSettings
            | Operation::BackUpSettings
            | Operation::ResetSettings
            | Operation::Drain
            | Operation::Prometheus => false,
        }
    }
}

/// One method of one path.
pub(super) type Route = api_routes::ApiRoute<AccessLevel, Operation>;
/// Where a request leads.
pub(super) type Found<'a> = api_routes::Found<'a, AccessLevel, Operation>;

/// The table.
#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    route(Method::GET, "/api/health", LocalRead, Operation::Health, "How well everything is"),
    route(Method::GET, "/api/status", LocalRead, Operation::Status, "Links, connections and services"),
    route(Method::GET, "/api/connections", LocalRead, Operation::Connections, "Connections, for a person"),
    route(Method::GET, "/api/metrics", LocalRead, Operation::Metrics, "Counts, rates and percentiles"),
    route(Method::GET, "/api/version", LocalRead, Operation::Version, "Versions"),
    route(Method::POST, "/api/tunnel/start", LocalControl, Operation::Start, "Start a link, or all of them"),
    route(Method::POST, "/api/tunnel/stop", LocalControl, Operation::Stop, "Stop a link, or all of them"),
    route(Method::POST, "/api/tunnel/restart", LocalControl, Operation::Restart, "Stop and start a link, or all of them"),
    route(Method::GET, "/api/v1/services", Token, Operation::Services, "The services"),
    route(Method::POST, "/api/v1/services", Token, Operation::Bind, "Add a service, or replace it"),
    route(Method::DELETE, "/api/v1/services/{name}", Token, Operation::Unbind, "Remove a service"),
    route(Method::POST, "/api/v1/join", Token, Operation::Join, "Have services for as long as the response lasts, which tells what happens to them"),
    route(Method::GET, "/api/v1/requests", Token, Operation::Requests, "The last hundred requests of visitors"),
    route(Method::GET, "/api/v1/history", Token, Operation::History, "What happened in each interval of an hour, a day or a week"),
    route(Method::DELETE, "/api/v1/endpoints", Token, Operation::ForgetEndpoints, "Forget where services were reached that are not now"),
    route(Method::GET, "/api/v1/alerts", Token, Operation::Alerts, "Alerts, active and past"),
    route(Method::DELETE, "/api/v1/alerts", Token, Operation::ClearAlerts, "Forget alerts that are over"),
    route(Method::POST, "/api/v1/alerts/{id}/ack", Token, Operation::Acknowledge, "Know of an alert"),
    route(Method::GET, "/api/v1/thresholds", Token, Operation::AlertLimits, "Limits beyond which an alert is raised"),
    route(Method::PUT, "/api/v1/thresholds", Token, Operation::SetAlertLimits, "Change those limits"),
    route(Method::POST, "/api/v1/checks", Token, Operation::Check, "Check every connection now"),
    route(Method::POST, "/api/v1/reload", Token, Operation::Reload, "Read the settings again"),
    route(Method::GET, "/api/v1/settings", Token, Operation::ReadSettings, "What the settings file says"),
    route(Method::PUT, "/api/v1/settings", Token, Operation::ChangeSettings, "Change some of it, after a copy"),
    route(Method::GET, "/api/v1/settings/schema", Token, Operation::SettingsSchema, "The JSON schema of the settings file"),
    route(Method::GET, "/api/v1/settings/export", Token, Operation::ExportSettings, "The settings file, as it is"),
    route(Method::POST, "/api/v1/settings/import", Token, Operation::ImportSettings, "Take in a settings file, also of an older program, after a copy"),
    route(Method::POST, "/api/v1/settings/backup", Token, Operation::BackUpSettings, "Copy the settings file"),
    route(Method::POST, "/api/v1/settings/reset", Token, Operation::ResetSettings, "Go back to the defaults, after a copy"),
    route(Method::POST, "/api/v1/drain", Token, Operation::Drain, "Stop all links when what is under way is over, in a minute at most"),
    route(Method::GET, "/api/v1/events", Token, Operation::Events, "Every update, as server-sent events"),
    route(Method::GET, "/api/openapi.json", LocalRead, Operation::Description, "This description"),
    route(Method::GET, "/metrics", Token, Operation::Prometheus, "Metrics in Prometheus' text format"),
    route(Method::GET, "/ws", Token, Operation::Live, "Every update, over a WebSocket"),
];

/// Where a request leads.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Found<'a> {
    api_routes::find(ROUTES, method, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: Method, path: &str) -> Option<(Operation, Option<&str>)> {
        match find(&method, path) {
            Found::Route(route, parameter) => Some((route.operation, parameter)),
            _ => None,
        }
    }

    fn allowed(method: Method, path: &str) -> Option<String> {
        match find(&method, path) {
            Found::OtherMethods(methods) => Some(methods),
            _ => None,
        }
    }

    #[test]
    fn a_request_is_led_by_its_method_and_path() {
        assert_eq!(operation(Method::GET, "/api/health"), Some((Operation::Health, None)));
        assert_eq!(operation(Method::HEAD, "/api/health"), Some((Operation::Health, None)));
        assert_eq!(operation(Method::DELETE, "/api/v1/services/web"), Some((Operation::Unbind, Some("web"))));
        assert_eq!(
            operation(Method::POST, "/api/v1/alerts/7/ack"),
            Some((Operation::Acknowledge, Some("7")))
        );
        for path in [
            "/",
            "/api",
            "/api/health/",
            "/API/health",
            "/api/v1/services/",
            "/api/v1/alerts//ack",
            "/api/v1/services/a/b",
        ] {
            assert!(matches!(find(&Method::GET, path), Found::Nothing), "{path}");
        }
    }

    #[test]
    fn a_path_says_which_methods_it_has() {
        assert_eq!(allowed(Method::GET, "/api/tunnel/stop").as_deref(), Some("POST"));
        assert_eq!(allowed(Method::PATCH, "/api/v1/services").as_deref(), Some("GET, HEAD, POST"));
        assert_eq!(allowed(Method::DELETE, "/api/health").as_deref(), Some("GET, HEAD"));
    }

    #[test]
    fn what_changes_something_is_never_open_to_readers() {
        for route in ROUTES {
            assert!(route.method == Method::GET || route.level != AccessLevel::LocalRead, "{}", route.path);
        }
    }
}
