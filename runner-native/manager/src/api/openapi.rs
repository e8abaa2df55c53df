//! The description of the API (OpenAPI 3.1), made of the table of routes and of the types of their contents.

use std::collections::BTreeMap;

use http::Method;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
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

/// Where the description has its schemas.
const SCHEMAS: &str = "/components/schemas";

/// The description.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut answers = settings.clone().for_serialize().into_generator();
    let mut contents = settings.for_deserialize().into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation(route, &mut answers, &mut contents));
    }
    let mut schemas = contents.take_definitions(true);
    schemas.extend(answers.take_definitions(true));
    let schemas: BTreeMap<_, _> = schemas.into_iter().collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hvym-tunnel manager",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Links, services, checks, metrics and alerts of a running agent, on the person's own machine.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://localhost:8765" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route, answers: &mut SchemaGenerator, contents: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for (status, description, schema) in successes(route.operation, answers) {
        responses.insert(status.to_owned(), response(description, schema));
    }
    let error = schema::<ErrorReport>(answers);
    for (status, description) in errors(route) {
        let schema = match status {
            "422" => schema::<SettingsMistakesReport>(answers),
            "500" => schema::<InternalErrorReport>(answers),
            _ => error.clone(),
        };
        responses.insert(status.to_owned(), response(description, Some(("application/json", schema))));
    }
    let mut described = Map::new();
    described.insert("operationId".to_owned(), format!("{:?}", route.operation).into());
    described.insert("summary".to_owned(), route.summary.into());
    if let Some(parameters) = parameters(route.operation) {
        described.insert("parameters".to_owned(), parameters);
    }
    if let Some((schema, required)) = content(route.operation, contents) {
        let content =
            json!({ "required": required, "content": { "application/json": { "schema": schema } } });
        described.insert("requestBody".to_owned(), content);
    }
    let security = match route.level {
        AccessLevel::Token => json!([{ "token": [] }]),
        // With the token, or without where the settings leave reading, or programs of the same user, free.
        AccessLevel::LocalRead | AccessLevel::LocalControl => json!([{}, { "token": [] }]),
    };
    described.insert("security".to_owned(), security);
    described.insert("responses".to_owned(), Value::Object(responses));
    Value::Object(described)
}

type Content = Option<(&'static str, Value)>;

fn response(description: &str, content: Content) -> Value {
    match content {
        Some((kind, schema)) => {
            json!({ "description": description, "content": { kind: { "schema": schema } } })
        }
        None => json!({ "description": description }),
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The responses to a request that is done.
fn successes(
    operation: Operation,
    answers: &mut SchemaGenerator,
) -> Vec<(&'static str, &'static str, Content)> {
    let mut json = |schema: fn(&mut SchemaGenerator) -> Value| Some(("application/json", schema(answers)));
    let done = json(schema::<DoneReport>);
    let one = |content| vec![("200", "It is answered", content)];
    match operation {
        Operation::Health => one(json(schema::<HealthReport>)),
        Operation::Status => one(json(schema::<StatusReport>)),
        Operation::Connections => one(json(schema::<ConnectionsReport>)),
        Operation::Metrics => one(json(schema::<MetricsReport>)),
        Operation::Version => one(json(schema::<VersionReport>)),
        Operation::Services => one(json(schema::<ServicesReport>)),
        Operation::Requests => one(json(schema::<RequestsReport>)),
        Operation::History => one(json(schema::<HistoryReport>)),
        Operation::Alerts => one(json(schema::<AlertsReport>)),
        Operation::AlertLimits | Operation::SetAlertLimits => one(json(schema::<AlertLimits>)),
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
            one(json(schema::<SettingsReport>))
        }
        Operation::ImportSettings => one(json(schema::<SettingsImportReport>)),
        Operation::BackUpSettings => one(json(schema::<SettingsBackupReport>)),
        Operation::SettingsSchema => one(Some(("application/json", json!({ "type": "object" })))),
        Operation::ExportSettings => one(Some(("application/toml", json!({ "type": "string" })))),
        Operation::Join => {
            let line = json!({ "type": "string" });
            one(Some(("application/x-ndjson", line)))
        }
        Operation::Events => one(Some(("text/event-stream", json!({ "type": "string" })))),
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
fn content(operation: Operation, contents: &mut SchemaGenerator) -> Option<(Value, bool)> {
    match operation {
        Operation::Start | Operation::Stop | Operation::Restart | Operation::Drain => {
            Some((schema::<LinkSelection>(contents), false))
        }
        Operation::Bind => Some((schema::<NewService>(contents), true)),
        Operation::Join => Some((schema::<JoinRequest>(contents), true)),
        Operation::SetAlertLimits => Some((schema::<AlertLimits>(contents), true)),
        Operation::ChangeSettings => Some((json!({ "type": "object" }), true)),
        Operation::ImportSettings => Some((schema::<SettingsImport>(contents), true)),
        Operation::ResetSettings => Some((schema::<ResetSettings>(contents), true)),
        _ => None,
    }
}
