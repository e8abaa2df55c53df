//! The description of an API (OpenAPI 3.1), made of its table of routes and of the types of their contents.
//!
//! It knows no API: what is said of each operation, the owner of the table says.

use std::collections::BTreeMap;
use std::fmt::Debug;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::api_routes::ApiRoute;

/// Where a description has its schemas.
const SCHEMAS: &str = "/components/schemas";

/// The schemas that a description refers to, collected while it is made.
#[derive(Debug)]
pub struct ApiSchemas {
    answers: SchemaGenerator,
    contents: SchemaGenerator,
}

impl ApiSchemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        });
        Self {
            answers: settings.clone().for_serialize().into_generator(),
            contents: settings.for_deserialize().into_generator(),
        }
    }

    /// The schema of what is sent in a response.
    pub fn answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    /// The schema of what is taken in a request.
    pub fn content<T: JsonSchema>(&mut self) -> Value {
        self.contents.subschema_for::<T>().to_value()
    }

    /// All of them by name. Where a type is both sent and taken, it is described as it is sent.
    fn definitions(mut self) -> BTreeMap<String, Value> {
        let mut definitions = self.contents.take_definitions(true);
        definitions.extend(self.answers.take_definitions(true));
        definitions.into_iter().collect()
    }
}

/// What is said of an operation beside its route.
#[derive(Debug)]
pub struct OperationDescription {
    /// By status.
    pub responses: Map<String, Value>,
    /// In the path and the query.
    pub parameters: Option<Value>,
    /// The schema of the JSON that a request has, and whether it must have some.
    pub content: Option<(Value, bool)>,
    /// Which of the schemes it takes.
    pub security: Value,
}

/// The description of `routes`, each of which `describe` describes.
pub fn document<L, O: Debug>(
    info: Value,
    security_schemes: Value,
    routes: &[ApiRoute<L, O>],
    mut describe: impl FnMut(&ApiRoute<L, O>, &mut ApiSchemas) -> OperationDescription,
) -> Value {
    let mut schemas = ApiSchemas::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = operation(route, describe(route, &mut schemas));
        paths.entry(route.path).or_default().insert(method, operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": info,
        "paths": paths,
        "components": { "schemas": schemas.definitions(), "securitySchemes": security_schemes },
    })
}

fn operation<L, O: Debug>(route: &ApiRoute<L, O>, description: OperationDescription) -> Value {
    let mut described = Map::new();
    described.insert("operationId".to_owned(), format!("{:?}", route.operation).into());
    described.insert("summary".to_owned(), route.summary.into());
    if let Some(parameters) = description.parameters {
        described.insert("parameters".to_owned(), parameters);
    }
    if let Some((schema, required)) = description.content {
        let content = json!({ "application/json": { "schema": schema } });
        described.insert("requestBody".to_owned(), json!({ "required": required, "content": content }));
    }
    described.insert("security".to_owned(), description.security);
    described.insert("responses".to_owned(), Value::Object(description.responses));
    Value::Object(described)
}

/// A response, with its media type and schema if it has content.
pub fn response(description: &str, content: Option<(&str, Value)>) -> Value {
    match content {
        Some((kind, schema)) => {
            json!({ "description": description, "content": { kind: { "schema": schema } } })
        }
        None => json!({ "description": description }),
    }
}
