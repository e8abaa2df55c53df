//! `logs`: what a person types to read the log files.

use std::time::Duration;

use clap::Args;

use super::config::SettingsArgs;
use super::share::duration;
use crate::config::load_or_default;
use crate::exit::{Exit, ExitError};
use crate::logs::LogOptions;
use crate::report::log_paths;

const AFTER: &str = "\
Examples:
    hvym-tunnel logs                       the last lines
    hvym-tunnel logs --since 1h
    hvym-tunnel logs -f                    and what is added from now on
    hvym-tunnel logs --api-log             who asked the control API

up and manager write the files agent.log and api.log in your state folder
(~/.local/state/hvym-tunnel), or where the section [log] of the settings says:
10 MB each, and five full ones. Under systemd its journal has them instead
(hvym-tunnel service logs), unless [log] names a folder.";

/// Show what up and manager have logged
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(crate) struct LogsArgs {
    /// Go on with what is added
    #[arg(short, long, env = "HVYM_TUNNEL_FOLLOW", hide_env = true)]
    follow: bool,
    /// Show all of this time: 90s, 30m, 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = duration, env = "HVYM_TUNNEL_SINCE", hide_env = true)]
    since: Option<Duration>,
    /// Show so many lines at most, the latest
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 200,
        default_value_if("since", clap::builder::ArgPredicate::IsPresent, "1000000"),
        env = "HVYM_TUNNEL_LINES",
        hide_env = true
    )]
    lines: usize,
    /// Show the file of the control API
    #[arg(long, env = "HVYM_TUNNEL_API_LOG", hide_env = true)]
    api_log: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl LogsArgs {
    /// Which file, and how much of it.
    ///
    /// # Errors
    /// Everything that is wrong with the settings, or there is no folder for logs.
    pub(crate) fn options(self) -> Result<LogOptions, ExitError> {
        let (path, overrides) = (self.settings.path()?, self.settings.overrides());
        let loaded = load_or_default(&path, self.settings.config.is_some(), &overrides)?;
        let [agent, api] = log_paths(&loaded.settings).map_err(|error| {
            ExitError::new(Exit::Config, error.to_string()).with_hint("name a folder in the section [log]")
        })?;
        Ok(LogOptions {
            path: if self.api_log { api } else { agent },
            full_files: loaded.settings.log.max_files.get(),
            since: self.since,
            lines: self.lines,
            follow: self.follow,
        })
    }
}
