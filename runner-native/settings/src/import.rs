//! Takes in the settings of older programs: their file is read and never written, and what has no place here is said.

mod metavinci;
mod tray;
mod tunely;
mod tunnel_manager;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use thiserror::Error;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use crate::edit::{EditError, put};

pub use tunely::import_variables;

/// A program whose settings can be taken in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ImportSource {
    /// A settings file of this program.
    Settings,
    /// `tunnel_config.json` of CloudToLocalLLM's Tunnel Manager.
    TunnelManager,
    /// The TinyDB database of Metavinci.
    Metavinci,
    /// The TOML file of tunely's agent.
    Tunely,
    /// `connection_config.json` of CloudToLocalLLM's tray daemon.
    Tray,
}

impl ImportSource {
    /// All, by the word for each on a command line.
    pub const WORDS: [(&str, ImportSource); 5] = [
        ("hvym-tunnel", ImportSource::Settings),
        ("tunnel-manager", ImportSource::TunnelManager),
        ("metavinci", ImportSource::Metavinci),
        ("tunely", ImportSource::Tunely),
        ("tray", ImportSource::Tray),
    ];

    /// Where the program keeps its file unless told otherwise, most likely first; empty where no place is usual. `home` is the
    /// person's, `data` what Windows calls LOCALAPPDATA.
    pub fn places(self, home: &Path, data: Option<&Path>) -> Vec<PathBuf> {
        let name = match self {
            ImportSource::TunnelManager => "tunnel_config.json",
            ImportSource::Tray => "connection_config.json",
            ImportSource::Settings | ImportSource::Metavinci | ImportSource::Tunely => return Vec::new(),
        };
        let mut folders =
            vec![home.join(".cloudtolocalllm"), home.join("Library/Application Support/CloudToLocalLLM")];
        folders.extend(data.map(|data| data.join("CloudToLocalLLM")));
        folders.into_iter().map(|folder| folder.join(name)).collect()
    }
}

/// What older settings come to here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Import {
    /// Keys that are set, with their values as TOML.
    keys: Vec<(String, ImportedValue)>,
    links: Vec<Vec<(&'static str, ImportedValue)>>,
    services: Vec<Vec<(&'static str, ImportedValue)>>,
    /// The whole file, in place of what is there.
    whole: Option<String>,
    /// What was not taken over, and why: nothing here is a secret.
    pub warnings: Vec<String>,
    /// What is left to do by hand.
    pub next_steps: Vec<String>,
}

/// A value on its way into a file.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum ImportedValue {
    Text(String),
    Number(f64),
    Truth(bool),
    Texts(Vec<String>),
}

impl Eq for ImportedValue {}

impl From<&ImportedValue> for Value {
    fn from(value: &ImportedValue) -> Value {
        match value {
            ImportedValue::Text(text) => text.as_str().into(),
            ImportedValue::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Value::from(*number as i64)
            }
            ImportedValue::Number(number) => (*number).into(),
            ImportedValue::Truth(truth) => (*truth).into(),
            ImportedValue::Texts(texts) => Value::from_iter(texts.iter().map(String::as_str)),
        }
    }
}

/// Why nothing was taken in.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is neither JSON nor TOML.
    #[error("this is neither JSON nor TOML: line {line}: {reason}")]
    NotText {
        /// The line where it stops to be one.
        line: usize,
        /// What was expected.
        reason: String,
    },
    /// It is none of the known files.
    #[error("this is the settings file of no program that is known here")]
    Unknown,
    /// The file of another program was named.
    #[error("this is no file of {0}")]
    Other(&'static str),
    /// The settings that are there cannot be changed.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// Reads the settings of an older program; `source` is found out where it is not named.
///
/// # Errors
/// [`ImportError`]; nothing that the file holds is in it.
pub fn import(text: &str, source: Option<ImportSource>) -> Result<Import, ImportError> {
    if text.trim_start().starts_with(['{', '['])
        && !text.trim_start().starts_with("[[")
        && let Some(import) = from_json(text, source)?
    {
        return Ok(import);
    }
    let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        ImportError::NotText { line, reason: error.message().to_owned() }
    })?;
    let is_ours = ["version", "link", "service"].iter().any(|key| document.contains_key(key));
    let is_tunely = document.contains_key("server") || document.contains_key("tunnel");
    match source {
        Some(ImportSource::Settings) => {}
        Some(ImportSource::Tunely) if is_tunely => return Ok(tunely::from_document(&document)),
        Some(ImportSource::Tunely) => return Err(ImportError::Other("tunely")),
        None if is_tunely && !is_ours => return Ok(tunely::from_document(&document)),
        None if is_ours => {}
        Some(_) | None => return Err(ImportError::Unknown),
    }
    Ok(Import { whole: Some(text.to_owned()), ..Import::default() })
}

/// `None`: it is TOML after all.
fn from_json(text: &str, source: Option<ImportSource>) -> Result<Option<Import>, ImportError> {
    let json: Json = match serde_json::from_str(text) {
        Ok(json) => json,
        // A TOML file may begin with a bracket too.
        Err(_) if text.parse::<DocumentMut>().is_ok() => return Ok(None),
        Err(error) => {
            // serde_json quotes nothing of the text.
            let reason = error.to_string();
            return Err(ImportError::NotText { line: error.line(), reason });
        }
    };
    let object = json.as_object().ok_or(ImportError::Unknown)?;
    let found = match source {
        Some(source) => source,
        None if tunnel_manager::KEYS.iter().any(|key| object.contains_key(*key)) => {
            ImportSource::TunnelManager
        }
        None if metavinci::document(object).is_some() => ImportSource::Metavinci,
        None if tray::is_one(object) => ImportSource::Tray,
        None => return Err(ImportError::Unknown),
    };
    match found {
        ImportSource::TunnelManager => Ok(tunnel_manager::from_json(object)),
        ImportSource::Metavinci => match metavinci::document(object) {
            Some(document) => Ok(metavinci::from_json(document)),
            None => Err(ImportError::Other("Metavinci")),
        },
        ImportSource::Tray => Ok(tray::from_json(object)),
        ImportSource::Settings | ImportSource::Tunely => Err(ImportError::Unknown),
    }
    .map(Some)
}

impl Import {
    /// The text of a settings file with all of this in it: `text` is what is there now. Links and services of the same name are
    /// replaced.
    ///
    /// # Errors
    /// [`EditError`]: what is there cannot be changed.
    pub fn merge(&self, text: &str) -> Result<String, EditError> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        let mut document: DocumentMut = text.parse().map_err(|_| EditError::NotToml)?;
        if !document.contains_key("version") {
            put(document.as_table_mut(), "version", Value::from(1))?;
        }
        for (key, value) in &self.keys {
            put(document.as_table_mut(), key, value.into())?;
        }
        for (list, entries) in [("link", &self.links), ("service", &self.services)] {
            for entry in entries {
                merge_entry(&mut document, list, entry)?;
            }
        }
        Ok(document.to_string())
    }

    fn key(&mut self, key: &str, value: ImportedValue) {
        self.keys.push((key.to_owned(), value));
    }

    fn warn(&mut self, what: impl Into<String>) {
        self.warnings.push(what.into());
    }
}

fn merge_entry(
    document: &mut DocumentMut,
    list: &str,
    entry: &[(&'static str, ImportedValue)],
) -> Result<(), EditError> {
    let item = document.entry(list).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let entries = item.as_array_of_tables_mut().ok_or_else(|| EditError::NoTable(list.to_owned()))?;
    let name = entry.iter().find(|(key, _)| *key == "name").map(|(_, name)| name);
    let is_same = |table: &Table| match name {
        Some(ImportedValue::Text(name)) => {
            table.get("name").and_then(Item::as_str).unwrap_or("main") == name.as_str()
        }
        _ => false,
    };
    let earlier = entries.iter().position(is_same);
    if let Some(index) = earlier {
        entries.remove(index);
    }
    let mut table = Table::new();
    for (key, value) in entry {
        table.insert(key, Item::Value(value.into()));
    }
    entries.push(table);
    Ok(())
}

/// The text of a member, if it is one.
fn text<'a>(object: &'a Map<String, Json>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Json::as_str).filter(|text| !text.is_empty())
}

/// A URL of a web page as agents dial it.
fn dialled(url: &str) -> String {
    url.replacen("https://", "wss://", 1).replacen("http://", "ws://", 1).trim_end_matches('/').to_owned()
}
