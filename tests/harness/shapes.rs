//! What JSON of one kind looks like: for each place in it, the types that were seen there. Values are not compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The places of some values, and what was seen in each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    types: BTreeMap<String, BTreeSet<&'static str>>,
    /// How often an object was seen at each place.
    objects: BTreeMap<String, usize>,
    /// How often each key was seen.
    keys: BTreeMap<String, usize>,
}

impl Shape {
    /// The shape that all of `values` have together.
    ///
    /// # Panics
    /// When there are none: a shape of nothing fits everything.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut shape = Shape::default();
        for value in values {
            shape.see("", value);
        }
        assert!(!shape.types.is_empty(), "nothing was recorded");
        shape
    }

    fn see(&mut self, place: &str, value: &Value) {
        self.types.entry(place.to_owned()).or_default().insert(kind(value));
        match value {
            Value::Object(members) => {
                *self.objects.entry(place.to_owned()).or_default() += 1;
                for (key, value) in members {
                    let place = format!("{place}.{key}");
                    *self.keys.entry(place.clone()).or_default() += 1;
                    self.see(&place, value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.see(&format!("{place}[]"), item)),
            _ => {}
        }
    }

    /// How `ours` differs: `+ place` is new, `- place` is missing, `~ place: type` is of a type that was never there.
    pub fn differences(&self, ours: &Value) -> Vec<String> {
        let mine = Shape::of([ours]);
        let mut found = Vec::new();
        for (place, types) in &mine.types {
            match self.types.get(place) {
                // What is in a list that was always empty is not known.
                None if place.contains("[]") && !self.types.contains_key(list_of(place)) => {}
                None => found.push(format!("+ {place}")),
                Some(known) => {
                    found.extend(types.difference(known).map(|kind| format!("~ {place}: {kind}")));
                }
            }
        }
        for (place, count) in &self.keys {
            let (parent, _) = place.rsplit_once('.').expect("a key has an object");
            let is_always = self.objects.get(parent) == Some(count);
            if is_always && mine.objects.contains_key(parent) && !mine.keys.contains_key(place) {
                found.push(format!("- {place}"));
            }
        }
        found
    }
}

/// The place of the items of the outermost list on the way to `place`.
fn list_of(place: &str) -> &str {
    place.find("[]").map_or(place, |at| &place[..at + 2])
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
