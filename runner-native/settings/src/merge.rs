//! Changing a settings file by a JSON document, as the control API gets it; comments and order stay.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::edit::EditError;
use crate::settings::Settings;

/// The name of an entry that has none, as in [`LinkEntry`](crate::LinkEntry).
const DEFAULT_NAME: &str = "main";

/// `text`, which says `settings`, with what `changes` says: a document in the shape of the settings, of which any part may be left
/// out. Keys that are left out stay, `null` is the default, and a value that is there already is not written. The lists of
/// `link` and `service` are whole lists: entries that are not in them go, new ones come last, and those that stay keep their places.
///
/// Whether the outcome makes sense is for [`parse`](crate::parse) to say.
///
/// # Errors
/// [`EditError`]
pub fn merge(text: &str, settings: &Settings, changes: &Map<String, Json>) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse().map_err(|_| EditError::NotToml)?;
    let present = serde_json::to_value(settings).map_err(|_| EditError::NotToml)?;
    let root = document.as_table_mut();
    for (key, value) in changes {
        match value {
            Json::Array(entries) if ["link", "service"].contains(&key.as_str()) => {
                merge_list(root, key, &present[key], entries)?;
            }
            Json::Object(members) => merge_section(root, key, &present[key], members)?,
            value if is_same(&present[key], value) => {}
            value => put(root, key, value)?,
        }
    }
    Ok(document.to_string())
}

fn merge_section(
    root: &mut Table,
    key: &str,
    present: &Json,
    members: &Map<String, Json>,
) -> Result<(), EditError> {
    let changed = members.iter().filter(|(name, value)| !is_same(&present[name], value));
    for (name, value) in changed {
        if value.is_null() && !root.contains_key(key) {
            continue;
        }
        let section = root.entry(key).or_insert_with(|| Item::Table(Table::new()));
        put(section.as_table_like_mut().ok_or_else(|| EditError::NoTable(key.to_owned()))?, name, value)?;
    }
    Ok(())
}

fn merge_list(root: &mut Table, key: &str, present: &Json, entries: &[Json]) -> Result<(), EditError> {
    let no_table = || EditError::NoTable(key.to_owned());
    if entries.is_empty() {
        root.remove(key);
        return Ok(());
    }
    let entries: Vec<_> =
        entries.iter().map(|entry| entry.as_object().ok_or_else(no_table)).collect::<Result<_, _>>()?;
    let wanted: Vec<_> = entries.iter().map(|entry| identity_of_entry(entry)).collect();
    let item = root.entry(key).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let tables = item.as_array_of_tables_mut().ok_or_else(no_table)?;
    tables.retain(|table| wanted.contains(&identity_of_table(table)));
    for (entry, identity) in entries.into_iter().zip(wanted) {
        let at = tables.iter().position(|table| identity_of_table(table) == identity);
        let Some(at) = at else {
            let mut table = Table::new();
            entry.iter().try_for_each(|(name, value)| put(&mut table, name, value))?;
            tables.push(table);
            continue;
        };
        let mut known = present.as_array().into_iter().flatten().filter_map(Json::as_object);
        let before = known.find(|known| identity_of_entry(known) == identity);
        let Some(table) = tables.get_mut(at) else { continue };
        for (name, value) in entry {
            let old = before.and_then(|before| before.get(name)).unwrap_or(&Json::Null);
            if !is_same(old, value) {
                put(table, name, value)?;
            }
        }
    }
    Ok(())
}

/// What tells two entries of a list apart: the name, and of services the link too.
type EntryIdentity = (String, String);

fn identity_of_entry(entry: &Map<String, Json>) -> EntryIdentity {
    let text = |key: &str| entry.get(key).and_then(Json::as_str).map(str::to_owned);
    (text("name").unwrap_or_else(|| DEFAULT_NAME.to_owned()), text("link").unwrap_or_default())
}

fn identity_of_table(table: &Table) -> EntryIdentity {
    let text = |key: &str| table.get(key).and_then(Item::as_str).map(str::to_owned);
    (text("name").unwrap_or_else(|| DEFAULT_NAME.to_owned()), text("link").unwrap_or_default())
}

/// Whether two values are the same setting. One that is not there is `null`.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one.as_f64(), other.as_f64()) {
        // 30 and 30.0 are one number, and two values of JSON.
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Sets `key` of `table`, or takes it out for `null`.
fn put(table: &mut dyn TableLike, key: &str, value: &Json) -> Result<(), EditError> {
    if value.is_null() {
        table.remove(key);
        return Ok(());
    }
    let no_value = || EditError::NoValue(key.to_owned());
    if let Some(tables) = as_tables(value) {
        let tables = tables.into_iter().map(table_of).collect::<Option<ArrayOfTables>>();
        table.insert(key, Item::ArrayOfTables(tables.ok_or_else(no_value)?));
        return Ok(());
    }
    let mut value = value_of(value).ok_or_else(no_value)?;
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        // The comment behind the old value is about the key.
        *value.decor_mut() = old.decor().clone();
        *old = value;
    } else {
        table.insert(key, Item::Value(value));
    }
    Ok(())
}

/// The members of a list of objects, which is written as tables of its own: `[[hooks.ready]]`.
fn as_tables(value: &Json) -> Option<Vec<&Map<String, Json>>> {
    let list = value.as_array().filter(|list| !list.is_empty())?;
    list.iter().map(Json::as_object).collect()
}

fn table_of(members: &Map<String, Json>) -> Option<Table> {
    let mut table = Table::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        table.insert(name, Item::Value(value_of(value)?));
    }
    Some(table)
}

/// `None`: TOML has no such value.
fn value_of(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(truth) => Value::from(*truth),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()?) {
            (Some(whole), _) => Value::from(whole),
            // Beyond 2^53 a float is no exact number, and no setting is so large.
            (None, float) if float.fract() == 0.0 && float.abs() < 9e15 => Value::from(float as i64),
            (None, float) => Value::from(float),
        },
        Json::Array(list) => Value::Array(list.iter().map(value_of).collect::<Option<Array>>()?),
        Json::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let pairs = members.map(|(name, value)| Some((name.as_str(), value_of(value)?)));
            Value::InlineTable(pairs.collect::<Option<InlineTable>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    const FILE: &str = "# mine\nversion = 1\n\n[[link]]\nrelay = \"a.example\" # old\n\n# llm\n[[service]]\nname = \"ollama\"\n\
        target = \"11434\"\n\n[[service]]\nname = \"web\"\ntarget = \"3000\"\n\n[health]\ninterval = 30 # slow\n\n\
        [[hooks.ready]]\nexec = [\"true\"]\n";

    fn settings(text: &str) -> Settings {
        crate::parse(text, Path::new("config.toml"), &[])
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
            .settings
    }

    fn merged(changes: Json) -> Result<String, EditError> {
        merge(FILE, &settings(FILE), changes.as_object().expect("an object"))
    }

    fn whole() -> Json {
        serde_json::to_value(settings(FILE)).expect("JSON")
    }

    #[test]
    fn what_was_read_changes_nothing_when_it_is_put_back() {
        assert_eq!(merged(whole()).as_deref(), Ok(FILE));
        assert_eq!(merged(json!({})).as_deref(), Ok(FILE));
        assert_eq!(
            merged(json!({ "health": { "interval": 30.0 }, "ui": { "start_minimized": null } })).as_deref(),
            Ok(FILE)
        );
    }

    #[test]
    fn a_key_is_set_or_brought_back_to_its_default_and_everything_around_it_stays() {
        let changed = merged(json!({ "health": { "interval": 60 } }));
        assert_eq!(changed, Ok(FILE.replace("interval = 30", "interval = 60")));
        let changed = merged(json!({ "health": { "interval": null } }));
        assert_eq!(changed, Ok(FILE.replace("interval = 30 # slow\n", "")));
        let changed =
            merged(json!({ "alerts": { "max_error_rate": 2.5, "on_alert_command": ["notify", "x"] } }));
        let changed = settings(&changed.expect("an edit")).alerts;
        assert_eq!(
            (changed.max_error_rate.get(), changed.on_alert_command),
            (2.5, Some(vec!["notify".to_owned(), "x".to_owned()]))
        );
    }

    #[test]
    fn entries_of_a_list_change_come_and_go_by_their_names() {
        let mut document = whole();
        document["service"][0]["enabled"] = json!(false);
        document["service"].as_array_mut().expect("a list").remove(1);
        document["service"]
            .as_array_mut()
            .expect("a list")
            .push(json!({ "name": "docs", "target": "4000", "probe": null }));
        document["link"][0]["relay"] = json!("b.example");
        let text = merged(document).expect("an edit");
        assert!(
            text.contains("# llm\n[[service]]\nname = \"ollama\"\ntarget = \"11434\"\nenabled = false\n"),
            "{text}"
        );
        assert!(text.contains("relay = \"b.example\" # old"), "{text}");
        let changed = settings(&text);
        let names: Vec<_> = changed.services.iter().map(|service| service.name.to_string()).collect();
        assert_eq!(names, ["ollama", "docs"]);
        let none = merged(json!({ "service": [], "hooks": { "ready": [] } })).expect("an edit");
        assert!(!none.contains("[[service]]") && !none.contains("[[hooks.ready]]"), "{none}");
    }

    #[test]
    fn hooks_become_tables_of_their_own_whose_secrets_an_export_finds() {
        let hooks = json!({ "hooks": { "down": [{ "url": "https://a.example/?secret", "form": { "a": "b" }, "json": null }] } });
        let text = merged(hooks).expect("an edit");
        assert!(text.contains("[[hooks.down]]"), "{text}");
        assert_eq!(settings(&text).hooks.down.len(), 1);
        assert!(!crate::without_secrets(&text).expect("TOML").contains("secret"));
    }

    #[test]
    fn what_a_settings_file_cannot_hold_is_refused_and_what_makes_no_sense_is_left_to_the_parser() {
        for (changes, error) in [
            (json!({ "api": { "listen": [null] } }), EditError::NoValue("listen".to_owned())),
            (json!({ "link": ["a.example"] }), EditError::NoTable("link".to_owned())),
            (json!({ "version": { "a": 1 } }), EditError::NoTable("version".to_owned())),
        ] {
            assert_eq!(merged(changes), Err(error));
        }
        for wrong in [
            json!({ "health": { "interval": "x" } }),
            json!({ "nothing": { "a": 1 } }),
            json!({ "api": 3 }),
            json!({ "link": 3 }),
        ] {
            let text = merged(wrong).expect("an edit");
            assert!(crate::parse(&text, Path::new("config.toml"), &[]).is_err(), "{text}");
        }
    }
}
