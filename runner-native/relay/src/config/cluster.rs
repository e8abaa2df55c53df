//! The other relays behind the same domain, and the store by which they find each other.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use hvym_tunnel_cluster::{StoreKind, StoreUrl, StoreUrlError};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::secret::Secret;
use hvym_tunnel_net::target::RelayUrl;
use serde::{Serialize, Serializer};

use super::ConfigError;

/// Several relays that serve one domain together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Several relays"))]
pub struct ClusterSettings {
    /// The store that they share. It may hold a password, so it is shown to nobody.
    #[serde(skip)]
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "URL",
            conflicts_with = "cluster_file",
            env = "HVYM_TUNNEL_CLUSTER",
            hide_env = true,
            help = "Serve the domain together with the other relays of this Redis or PostgreSQL, as in redis://10.0.0.1",
            long_help = "Serve the domain together with the other relays of this Redis or PostgreSQL, as in redis://10.0.0.1\n\n\
            redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// with TLS, or unix:PATH; or postgresql://USER:PASSWORD@HOST/DATABASE, in \
            which the relay makes its tables. Other users of this machine can read what is typed: a password belongs in the variable or in \
            the file of --cluster-file.",
        )
    )]
    pub cluster: Option<TypedStoreUrl>,
    /// A file that holds that URL.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            env = "HVYM_TUNNEL_CLUSTER_FILE",
            hide_env = true,
            help = "File that holds that URL, readable by you alone",
        )
    )]
    pub cluster_file: Option<PathBuf>,
    /// Where the other relays dial this one.
    #[serde(serialize_with = "write_url")]
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "URL",
            env = "HVYM_TUNNEL_CLUSTER_ADDRESS",
            hide_env = true,
            help = "Where the other relays reach this one: wss://host:port, or ws://10.0.0.2:4896 on a private network",
        )
    )]
    pub cluster_address: Option<RelayUrl>,
    /// The identities of the other relays, where they have one of their own.
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "cluster-peer",
            value_name = "ADDRESS",
            value_delimiter = ',',
            env = "HVYM_TUNNEL_CLUSTER_PEER",
            hide_env = true,
            help = "A relay of this identity is one of them too; repeat for more",
            long_help = "A relay of this identity is one of them too; repeat for more\n\n\
            Without it those are the relays that have the identity of this one, which is what agents want: they know a relay's name by \
            one identity.",
        )
    )]
    pub cluster_peers: Vec<Address>,
    /// A PEM file of certificate authorities that vouch for the other relays, beside the public ones.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            env = "HVYM_TUNNEL_CLUSTER_CA",
            hide_env = true,
            help = "Trust this certificate authority (PEM) for the other relays, beside the public ones",
        )
    )]
    pub cluster_ca: Option<PathBuf>,
    /// What becomes of visitors while this relay reaches neither the store nor all other relays. Operators choose: a relay cannot tell
    /// whether the others are gone or serve the same names.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_enum,
            default_value_t,
            env = "HVYM_TUNNEL_CLUSTER_CUT_OFF",
            hide_env = true,
            help = "What visitors get while this relay reaches neither the store nor all other relays",
        )
    )]
    pub cluster_cut_off: CutOffPolicy,
    /// Whether programs that read the Redis of HVYM's server find the tunnels of this relay there, and the custom domains that are recorded
    /// there lead to their owners.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_CLUSTER_HVYM_KEYS",
            hide_env = true,
            help = "Share that Redis with HVYM's server: write there who is connected, and serve the custom domains recorded there",
        )
    )]
    pub cluster_hvym_keys: bool,
}

/// What a relay does that is cut off from its store and from other relays.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum CutOffPolicy {
    /// It answers 503 once its lease is over: a name is never served by two relays.
    #[default]
    Refuse,
    /// It goes on: a name may be served by two relays, each to the visitors that reach it.
    Serve,
}

/// The URL of a Redis as it was typed. Nothing of it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypedStoreUrl(Result<StoreUrl, StoreUrlError>);

impl FromStr for TypedStoreUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse()))
    }
}

impl ClusterSettings {
    /// Whether there are other relays.
    pub fn is_set(&self) -> bool {
        self.cluster.is_some() || self.cluster_file.is_some()
    }

    /// The URL of their store; `None` if the relay is alone.
    ///
    /// # Errors
    /// [`ConfigError::Cluster`]: it is none, or its file cannot be read. [`ConfigError::ClusterHvymKeys`]
    pub fn store(&self) -> Result<Option<StoreUrl>, ConfigError> {
        let wrong = |what: &dyn ToString| ConfigError::Cluster(what.to_string());
        if let Some(TypedStoreUrl(typed)) = &self.cluster {
            return typed.clone().map(Some).map_err(|error| wrong(&error));
        }
        let Some(file) = &self.cluster_file else { return Ok(None) };
        let secret = Secret::from_file(file).map_err(|error| wrong(&error))?;
        let text = std::str::from_utf8(secret.bytes()).unwrap_or_default();
        let url: StoreUrl = text.parse().map_err(|error: StoreUrlError| wrong(&error))?;
        self.check_keys(&url).map(|()| Some(url))
    }

    fn check_keys(&self, url: &StoreUrl) -> Result<(), ConfigError> {
        match self.cluster_hvym_keys && url.kind() != StoreKind::Redis {
            true => Err(ConfigError::ClusterHvymKeys),
            false => Ok(()),
        }
    }

    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(TypedStoreUrl(Ok(url))) = &self.cluster {
            self.check_keys(url)?;
        }
        match (self.is_set(), &self.cluster_address) {
            (true, None) => Err(ConfigError::ClusterAddress),
            (false, Some(_)) => Err(ConfigError::ClusterStore),
            (true, Some(_)) | (false, None) => Ok(()),
        }
    }
}

fn write_url<S: Serializer>(url: &Option<RelayUrl>, serializer: S) -> Result<S::Ok, S::Error> {
    match url {
        Some(url) => serializer.collect_str(url),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_hvyms_server_are_kept_in_redis_alone() {
        let with = |url: &str| ClusterSettings {
            cluster: url.parse().ok(),
            cluster_address: "ws://10.0.0.2:4896".parse().ok(),
            cluster_hvym_keys: true,
            ..ClusterSettings::default()
        };
        assert_eq!(with("redis://localhost").check(), Ok(()));
        let other = with("postgresql://localhost/relays");
        assert_eq!(other.check(), Err(ConfigError::ClusterHvymKeys));
        assert_eq!(ClusterSettings { cluster_hvym_keys: false, ..other }.check(), Ok(()));
    }

    #[test]
    fn a_store_and_an_address_belong_together_and_the_store_is_shown_to_nobody() {
        let alone = ClusterSettings::default();
        assert_eq!((alone.check(), alone.store()), (Ok(()), Ok(None)));
        let cluster = "redis://:hush@localhost".parse().ok();
        let address = "ws://10.0.0.2:4896".parse().ok();
        let both = ClusterSettings { cluster, cluster_address: address, ..alone };
        assert_eq!(both.check(), Ok(()));
        assert!(both.store().is_ok_and(|url| url.is_some()));
        let shown = format!("{both:?} {}", serde_json::to_string(&both).expect("settings can be written"));
        assert!(!shown.contains("hush") && shown.contains("10.0.0.2"), "{shown}");
        let lone = ClusterSettings { cluster_address: None, ..both.clone() };
        assert_eq!(lone.check(), Err(ConfigError::ClusterAddress));
        let aimless = ClusterSettings { cluster: None, ..both.clone() };
        assert_eq!(aimless.check(), Err(ConfigError::ClusterStore));
        let wrong = ClusterSettings { cluster: "hush".parse().ok(), ..both };
        assert!(wrong.store().is_err_and(|error| !error.to_string().contains("hush")));
    }
}
