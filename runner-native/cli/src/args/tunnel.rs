//! `tunnel`: what a person types to look after the tunnels of a relay.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use hvym_tunnel_net::secret::Secret;
use hvym_tunnel_net::target::RelayUrl;

use crate::exit::{EXIT_CODES, Exit, ExitError};

const AFTER: &str = "\
Examples:
    hvym-tunnel tunnel create shop --server https://tunnel.example \\
        --api-key-file key.txt
    hvym-tunnel tunnel list
    hvym-tunnel tunnel disable shop
    hvym-tunnel tunnel logs shop --limit 20

The key is the admin_key of the relay's configuration file, or the token of a
login service that the relay trusts, which sees the tunnels of its own.";

/// How long a relay may take to answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Create and change the tunnels of a relay, for agents with a token
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct TunnelArgs {
    #[command(subcommand)]
    pub(crate) command: TunnelCommand,
    /// The relay
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://localhost:4896",
        env = "HVYM_TUNNEL_SERVER",
        hide_env = true
    )]
    pub(crate) server: RelayUrl,
    /// File that holds the key, readable by you alone
    ///
    /// Without it: the key in the variable HVYM_TUNNEL_API_KEY.
    #[arg(long, global = true, value_name = "FILE", env = "HVYM_TUNNEL_API_KEY_FILE", hide_env = true)]
    api_key_file: Option<PathBuf>,
    /// Trust the authorities of this file, PEM, in place of those of the system
    #[arg(long, global = true, value_name = "FILE", env = "HVYM_TUNNEL_RELAY_CA", hide_env = true)]
    pub(crate) relay_ca: Option<PathBuf>,
    /// Send the key over http:// to another machine, where everybody on the way can read it
    #[arg(long, global = true, env = "HVYM_TUNNEL_PLAIN_RELAY", hide_env = true)]
    pub(crate) plain_relay: bool,
    /// Write the relay's JSON in place of text
    #[arg(long, global = true, env = "HVYM_TUNNEL_JSON", hide_env = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum TunnelCommand {
    /// Create a tunnel, and show its token, once
    Create {
        /// Its name: the label in front of the relay's domain
        domain: String,
        #[command(flatten)]
        texts: Texts,
    },
    /// List the tunnels
    List,
    /// Show a tunnel
    Show {
        /// Its name
        domain: String,
    },
    /// Change what is said of a tunnel, or whether its requests are logged
    Update {
        /// Its name
        domain: String,
        #[command(flatten)]
        texts: Texts,
        /// Log the requests of its visitors, on or off
        #[arg(long, value_name = "SWITCH", env = "HVYM_TUNNEL_LOG_REQUESTS", hide_env = true)]
        log_requests: Option<Switch>,
    },
    /// Let the agent of a tunnel in again
    Enable {
        /// Its name
        domain: String,
    },
    /// End the session of a tunnel's agent, and let it in no more
    Disable {
        /// Its name
        domain: String,
    },
    /// Give a tunnel another token, and show it, once: the agent with the earlier one is cut off
    Rotate {
        /// Its name
        domain: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Delete a tunnel and the log of its requests
    Delete {
        /// Its name
        domain: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Show the latest requests of a tunnel's visitors
    Logs {
        /// Its name
        domain: String,
        /// How many
        #[arg(long, value_name = "NUMBER", default_value_t = 50, env = "HVYM_TUNNEL_LIMIT", hide_env = true)]
        limit: u32,
        /// How many of the latest to leave out
        #[arg(long, value_name = "NUMBER", default_value_t = 0, env = "HVYM_TUNNEL_OFFSET", hide_env = true)]
        offset: u32,
    },
}

/// Whether something is to be.
#[derive(clap::ValueEnum, Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Switch {
    On,
    Off,
}

/// Texts for people.
#[derive(Args, Debug)]
pub(crate) struct Texts {
    /// A title, 100 characters at most
    #[arg(long, value_name = "TEXT", env = "HVYM_TUNNEL_NAME", hide_env = true)]
    pub(crate) name: Option<String>,
    /// A description, 1000 characters at most
    #[arg(long, value_name = "TEXT", env = "HVYM_TUNNEL_DESCRIPTION", hide_env = true)]
    pub(crate) description: Option<String>,
}

/// Whether a person was asked.
#[derive(Args, Debug)]
pub(crate) struct Consent {
    /// Do not ask
    #[arg(long, env = "HVYM_TUNNEL_YES", hide_env = true)]
    pub(crate) yes: bool,
}

impl TunnelArgs {
    /// The key.
    ///
    /// # Errors
    /// There is none, or its file cannot be used.
    pub(crate) fn key(&self) -> Result<Secret, ExitError> {
        let wrong = |message: String| ExitError::new(Exit::Config, message);
        let secret = match &self.api_key_file {
            Some(file) => Secret::from_file(file).map_err(|error| wrong(error.to_string()))?,
            None => match std::env::var("HVYM_TUNNEL_API_KEY") {
                Ok(key) if !key.is_empty() => Secret::from(&*key),
                _ => {
                    return Err(wrong("no key is given".to_owned())
                        .with_hint("name its file with --api-key-file, or set HVYM_TUNNEL_API_KEY"));
                }
            },
        };
        // It stands in a field of a request.
        if !secret.bytes().iter().all(u8::is_ascii_graphic) {
            return Err(wrong("a key has only visible ASCII characters".to_owned()));
        }
        Ok(secret)
    }
}
