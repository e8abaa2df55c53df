//! The settings file of an agent, `config.toml`: its keys, its mistakes, its changes, and what older programs left.
//!
//! ```text
//!  file, variables, flags --> Document --> Settings | Mistakes (all of them, each with its line)
//!                                             |
//!                    old Settings, new Settings --> difference: the changes to make while it runs
//! ```
//!
//! Starts nothing and dials nobody. It knows no screen: what is wrong is data with words, and the program shows it.

mod backup;
mod check;
mod difference;
mod document;
mod edit;
mod effective;
mod file;
mod hook;
mod import;
mod link;
mod merge;
mod mistake;
mod number;
mod overlay;
mod paths;
mod schema;
mod section;
mod service;
mod settings;
mod tree;
mod watcher;

pub use backup::{Backups, MAX_BACKUPS};
pub use difference::{Change, difference};
pub use document::{Loaded, nearest, parse};
pub use edit::{EditError, get, set, without_secrets};
pub use effective::{EffectiveValue, effective};
pub use file::{FileError, MAX_BYTES, load, read, write};
pub use hook::{HookEntry, HookSection, HookWhen};
pub use import::{Import, ImportError, ImportSource, import, import_variables};
pub use link::{LinkEntry, LinkError, LinkSystem};
pub use merge::merge;
pub use mistake::{Mistake, Mistakes, ValueOrigin};
pub use number::{Decimal, PortNumber, Whole};
pub use overlay::{Override, variables};
pub use paths::{config_file, state_folder};
pub use schema::schema;
pub use section::{
    AlertSection, ApiSection, HealthSection, LimitSection, LogFormat, LogLevel, LogSection, StartSection,
    UiSection,
};
pub use service::{ProbeKind, ServiceEntry};
pub use settings::Settings;
pub use watcher::{FileWatcher, WatchError};
