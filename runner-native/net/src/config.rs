//! Settings that agents and relays share, and where a person's settings live.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// When a silent link is dead.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Ask after this long without a sign of life. Too long, and proxies on the way drop the link first.
    pub interval: Duration,
    /// Give up after this much longer. Too short, and a slow network looks dead.
    pub timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) }
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
