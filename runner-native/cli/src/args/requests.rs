//! `requests`: what a person types to see the requests of a running agent without a browser.

use clap::{Args, Subcommand};
use hvym_tunnel_inspector::DEFAULT_PORT;

use crate::exit::EXIT_CODES;

const AFTER: &str = "\
Examples:
    hvym-tunnel requests
    hvym-tunnel requests --follow
    hvym-tunnel requests show 12
    hvym-tunnel requests replay 12
    hvym-tunnel requests curl 12
    hvym-tunnel requests har > requests.har

The agent must run with its inspector, which it has on a terminal or by
--inspect.";

/// Show the requests of an agent on this machine, and send them again
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct RequestsArgs {
    /// Where the inspector of the agent is: a port, or HOST:PORT
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        default_value_t = DEFAULT_PORT.to_string(),
        env = "HVYM_TUNNEL_INSPECTOR",
        hide_env = true
    )]
    pub(crate) inspector: String,
    /// Go on with new requests as they are answered
    #[arg(long, env = "HVYM_TUNNEL_FOLLOW", hide_env = true)]
    pub(crate) follow: bool,
    /// Write JSON instead of text: one object per request
    #[arg(long, global = true, env = "HVYM_TUNNEL_JSON", hide_env = true)]
    pub(crate) json: bool,
    /// Show the secrets in fields such as Authorization and Cookie
    #[arg(long, global = true, env = "HVYM_TUNNEL_REVEAL", hide_env = true)]
    pub(crate) reveal: bool,
    #[command(subcommand)]
    pub(crate) command: Option<RequestsCommand>,
}

/// What to do with them.
#[derive(Subcommand, Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum RequestsCommand {
    /// Show one request and its response whole
    Show {
        /// Its number
        id: u64,
    },
    /// Send one to its service again, and show the number under which that is listed
    Replay {
        /// Its number
        id: u64,
    },
    /// Print one as a command of curl
    Curl {
        /// Its number
        id: u64,
    },
    /// Print all as an HTTP archive, which browsers read
    Har,
    /// Forget all
    Clear,
}
