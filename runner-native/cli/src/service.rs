//! `service`: this program as a service of the system, by whatever starts services there.
//!
//! Each system has its definition in a file of text, which is written here, and a program that is asked to use it. Knows no
//! network.

mod definition;
mod install;
mod installed;
mod launchd;
mod systemd;
mod task_scheduler;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::ValueEnum;

use crate::exit::ExitError;
use definition::Definition;
pub(crate) use installed::{ServiceState, start_on_boot, state};

/// What starts services.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Platform {
    /// Linux
    Systemd,
    /// macOS
    Launchd,
    /// Windows
    Windows,
}

impl Platform {
    /// Of the system that this program was built for.
    pub(crate) const fn own() -> Self {
        if cfg!(target_os = "macos") {
            Platform::Launchd
        } else if cfg!(windows) {
            Platform::Windows
        } else {
            Platform::Systemd
        }
    }
}

/// Whose service it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// A user's.
    User,
    /// The system's.
    System,
}

/// What to do with the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Have this command line run.
    Install {
        /// Without the name of the program.
        command: Vec<String>,
        /// The files that it writes beside those of its settings and its state.
        writes: Vec<PathBuf>,
        /// Only show the definition.
        print: bool,
        /// Of another system.
        platform: Option<Platform>,
    },
    /// Have it run no more.
    Uninstall,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Both.
    Restart,
    /// Show whether it runs.
    Status,
    /// Show what it wrote.
    Logs,
}

/// What to do, and with which service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ServiceOptions {
    pub(crate) action: Action,
    pub(crate) scope: Scope,
    pub(crate) name: String,
}

/// Does it. Returns what is to be printed.
///
/// # Errors
/// A file cannot be written, or what starts services refuses.
pub(crate) fn run(options: ServiceOptions) -> Result<Option<String>, ExitError> {
    let ServiceOptions { action, scope, name } = options;
    match action {
        Action::Install { command, writes, print: true, platform } => {
            let definition = Definition::here(scope, name, command, &writes)?;
            return Ok(Some(text(&definition, platform.unwrap_or(Platform::own()))));
        }
        Action::Install { command, writes, .. } => {
            let definition = Definition::here(scope, name, command, &writes)?;
            install::install(&definition, &text(&definition, Platform::own()))?;
        }
        Action::Uninstall => install::uninstall(scope, &name)?,
        action => install::ask(&action, scope, &name)?,
    }
    Ok(None)
}

/// The definition as a file.
fn text(definition: &Definition, platform: Platform) -> String {
    match platform {
        Platform::Systemd => systemd::unit(definition),
        Platform::Launchd => launchd::property_list(definition),
        Platform::Windows => task_scheduler::task(definition),
    }
}
