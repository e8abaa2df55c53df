//! The description of the API (OpenAPI 3.1), made of the table of routes and of the types of their contents.

use std::collections::BTreeMap;

use http::Method;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::routes::{ApiRoute, Level, Operation, ROUTES};
use super::shapes::{
    AgentsReport, AuditReport, BansReport, ConfigReport, DoneReport, EndedReport, ErrorReport, HistoryReport,
    LimitsReport, NamesReport, NewBan, NewDrain, NewKick, ServicesReport, SessionsReport, StatusReport,
};

/// Where the description has its schemas.
const SCHEMAS: &str = "/components/schemas";

/// The description.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut answers = settings.clone().for_serialize().into_generator();
    let mut contents = settings.for_deserialize().into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in &ROUTES {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation(route, &mut answers, &mut contents));
    }
    let mut schemas = contents.take_definitions(true);
    schemas.extend(answers.take_definitions(true));
    let schemas: BTreeMap<_, _> = schemas.into_iter().collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hvym-tunnel relay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A running relay, for its operator: agents, services, bans, limits and metrics.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
    })
}

fn operation(route: &ApiRoute, answers: &mut SchemaGenerator, contents: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), success(route.operation, answers));
    let failed = schema::<ErrorReport>(answers);
    for (status, description) in errors(route) {
        responses.insert(status.to_owned(), response(description, "application/json", &failed));
    }
    if route.operation == Operation::Ready {
        let text = json!({ "type": "string" });
        responses.insert("503".to_owned(), response("Visitors are not served", "text/plain", &text));
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
        Level::Operator => json!([{ "bearer": [] }, { "key": [] }]),
        Level::Anyone => json!([]),
    };
    described.insert("security".to_owned(), security);
    described.insert("responses".to_owned(), Value::Object(responses));
    Value::Object(described)
}

fn response(description: &str, kind: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { kind: { "schema": schema } } })
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The response to a request that is done.
fn success(operation: Operation, answers: &mut SchemaGenerator) -> Value {
    let text = json!({ "type": "string" });
    let json = match operation {
        Operation::Alive | Operation::Ready | Operation::Metrics => {
            return response("It is answered", "text/plain", &text);
        }
        Operation::Description => json!({ "type": "object" }),
        Operation::Status => schema::<StatusReport>(answers),
        Operation::History => schema::<HistoryReport>(answers),
        Operation::Agents => schema::<AgentsReport>(answers),
        Operation::Sessions => schema::<SessionsReport>(answers),
        Operation::Services => schema::<ServicesReport>(answers),
        Operation::Names => schema::<NamesReport>(answers),
        Operation::Bans => schema::<BansReport>(answers),
        Operation::Kick | Operation::Ban => schema::<EndedReport>(answers),
        Operation::Limits => schema::<LimitsReport>(answers),
        Operation::Config => schema::<ConfigReport>(answers),
        Operation::Audit => schema::<AuditReport>(answers),
        Operation::Unban | Operation::Reload | Operation::Drain => schema::<DoneReport>(answers),
    };
    response("It is done", "application/json", &json)
}

/// The responses to a request that is not done.
fn errors(route: &ApiRoute) -> Vec<(&'static str, &'static str)> {
    let mut errors = vec![("401", "The operator's key is needed"), ("429", "Too many keys were wrong")];
    if route.method == Method::POST {
        errors.extend([
            ("400", "The content is not what is needed"),
            ("408", "The content did not arrive in time"),
            ("413", "The content is too large"),
        ]);
    }
    match route.operation {
        Operation::Kick => errors.push(("404", "Nobody is logged in so")),
        Operation::Ban => errors.extend([
            ("409", "There are as many bans as there can be"),
            ("500", "The ban cannot be kept beyond the end of the relay"),
        ]),
        Operation::Unban => errors.extend([
            ("400", "The subject is neither an address nor a network"),
            ("404", "There is no such ban"),
            ("500", "That it is lifted cannot be kept beyond the end of the relay"),
        ]),
        Operation::Audit => errors.push(("400", "The limit is no number, or too large")),
        _ => {}
    }
    errors
}

fn parameters(operation: Operation) -> Option<Value> {
    match operation {
        Operation::Unban => Some(json!([
            { "name": "subject", "in": "path", "required": true, "schema": { "type": "string" } },
        ])),
        Operation::Audit => Some(json!([
            { "name": "limit", "in": "query", "required": false, "schema": { "type": "integer", "minimum": 1 } },
        ])),
        _ => None,
    }
}

/// The content that a request may have, and whether it must.
fn content(operation: Operation, contents: &mut SchemaGenerator) -> Option<(Value, bool)> {
    match operation {
        Operation::Ban => Some((schema::<NewBan>(contents), true)),
        Operation::Kick => Some((schema::<NewKick>(contents), true)),
        Operation::Drain => Some((schema::<NewDrain>(contents), false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_every_schema_that_it_names_is_there() {
        let document = document();
        for route in &ROUTES {
            let method = route.method.as_str().to_ascii_lowercase();
            assert!(document["paths"][route.path][&method]["responses"]["200"].is_object(), "{}", route.path);
        }
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().expect("a value");
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
