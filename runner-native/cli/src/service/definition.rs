//! What a service is, whichever system starts it.

use std::path::PathBuf;

use hvym_tunnel_net::config;
use hvym_tunnel_settings::state_folder;

use super::Scope;
use crate::exit::{Exit, ExitError};

/// A service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Definition {
    pub(super) scope: Scope,
    pub(super) name: String,
    /// This program.
    pub(super) program: PathBuf,
    /// What it is to do.
    pub(super) command: Vec<String>,
    /// Where relative paths of the command begin.
    pub(super) folder: PathBuf,
    /// The folders that it may write: those of its settings, of its state, and of files that its command names. None of the system's
    /// service, which has one of its own.
    pub(super) writable: Vec<PathBuf>,
}

impl Definition {
    /// One of this program, this folder and this user, that writes these files too.
    ///
    /// # Errors
    /// They are not known.
    pub(super) fn here(
        scope: Scope,
        name: String,
        command: Vec<String>,
        writes: &[PathBuf],
    ) -> Result<Self, ExitError> {
        let unknown = |error| ExitError::new(Exit::Unexpected, format!("cannot tell where this is: {error}"));
        let folder = std::env::current_dir().map_err(unknown)?;
        let mut writable = Vec::new();
        if scope == Scope::User {
            writable.extend([config::folder()?, state_folder()?]);
            // A file is replaced by another one beside it.
            let beside = writes.iter().filter_map(|file| Some(folder.join(file).parent()?.to_owned()));
            writable.extend(beside);
            writable.dedup();
        }
        Ok(Self {
            scope,
            name,
            program: std::env::current_exe().map_err(unknown)?,
            command,
            folder,
            writable,
        })
    }

    /// Whether the command reads its files again on SIGHUP; others end.
    pub(super) fn reloads(&self) -> bool {
        self.command.first().is_some_and(|command| matches!(command.as_str(), "up" | "manager" | "relay"))
    }

    /// Whether the command may listen at ports that only the system gives away.
    pub(super) fn is_relay(&self) -> bool {
        self.command.first().is_some_and(|command| command == "relay")
    }

    /// For a list of services.
    pub(super) fn description(&self) -> String {
        format!("hvym-tunnel {}", self.command.first().map_or("", String::as_str))
    }
}
