//! The agent on this machine: from checked options to a running [`Exposure`], and to its end.
//!
//! The link, the login and the way back after a loss are the core's; here are sockets, signals and local services.

mod answer;
mod drain;
mod embedded;
mod exposure;
mod rehost;
mod serve;
mod standing;
mod surroundings;
mod upstream;

use std::time::Duration;

use hvym_tunnel_core::agent::{Agent, AgentConfig};
use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::dialect::{Proto, Service};
use hvym_tunnel_core::handshake::{AgentLogin, AuthMode};
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::stellar::Address;

use crate::cli::exit::{Exit, Failure};
use crate::cli::report::{Report, Reporter};
use crate::cli::signals::StopSignals;
use crate::config::{Auth, ExposeOptions};
use crate::io::clock::{self, Clock};
use crate::io::socket::DialOptions;
use crate::io::tls::Trust;
use crate::key::Identity;
use embedded::Place;
use exposure::Exposure;
use serve::Services;
use standing::Standing;

/// How long a token is good for. It is used within seconds, but clocks differ, and the systems this one replaces
/// give as much.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// Exposes local services until a person, or the relay, ends it.
///
/// # Errors
/// Why it ended, unless a person asked for it after visitors could come.
pub(crate) async fn run(
    identity: Identity,
    options: ExposeOptions,
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), Failure> {
    let clock = Clock::new();
    let services = Services::new(&options.bindings, options.host_header.clone(), reporter.clone(), clock);
    if options.require_upstream {
        services.require().await.map_err(|error| {
            Failure::new(Exit::UpstreamUnreachable, error.to_string())
                .with_hint("start it first, or leave out --require-upstream")
        })?;
    }
    let dial_options = dial_options(&options)?;
    let (place, own) = match &options.relay {
        Some(url) => (Place { url: url.clone(), address: options.relay_address }, None),
        None => {
            let own = embedded::start(options.keepalive)?;
            let place = Place::of(&own);
            reporter.tell(&Report::OwnRelay { relay: place.url.to_string() });
            (place, Some(own))
        }
    };
    let config = agent_config(identity.address(), &place, &options);
    let agent = Agent::new(config, clock.wall(), clock::seed(), clock.now());
    let standing = Standing::new(
        reporter.clone(),
        identity.address(),
        place.url.to_string(),
        options.bindings,
        options.retry,
        clock.now(),
    );
    let exposure = Exposure::new(identity, agent, services, standing, reporter.clone(), dial_options);
    let outcome = exposure.run(signals).await;
    if let Some(own) = own {
        own.stop().await;
    }
    outcome?;
    reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
    Ok(())
}

fn dial_options(options: &ExposeOptions) -> Result<DialOptions, Failure> {
    let trust = match &options.relay_ca {
        None => Trust::Verify,
        Some(path) => Trust::with_authorities(path).map_err(|error| {
            Failure::new(Exit::Config, format!("cannot use {}: {error}", path.display()))
                .with_hint("--relay-ca names a PEM file with the certificate of an authority")
        })?,
    };
    Ok(DialOptions { allow_plaintext: options.plain_relay, trust })
}

fn agent_config(identity: Address, place: &Place, options: &ExposeOptions) -> AgentConfig {
    let service = |binding: &crate::target::Binding| Service {
        name: binding.service.as_str().to_owned(),
        proto: Proto::Http,
        local_port: Some(binding.target.port),
        public: true,
    };
    let relay = &place.url;
    let scheme = if relay.tls { "wss" } else { "ws" };
    AgentConfig {
        relay: format!("{scheme}://{}{}", relay.authority(), relay.path),
        login: AgentLogin {
            identity,
            relay_address: place.address,
            services: Vec::new(),
            token_lifetime: TOKEN_LIFETIME,
            mode: match options.auth {
                Auth::Challenge => AuthMode::Challenge,
                Auth::Bearer => AuthMode::Bearer,
            },
        },
        services: options.bindings.iter().map(service).collect(),
        link: LinkConfig {
            keepalive: KeepaliveConfig {
                ping_interval: options.keepalive.interval,
                ping_timeout: options.keepalive.timeout,
            },
            mux: MuxConfig::agent(),
        },
        backoff: BackoffConfig {
            initial: options.retry.initial,
            max: options.retry.max,
            ..BackoffConfig::default()
        },
    }
}
