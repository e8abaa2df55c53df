//! The settings file behind a manager, as the API shows and changes it. What it says, and how it is kept, only the program knows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A settings file. Every method may wait for the disk. What changes the file copies it first, writes it whole or not at all, and
/// applies it.
pub trait SettingsStore: Send + Sync {
    /// Reads the file again and applies what is different; says in a word what came of it.
    ///
    /// # Errors
    /// Why nothing was changed, for a person.
    fn reload(&self) -> Result<String, String>;

    /// What the file says.
    ///
    /// # Errors
    /// [`SettingsRefusal`]
    fn read(&self) -> Result<SettingsReport, SettingsRefusal>;

    /// The JSON schema of the file.
    fn schema(&self) -> Value;

    /// Changes what `changes` says, in the shape of the file: keys that are left out stay, `null` is the default, and the lists of
    /// `link` and `service` are whole.
    ///
    /// # Errors
    /// [`SettingsRefusal`]; nothing is changed.
    fn change(&self, changes: &Map<String, Value>) -> Result<SettingsReport, SettingsRefusal>;

    /// The text of the file, without what may be secret in URLs unless it is asked for.
    ///
    /// # Errors
    /// [`SettingsRefusal`]
    fn export(&self, with_secrets: bool) -> Result<String, SettingsRefusal>;

    /// Takes in another file, of this program or of an older one.
    ///
    /// # Errors
    /// [`SettingsRefusal`]; nothing is changed.
    fn import(&self, text: &str) -> Result<SettingsImportReport, SettingsRefusal>;

    /// Copies the file; `None` if there is none.
    ///
    /// # Errors
    /// [`SettingsRefusal`]
    fn back_up(&self) -> Result<Option<String>, SettingsRefusal>;

    /// Goes back to the defaults, without any link.
    ///
    /// # Errors
    /// [`SettingsRefusal`]
    fn reset(&self) -> Result<SettingsReport, SettingsRefusal>;
}

/// Why the settings were not read or not changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettingsRefusal {
    /// They make no sense.
    Mistakes(Vec<SettingMistake>),
    /// The file cannot be read, written or applied: why, for a person.
    Failed(String),
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct SettingMistake {
    /// The key, as in `health.interval` or `service.web.target`; empty if it is the whole text.
    pub key: String,
    /// The line of the file as it would be, if it stands in it.
    pub line: Option<usize>,
    /// What is wrong, for a person.
    pub message: String,
}

/// A key that a variable or an option of the command line sets in place of the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct SettingOverride {
    /// The variable or the option.
    pub origin: String,
    /// The value, as TOML.
    pub value: String,
}

/// `GET /api/v1/settings`
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct SettingsReport {
    /// Where the file is.
    pub file: String,
    /// Whether there is one yet.
    pub exists: bool,
    /// What it says, with the defaults, in the shape of the schema.
    pub settings: Value,
    /// The keys that something else sets.
    pub overrides: BTreeMap<String, SettingOverride>,
    /// The copies that are kept, oldest first.
    pub backups: Vec<String>,
}

/// `POST /api/v1/settings/import`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsImport {
    /// The text of the file.
    pub text: String,
}

/// What came of an import.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct SettingsImportReport {
    /// What was not taken over, and why.
    pub warnings: Vec<String>,
    /// What a person has to do besides.
    pub next_steps: Vec<String>,
}

/// `POST /api/v1/settings/backup`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct SettingsBackupReport {
    /// Where the copy is.
    pub path: String,
}

/// 422: settings that make no sense.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct SettingsMistakesReport {
    /// For a person.
    pub error: String,
    /// The status again.
    pub status_code: u16,
    /// Each thing that is wrong.
    pub mistakes: Vec<SettingMistake>,
    /// Now.
    pub timestamp: String,
}
