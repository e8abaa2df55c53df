//! The agent on this machine: from checked options to a running [`Exposure`], and to its end; for `expose` and `forward`.
//!
//! The link, the login and the way back after a loss are the core's; here are sockets, signals and local services.

pub mod account;
mod answer;
mod carry;
pub mod config;
mod drain;
mod exposure;
mod folder;
mod foreign;
mod forward;
mod gate;
mod host_check;
mod http;
mod knock;
mod proxy_protocol;
mod reach;
mod serve;
mod standing;
mod surroundings;
pub mod token;
mod upstream;
mod watched;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hvym_tunnel_core::agent::{Agent, AgentConfig};
use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::dialect::{Proto, Service};
use hvym_tunnel_core::handshake::{AgentLogin, AuthMode};
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::stellar::Address;

use crate::config::{Auth, ConfigError, ExposeOptions, ForeignOptions, ForwardOptions, LinkOptions, System};
use exposure::Exposure;
use foreign::Server;
use hvym_tunnel_net::clock::{self, Clock};
use hvym_tunnel_net::executor::spawn;
use hvym_tunnel_net::exit::{Exit, Failure};
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::proxy::Proxy;
use hvym_tunnel_net::report::{Report, Reporter};
use hvym_tunnel_net::signals::StopSignals;
use hvym_tunnel_net::socket::{self, DialOptions};
use hvym_tunnel_net::target::RelayUrl;
use hvym_tunnel_net::tls::Trust;
use reach::Reach;
use serve::Services;
use standing::{Purpose, Relay, Standing};

/// How long a token is good for. It is used within seconds, but clocks differ, and the systems this one replaces
/// give as much.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// Where a relay is, and who it must be.
pub struct Place {
    /// Where to dial.
    pub url: RelayUrl,
    /// Whom to believe; `None` is whoever answers.
    pub address: Option<Address>,
}

/// Exposes local services at the relay of `place` until a person, or the relay, ends it. `place` is called once the
/// options have been found usable.
///
/// # Errors
/// Why it ended, unless a person asked for it after visitors could come.
pub async fn run(
    identity: Identity,
    options: ExposeOptions,
    place: impl FnOnce() -> Result<Place, Failure>,
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), Failure> {
    let clock = Clock::new();
    let services = Services::new(&options, reporter.clone(), clock)?;
    if options.require_upstream {
        services.require().await.map_err(|error| {
            Failure::new(Exit::UpstreamUnreachable, error.to_string())
                .with_hint("start it first, or leave out --require-upstream")
        })?;
    }
    let place = place()?;
    let private = !options.access.is_public();
    let only_ours = options.for_ours_alone().filter(|_| options.foreign.is_none());
    let purpose = Purpose::Expose { bindings: options.bindings, private };
    let link = Link { options: &options.link, foreign: options.foreign.as_ref(), only_ours };
    let exposure = exposure(identity, link, place, purpose, services, &reporter)?;
    exposure.run(signals).await
}

/// Leads local connections to the service of another identity until a person, or the relay, ends it.
///
/// # Errors
/// Why it ended, unless a person asked for it after connections could come.
pub async fn forward(
    identity: Identity,
    options: ForwardOptions,
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), Failure> {
    let (ForwardOptions { link, to, listen }, own) = (options, identity.address());
    if to.owner == own {
        return Err(ConfigError::OwnService(own).into());
    }
    let url = link.relay.clone().ok_or(ConfigError::NoRelay)?;
    let place = Place { url, address: link.relay_address };
    let (listener, listen) = reach::listen(listen).await?;
    let services = Services::none(reporter.clone(), Clock::new());
    let purpose = Purpose::Forward { to: to.clone(), listen };
    let link = Link { options: &link, foreign: None, only_ours: Some("forward") };
    let exposure = exposure(identity, link, place, purpose, Arc::clone(&services), &reporter)?;
    let told = reporter.clone();
    let reach = Reach { agent: exposure.agent(), own, to, reporter: told, trouble: Mutex::default() };
    let accepting = spawn(reach::accept(reach, listener, services));
    let outcome = exposure.run(signals).await;
    accepting.cancel().await;
    outcome?;
    reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
    Ok(())
}

/// What a run is told about its link.
struct Link<'a> {
    options: &'a LinkOptions,
    /// The login by token, where there is one.
    foreign: Option<&'a ForeignOptions>,
    /// What was asked for and only a relay of ours has.
    only_ours: Option<&'static str>,
}

/// One run, about to dial.
fn exposure(
    identity: Identity,
    link: Link<'_>,
    mut place: Place,
    purpose: Purpose,
    services: Arc<Services>,
    reporter: &Reporter,
) -> Result<Exposure, Failure> {
    let (options, clock, own) = (link.options, Clock::new(), identity.address());
    let mut dial_options = DialOptions { proxy: proxy(&place)?, ..dial_options(options)? };
    if let Some(foreign) = link.foreign {
        if place.url.path == RelayUrl::DEFAULT_PATH {
            foreign.system.path().clone_into(&mut place.url.path);
        }
        if foreign.system == System::CloudLlm {
            let token = socket::bearer(foreign.token.as_str());
            dial_options.token =
                Some(token.map_err(|close| Failure::new(Exit::Refused, close.reason.into_owned()))?);
        }
    }
    let identity = Arc::new(identity);
    let config = agent_config(&identity, &place, &purpose, options);
    let (wall, seed, now) = (clock.wall(), clock::seed(), clock.now());
    let agent = match link.foreign {
        Some(login) => hvym_tunnel_compat::agent(config, foreign::login(login), wall, seed, now),
        None => Agent::new(config, wall, seed, now),
    };
    let proto = purpose.bindings().first().map_or(Proto::Http, |binding| binding.target.proto());
    let server = link.foreign.map(|login| Server::new(login, place.url.clone(), proto));
    let relay = Relay { shown: place.url.to_string(), server, only_ours: link.only_ours };
    let standing = Standing::new(reporter.clone(), own, relay, purpose, options.retry, now);
    Ok(Exposure::new(identity, agent, services, standing, reporter.clone(), dial_options))
}

fn dial_options(options: &LinkOptions) -> Result<DialOptions, Failure> {
    let trust = trust(options.relay_ca.as_deref(), "--relay-ca")?;
    Ok(DialOptions { allow_plaintext: options.plain_relay, trust, proxy: None, token: None })
}

/// The proxy that the environment names for the relay at `place`.
fn proxy(place: &Place) -> Result<Option<Proxy>, Failure> {
    let proxy = Proxy::from_variables(&place.url, |name| std::env::var(name).ok());
    let proxy = proxy.map_err(|error| {
        let hint = "correct it, unset it, or name the relay in NO_PROXY";
        Failure::new(Exit::Config, error.to_string()).with_hint(hint)
    })?;
    if let Some(proxy) = &proxy {
        tracing::info!(?proxy, relay = %place.url, "dialling through a proxy");
    }
    Ok(proxy)
}

/// The authorities that everybody trusts, and those in a file that `option` names.
fn trust(file: Option<&Path>, option: &str) -> Result<Trust, Failure> {
    let Some(path) = file else { return Ok(Trust::Verify) };
    Trust::with_authorities(path).map_err(|error| {
        Failure::new(Exit::Config, format!("cannot use {}: {error}", path.display()))
            .with_hint(format!("{option} names a PEM file with the certificate of an authority"))
    })
}

fn agent_config(
    identity: &Arc<Identity>,
    place: &Place,
    purpose: &Purpose,
    options: &LinkOptions,
) -> AgentConfig {
    let service = |binding: &hvym_tunnel_net::target::Binding| Service {
        name: binding.service.as_str().to_owned(),
        proto: binding.target.proto(),
        local_port: binding.target.port(),
        public: !purpose.is_private(),
    };
    let relay = &place.url;
    let scheme = if relay.tls { "wss" } else { "ws" };
    AgentConfig {
        relay: format!("{scheme}://{}{}", relay.authority(), relay.path),
        login: AgentLogin {
            identity: identity.address(),
            relay_address: place.address,
            services: Vec::new(),
            token_lifetime: TOKEN_LIFETIME,
            mode: match options.auth {
                Auth::Challenge => AuthMode::Challenge,
                Auth::Bearer => AuthMode::Bearer,
            },
        },
        services: purpose.bindings().iter().map(service).collect(),
        link: LinkConfig {
            keepalive: KeepaliveConfig {
                ping_interval: options.keepalive.interval,
                ping_timeout: options.keepalive.timeout,
            },
            mux: MuxConfig::acceptor(),
            fallback: Some(foreign::fallback(identity)),
        },
        backoff: BackoffConfig {
            initial: options.retry.initial,
            max: options.retry.max,
            ..BackoffConfig::default()
        },
    }
}
