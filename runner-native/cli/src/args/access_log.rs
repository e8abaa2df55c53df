//! The access log of a relay, as a person asks for it.

use std::path::PathBuf;

use clap::Args;
use hvym_tunnel_relay::AccessLogFormat;

/// Where requests are noted, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct AccessLogArgs {
    /// Note each request of visitors in this file, or on standard output with -
    ///
    /// A line says who came, for what, the status, the bytes and the seconds; no query and no credential. The file is only for its
    /// owner, is added to, and is opened anew on SIGHUP. Lines that come too fast for the disk, or that it does not take, are left out and counted.
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_ACCESS_LOG", hide_env = true)]
    pub(crate) access_log: Option<PathBuf>,
    /// What a line of the access log looks like
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "HVYM_TUNNEL_ACCESS_LOG_FORMAT",
        hide_env = true
    )]
    pub(crate) access_log_format: AccessLogFormat,
    /// Note the query of a request too, which often holds what nobody else may know
    #[arg(long, env = "HVYM_TUNNEL_ACCESS_LOG_QUERY", hide_env = true)]
    pub(crate) access_log_query: bool,
}
