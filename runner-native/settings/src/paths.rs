//! Where a person's settings and state are, by platform.

use std::path::{Path, PathBuf};

use hvym_tunnel_net::config::{NoHome, folder};

/// The name of the settings file.
const FILE: &str = "config.toml";
/// Where the system's settings are, for a machine that has one agent and no person.
#[cfg(unix)]
const SYSTEM: &str = "/etc/hvym-tunnel";

/// The settings file: `named`, else the person's own, else that of the system if only this one exists. It need not exist.
///
/// # Errors
/// [`NoHome`] names the variable that would have said where.
pub fn config_file(named: Option<&Path>) -> Result<PathBuf, NoHome> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let own = folder().map(|folder| folder.join(FILE));
    #[cfg(unix)]
    {
        let system = Path::new(SYSTEM).join(FILE);
        if !own.as_ref().is_ok_and(|own| own.exists()) && system.exists() {
            return Ok(system);
        }
    }
    own
}

/// The folder of the state: databases, logs and sockets that outlive the process. It need not exist.
///
/// # Errors
/// As for [`config_file`].
pub fn state_folder() -> Result<PathBuf, NoHome> {
    // An empty or relative value counts as none (XDG Base Directory specification).
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        let base = variable("LOCALAPPDATA").ok_or(NoHome("LOCALAPPDATA"))?;
        return Ok(base.join("hvym-tunnel"));
    }
    // A service of systemd has a folder of its own.
    if let Some(folder) = variable("STATE_DIRECTORY") {
        return Ok(folder);
    }
    if let Some(base) = variable("XDG_STATE_HOME") {
        return Ok(base.join("hvym-tunnel"));
    }
    let home = variable("HOME").ok_or(NoHome("HOME"))?;
    let base = match cfg!(target_os = "macos") {
        true => "Library/Application Support/hvym-tunnel/state",
        false => ".local/state/hvym-tunnel",
    };
    Ok(home.join(base))
}
