//! The description of the API (OpenAPI 3.1), made of the table of routes and of the types of their contents.

use http::Method;
use hvym_tunnel_net::openapi::{self, ApiSchemas, OperationDescription, response};
use serde_json::{Map, Value, json};

use super::guard::AccessLevel;
use super::routes::{Operation, ROUTES, Route};
use super::stored_settings::ResetSettings;
use crate::alerts::AlertLimits;
use crate::settings_store::{
    SettingsBackupReport, SettingsImport, SettingsImportReport, SettingsMistakesReport, SettingsReport,
};
use crate::shapes::{
    AlertsReport, ConnectionsReport, DoneReport, ErrorReport, HealthReport, HistoryRange, HistoryReport,
    InternalErrorReport, JoinRequest, LinkSelection, MetricsReport, NewService, RequestsReport,
    ServicesReport, StatusReport, VersionReport,
};

/// The description.
pub fn document() -> Value {
    let info = json!({
        "title": "hvym-tunnel manager",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Links, services, checks, metrics and alerts of a running agent, on the person's own machine.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    let schemes = json!({ "token": { "type": "http", "scheme": "bearer" } });
    let mut document = openapi::document(info, schemes, ROUTES, describe);
    document["servers"] = json!([{ "url": "http://localhost:8765" }]);
    document
}

fn describe(route: &Route, schemas: &mut ApiSchemas) -> OperationDescription {
    let mut responses = Map::new();
    for (status, description, content) in successes(route.operation, schemas) {
        responses.insert(status.to_owned(), response(description, content));
    }
    let error = schemas.answer::<ErrorReport>();
    for (status, description) in errors(route) {
        let schema = match status {
            "422" => schemas.answer::<SettingsMistakesReport>(),
            "500" => schemas.answer::<InternalErrorReport>(),
            _ => error.clone(),
        };
        responses.insert(status.to_owned(), response(description, Some(("application/json", schema))));
    }
    let security = match route.level {
        AccessLevel::Token => json!([{ "token": [] }]),
        // With the token, or without where the settings leave reading, or programs of the same user, free.
        AccessLevel::LocalRead | AccessLevel::LocalControl => json!([{}, { "token": [] }]),
    };
    let (parameters, content) = (parameters(route.operation), content(route.operation, schemas));
    OperationDescription { responses, parameters, content, security }
}

type Content = Option<(&'static str, Value)>;

/// The responses to a request that is done.
fn successes(operation: Operation, schemas: &mut ApiSchemas) -> Vec<(&'static str, &'static str, Content)> {
    let mut json = |answer: fn(&mut ApiSchemas) -> Value| Some(("application/json", answer(schemas)));
    let done = json(ApiSchemas::answer::<DoneReport>);
    let one = |content| vec![("200", "It is answered", content)];
    match operation {
        Operation::Health => one(json(ApiSchemas::answer::<HealthReport>)),
        Operation::Status => one(json(ApiSchemas::answer::<StatusReport>)),
        Operation::Connections => one(json(ApiSchemas::answer::<ConnectionsReport>)),
        Operation::Metrics => one(json(ApiSchemas::answer::<MetricsReport>)),
        Operation::Version => one(json(ApiSchemas::answer::<VersionReport>)),
        Operation::Services => one(json(ApiSchemas::answer::<ServicesReport>)),
        Operation::Requests => one(json(ApiSchemas::answer::<RequestsReport>)),
        Operation::History => one(json(ApiSchemas::answer::<HistoryReport>)),
        Operation::Alerts => one(json(ApiSchemas::answer::<AlertsReport>)),
        Operation::AlertLimits | Operation::SetAlertLimits => one(json(ApiSchemas::answer::<AlertLimits>)),
        Operation::Bind => vec![("200", "It is replaced", done.clone()), ("201", "It is added", done)],
        Operation::Start
        | Operation::Stop
        | Operation::Restart
        | Operation::Drain
        | Operation::Unbind
        | Operation::ForgetEndpoints
        | Operation::ClearAlerts
        | Operation::Acknowledge
        | Operation::Check
        | Operation::Reload => vec![("200", "It is done", done)],
        Operation::ReadSettings | Operation::ChangeSettings | Operation::ResetSettings => {
            one(json(ApiSchemas::answer::<SettingsReport>))
        }
        Operation::ImportSettings => one(json(ApiSchemas::answer::<SettingsImportReport>)),
        Operation::BackUpSettings => one(json(ApiSchemas::answer::<SettingsBackupReport>)),
        Operation::SettingsSchema => one(Some(("application/json", json!({ "type": "object" })))),
        Operation::ExportSettings => one(Some(("application/toml", json!({ "type": "string" })))),
        Operation::Join => {
            let line = json!({ "type": "string" });
            one(Some(("application/x-ndjson", line)))
        }
        Operation::Events => {
            // Of each event (OpenAPI 3.1 has no word for the stream): its data are JSON.
            let data = json!({ "type": "string", "contentMediaType": "application/json" });
            let event = json!({ "type": "object", "required": ["data"], "properties": { "data": data } });
            one(Some(("text/event-stream", event)))
        }
        Operation::Prometheus => one(Some(("text/plain", json!({ "type": "string" })))),
        Operation::Description => one(Some(("application/json", json!({ "type": "object" })))),
        Operation::Live => vec![("101", "Every update follows, as a text message of JSON", None)],
    }
}

/// The responses to a request that is not done.
fn errors(route: &Route) -> Vec<(&'static str, &'static str)> {
    let mut errors =
        vec![("401", "The token is needed"), ("403", "Another host name, or a page that is not let in")];
    let has_content = matches!(route.method, Method::POST | Method::PUT);
    let takes_content = has_content
        && !matches!(route.operation, Operation::Check | Operation::Acknowledge | Operation::BackUpSettings);
    if takes_content {
        errors.push(("400", "The request is not understood"));
    }
    if takes_content && route.operation != Operation::Reload {
        errors.extend([("408", "The content did not arrive in time"), ("413", "The content is too large")]);
    }
    if route.operation == Operation::ExportSettings {
        errors.push(("400", "with_secrets is neither true nor false"));
    }
    match route.operation {
        Operation::Start | Operation::Stop | Operation::Restart | Operation::Drain => errors.extend([
            ("404", "There is no such link"),
            ("500", "A link cannot start"),
            ("503", "Nothing is configured"),
        ]),
        Operation::Bind | Operation::Unbind => errors.extend([
            ("404", "There is no such link or service"),
            ("409", "There are several links, and none is named"),
            ("503", "Nothing is configured"),
        ]),
        Operation::History => errors.push(("400", "There is no such range")),
        Operation::Join => {
            errors.extend([("404", "No link leads there"), ("409", "A service has that name already")]);
        }
        Operation::Acknowledge => errors.push(("404", "There is no such alert")),
        Operation::Status | Operation::Connections | Operation::Metrics => {
            errors.push(("503", "Nothing is configured"));
        }
        Operation::Reload | Operation::SettingsSchema => errors.push(("409", "There is no settings file")),
        Operation::ReadSettings
        | Operation::ChangeSettings
        | Operation::ExportSettings
        | Operation::ImportSettings
        | Operation::ResetSettings => errors.extend([
            ("409", "There is no settings file"),
            ("422", "The settings make no sense"),
            ("500", "The settings file cannot be read, written or applied"),
        ]),
        Operation::BackUpSettings => errors.extend([
            ("404", "There is no settings file yet"),
            ("409", "There is no settings file"),
            ("500", "The settings file cannot be read or copied"),
        ]),
        Operation::Prometheus => errors.push(("404", "The settings leave it out")),
        Operation::Events => errors.push(("503", "Too many listen")),
        Operation::Live => errors.extend([("426", "This is a WebSocket"), ("503", "Too many listen")]),
        _ => {}
    }
    errors
}

fn parameters(operation: Operation) -> Option<Value> {
    let in_path =
        |name: &str, schema: Value| json!({ "name": name, "in": "path", "required": true, "schema": schema });
    match operation {
        Operation::Unbind => Some(json!([
            in_path("name", json!({ "type": "string" })),
            { "name": "link", "in": "query", "required": false, "schema": { "type": "string" } },
        ])),
        Operation::ExportSettings => Some(json!([
            { "name": "with_secrets", "in": "query", "required": false, "schema": { "type": "boolean" } },
        ])),
        Operation::History => {
            let names = HistoryRange::ALL.map(HistoryRange::name);
            let schema = json!({ "type": "string", "enum": names, "default": names[0] });
            Some(json!([{ "name": "range", "in": "query", "required": false, "schema": schema }]))
        }
        Operation::Acknowledge => Some(json!([in_path("id", json!({ "type": "integer", "minimum": 1 }))])),
        _ => None,
    }
}

/// The content that a request may have, and whether it must.
fn content(operation: Operation, schemas: &mut ApiSchemas) -> Option<(Value, bool)> {
    match operation {
        Operation::Start | Operation::Stop | Operation::Restart | Operation::Drain => {
            Some((schemas.content::<LinkSelection>(), false))
        }
        Operation::Bind => Some((schemas.content::<NewService>(), true)),
        Operation::Join => Some((schemas.content::<JoinRequest>(), true)),
        Operation::SetAlertLimits => Some((schemas.content::<AlertLimits>(), true)),
        Operation::ChangeSettings => Some((json!({ "type": "object" }), true)),
        Operation::ImportSettings => Some((schemas.content::<SettingsImport>(), true)),
        Operation::ResetSettings => Some((schemas.content::<ResetSettings>(), true)),
        _ => None,
    }
}
