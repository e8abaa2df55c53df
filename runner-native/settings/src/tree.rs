//! A parsed document as a tree: finding, setting and taking out what stands at a key or at a byte of the text.
//!
//! Knows no setting; it knows that one of a list may be called by its name.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Puts the value of a document into `table` at `key`, as in `api.port` or `link.main.relay`.
pub(crate) fn apply<'i>(table: &mut DeTable<'i>, key: &str, document: &'i str) -> Result<(), String> {
    let mut parsed = DeTable::parse(document).map_err(|error| error.message().to_owned())?;
    let value = parsed.get_mut().remove("v").ok_or("a value is needed")?;
    let span = value.span();
    let mut steps: Vec<&str> = key.split('.').collect();
    let last = steps.pop().filter(|last| !last.is_empty()).ok_or("a key is needed, as in api.port")?;
    let mut table = table;
    let mut steps = steps.into_iter();
    while let Some(step) = steps.next() {
        let is_new = !table.contains_key(step);
        if is_new {
            let new = Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            table.insert(Spanned::new(span.clone(), step.to_owned().into()), new);
        }
        table = match table.get_mut(step).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => inner,
            Some(DeValue::Array(list)) => {
                let name = steps.next().ok_or("the name of one of them is needed, as in link.main.relay")?;
                element(list, name).ok_or_else(|| format!("there is no {step} of this name"))?
            }
            _ => return Err(format!("{step} has no keys")),
        };
    }
    table.remove(last);
    table.insert(Spanned::new(span, last.to_owned().into()), value);
    Ok(())
}

/// The table of a list that has this name, or this number, counted from 0.
fn element<'t, 'i>(list: &'t mut DeArray<'i>, name: &str) -> Option<&'t mut DeTable<'i>> {
    let named = list
        .iter()
        .position(|item| item.get_ref().get("name").is_some_and(|n| n.get_ref().as_str() == Some(name)));
    let index = named.or_else(|| name.parse().ok()).or_else(|| {
        // The name that one without a name has.
        (name == "main").then(|| list.iter().position(|item| item.get_ref().get("name").is_none())).flatten()
    })?;
    match list.get_mut(index)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Takes out the smallest thing that holds `at`. `false`: there is none.
pub(crate) fn remove_at(table: &mut DeTable<'_>, at: &Range<usize>) -> bool {
    let holds = |span: Range<usize>| span.start <= at.start && at.start < span.end.max(span.start + 1);
    let mut found: Option<String> = None;
    for (key, value) in table.iter_mut() {
        if holds(key.span()) && !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_)) {
            found = Some(key.get_ref().to_string());
            break;
        }
        let span = value.span();
        let is_removed = match value.get_mut() {
            DeValue::Table(inner) => remove_at(inner, at),
            DeValue::Array(list) => remove_in(list, at),
            _ => false,
        };
        if is_removed {
            return true;
        }
        if holds(span) || holds(key.span()) {
            found = Some(key.get_ref().to_string());
            break;
        }
    }
    found.is_some_and(|key| table.remove(key.as_str()).is_some())
}

/// As [`remove_at`], for a list: what is no table goes with the whole list.
fn remove_in(list: &mut DeArray<'_>, at: &Range<usize>) -> bool {
    let mut damaged = None;
    for (index, item) in list.iter_mut().enumerate() {
        let span = item.span();
        if let DeValue::Table(inner) = item.get_mut() {
            if remove_at(inner, at) {
                return true;
            }
            if span.start <= at.start && at.start < span.end {
                damaged = Some(index);
            }
        }
    }
    let Some(damaged) = damaged else { return false };
    let rest: Vec<_> = list.iter().enumerate().filter(|(index, _)| *index != damaged).collect();
    let rest: Vec<_> = rest.into_iter().map(|(_, item)| item.clone()).collect();
    *list = DeArray::new();
    rest.into_iter().for_each(|item| list.push(item));
    true
}

/// The key whose name or value is at `at`.
pub(crate) fn key_at(table: &DeTable<'_>, at: usize, before: &str) -> Option<String> {
    let holds = |span: Range<usize>| span.start <= at && at < span.end.max(span.start + 1);
    for (key, value) in table.iter() {
        let name = join(before, key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => {
                if let Some(found) = key_at(inner, at, &name) {
                    return Some(found);
                }
            }
            DeValue::Array(list) => {
                for (index, item) in list.iter().enumerate() {
                    let DeValue::Table(inner) = item.get_ref() else { continue };
                    let name = join(&name, &item_name(inner, index));
                    if let Some(found) = key_at(inner, at, &name) {
                        return Some(found);
                    }
                    if holds(item.span()) {
                        return Some(name);
                    }
                }
            }
            _ => {}
        }
        if holds(key.span()) || holds(value.span()) {
            return Some(name);
        }
    }
    None
}

pub(crate) fn join(before: &str, name: &str) -> String {
    if before.is_empty() { name.to_owned() } else { format!("{before}.{name}") }
}

/// How one of a list is called: by its name, else by its number, counted from 0.
fn item_name(table: &DeTable<'_>, index: usize) -> String {
    match table.get("name").map(Spanned::get_ref) {
        Some(DeValue::String(name)) => name.to_string(),
        _ => index.to_string(),
    }
}

/// One step to a value: a key, or the index in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Key(&'static str),
    Index(usize),
}

/// Where the last of `steps` that is set stands.
pub(crate) fn offset_of(table: &DeTable<'_>, steps: &[Step]) -> Option<usize> {
    let Some((Step::Key(key), rest)) = steps.split_first() else { return None };
    let (name, value) = table.get_key_value(*key)?;
    let own = Some(name.span().start);
    match (value.get_ref(), rest.split_first()) {
        (DeValue::Table(inner), _) => offset_of(inner, rest).or(own),
        (DeValue::Array(list), Some((Step::Index(index), rest))) => {
            match list.get(*index).map(|i| (i, i.get_ref())) {
                Some((item, DeValue::Table(inner))) => offset_of(inner, rest).or(Some(item.span().start)),
                Some((item, _)) => Some(item.span().start),
                None => own,
            }
        }
        _ => own,
    }
}

/// `steps` as a person writes them.
pub(crate) fn key_of(table: &DeTable<'_>, steps: &[Step]) -> String {
    let mut key = String::new();
    let mut list: Option<&DeArray<'_>> = None;
    let mut table = Some(table);
    for step in steps {
        match step {
            Step::Key(name) => {
                key = join(&key, name);
                let value = table.and_then(|table| table.get(*name)).map(Spanned::get_ref);
                list = value.and_then(DeValue::as_array);
                table = value.and_then(DeValue::as_table);
            }
            Step::Index(index) => {
                table = list.and_then(|list| list.get(*index)).and_then(|item| item.get_ref().as_table());
                key = join(&key, &table.map_or_else(|| index.to_string(), |table| item_name(table, *index)));
            }
        }
    }
    key
}

/// Every key that is set, with where its value stands.
pub(crate) fn leaves(table: &DeTable<'_>) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    collect_leaves(table, "", &mut found);
    found
}

fn collect_leaves(table: &DeTable<'_>, before: &str, found: &mut BTreeMap<String, usize>) {
    for (key, value) in table.iter() {
        let name = join(before, key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => collect_leaves(inner, &name, found),
            DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => {
                for (index, item) in list.iter().enumerate() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        collect_leaves(inner, &join(&name, &item_name(inner, index)), found);
                    }
                }
            }
            _ => {
                found.insert(name, value.span().start);
            }
        }
    }
}
