//! From text to settings: the file and what is set beside it as one document, read until nothing more is wrong with it.
//!
//! serde stops at the first mistake. Here its value is then taken out of the document and the rest is read again, so that a
//! person sees all mistakes at once.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use crate::check;
use crate::mistake::{Mistake, Mistakes, ValueOrigin};
use crate::overlay::Override;
use crate::settings::Settings;
use crate::tree::{apply, join, key_at, key_of, leaves, offset_of, remove_at};

/// Mistakes that are told at once; a file with more is another file.
const MAX_MISTAKES: usize = 100;
/// Edits of one letter beyond which a key is no misspelling of another: less than this part of it is the same.
const MIN_LIKENESS: f64 = 0.6;

/// Every table of the file, and whether there may be several; each after the one that it is in.
const SHAPES: [(&str, bool); 12] = [
    ("link", true),
    ("service", true),
    ("api", false),
    ("health", false),
    ("alerts", false),
    ("hooks", false),
    ("hooks.ready", true),
    ("hooks.down", true),
    ("log", false),
    ("ui", false),
    ("start", false),
    ("limits", false),
];

/// Settings, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Who set each key that is set, as in `link.main.relay` or `api.port`. The others have their defaults.
    pub origins: BTreeMap<String, ValueOrigin>,
}

/// Reads `text`, the content of the file at `path`, with what is set beside it; later overrides win.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub fn parse(text: &str, path: &Path, overrides: &[Override]) -> Result<Loaded, Mistakes> {
    let mistakes = |list: Vec<Mistake>| Mistakes { path: path.to_owned(), list };
    let source = Source { text, overrides };
    let padded: Vec<String> = overrides.iter().enumerate().map(|(n, set)| source.padded(n, set)).collect();
    let (mut table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let list = errors.iter().take(MAX_MISTAKES).map(|error| source.syntax(error));
        return Err(mistakes(list.collect()));
    }
    let mut list = Vec::new();
    for (set, padded) in overrides.iter().zip(&padded) {
        if let Err(what) = apply(table.get_mut(), &set.key, padded) {
            list.push(Mistake { origin: set.origin.clone(), key: set.key.clone(), what });
        }
    }
    let (settings, read) = read(&table, &source);
    list.extend(read);
    if let Some(mut settings) = settings.filter(|_| list.is_empty()) {
        settings.folder = path.parent().unwrap_or(Path::new("")).to_owned();
        list = check::check(&settings)
            .into_iter()
            .map(|found| {
                let origin = source.origin(offset_of(table.get_ref(), &found.steps));
                Mistake { origin, key: key_of(table.get_ref(), &found.steps), what: found.what }
            })
            .collect();
        if list.is_empty() {
            let set = leaves(table.get_ref()).into_iter();
            let origins = set.map(|(key, at)| (key, source.origin(Some(at)))).collect();
            return Ok(Loaded { settings, origins });
        }
    }
    list.sort();
    Err(mistakes(list))
}

/// Reads the settings; without them there are mistakes.
fn read(table: &Spanned<DeTable<'_>>, source: &Source<'_>) -> (Option<Settings>, Vec<Mistake>) {
    let mut rest = table.clone();
    let mut list: Vec<Mistake> = misshapen(rest.get_mut(), source);
    while list.len() < MAX_MISTAKES {
        let error = match Settings::deserialize(Deserializer::from(rest.clone())) {
            Ok(settings) => return (Some(settings), list),
            Err(error) => error,
        };
        let at = error.span();
        let mistake = source.mistake(table.get_ref(), &error);
        // What was taken out because it is wrong is missing now, and nobody left it out.
        let missing = missing_field(error.message()).map(|name| join(&mistake.key, name));
        if !missing.is_some_and(|key| list.iter().any(|earlier| earlier.key == key)) {
            list.push(mistake);
        }
        // What has no place cannot be taken out.
        if !at.is_some_and(|at| remove_at(rest.get_mut(), &at)) {
            break;
        }
    }
    (None, list)
}

/// The text of the file, and behind it what is set beside it: each override has an offset of its own there.
struct Source<'a> {
    text: &'a str,
    overrides: &'a [Override],
}

impl Source<'_> {
    /// Bytes of the longest override and the words around it, so that the spans of two never overlap.
    fn stride(&self) -> usize {
        self.overrides.iter().map(|set| set.value.len()).max().unwrap_or(0) + 16
    }

    /// A document with the value of an override alone, at its place behind the file.
    fn padded(&self, index: usize, set: &Override) -> String {
        let padding = " ".repeat(self.text.len() + 1 + index * self.stride());
        let document = format!("{padding}v = {}", set.value);
        let is_value = DeTable::parse(&document).is_ok_and(|table| table.get_ref().len() == 1);
        // What is no TOML is a text.
        if is_value {
            document
        } else {
            format!("{padding}v = {}", toml_edit::Value::from(set.value.as_str()))
        }
    }

    fn origin(&self, at: Option<usize>) -> ValueOrigin {
        match at {
            None => ValueOrigin::Line(1),
            Some(at) if at <= self.text.len() => {
                let newlines = self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
                ValueOrigin::Line(newlines + 1)
            }
            Some(at) => {
                let index = (at - self.text.len() - 1) / self.stride();
                self.overrides.get(index).map_or(ValueOrigin::Line(1), |set| set.origin.clone())
            }
        }
    }

    fn syntax(&self, error: &Error) -> Mistake {
        let origin = self.origin(error.span().map(|span| span.start));
        // The message quotes what is there, but never more than one character of it.
        let what = error.message().split('\n').collect::<Vec<_>>().join(", ");
        Mistake { origin, key: String::new(), what }
    }

    fn mistake(&self, table: &DeTable<'_>, error: &Error) -> Mistake {
        let at = error.span().map(|span| span.start);
        let key = at.and_then(|at| key_at(table, at, "")).unwrap_or_default();
        Mistake { origin: self.origin(at), key, what: words(error.message()) }
    }
}

/// Takes out what is no table where one is needed. serde would take a list for the values of its keys in their order.
fn misshapen(table: &mut DeTable<'_>, source: &Source<'_>) -> Vec<Mistake> {
    let mut found = Vec::new();
    for (key, is_list) in SHAPES {
        let mut steps = key.split('.');
        let first = steps.next().and_then(|step| table.get(step));
        let value = steps.fold(first, |value, step| value.and_then(|value| value.get_ref().get(step)));
        let is_right = value.is_none_or(|value| match value.get_ref() {
            DeValue::Array(list) => is_list && list.iter().all(|item| item.get_ref().is_table()),
            value => !is_list && value.is_table(),
        });
        let Some(span) = value.map(Spanned::span).filter(|_| !is_right) else { continue };
        let what = match is_list {
            true => format!("tables are needed, each after a line [[{key}]]"),
            false => format!("a table is needed, after a line [{key}]"),
        };
        found.push(Mistake { origin: source.origin(Some(span.start)), key: key.to_owned(), what });
        remove_at(table, &span);
    }
    found
}

/// The name in the message of serde about a key that is missing.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field ").map(|name| name.trim_matches('`'))
}

/// The message of serde without what stands in the file.
fn words(message: &str) -> String {
    let listed =
        |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let names = listed(message);
        let (kind, known) = match message.starts_with("unknown field") {
            true => ("there is no such key", "the keys here are"),
            false => ("there is no such word", "the words are"),
        };
        let Some((wrong, names)) = names.split_first() else { return kind.to_owned() };
        return match nearest(wrong, names) {
            Some(name) => format!("{kind}; did you mean {name}?"),
            None => format!("{kind}; {known} {}", names.join(", ")),
        };
    }
    if let Some(key) = missing_field(message) {
        return format!("the key {key} is needed here");
    }
    if (message.starts_with("invalid type") || message.starts_with("invalid value"))
        && let Some((_, expected)) = message.rsplit_once(", expected ")
    {
        return format!("{expected} is needed");
    }
    message.to_owned()
}

/// The name most like `wrong`, which may be written as other programs write it; `None` if none is like it.
pub fn nearest<'a>(wrong: &str, names: &'a [String]) -> Option<&'a String> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let wrong = plain(wrong);
    let likeness = |name: &String| {
        let name = plain(name);
        let contained = name.len() > 3 && wrong.ends_with(&name);
        strsim::jaro_winkler(&wrong, &name).max(if contained { MIN_LIKENESS } else { 0.0 })
    };
    let best = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.filter(|name| likeness(name) >= MIN_LIKENESS)
}
