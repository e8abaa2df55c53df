//! Settings that agents and relays share, and where a person's settings live.

use std::path::PathBuf;
use std::time::Duration;

use hvym_tunnel_core::keepalive::KeepaliveConfig;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::seconds;

/// When a silent link counts as dead.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Links"))]
pub struct KeepaliveSettings {
    /// Ping after this long without any input. Too long, and proxies on the way drop the link first.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse, default_value = "10",
        env = "HVYM_TUNNEL_PING_INTERVAL", hide_env = true,
        help = "Ask for a sign of life after this long without one",
    ))]
    pub ping_interval: Duration,
    /// Give the link up after this much longer. Too short, and a slow network looks dead.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse, default_value = "5",
        env = "HVYM_TUNNEL_PING_TIMEOUT", hide_env = true,
        help = "Give the link up after this much longer",
    ))]
    pub ping_timeout: Duration,
}

impl Default for KeepaliveSettings {
    /// As in the core: 10 s and 5 s.
    fn default() -> Self {
        let KeepaliveConfig { ping_interval, ping_timeout } = KeepaliveConfig::default();
        Self { ping_interval, ping_timeout }
    }
}

impl From<KeepaliveSettings> for KeepaliveConfig {
    fn from(settings: KeepaliveSettings) -> Self {
        let KeepaliveSettings { ping_interval, ping_timeout } = settings;
        Self { ping_interval, ping_timeout }
    }
}

/// There is no place for settings: the variable that would have said where is not set.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("there is no home folder ({0} is not set), so no default place for the identity")]
pub struct NoHome(pub &'static str);

/// The program's own folder among the person's settings; it need not exist.
///
/// # Errors
/// [`NoHome`] names the variable that would have said where.
pub fn folder() -> Result<PathBuf, NoHome> {
    // An empty or relative value counts as none (XDG Base Directory specification).
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        variable("APPDATA").ok_or(NoHome("APPDATA"))?
    } else if let Some(folder) = variable("XDG_CONFIG_HOME") {
        folder
    } else {
        let home = variable("HOME").ok_or(NoHome("HOME"))?;
        if cfg!(target_os = "macos") {
            home.join("Library/Application Support")
        } else {
            home.join(".config")
        }
    };
    Ok(base.join("hvym-tunnel"))
}
