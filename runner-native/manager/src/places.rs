//! Where a manager and its clients meet, the Unix socket of the API and the file of its token, and where it keeps what it knows.

use std::path::{Path, PathBuf};

/// The folder for what outlives the process: `$XDG_STATE_HOME/hvym-tunnel`, or what stands for it. `None` without a home.
fn state_folder() -> Option<PathBuf> {
    // A service of systemd has a folder of its own.
    if let Some(folder) = variable("STATE_DIRECTORY").filter(|_| !cfg!(windows)) {
        return Some(folder);
    }
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        variable("HOME")?.join("Library/Application Support")
    } else {
        variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?
    };
    Some(base.join("hvym-tunnel"))
}

/// The Unix socket of the API: in `$XDG_RUNTIME_DIR/hvym-tunnel`, or with what outlives the process.
pub fn api_socket() -> Option<PathBuf> {
    let folder = variable("XDG_RUNTIME_DIR").map(|folder| folder.join("hvym-tunnel"));
    Some(folder.or_else(state_folder)?.join("api.sock"))
}

/// The Unix socket behind the dashboard that agents offer, beside that of the API.
pub fn owner_socket(api_socket: &Path) -> PathBuf {
    api_socket.with_file_name("owner.sock")
}

/// The database of what outlives the process.
pub fn state_db() -> Option<PathBuf> {
    Some(state_folder()?.join("state.db"))
}

/// The file of the API's token.
pub fn token_file() -> Option<PathBuf> {
    Some(state_folder()?.join("api.token"))
}

/// A folder that a variable names. An empty or relative value counts as none (XDG Base Directory specification).
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
