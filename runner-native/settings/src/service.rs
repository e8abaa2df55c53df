//! One service of the settings file.

use std::path::{Path, PathBuf};

use hvym_tunnel_agent::settings::FilterSettings;
use hvym_tunnel_agent::{OnConflict, ServiceSpec};
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::target::{ServiceName, Target};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service: its name, the local place, and who may reach it how.
// Fields: one for each key.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceEntry {
    /// The name in the public address.
    #[schemars(schema_with = "crate::schema::name")]
    pub name: ServiceName,
    /// What to expose, as `hvym-tunnel expose` takes it: `3000`, `host:3000`, `https://host`, `unix:/path`, `./folder`,
    /// `h2c://` or `tcp://host:port`.
    #[schemars(schema_with = "crate::schema::target")]
    #[serde(with = "crate::schema::text")]
    pub target: Target,
    /// The link that it is offered on. Only needed where there are several.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::optional_name")]
    pub link: Option<ServiceName>,
    /// Whether it is offered at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether visitors may come. Else only the identities of `allow` reach it.
    #[serde(default = "yes")]
    pub public: bool,
    /// Who may reach it, where it is not public.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::addresses")]
    pub allow: Vec<Address>,
    /// A file of names and passwords for visitors, `USER:PASSWORD` in each line, that others cannot read.
    #[serde(default)]
    pub basic_auth_file: Option<PathBuf>,
    /// The networks that visitors may come from; none is every one.
    #[serde(default, with = "crate::schema::networks")]
    #[schemars(schema_with = "crate::schema::cidrs")]
    pub allow_cidr: Vec<IpNet>,
    /// Whether CORS preflights are answered with yes, without asking the service.
    #[serde(default)]
    pub cors_preflight: bool,
    /// The `Host` that the service sees.
    #[serde(default, deserialize_with = "crate::schema::read_host")]
    #[schemars(schema_with = "crate::schema::optional_host")]
    pub host_header: Option<String>,
    /// Whether a TCP service is first told who the visitor is (PROXY protocol, version 2).
    #[serde(default)]
    pub proxy_protocol: bool,
    /// A certificate authority (PEM) to trust beside the public ones, for an `https` target.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What becomes of it when another agent of the same identity has it.
    #[serde(default, with = "crate::schema::conflict")]
    #[schemars(schema_with = "crate::schema::conflict_words")]
    pub on_conflict: OnConflict,
    /// How to find out whether it is there. Without it by its target: `tcp` for bytes, else `http`.
    #[serde(default)]
    pub probe: Option<ProbeKind>,
    /// The path that the `http` probe asks for.
    #[serde(default, deserialize_with = "crate::schema::read_path")]
    #[schemars(schema_with = "crate::schema::optional_path")]
    pub probe_path: Option<String>,
    /// The models that it has, for services that are not asked for them.
    #[serde(default)]
    pub models: Vec<String>,
}

/// How to find out whether a service is there.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// It is not looked after.
    None,
    /// It takes a connection.
    Tcp,
    /// It answers a request with a status below 500.
    Http,
    /// It is an Ollama: it tells its version and its models.
    Ollama,
}

fn yes() -> bool {
    true
}

impl ServiceEntry {
    /// A public service without further settings.
    pub fn new(name: ServiceName, target: Target) -> Self {
        Self {
            name,
            target,
            link: None,
            enabled: true,
            public: true,
            allow: Vec::new(),
            basic_auth_file: None,
            allow_cidr: Vec::new(),
            cors_preflight: false,
            host_header: None,
            proxy_protocol: false,
            ca_file: None,
            on_conflict: OnConflict::default(),
            probe: None,
            probe_path: None,
            models: Vec::new(),
        }
    }

    /// The service as an agent takes it. `folder` is where relative paths count from. Reads no file: passwords come in by
    /// [`FilterSettings::with_file`].
    pub fn spec(&self, folder: &Path) -> ServiceSpec {
        let target = match &self.target {
            Target::Folder(path) => Target::Folder(folder.join(path)),
            Target::Socket(path) => Target::Socket(folder.join(path)),
            Target::Origin(origin) => Target::Origin(origin.clone()),
        };
        let mut spec = ServiceSpec::new(self.name.clone(), target);
        if !self.public {
            spec.access = Access::Private(self.allow.iter().copied().collect());
        }
        spec.filter = FilterSettings {
            credentials: Vec::new(),
            credentials_file: self.basic_auth_file.as_deref().map(|path| folder.join(path)),
            networks: self.allow_cidr.clone(),
            cors_preflight: self.cors_preflight,
            host: self.host_header.clone(),
        };
        spec.proxy_protocol = self.proxy_protocol;
        spec.ca = self.ca_file.as_deref().map(|path| folder.join(path));
        spec.on_conflict = self.on_conflict;
        spec
    }
}
