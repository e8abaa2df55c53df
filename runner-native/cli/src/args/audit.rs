//! Where the audit log of a relay goes.

use std::path::PathBuf;

use clap::Args;

/// Where the audit log goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct AuditArgs {
    /// Write the audit log to this file, one JSON object per line, instead of among the other reports
    ///
    /// It says who was refused, taken over, banned or given a port, and why. Without it, these are lines on standard error, or events
    /// "audit" with --json. The file is only for its owner, is added to, and is opened anew on SIGHUP.
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_AUDIT_FILE", hide_env = true)]
    pub(crate) audit_file: Option<PathBuf>,
}
