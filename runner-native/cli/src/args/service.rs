//! `service`: what a person types to have this program started by the system.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Cli;
use crate::exit::{Exit, ExitError};
use crate::service::{Action, Platform, Scope, ServiceOptions};

/// Have the system start this program, and start it again when it fails
///
/// On Linux it is a unit of systemd, on macOS an agent or daemon of launchd, on Windows a scheduled task.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel service install -- expose 3000 --relay tunnel.example
    hvym-tunnel service install --print -- relay --domain tunnel.example --open
    hvym-tunnel service status
    hvym-tunnel service logs
    hvym-tunnel service uninstall

Without a command it is up, which starts what the settings file says. A service
of a user runs while that user is logged in; loginctl enable-linger has it run
from the start of the system on.")]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    action: ServiceAction,
    /// For this user alone; the default unless you are root
    #[arg(long, global = true, conflicts_with = "system", env = "HVYM_TUNNEL_USER", hide_env = true)]
    user: bool,
    /// For the whole system, from its start on
    #[arg(long, global = true, env = "HVYM_TUNNEL_SYSTEM", hide_env = true)]
    system: bool,
    /// What the service is called, to have several
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "hvym-tunnel",
        value_parser = unit_name,
        env = "HVYM_TUNNEL_UNIT",
        hide_env = true
    )]
    unit: String,
}

#[derive(Subcommand, Debug)]
enum ServiceAction {
    /// Write the definition, and start the service now and from now on
    Install {
        /// Write the definition to standard output, and change nothing
        #[arg(long, env = "HVYM_TUNNEL_PRINT", hide_env = true)]
        print: bool,
        /// With --print: of another system than this one
        #[arg(long, value_enum, requires = "print", env = "HVYM_TUNNEL_PLATFORM", hide_env = true)]
        platform: Option<Platform>,
        /// The command that the service runs, after --
        #[arg(last = true, value_name = "COMMAND", default_values = ["up"])]
        command: Vec<String>,
    },
    /// Stop the service, and remove the definition
    Uninstall,
    /// Start it
    Start,
    /// Stop it
    Stop,
    /// Stop it and start it again
    Restart,
    /// Show whether it runs
    Status,
    /// Show what it wrote last
    Logs,
}

/// A name that is one in all three systems.
fn unit_name(text: &str) -> Result<String, &'static str> {
    let is_name = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !text.starts_with('-');
    if is_name { Ok(text.to_owned()) } else { Err("a name has letters, digits, - and _, at most 64") }
}

impl ServiceArgs {
    /// Checked options.
    ///
    /// # Errors
    /// The command is none that runs.
    pub(crate) fn options(self) -> Result<ServiceOptions, ExitError> {
        let scope = match (self.user, self.system) {
            (_, true) => Scope::System,
            (false, false) if is_root() => Scope::System,
            _ => Scope::User,
        };
        let action = match self.action {
            ServiceAction::Install { print, platform, command } => {
                let writes = check(&command)?;
                Action::Install { command, writes, print, platform }
            }
            ServiceAction::Uninstall => Action::Uninstall,
            ServiceAction::Start => Action::Start,
            ServiceAction::Stop => Action::Stop,
            ServiceAction::Restart => Action::Restart,
            ServiceAction::Status => Action::Status,
            ServiceAction::Logs => Action::Logs,
        };
        Ok(ServiceOptions { action, scope, name: self.unit })
    }
}

/// The files that the command writes where it is told to. A service whose command line is wrong would be started again and again.
fn check(command: &[String]) -> Result<Vec<PathBuf>, ExitError> {
    const RUNS: [&str; 5] = ["up", "manager", "expose", "forward", "relay"];
    let refused = |message: String| {
        ExitError::new(Exit::Usage, message)
            .with_hint("for example: hvym-tunnel service install -- expose 3000 --relay tunnel.example")
    };
    let name = command.first().map(String::as_str).unwrap_or_default();
    if !RUNS.contains(&name) {
        return Err(refused(format!("a service runs one of {}, not {name:?}", RUNS.join(", "))));
    }
    let line = ["hvym-tunnel"].into_iter().chain(command.iter().map(String::as_str)).map(OsString::from);
    let first_line = |error: clap::Error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    };
    let understood = Cli::parse_line(line.collect()).map_err(|error| refused(first_line(error)))?;
    Ok(understood.written_files().map(Path::to_owned).collect())
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
