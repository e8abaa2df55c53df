//! Writes one object: compact, members in the order of the calls, texts as UTF-8 with no more escapes than needed.

use alloc::string::String;
use core::fmt::Write;

/// A value that can be written.
#[derive(Copy, Clone)]
pub(crate) enum Json<'a> {
    /// `null`.
    Null,
    /// A truth value.
    Truth(bool),
    /// A whole number.
    Whole(u64),
    /// A text.
    Text(&'a str),
    /// A list of texts.
    Texts(&'a [String]),
    /// What is JSON already.
    Spelled(&'a str),
}

impl<'a> From<&'a Option<String>> for Json<'a> {
    fn from(text: &'a Option<String>) -> Self {
        text.as_deref().map_or(Json::Null, Json::Text)
    }
}

impl<T: Into<u64>> From<Option<T>> for Json<'_> {
    fn from(number: Option<T>) -> Self {
        number.map_or(Json::Null, |number| Json::Whole(number.into()))
    }
}

/// An object that is being written.
pub(crate) struct Object(String);

impl Object {
    /// An object without members.
    pub(crate) fn new() -> Self {
        Object(String::from("{"))
    }

    /// Adds a member.
    pub(crate) fn put(&mut self, name: &str, value: Json<'_>) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write_text(&mut self.0, name);
        self.0.push(':');
        write(&mut self.0, value);
    }

    /// Adds a member, unless its value is `null`.
    pub(crate) fn put_some<'a>(&mut self, name: &str, value: impl Into<Json<'a>>) {
        match value.into() {
            Json::Null => {}
            value => self.put(name, value),
        }
    }

    /// The whole object.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// `value` alone.
pub(crate) fn spelled(value: Json<'_>) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: Json<'_>) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Truth(true) => out.push_str("true"),
        Json::Truth(false) => out.push_str("false"),
        Json::Whole(number) => write!(out, "{number}").expect("a string takes every write"),
        Json::Text(text) => write_text(out, text),
        Json::Texts(texts) => {
            out.push('[');
            for (index, text) in texts.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_text(out, text);
            }
            out.push(']');
        }
        Json::Spelled(json) => out.push_str(json),
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
            '\0'..' ' => write!(out, "\\u{:04x}", u32::from(character)).expect("a string takes every write"),
            _ => out.push(character),
        }
    }
    out.push('"');
}
