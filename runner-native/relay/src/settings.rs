//! What a relay is told to do, and how much of everything it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use hvym_proxy::ProxyConfig;
use hvym_proxy::pool::PoolConfig;
use hvym_tunnel_compat::HvymFallback;
use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_core::bundle::MAX_LINKS;
use hvym_tunnel_core::handshake::RelayLogin;
use hvym_tunnel_core::handshake::SharedFallback;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::relay::{CALLER_STREAMS, OwnNames, SessionConfig};

use crate::config::{IngressSettings, RelayOptions, RestartSettings};
use hvym_tunnel_net::key::Identity;

/// Streams that an agent may have open at its link: those to services of others, and as many again that are told why they are refused. More are
/// reset.
const INBOUND_STREAMS: usize = 2 * CALLER_STREAMS;

/// The largest head of a request or response. nginx takes 32 KiB and Node.js 16; cookies and tokens grow.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long a TLS handshake may take. It costs us the most before we know anything about the visitor.
pub(super) const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the 101 that we wrote may take to be flushed.
pub(super) const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long visitors wait for an agent that said that it goes away, since it is mostly restarted: a program starts, and logs
/// in, within a few seconds.
pub(super) const SUCCESSOR_TIMEOUT: Duration = hvym_tunnel_core::relay::SUCCESSOR_LIMIT;
/// How long a visitor who still sends may take to notice that it was answered. nginx waits as long.
pub(super) const PARTING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a relay that ends still answers on connections without a request: one may be on its way, and those that are busy
/// carry the next one sooner.
pub(super) const DRAIN_LINGER: Duration = Duration::from_secs(1);
/// How long a relay that ends accepts the connections that are half open, beside the one that takes its place; most of the
/// world is nearer.
pub(super) const HANDSHAKE_LINGER: Duration = Duration::from_millis(300);
/// How long closes may take to reach agents that do not read, at the end.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Idle time before TCP asks whether the visitor is still there, so that a connection whose visitor lost its
/// network does not stay for ever. Shorter wakes phones for nothing.
pub(super) const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// The ports that a relay for this machine alone may give to services: those that nobody registered (RFC 6335
/// section 6). What other programs listen at is passed over.
const LOOPBACK_PORTS: RangeInclusive<u16> = 49152..=65535;
/// Streams of one HTTP/2 connection at once. nginx grants 128, browsers use up to 100; with 64 KiB of unsent answer
/// each, a visitor who reads nothing costs 8 MiB at most.
pub(super) const H2_STREAMS: u32 = 128;
/// Unsent bytes of one answer over HTTP/2; beyond it the service waits. As much as a stream of the link holds.
pub(super) const H2_SEND_BYTES: usize = 64 * 1024;
/// What a visitor may send ahead of the service on one stream of HTTP/2: 20 MB/s at 50 ms of round trip.
pub(super) const H2_STREAM_WINDOW: u32 = 1024 * 1024;
/// The same for all streams of a connection: two that stand still do not stop the third, and no connection makes us
/// hold more than this.
pub(super) const H2_CONNECTION_WINDOW: u32 = 3 * 1024 * 1024;
/// Streams a visitor may open and reset before we looked at them (CVE-2023-44487); more ends the connection.
pub(super) const H2_PENDING_RESETS: usize = 32;
/// Streams of one connection we may have to reset for the visitor's faults (CVE-2025-8671); more ends the connection.
pub(super) const H2_FAULTS: usize = 256;
/// After this long we ask an HTTP/2 visitor whether it is there, and this long we wait for a sign of life.
pub(super) const H2_PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How often the certificate's files are looked at. Renewals come days before the old one ends.
const CERTIFICATE_POLL: Duration = Duration::from_secs(30);

/// What a stream of a link may hold that is not read, before its window has grown (Yamux specification, "Flow Control").
const FIRST_WINDOW: usize = 256 * 1024;

/// Everything a relay is told, but who it is.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// What its operator chose.
    pub options: RelayOptions,
    /// How often the certificate's files are looked at.
    pub certificate_poll: Duration,
    /// Whether agents reach services of each other.
    pub reaching: bool,
}

impl From<RelayOptions> for RelaySettings {
    fn from(options: RelayOptions) -> Self {
        Self { options, certificate_poll: CERTIFICATE_POLL, reaching: true }
    }
}

impl RelaySettings {
    /// A relay for this machine alone, at a free port, for agents of this process and visitors of this machine.
    pub fn loopback() -> Self {
        let ingress = IngressSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tcp_ports: Some(LOOPBACK_PORTS),
            ..IngressSettings::default()
        };
        // It begins with its agents, not before them.
        let restart = RestartSettings { hold: Duration::ZERO, ..RestartSettings::default() };
        Self::from(RelayOptions { ingress, restart, ..RelayOptions::default() })
    }

    /// Serves agents that are existing HVYM programs, and seals their messages if they are to be.
    fn fallback(&self, identity: &Arc<Identity>) -> SharedFallback {
        SharedFallback::new(if self.options.guests.seal {
            let sealer = Arc::clone(identity);
            HvymFallback::sealing(move |agent| sealer.derive(|seed| SealKey::agree(seed, agent)).ok())
        } else {
            HvymFallback::new()
        })
    }

    /// The names by which agents dial a relay that listens on `port`.
    pub(super) fn names(&self, port: u16) -> OwnNames {
        let options = &self.options;
        let mut names = OwnNames::new(&options.ingress.domain, [port, options.public.port(port)]);
        options.login.also_names.iter().for_each(|name| names.add(name));
        if let Some(url) = &options.cluster.cluster_address {
            names.add(&url.host_field());
        }
        names
    }

    /// How the connections of every session are kept and shared.
    pub(super) fn pool(&self) -> PoolConfig {
        let requests = self.options.limits.service_requests;
        PoolConfig {
            reuse: self.options.upstream.reuse.into(),
            max_idle: requests,
            max_waiting: requests.max(PoolConfig::DEFAULT.max_waiting),
            ..PoolConfig::DEFAULT
        }
    }

    /// The timeouts and limits of visitors' connections.
    pub(super) fn proxy(&self) -> ProxyConfig {
        let limits = &self.options.limits;
        ProxyConfig {
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
            body_timeout: limits.body_timeout,
            tunnel_timeout: self.options.visitors.tunnel_timeout,
            send_timeout: limits.send_timeout,
            response_timeout: limits.response_timeout,
            min_rate: self.options.visitors.min_rate,
            relay_domain: Some(self.options.ingress.domain.clone()),
            hsts: self.options.https.hsts_value(),
            ..ProxyConfig::DEFAULT
        }
    }

    /// What every session of the relay `identity` is given.
    pub(super) fn session(&self, identity: &Arc<Identity>) -> SessionConfig {
        let services = &self.options.admission.services;
        let allowed_services = Some(services).filter(|names| !names.is_empty());
        let keepalive = self.options.keepalive.into();
        let mux = MuxConfig::opener().with(|config| {
            let streams = self.options.limits.link_streams;
            config.max_outbound_streams = streams;
            // So that no stream goes because of those of other visitors: of its own there is `max_group_unread`.
            let windows = streams.saturating_add(INBOUND_STREAMS).saturating_mul(FIRST_WINDOW);
            config.max_unread = windows.saturating_add(config.window_growth_budget);
            (config.max_inbound_streams, config.accept_backlog) = (INBOUND_STREAMS, INBOUND_STREAMS);
        });
        SessionConfig {
            login: RelayLogin {
                max_token_lifetime: self.options.login.max_token_lifetime,
                allowed_services: allowed_services
                    .map(|names| names.iter().map(ToString::to_string).collect()),
                require_challenge: self.options.admission.require_challenge,
                ..RelayLogin::new(identity.address())
            },
            link: LinkConfig { keepalive, mux, fallback: Some(self.fallback(identity)) },
            max_links: MAX_LINKS,
        }
    }
}
