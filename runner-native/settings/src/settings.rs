//! The whole settings file as one value.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::hook::HookSection;
use crate::link::LinkEntry;
use crate::section::{
    AlertSection, ApiSection, HealthSection, LimitSection, LogSection, StartSection, UiSection,
};
use crate::service::ServiceEntry;

/// Everything that `config.toml` says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "The settings of hvym-tunnel (config.toml)")]
pub struct Settings {
    /// The version of this format, 1.
    pub version: FormatVersion,
    /// The links to relays.
    #[serde(rename = "link")]
    pub links: Vec<LinkEntry>,
    /// The services that are given an address.
    #[serde(rename = "service")]
    pub services: Vec<ServiceEntry>,
    /// The control API.
    pub api: ApiSection,
    /// How services and links are looked after.
    pub health: HealthSection,
    /// When somebody is told.
    pub alerts: AlertSection,
    /// What is called when links come and go.
    pub hooks: HookSection,
    /// The log files.
    pub log: LogSection,
    /// What a program with windows does.
    pub ui: UiSection,
    /// What starts by itself.
    pub start: StartSection,
    /// How much at once.
    pub limits: LimitSection,
    /// The folder from which relative paths count: that of the file.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Settings {
    /// The services of a link, in their order; the first is the one reached at the bare address.
    pub fn services_of<'a>(&'a self, link: &'a LinkEntry) -> impl Iterator<Item = &'a ServiceEntry> {
        let is_only = self.links.len() == 1;
        self.services.iter().filter(move |service| match &service.link {
            Some(name) => *name == link.name,
            None => is_only,
        })
    }

    /// A path of the file, as others can use it.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

/// The version of the format. There is one.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct FormatVersion(u32);

impl FormatVersion {
    const CURRENT: u32 = 1;
}

impl Default for FormatVersion {
    fn default() -> Self {
        Self(Self::CURRENT)
    }
}

impl<'de> Deserialize<'de> for FormatVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            Self::CURRENT => Ok(Self::default()),
            other => Err(serde::de::Error::custom(format_args!(
                "version {other} is not known here; this program understands version {}",
                Self::CURRENT
            ))),
        }
    }
}

impl JsonSchema for FormatVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FormatVersion".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": Self::CURRENT })
    }
}
