//! The settings file of a manager, as its API shows and changes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hvym_tunnel_manager::TunnelManager;
use hvym_tunnel_manager::settings_store::{
    SettingMistake, SettingOverride, SettingsImportReport, SettingsRefusal, SettingsReport, SettingsStore,
};
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_settings::{
    Backups, EditError, FileError, ImportError, Loaded, Mistakes, Settings, ValueOrigin, get, import, merge,
    parse, schema, without_secrets, write,
};
use serde_json::{Map, Value};

use super::SettingsFile;
use crate::config::{EMPTY, current};

/// The settings file, and what runs by it.
pub(super) struct StoredSettings {
    file: Arc<SettingsFile>,
    manager: TunnelManager,
    runtime: RuntimeHandle,
    /// Held from reading the file to applying its new text, so that of two changes at once none is lost.
    changing: Mutex<()>,
}

impl StoredSettings {
    pub(super) fn new(file: Arc<SettingsFile>, manager: TunnelManager, runtime: RuntimeHandle) -> Self {
        Self { file, manager, runtime, changing: Mutex::new(()) }
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    /// What the file says by itself.
    fn stored(&self) -> Result<(String, Settings), Refused> {
        let text = current(self.path())?;
        let settings = parse(&text, self.path(), &[])?.settings;
        Ok((text, settings))
    }

    /// Puts the text that `edit` makes of the present one into the file, after a copy, and applies it.
    fn edit(&self, edit: impl FnOnce(String) -> Result<String, Refused>) -> Result<(), Refused> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = current(self.path())?;
        let new = edit(old.clone())?;
        // What is right alone may be wrong with what is set beside it, and would then not be applied.
        parse(&new, self.path(), &[])?;
        parse(&new, self.path(), self.file.overrides())?;
        if new != old || !self.path().exists() {
            Backups::of_file(self.path()).take(SystemTime::now())?;
            write(self.path(), &new)?;
        }
        self.reload().map(drop).map_err(|message| Refused(SettingsRefusal::Failed(message)))
    }

    fn report(&self) -> Result<SettingsReport, Refused> {
        let (text, settings) = self.stored()?;
        let loaded = parse(&text, self.path(), self.file.overrides())?;
        let failed = |error: serde_json::Error| Refused(SettingsRefusal::Failed(error.to_string()));
        Ok(SettingsReport {
            file: self.path().display().to_string(),
            exists: self.path().exists(),
            settings: serde_json::to_value(&settings).map_err(failed)?,
            overrides: overrides(&loaded),
            backups: Backups::of_file(self.path())
                .list()
                .iter()
                .map(|copy| copy.display().to_string())
                .collect(),
        })
    }
}

impl SettingsStore for StoredSettings {
    fn reload(&self) -> Result<String, String> {
        self.file.reload(&self.manager, &self.runtime)
    }

    fn read(&self) -> Result<SettingsReport, SettingsRefusal> {
        Ok(self.report()?)
    }

    fn schema(&self) -> Value {
        serde_json::from_str(&schema()).unwrap_or_default()
    }

    fn change(&self, changes: &Map<String, Value>) -> Result<SettingsReport, SettingsRefusal> {
        self.edit(|text| {
            let settings = parse(&text, self.path(), &[])?.settings;
            Ok(merge(&text, &settings, changes)?)
        })?;
        Ok(self.report()?)
    }

    fn export(&self, with_secrets: bool) -> Result<String, SettingsRefusal> {
        let export = || -> Result<String, Refused> {
            let text = current(self.path())?;
            Ok(if with_secrets { text } else { without_secrets(&text)? })
        };
        Ok(export()?)
    }

    fn import(&self, text: &str) -> Result<SettingsImportReport, SettingsRefusal> {
        let taken = import(text, None).map_err(Refused::from)?;
        self.edit(|text| Ok(taken.merge(&text)?))?;
        Ok(SettingsImportReport { warnings: taken.warnings, next_steps: taken.next_steps })
    }

    fn back_up(&self) -> Result<Option<String>, SettingsRefusal> {
        let copy = Backups::of_file(self.path()).take(SystemTime::now()).map_err(Refused::from)?;
        Ok(copy.map(|path| path.display().to_string()))
    }

    fn reset(&self) -> Result<SettingsReport, SettingsRefusal> {
        self.edit(|_| Ok(EMPTY.to_owned()))?;
        Ok(self.report()?)
    }
}

/// The keys that variables and options set.
fn overrides(loaded: &Loaded) -> BTreeMap<String, SettingOverride> {
    let beside = loaded
        .origins
        .iter()
        .filter(|(_, origin)| !matches!(origin, ValueOrigin::Line(_) | ValueOrigin::Default));
    let shown = beside.map(|(key, origin)| {
        let value = get(&loaded.settings, key).unwrap_or_default();
        (key.clone(), SettingOverride { origin: origin.to_string(), value })
    });
    shown.collect()
}

/// A refusal that errors of the settings become.
struct Refused(SettingsRefusal);

impl Refused {
    fn whole(message: String) -> Self {
        Refused(SettingsRefusal::Mistakes(vec![SettingMistake { key: String::new(), line: None, message }]))
    }
}

impl From<Refused> for SettingsRefusal {
    fn from(refused: Refused) -> Self {
        refused.0
    }
}

impl From<Mistakes> for Refused {
    fn from(mistakes: Mistakes) -> Self {
        let shown = mistakes.list.into_iter().map(|mistake| SettingMistake {
            key: mistake.key,
            line: match mistake.origin {
                ValueOrigin::Line(line) => Some(line),
                _ => None,
            },
            message: mistake.what,
        });
        Refused(SettingsRefusal::Mistakes(shown.collect()))
    }
}

impl From<FileError> for Refused {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Mistakes(mistakes) => mistakes.into(),
            other => Refused(SettingsRefusal::Failed(other.to_string())),
        }
    }
}

impl From<EditError> for Refused {
    fn from(error: EditError) -> Self {
        let key = match &error {
            EditError::NoValue(key) | EditError::NoTable(key) | EditError::NoKey(key) => key.clone(),
            EditError::NotToml => String::new(),
        };
        let mistake = SettingMistake { key, line: None, message: error.to_string() };
        Refused(SettingsRefusal::Mistakes(vec![mistake]))
    }
}

impl From<ImportError> for Refused {
    fn from(error: ImportError) -> Self {
        Refused::whole(error.to_string())
    }
}
