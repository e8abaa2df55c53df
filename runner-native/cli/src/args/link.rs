//! What a person types about an agent's link to its relay; for every command that has one.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hvym_tunnel_core::stellar::Address;

use super::seconds;
use hvym_tunnel_agent::settings::{Auth, Keepalive, LinkSettings, RetrySettings};
use hvym_tunnel_net::target::RelayUrl;

/// The link of an agent to its relay.
#[derive(Args, Debug)]
pub(super) struct LinkArgs {
    #[command(flatten)]
    relay: DialArgs,
    #[command(flatten)]
    retry: RetryArgs,
    #[command(flatten)]
    keepalive: KeepaliveArgs,
}

impl LinkArgs {
    /// What was typed, not checked yet.
    pub(super) fn options(self) -> LinkSettings {
        LinkSettings {
            relay: self.relay.relay,
            relay_address: self.relay.relay_address,
            relay_ca: self.relay.relay_ca,
            plain_relay: self.relay.plain_relay,
            auth: match self.relay.auth {
                AuthArg::Challenge => Auth::Challenge,
                AuthArg::Bearer => Auth::Bearer,
            },
            retry: RetrySettings {
                again: !self.retry.no_retry,
                give_up_after: self.retry.timeout,
                initial: self.retry.backoff_initial,
                max: self.retry.backoff_max,
            },
            keepalive: self.keepalive.keepalive(),
        }
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Relay")]
struct DialArgs {
    /// The relay to connect to: a host name, wss://host:port or ws://localhost:4896
    ///
    /// Without it the agent starts a relay of its own, which only this machine can visit.
    #[arg(long, value_name = "URL", env = "HVYM_TUNNEL_RELAY", hide_env = true)]
    relay: Option<RelayUrl>,
    /// The address of that relay; no other is believed
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "relay",
        env = "HVYM_TUNNEL_RELAY_ADDRESS",
        hide_env = true
    )]
    relay_address: Option<Address>,
    /// Trust this certificate authority (PEM) beside the public ones
    #[arg(long, value_name = "FILE", requires = "relay", env = "HVYM_TUNNEL_RELAY_CA", hide_env = true)]
    relay_ca: Option<PathBuf>,
    /// Allow ws:// to another machine, where everything can be read on the way
    #[arg(long, env = "HVYM_TUNNEL_PLAIN_RELAY", hide_env = true)]
    plain_relay: bool,
    /// How to prove who you are; bearer needs --relay-address
    #[arg(long, value_enum, default_value = "challenge", env = "HVYM_TUNNEL_AUTH", hide_env = true)]
    auth: AuthArg,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum AuthArg {
    /// Sign what the relay asks
    Challenge,
    /// Send a token along, which saves a round trip
    Bearer,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "When the relay is away")]
struct RetryArgs {
    /// Stop (exit 6) instead of connecting again
    #[arg(long, env = "HVYM_TUNNEL_NO_RETRY", hide_env = true)]
    no_retry: bool,
    /// Stop (exit 6) when the relay has been out of reach for this long
    #[arg(long, value_name = "SECS", value_parser = seconds, env = "HVYM_TUNNEL_TIMEOUT", hide_env = true)]
    timeout: Option<Duration>,
    /// Wait up to this long before the second attempt; it doubles from there
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "1", env = "HVYM_TUNNEL_BACKOFF_INITIAL", hide_env = true)]
    backoff_initial: Duration,
    /// Never wait longer than this
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "60", env = "HVYM_TUNNEL_BACKOFF_MAX", hide_env = true)]
    backoff_max: Duration,
}

/// When a silent link is dead; for both sides.
#[derive(Args, Debug)]
#[command(next_help_heading = "Links")]
pub(crate) struct KeepaliveArgs {
    /// Ask for a sign of life after this long without one
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "10", env = "HVYM_TUNNEL_PING_INTERVAL", hide_env = true)]
    ping_interval: Duration,
    /// Give the link up after this much longer
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "5", env = "HVYM_TUNNEL_PING_TIMEOUT", hide_env = true)]
    ping_timeout: Duration,
}

impl KeepaliveArgs {
    pub(crate) fn keepalive(&self) -> Keepalive {
        Keepalive { interval: self.ping_interval, timeout: self.ping_timeout }
    }
}
