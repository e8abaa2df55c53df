//! The arguments of a tool, of which each is read once and nothing may be left.

use serde_json::{Map, Value};

/// The arguments that are not read yet.
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    /// From what the client sent; nothing is none.
    ///
    /// # Errors
    /// It is no object.
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self(Map::new())),
            Value::Object(arguments) => Ok(Self(arguments.clone())),
            _ => Err("the arguments are no object".to_owned()),
        }
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        self.take(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// Yes or no.
    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, String> {
        self.take(name, "true or false", Value::as_bool)
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        self.take(name, "a whole number", Value::as_u64)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        let texts =
            |value: &Value| value.as_array()?.iter().map(|item| Some(item.as_str()?.to_owned())).collect();
        Ok(self.take(name, "a list of texts", texts)?.unwrap_or_default())
    }

    /// That there are no others.
    ///
    /// # Errors
    /// One that nothing reads: whoever sent it means something by it.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("there is no argument {name}")),
            None => Ok(()),
        }
    }

    fn take<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(&value).map(Some).ok_or_else(|| format!("{name} is not {what}")),
        }
    }
}
