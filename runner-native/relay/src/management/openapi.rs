//! The description of the API (OpenAPI 3.1), made of the table of routes and of the types of their contents.

use http::Method;
use hvym_tunnel_net::openapi::{self, ApiSchemas, OperationDescription, response};
use serde_json::{Map, Value, json};

use super::relays::RelaysReport;
use super::requests::RequestsReport;
use super::routes::{ApiRoute, Level, Operation, ROUTES};
use super::shapes::{
    AgentsReport, AuditReport, BansReport, ConfigReport, DoneReport, EndedReport, ErrorReport, HistoryReport,
    LimitsReport, NamesReport, NewBan, NewDrain, NewKick, ServicesReport, SessionsReport, StatusReport,
};

/// The description.
pub(super) fn document() -> Value {
    let info = json!({
        "title": "hvym-tunnel relay",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "A running relay, for its operator: agents, services, bans, limits and metrics; and for owners, of their own agents.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    let schemes = json!({
        "bearer": { "type": "http", "scheme": "bearer" },
        "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
    });
    openapi::document(info, schemes, &ROUTES, describe)
}

fn describe(route: &ApiRoute, schemas: &mut ApiSchemas) -> OperationDescription {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), success(route.operation, schemas));
    let failed = schemas.answer::<ErrorReport>();
    for (status, description) in errors(route) {
        let content = Some(("application/json", failed.clone()));
        responses.insert(status.to_owned(), response(description, content));
    }
    if route.operation == Operation::Ready {
        responses.insert("503".to_owned(), response("Visitors are not served", Some(text())));
    }
    let security = match route.level {
        Level::Owner | Level::Operator => json!([{ "bearer": [] }, { "key": [] }]),
        Level::Anyone => json!([]),
    };
    let (parameters, content) = (parameters(route.operation), content(route.operation, schemas));
    OperationDescription { responses, parameters, content, security }
}

fn text() -> (&'static str, Value) {
    ("text/plain", json!({ "type": "string" }))
}

/// The response to a request that is done.
fn success(operation: Operation, schemas: &mut ApiSchemas) -> Value {
    let json = match operation {
        Operation::Alive | Operation::Ready | Operation::Metrics => {
            return response("It is answered", Some(text()));
        }
        Operation::Description => json!({ "type": "object" }),
        Operation::Status => schemas.answer::<StatusReport>(),
        Operation::History => schemas.answer::<HistoryReport>(),
        Operation::Agents => schemas.answer::<AgentsReport>(),
        Operation::Sessions => schemas.answer::<SessionsReport>(),
        Operation::Services => schemas.answer::<ServicesReport>(),
        Operation::Names => schemas.answer::<NamesReport>(),
        Operation::Requests => schemas.answer::<RequestsReport>(),
        Operation::Relays => schemas.answer::<RelaysReport>(),
        Operation::Bans => schemas.answer::<BansReport>(),
        Operation::Kick | Operation::Ban => schemas.answer::<EndedReport>(),
        Operation::Limits => schemas.answer::<LimitsReport>(),
        Operation::Config => schemas.answer::<ConfigReport>(),
        Operation::Audit => schemas.answer::<AuditReport>(),
        Operation::Unban | Operation::Reload | Operation::Drain => schemas.answer::<DoneReport>(),
    };
    response("It is done", Some(("application/json", json)))
}

/// The responses to a request that is not done.
fn errors(route: &ApiRoute) -> Vec<(&'static str, &'static str)> {
    let mut errors = vec![("401", "The operator's key is needed"), ("429", "Too many keys were wrong")];
    if route.level != Level::Anyone {
        errors.push(("403", "This is of another owner, or the operator's alone"));
    }
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
        Operation::Requests => errors.push(("400", "The query is not what is needed")),
        Operation::Reload => {
            errors.push((
                "422",
                "A file is wrong: what it said before is in use, and a line says what each mistake is",
            ));
        }
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
        Operation::Requests => Some(json!([
            { "name": "agent", "in": "query", "required": false, "schema": { "type": "string" } },
            { "name": "service", "in": "query", "required": false, "schema": { "type": "string" } },
            { "name": "limit", "in": "query", "required": false, "schema": { "type": "integer", "minimum": 1, "maximum": 100 } },
            { "name": "offset", "in": "query", "required": false, "schema": { "type": "integer", "minimum": 0 } },
        ])),
        Operation::Audit => Some(json!([
            { "name": "limit", "in": "query", "required": false, "schema": { "type": "integer", "minimum": 1 } },
        ])),
        _ => None,
    }
}

/// The content that a request may have, and whether it must.
fn content(operation: Operation, schemas: &mut ApiSchemas) -> Option<(Value, bool)> {
    match operation {
        Operation::Ban => Some((schemas.content::<NewBan>(), true)),
        Operation::Kick => Some((schemas.content::<NewKick>(), true)),
        Operation::Drain => Some((schemas.content::<NewDrain>(), false)),
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
