//! What the operator of a relay decides and reads: who may be an agent, where commands come from, and where the audit log goes.

use std::path::PathBuf;

use clap::Args;
use hvym_tunnel_relay::config::{AccessSettings, AdminSettings, StateSettings};

/// The operator's part of the options of a relay.
#[derive(Args, Debug)]
pub(crate) struct OperatorArgs {
    #[command(flatten)]
    pub(crate) access: AccessSettings,
    #[command(flatten)]
    pub(crate) state: StateSettings,
    #[command(flatten)]
    pub(crate) admin: AdminSettings,
    /// Write the audit log to this file, one JSON object per line, instead of among the other reports
    ///
    /// It says who was refused, taken over, banned or given a port, and why. Without it, these are lines on standard error, or events
    /// "audit" with --json. The file is only for its owner, is added to, and is opened anew on SIGHUP.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Output",
        env = "HVYM_TUNNEL_AUDIT_FILE",
        hide_env = true
    )]
    pub(crate) audit_file: Option<PathBuf>,
}
