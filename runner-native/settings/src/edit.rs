//! Reading and changing single keys of a settings file, whose comments and order stay.

use thiserror::Error;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use crate::settings::Settings;

/// The lists whose entries have names, and the key without which there is no entry: a text.
const NAMED_LISTS: [(&str, &str); 2] = [("link", "relay"), ("service", "target")];

/// Why a key cannot be read or set.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum EditError {
    /// The text is no TOML, whose mistakes [`parse`](crate::parse) tells.
    #[error("the file is no TOML")]
    NotToml,
    /// Nothing is called so.
    #[error("there is no key {0}")]
    NoKey(String),
    /// The key leads through a value that has no keys.
    #[error("{0} has no keys")]
    NoTable(String),
    /// A settings file can hold no such value.
    #[error("a settings file cannot hold this value of {0}")]
    NoValue(String),
}

/// The value of `key` in `settings`, with the defaults, as TOML: `api.port`, `link.main.relay`, or a whole section.
///
/// # Errors
/// [`EditError::NoKey`]
pub fn get(settings: &Settings, key: &str) -> Result<String, EditError> {
    let missing = || EditError::NoKey(key.to_owned());
    let whole = toml::Value::try_from(settings).map_err(|_| missing())?;
    let mut value = &whole;
    for step in key.split('.') {
        value = match value {
            toml::Value::Table(table) => table.get(step),
            toml::Value::Array(list) => {
                let named =
                    |item: &&toml::Value| item.get("name").and_then(toml::Value::as_str) == Some(step);
                list.iter().find(named).or_else(|| list.get(step.parse::<usize>().ok()?))
            }
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    Ok(match value {
        toml::Value::Table(table) => table.to_string(),
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// `text` with `key` set to `value`: TOML, or a text as it is. What else is there stays as it is, and `link.NAME.relay` and
/// `service.NAME.target` begin an entry of this name if there is none. Whether it makes sense is for [`parse`](crate::parse) to
/// say.
///
/// # Errors
/// [`EditError`]
pub fn set(text: &str, key: &str, value: &str) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse().map_err(|_| EditError::NotToml)?;
    let mut parsed: Value = value.parse().unwrap_or_else(|_| Value::from(value));
    if let [list, name, last] = key.split('.').collect::<Vec<_>>()[..]
        && NAMED_LISTS.contains(&(list, last))
    {
        begin_entry(document.as_table_mut(), list, name)?;
        // A port alone is a target, and no number.
        if !parsed.is_str() {
            parsed = Value::from(value);
        }
    }
    put(document.as_table_mut(), key, parsed)?;
    Ok(document.to_string())
}

/// Adds an entry called `name` to `list`, unless there is one that has this name or this number.
///
/// # Errors
/// [`EditError::NoTable`], or [`EditError::NoKey`] for a number that nothing has.
fn begin_entry(root: &mut Table, list: &str, name: &str) -> Result<(), EditError> {
    let item = root.entry(list).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let entries = item.as_array_of_tables_mut().ok_or_else(|| EditError::NoTable(list.to_owned()))?;
    if element(entries, name).is_some() {
        return Ok(());
    }
    if name.parse::<usize>().is_ok() {
        return Err(EditError::NoKey(format!("{list}.{name}")));
    }
    let mut entry = Table::new();
    // The first link of a file needs no name.
    if (list, name, entries.len()) != ("link", "main", 0) {
        entry.insert("name", Item::Value(Value::from(name)));
    }
    entries.push(entry);
    Ok(())
}

/// `text` without what may be secret in it: users, passwords and queries of the URLs that are called.
///
/// # Errors
/// [`EditError::NotToml`]
pub fn without_secrets(text: &str) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse().map_err(|_| EditError::NotToml)?;
    let lists = document.get_mut("hooks").and_then(Item::as_table_like_mut).into_iter().flat_map(|hooks| {
        let lists = hooks.iter_mut().filter_map(|(_, list)| list.as_array_of_tables_mut());
        lists.flat_map(ArrayOfTables::iter_mut).filter_map(|hook| hook.get_mut("url"))
    });
    for url in lists {
        strip(url);
    }
    let alerts = document.get_mut("alerts").and_then(Item::as_table_like_mut);
    if let Some(url) = alerts.and_then(|alerts| alerts.get_mut("on_alert_url")) {
        strip(url);
    }
    Ok(document.to_string())
}

/// Takes user, password and query out of a URL.
fn strip(item: &mut Item) {
    let Some((scheme, rest)) = item.as_str().and_then(|url| url.split_once("://")) else { return };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let url = format!("{scheme}://{host}{path}");
    if let Some(value) = item.as_value_mut() {
        let decor = value.decor().clone();
        *value = Value::from(url);
        *value.decor_mut() = decor;
    }
}

/// Sets `key` below `table`.
///
/// # Errors
/// [`EditError::NoTable`] or [`EditError::NoKey`].
pub(crate) fn put(table: &mut Table, key: &str, mut value: Value) -> Result<(), EditError> {
    let mut steps: Vec<&str> = key.split('.').collect();
    let missing = || EditError::NoKey(key.to_owned());
    let last = steps.pop().filter(|last| !last.is_empty()).ok_or_else(missing)?;
    let mut table: &mut dyn TableLike = table;
    let mut steps = steps.into_iter();
    while let Some(step) = steps.next() {
        let item = table.entry(step).or_insert_with(|| {
            let mut new = Table::new();
            new.set_implicit(true);
            Item::Table(new)
        });
        table = match item {
            Item::ArrayOfTables(list) => {
                let name = steps.next().ok_or_else(missing)?;
                element(list, name).ok_or_else(missing)?
            }
            item => item.as_table_like_mut().ok_or_else(|| EditError::NoTable(step.to_owned()))?,
        };
    }
    if let Some(old) = table.get_mut(last).and_then(Item::as_value_mut) {
        // The comment behind the old value is about the key.
        *value.decor_mut() = old.decor().clone();
        *old = value;
    } else {
        table.insert(last, Item::Value(value));
    }
    Ok(())
}

/// The table of a list that has this name, or this number, counted from 0.
fn element<'t>(list: &'t mut ArrayOfTables, name: &str) -> Option<&'t mut Table> {
    let is_named = |table: &Table| table.get("name").and_then(Item::as_str) == Some(name);
    let unnamed = |table: &Table| name == "main" && !table.contains_key("name");
    let index = list
        .iter()
        .position(is_named)
        .or_else(|| list.iter().position(unnamed))
        .or_else(|| name.parse().ok())?;
    list.get_mut(index)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_key_is_set_and_everything_around_it_stays() {
        let text = "# mine\nversion = 1\n\n[[link]]\nrelay = \"a.example\" # old\n\n[health]\ninterval = 30 # slow\n";
        let changed = set(text, "health.interval", "60").expect("an edit");
        assert_eq!(changed, text.replace("interval = 30", "interval = 60"));
        let changed = set(text, "link.main.relay", "b.example").expect("an edit");
        assert_eq!(changed, text.replace("a.example", "b.example"));
        let changed = set(text, "log.level", "debug").expect("an edit");
        assert!(changed.starts_with(text) && changed.ends_with("[log]\nlevel = \"debug\"\n"), "{changed}");
        assert_eq!(set(text, "version.x", "1"), Err(EditError::NoTable("version".to_owned())));
        let missing = "link.other.identity";
        assert_eq!(set(text, missing, "x"), Err(EditError::NoKey(missing.to_owned())));
        assert_eq!(set("=", "a", "1"), Err(EditError::NotToml));
    }

    #[test]
    fn the_key_that_an_entry_needs_begins_one() {
        let text = set("version = 1\n", "link.main.relay", "wss://a.example").expect("a link");
        assert_eq!(text, "version = 1\n\n[[link]]\nrelay = \"wss://a.example\"\n");
        let text = set(&text, "service.web.target", "3000").expect("a service");
        assert!(text.ends_with("\n[[service]]\nname = \"web\"\ntarget = \"3000\"\n"), "{text}");
        let text = set(&text, "service.api.target", "'4000'").expect("a second one");
        assert!(text.ends_with("\n[[service]]\nname = \"api\"\ntarget = '4000'\n"), "{text}");
        crate::parse(&text, Path::new("config.toml"), &[]).expect("what was written makes sense");
        let text = set(&text, "link.other.relay", "b.example").expect("a second link");
        assert!(text.contains("\n[[link]]\nname = \"other\"\nrelay = \"b.example\"\n"), "{text}");
        assert_eq!(set("", "link.0.relay", "x"), Err(EditError::NoKey("link.0".to_owned())));
        assert_eq!(set("link = 1\n", "link.main.relay", "x"), Err(EditError::NoTable("link".to_owned())));
    }

    #[test]
    fn what_may_be_secret_in_urls_is_left_out() {
        let text = "[alerts]\non_alert_url = \"https://ann:secret@a.example/x?token=secret\" # mine\n\n\
            [[hooks.ready]]\nurl = \"http://localhost:1?secret\"\n\n[[hooks.down]]\nexec = [\"true\"]\n";
        let expected = text
            .replace("https://ann:secret@a.example/x?token=secret", "https://a.example/x")
            .replace("http://localhost:1?secret", "http://localhost:1");
        assert_eq!(without_secrets(text), Ok(expected));
    }

    #[test]
    fn a_key_is_read_with_its_default() {
        let text = "[[link]]\nrelay = \"a.example\"\n[health]\ninterval = 60\n";
        let settings = crate::parse(text, Path::new("config.toml"), &[]).expect("settings").settings;
        for (key, value) in [
            ("health.interval", "60"),
            ("health.max_retries", "5"),
            ("link.main.relay", "wss://a.example"),
            ("link.0.reconnect_multiplier", "2"),
            ("log.level", "info"),
        ] {
            assert_eq!(get(&settings, key).as_deref(), Ok(value));
        }
        assert!(get(&settings, "health").expect("a section").contains("interval = 60"));
        assert_eq!(get(&settings, "healt"), Err(EditError::NoKey("healt".to_owned())));
    }
}
