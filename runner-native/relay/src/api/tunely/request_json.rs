//! The JSON of a request, checked as Tunely's relay checks it, with the errors of pydantic, which its tools show.

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hvym_tunnel_net::timeout::within;
use serde_json::{Map, Value, json};

use super::super::json;
use crate::http1::request_body::RequestBody;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;

/// Bytes of a request. Its longest texts have some kilobytes.
const MAX_BYTES: usize = 64 * 1024;

/// What a field of a request holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Bool,
}

/// A field of a request: its name, what it holds, and whether it must be there.
pub(super) type Field = (&'static str, Kind, bool);

/// The fields of a JSON object, of which no others may be there. `null` counts as not there.
///
/// # Errors
/// 422, with all that is wrong.
pub(super) async fn read(
    visitor: &Visitor,
    request: Request<RequestBody>,
    fields: &[Field],
) -> Result<Map<String, Value>, Answer> {
    let limit = visitor.state.settings.options.limits.body_timeout;
    let body = match within(limit, Limited::new(request.into_body(), MAX_BYTES).collect()).await {
        Some(Ok(body)) => body.to_bytes(),
        Some(Err(_)) => {
            let text = format!("The body broke off, or is larger than {MAX_BYTES} bytes");
            return Err(json::detail(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        None => return Err(json::detail(StatusCode::REQUEST_TIMEOUT, "The body did not come in time")),
    };
    check(&body, fields).map_err(|errors| json::detail(StatusCode::UNPROCESSABLE_ENTITY, errors))
}

/// The object in `body`.
///
/// # Errors
/// What is wrong with it.
fn check(body: &[u8], fields: &[Field]) -> Result<Map<String, Value>, Vec<Value>> {
    let error = |kind: &str, loc: &[&str], message: &str, input: &Value| json!({"type": kind, "loc": loc, "msg": message, "input": input});
    if body.is_empty() {
        return Err(vec![error("missing", &["body"], "Field required", &Value::Null)]);
    }
    let object = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => object,
        Ok(other) => {
            let message = "Input should be a valid dictionary or object to extract fields from";
            return Err(vec![error("model_attributes_type", &["body"], message, &other)]);
        }
        Err(_) => return Err(vec![error("json_invalid", &["body"], "JSON decode error", &json!({}))]),
    };
    let mut errors = Vec::new();
    for (name, kind, is_required) in fields {
        let loc = ["body", name];
        match (object.get(*name), kind) {
            (None, _) if *is_required => {
                errors.push(error("missing", &loc, "Field required", &Value::Object(object.clone())));
            }
            (Some(Value::Null), _) if !is_required => {}
            (None, _) | (Some(Value::String(_)), Kind::Text) | (Some(Value::Bool(_)), Kind::Bool) => {}
            (Some(value), Kind::Text) => {
                errors.push(error("string_type", &loc, "Input should be a valid string", value));
            }
            (Some(value), Kind::Bool) => {
                errors.push(error("bool_type", &loc, "Input should be a valid boolean", value));
            }
        }
    }
    for (name, value) in &object {
        if !fields.iter().any(|(known, ..)| known == name) {
            errors.push(error("extra_forbidden", &["body", name], "Extra inputs are not permitted", value));
        }
    }
    if errors.is_empty() { Ok(object) } else { Err(errors) }
}

/// The number of the query parameter `name`, or `default`. One that is larger than `most` counts as `most`.
///
/// # Errors
/// 422: it is no number, or less than `least`.
pub(super) fn number(
    query: Option<&str>,
    name: &'static str,
    (least, default, most): (u32, u32, u32),
) -> Result<u32, Answer> {
    let refused = |error: Value| Err(json::detail(StatusCode::UNPROCESSABLE_ENTITY, [error]));
    let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, text)) = pairs.find(|(key, _)| *key == name) else { return Ok(default) };
    match text.parse::<i64>() {
        Ok(number) if number < i64::from(least) => {
            refused(json!({"type": "greater_than_equal", "loc": ["query", name],
            "msg": format!("Input should be greater than or equal to {least}"), "input": text, "ctx": {"ge": least}}))
        }
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX).min(most)),
        Err(_) => refused(json!({"type": "int_parsing", "loc": ["query", name],
            "msg": "Input should be a valid integer, unable to parse string as an integer", "input": text})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [Field; 3] =
        [("domain", Kind::Text, true), ("name", Kind::Text, false), ("enabled", Kind::Bool, false)];

    fn kinds(body: &str) -> Vec<String> {
        let errors = check(body.as_bytes(), &FIELDS).expect_err(body);
        errors
            .iter()
            .map(|error| format!("{} {}", error["type"].as_str().unwrap_or("?"), error["loc"]))
            .collect()
    }

    #[test]
    fn what_is_wrong_is_told_as_pydantic_tells_it() {
        let told = check(br#"{"domain": "x", "token": "mine"}"#, &FIELDS).expect_err("an extra field");
        let recorded = r#"[{"type":"extra_forbidden","loc":["body","token"],"msg":"Extra inputs are not permitted","input":"mine"}]"#;
        assert_eq!(Value::from(told), serde_json::from_str::<Value>(recorded).expect("JSON"));
        let told = check(b"{}", &FIELDS).expect_err("a missing field");
        let recorded = r#"[{"type":"missing","loc":["body","domain"],"msg":"Field required","input":{}}]"#;
        assert_eq!(Value::from(told), serde_json::from_str::<Value>(recorded).expect("JSON"));
        assert_eq!(kinds(""), [r#"missing ["body"]"#]);
        assert_eq!(kinds("{"), [r#"json_invalid ["body"]"#]);
        assert_eq!(kinds("[]"), [r#"model_attributes_type ["body"]"#]);
        let wrong = r#"{"domain": null, "name": 5, "enabled": "yes", "zzz": 1}"#;
        let expected = [
            r#"string_type ["body","domain"]"#,
            r#"string_type ["body","name"]"#,
            r#"bool_type ["body","enabled"]"#,
            r#"extra_forbidden ["body","zzz"]"#,
        ];
        assert_eq!(kinds(wrong), expected);
    }

    #[test]
    fn null_is_as_good_as_nothing_where_nothing_will_do() {
        assert!(check(br#"{"domain": "x", "name": null, "enabled": true}"#, &FIELDS).is_ok());
    }

    #[test]
    fn a_number_has_a_least_and_a_most() {
        let of = |query| number(query, "limit", (1, 50, 100)).map_err(|answer| answer.status().as_u16());
        assert_eq!((of(None), of(Some("offset=3")), of(Some("limit=7&x=1"))), (Ok(50), Ok(50), Ok(7)));
        assert_eq!(
            (of(Some("limit=1")), of(Some("limit=100")), of(Some("limit=101"))),
            (Ok(1), Ok(100), Ok(100))
        );
        assert_eq!(
            (of(Some("limit=99999999999")), of(Some("limit=0")), of(Some("limit=x"))),
            (Ok(100), Err(422), Err(422))
        );
    }
}
