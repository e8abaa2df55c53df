//! `expose`: what a person types to give local services an address.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hvym_tunnel_core::stellar::Address;

use super::exit::{EXIT_CODES, Failure};
use super::identity::{Role, SourceArgs};
use super::{Output, seconds};
use crate::config::{Auth, ExposeOptions, Keepalive, Retry};
use crate::key::Source;
use crate::target::{Binding, RelayUrl, ServiceName, Target};

const AFTER: &str = "\
Examples:
    hvym-tunnel expose 3000
    hvym-tunnel expose 3000 --relay tunnel.example --relay-address GRELAY...
    hvym-tunnel expose https+insecure://localhost:8443 --service api
    hvym-tunnel expose 3000 --bind api=3001 --bind docs=docs.internal:80
    hvym-tunnel expose 3000 --url-file url.txt --json | tee events.jsonl

The URL stands alone on the first line of standard output. Ctrl-C once finishes
what is under way (10 s at most), twice stops at once. Every option --so-named
can be set by a variable HVYM_TUNNEL_SO_NAMED.";

/// Give a service on this machine a public address
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct ExposeArgs {
    /// What to expose: 3000, host:3000, https://host, unix:/path, ./folder, h2c:// or tcp://host:port
    ///
    /// http:// is what a place without a scheme means, and a bare port is on localhost. https+insecure:// takes any
    /// certificate. unix: is HTTP over a Unix socket. Of a folder the files are served. h2c:// is HTTP/2 without TLS,
    /// as gRPC needs it. tcp:// is anything else.
    target: Target,
    /// The name of the service
    ///
    /// It is reached at the bare address, and under this name before it.
    #[arg(long, value_name = "NAME", default_value = "web", env = "HVYM_TUNNEL_SERVICE", hide_env = true)]
    service: ServiceName,
    /// Expose one more service under its own name; repeat for more
    #[arg(
        long,
        value_name = "NAME=TARGET",
        value_delimiter = ',',
        env = "HVYM_TUNNEL_BIND",
        hide_env = true
    )]
    bind: Vec<Binding>,
    /// Send services this Host, for those that refuse the public name; often localhost:PORT
    #[arg(long, value_name = "HOST", value_parser = host, env = "HVYM_TUNNEL_HOST_HEADER", hide_env = true)]
    host_header: Option<String>,
    /// Stop (exit 7) if nothing listens at a target at the start
    #[arg(long, env = "HVYM_TUNNEL_REQUIRE_UPSTREAM", hide_env = true)]
    require_upstream: bool,
    #[command(flatten)]
    relay: DialArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    retry: RetryArgs,
    #[command(flatten)]
    keepalive: KeepaliveArgs,
    #[command(flatten)]
    pub(crate) output: Output,
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

impl ExposeArgs {
    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, ExposeOptions), Failure> {
        let source = self.source.source(Role::Agent);
        let first = Binding { service: self.service, target: self.target };
        let options = ExposeOptions {
            relay: self.relay.relay,
            relay_address: self.relay.relay_address,
            relay_ca: self.relay.relay_ca,
            plain_relay: self.relay.plain_relay,
            auth: match self.relay.auth {
                AuthArg::Challenge => Auth::Challenge,
                AuthArg::Bearer => Auth::Bearer,
            },
            bindings: std::iter::once(first).chain(self.bind).collect(),
            host_header: self.host_header,
            require_upstream: self.require_upstream,
            retry: Retry {
                again: !self.retry.no_retry,
                give_up_after: self.retry.timeout,
                initial: self.retry.backoff_initial,
                max: self.retry.backoff_max,
            },
            keepalive: self.keepalive.keepalive(),
        };
        options.check()?;
        Ok((source, options))
    }
}

/// A value of the `Host` field (RFC 9110 section 7.2), no more: what else could be sent with it would be another field.
fn host(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    match text {
        "" => Err("a host is needed, as in localhost:3000".to_owned()),
        text if text.bytes().all(allowed) => Ok(text.to_owned()),
        _ => Err("a host has only letters, digits, - . _ : and brackets".to_owned()),
    }
}
