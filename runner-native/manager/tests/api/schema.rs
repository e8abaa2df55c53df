//! Whether a value is as a JSON schema says, as far as the description of the API uses the language.

use serde_json::Value;

/// The first way in which `value` is not as `schema` says; `root` holds what is referred to.
pub(crate) fn mismatch(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let object = match schema {
        Value::Bool(true) => return None,
        Value::Bool(false) => return Some(format!("{at} is not to be there")),
        schema => schema.as_object().expect("a schema is an object"),
    };
    object.iter().find_map(|(keyword, rule)| match keyword.as_str() {
        "$ref" => {
            let target = rule.as_str().and_then(|rule| rule.strip_prefix('#')).expect("a reference");
            let target = root.pointer(target).unwrap_or_else(|| panic!("nothing is at {rule}"));
            mismatch(root, target, value, at)
        }
        "type" => {
            let types: Vec<&str> = rule.as_array().map_or_else(
                || rule.as_str().into_iter().collect(),
                |types| types.iter().filter_map(Value::as_str).collect(),
            );
            (!types.iter().any(|kind| is_of(kind, value))).then(|| format!("{at} is {value}, not {types:?}"))
        }
        "enum" => (!rule.as_array().is_some_and(|all| all.contains(value))).then(|| format!("{at}: {value}")),
        "const" => (rule != value).then(|| format!("{at}: {value}")),
        "required" => rule.as_array().into_iter().flatten().filter_map(Value::as_str).find_map(|name| {
            value.as_object()?.get(name).is_none().then(|| format!("{at}/{name} is missing"))
        }),
        "properties" => rule
            .as_object()
            .into_iter()
            .flatten()
            .find_map(|(name, schema)| mismatch(root, schema, value.get(name)?, &format!("{at}/{name}"))),
        "additionalProperties" => {
            let known = object.get("properties");
            value.as_object().into_iter().flatten().find_map(|(name, member)| {
                let is_known = known.is_some_and(|known| known.get(name).is_some());
                if is_known { None } else { mismatch(root, rule, member, &format!("{at}/{name}")) }
            })
        }
        "items" => value.as_array().into_iter().flatten().find_map(|item| mismatch(root, rule, item, at)),
        "anyOf" | "oneOf" => {
            let all = rule.as_array().expect("a list");
            all.iter()
                .all(|one| mismatch(root, one, value, at).is_some())
                .then(|| format!("{at}: {value} is none"))
        }
        "allOf" => rule.as_array().into_iter().flatten().find_map(|one| mismatch(root, one, value, at)),
        "minimum" => {
            (value.is_number() && value.as_f64() < rule.as_f64()).then(|| format!("{at}: {value} < {rule}"))
        }
        "maximum" => {
            (value.is_number() && value.as_f64() > rule.as_f64()).then(|| format!("{at}: {value} > {rule}"))
        }
        "exclusiveMinimum" => {
            (value.is_number() && value.as_f64() <= rule.as_f64()).then(|| format!("{at}: {value} <= {rule}"))
        }
        "description" | "format" | "title" | "default" => None,
        other => panic!("the keyword {other} at {at} is not understood"),
    })
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

#[test]
fn what_is_not_as_the_schema_says_is_found() {
    let root = serde_json::json!({ "s": { "type": "object", "required": ["a"], "properties": {
        "a": { "type": ["integer", "null"] }, "b": { "anyOf": [{ "enum": ["x"] }, { "type": "null" }] } },
        "additionalProperties": false } });
    let schema = serde_json::json!({ "$ref": "#/s" });
    for (text, fine) in [
        (r#"{"a":1}"#, true),
        (r#"{"a":null,"b":"x"}"#, true),
        (r#"{"b":"x"}"#, false),
        (r#"{"a":"1"}"#, false),
        (r#"{"a":1,"b":"y"}"#, false),
        (r#"{"a":1,"c":1}"#, false),
        ("[]", false),
    ] {
        let value = serde_json::from_str(text).expect("JSON");
        assert_eq!(mismatch(&root, &schema, &value, "").is_none(), fine, "{text}");
    }
}
