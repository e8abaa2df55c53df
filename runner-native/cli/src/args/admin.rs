//! `admin`: commands for a relay that runs on this machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::config;
use hvym_tunnel_relay::config::CONTROL_SOCKET;

use crate::exit::{EXIT_CODES, ExitError};

/// List, end and ban the agents of a relay on this machine
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct AdminArgs {
    /// The control socket of the relay; without it, control.sock in the state folder
    #[arg(long, global = true, value_name = "FILE", env = "HVYM_TUNNEL_CONTROL", hide_env = true)]
    control: Option<PathBuf>,
    /// The state folder of the relay; without it, the folder relay of your settings
    #[arg(long, global = true, value_name = "FOLDER", env = "HVYM_TUNNEL_STATE_DIR", hide_env = true)]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

const AFTER: &str = "\
Examples:
    hvym-tunnel admin agents
    hvym-tunnel admin kick G... --reason \"too much traffic\"
    hvym-tunnel admin ban G... --for 1h --reason spam

An answer is one JSON object. The same can be sent to the socket: see
docs/PROTOCOL.md, \"The control socket\".";

/// What the relay is to do.
#[derive(Subcommand, Debug)]
pub(crate) enum AdminCommand {
    /// Who is logged in, since when, and with which services
    Agents,
    /// End the sessions of an agent, which may log in again
    Kick {
        /// Its address, or the name of an agent that has a token
        agent: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// End the sessions of an agent, and refuse its logins from now on
    Ban {
        /// Its address
        agent: Address,
        /// How long, as in 90s, 15m, 1h or 7d; without it, for ever
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        period: Option<Duration>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Lift a ban
    Unban {
        /// Its address
        agent: Address,
    },
    /// Who is banned, until when, and why
    Bans,
    /// Read certificates, keys and lists of agents again
    Reload,
}

/// Why.
#[derive(Args, Debug)]
pub(crate) struct Reason {
    /// Why, for the agent's owner; 100 characters at most
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

impl AdminArgs {
    /// Where the relay listens for commands.
    ///
    /// # Errors
    /// There is no home folder to look in.
    pub(crate) fn socket(&self) -> Result<PathBuf, ExitError> {
        match &self.control {
            Some(control) => Ok(control.clone()),
            None => Ok(state_dir(self.state_dir.clone())?.join(CONTROL_SOCKET)),
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
