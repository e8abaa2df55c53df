//! What `expose` says about other agents of the same identity.

use clap::{Args, ValueEnum};
use hvym_tunnel_agent::OnConflict;

#[derive(Args, Debug)]
#[command(next_help_heading = "Other agents with your identity")]
pub(crate) struct SessionArgs {
    /// What to do when another agent of yours serves a service of the same name
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "MODE",
        env = "HVYM_TUNNEL_ON_CONFLICT",
        hide_env = true
    )]
    on_conflict: ConflictMode,
    /// Tell the relay, and agents whose services this one takes over, its host name and process id
    #[arg(long, env = "HVYM_TUNNEL_TELL_PROCESS", hide_env = true)]
    tell_process: bool,
}

/// What becomes of a service that another agent of the identity serves.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug, ValueEnum)]
enum ConflictMode {
    /// Serve it instead; the other one is told, and ends (exit 5) when it has no other service
    #[default]
    Takeover,
    /// Leave it to the other one, and end (exit 5)
    Reject,
    /// Share its visitors with all that say so too; one that ends loses nothing that can be asked again
    Pool,
    /// Wait, and take its place at once when it ends; the other one has to say so too
    Standby,
}

impl From<ConflictMode> for OnConflict {
    fn from(mode: ConflictMode) -> Self {
        match mode {
            ConflictMode::Takeover => OnConflict::Takeover,
            ConflictMode::Reject => OnConflict::Reject,
            ConflictMode::Pool => OnConflict::Pool,
            ConflictMode::Standby => OnConflict::Standby,
        }
    }
}

impl SessionArgs {
    /// What becomes of each service.
    pub(crate) fn on_conflict(&self) -> OnConflict {
        self.on_conflict.into()
    }

    /// What others may know of this process.
    pub(crate) fn label(&self) -> Option<String> {
        self.tell_process.then(|| format!("{}, process {}", host_name(), std::process::id()))
    }
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "a computer".to_owned())
}
