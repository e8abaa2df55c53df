//! Writes one JSON object without white space: fields in the order of the calls, strings as UTF-8 with minimal escapes.

use alloc::string::String;
use core::fmt::Write;

/// A value that can be written.
#[derive(Copy, Clone)]
pub(crate) enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A non-negative integer.
    Integer(u64),
    /// A string.
    Text(&'a str),
    /// An array of strings.
    Texts(&'a [String]),
    /// JSON text, written as it is.
    Raw(&'a str),
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(text: &'a Option<String>) -> Self {
        text.as_deref().map_or(Value::Null, Value::Text)
    }
}

impl<T: Into<u64>> From<Option<T>> for Value<'_> {
    fn from(number: Option<T>) -> Self {
        number.map_or(Value::Null, |number| Value::Integer(number.into()))
    }
}

/// A JSON object under construction.
pub(crate) struct Object(String);

impl Object {
    /// An object without fields.
    pub(crate) fn new() -> Self {
        Object(String::from("{"))
    }

    /// Appends a field.
    pub(crate) fn put(&mut self, name: &str, value: Value<'_>) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write_text(&mut self.0, name);
        self.0.push(':');
        write(&mut self.0, value);
    }

    /// Appends a field, unless its value is `null`.
    pub(crate) fn put_some<'a>(&mut self, name: &str, value: impl Into<Value<'a>>) {
        match value.into() {
            Value::Null => {}
            value => self.put(name, value),
        }
    }

    /// The JSON text of the object.
    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// The JSON text of one value.
pub(crate) fn to_json(value: Value<'_>) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: Value<'_>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(true) => out.push_str("true"),
        Value::Boolean(false) => out.push_str("false"),
        Value::Integer(number) => write!(out, "{number}").expect("writing to a String does not fail"),
        Value::Text(text) => write_text(out, text),
        Value::Texts(texts) => {
            out.push('[');
            for (index, text) in texts.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_text(out, text);
            }
            out.push(']');
        }
        Value::Raw(json) => out.push_str(json),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x08' => out.push_str("\\b"),
            '\x0C' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("writing to a String does not fail")
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}
