//! `admin`: commands for a relay that runs, on this machine or elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use hvym_tunnel_net::config;
use hvym_tunnel_net::secret::Secret;
use hvym_tunnel_relay::config::CONTROL_SOCKET;

use crate::exit::{EXIT_CODES, Exit, ExitError};
use crate::relay_client::RelayPlace;

/// Watch and manage a relay that runs: agents, services, names, bans, limits
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct AdminArgs {
    /// The control socket of the relay; without it, control.sock in the state folder
    #[arg(long, global = true, value_name = "FILE", env = "HVYM_TUNNEL_CONTROL", hide_env = true)]
    control: Option<PathBuf>,
    /// The state folder of the relay; without it, the folder relay of your settings
    #[arg(long, global = true, value_name = "FOLDER", env = "HVYM_TUNNEL_STATE_DIR", hide_env = true)]
    state_dir: Option<PathBuf>,
    /// A relay elsewhere, as tunnel.example (by https), or the address of its --admin-listen; the key is needed then
    #[arg(long, global = true, value_name = "URL", env = "HVYM_TUNNEL_RELAY", hide_env = true)]
    relay: Option<String>,
    /// The file with the operator's key, for --relay
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "relay",
        env = "HVYM_TUNNEL_KEY_FILE",
        hide_env = true
    )]
    key_file: Option<PathBuf>,
    /// Write what the relay answers as JSON
    #[arg(long, global = true, env = "HVYM_TUNNEL_JSON", hide_env = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

const AFTER: &str = "\
Examples:
    hvym-tunnel admin agents
    hvym-tunnel admin kick G... --reason \"too much traffic\"
    hvym-tunnel admin ban 192.0.2.0/24 --for 1h --reason spam
    hvym-tunnel admin sessions --json
    hvym-tunnel admin status --relay https://tunnel.example --key-file key

The same is done by HTTP at the relay's socket: see docs/PROTOCOL.md, \"The
management API\".";

/// What the relay is to do.
#[derive(Subcommand, Debug)]
pub(crate) enum AdminCommand {
    /// The relay and its counters
    Status,
    /// Who is logged in, since when, and with which services
    Agents,
    /// The sessions of agents, and what they carried
    Sessions,
    /// The services, and where they are reached
    Services,
    /// Names beside those made of addresses, and who has them
    Names,
    /// The relays of the domain, and who is at each
    Relays,
    /// End the sessions of an agent, which may log in again
    Kick {
        /// Its address, or the name of an agent that has a token
        #[arg(required_unless_present = "session", conflicts_with = "session")]
        agent: Option<String>,
        /// One session, by its number, and not all of an agent
        #[arg(long, value_name = "ID", env = "HVYM_TUNNEL_SESSION", hide_env = true)]
        session: Option<u64>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Refuse an agent's logins, or all agents and visitors of a network, and end their sessions
    Ban {
        /// An address G..., an IP address, or a network as 192.0.2.0/24
        subject: String,
        /// How long, as in 90s, 15m, 1h or 7d; without it, for ever
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        period: Option<Duration>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Lift a ban
    Unban {
        /// Whose, as it was banned
        subject: String,
    },
    /// Who is banned, until when, and why
    Bans,
    /// The limits, and how much of them is used
    Limits,
    /// The options, without secrets
    Config,
    /// The latest records of the audit log
    Audit {
        /// How many, the newest first
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=256), env = "HVYM_TUNNEL_LIMIT", hide_env = true)]
        limit: u16,
    },
    /// Metrics in Prometheus' text format
    Metrics,
    /// Read the config file, certificates, keys and lists of agents again, and say what is wrong with them (exit 3)
    Reload,
    /// Take nothing new, and end when what is under way is over
    Drain {
        /// How long that may take, as in 90s or 15m; without it, 10s
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        period: Option<Duration>,
    },
}

/// Why.
#[derive(Args, Debug)]
pub(crate) struct Reason {
    /// Why, for the agent's owner; 100 characters at most
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

impl AdminArgs {
    /// Where the relay listens for its operator.
    ///
    /// # Errors
    /// There is no home folder to look in, the URL is none, or the key cannot be read.
    pub(crate) fn place(&self) -> Result<RelayPlace, ExitError> {
        if let Some(url) = &self.relay {
            let key = self.key_file.as_deref().map(Secret::from_file).transpose();
            let key = key.map_err(|error| ExitError::new(Exit::Config, error.to_string()))?;
            return RelayPlace::parse(url, key);
        }
        match &self.control {
            Some(control) => Ok(RelayPlace::Socket(control.clone())),
            None => Ok(RelayPlace::Socket(state_dir(self.state_dir.clone())?.join(CONTROL_SOCKET))),
        }
    }
}

/// The state folder, which is in the settings folder if no other is named.
///
/// # Errors
/// There is no home folder.
pub(crate) fn state_dir(named: Option<PathBuf>) -> Result<PathBuf, config::NoHome> {
    named.map_or_else(|| config::folder().map(|folder| folder.join("relay")), Ok)
}

/// A whole number with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    /// Ten years; whoever means longer means for ever.
    const MOST: u64 = 3653 * 86_400;
    let wrong = || "a number and its unit are needed, as in 90s, 15m, 1h or 7d, at most ten years".to_owned();
    let at = text.len() - text.chars().next_back().map_or(0, char::len_utf8);
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    let seconds = number.and_then(|number| number.checked_mul(unit)).filter(|seconds| *seconds <= MOST);
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_bounded() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800), ("3653d", 315_619_200)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "1", "h", "0s", "-1s", "1.5h", "1w", "3654d", "99999999999999999999d", "1\u{e9}"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
