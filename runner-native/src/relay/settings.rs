//! What a relay is told to do, and how much of everything it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use hvym_tunnel_core::handshake::RelayLogin;
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::relay::SessionConfig;
use hvym_tunnel_core::stellar::Address;

use crate::config::{Keepalive, Policy, PublicScheme, RelayOptions};

/// The largest head of a request or response. nginx takes 32 KiB and Node.js 16; cookies and tokens grow.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Fields of one head. A browser sends thirty; hyper's parser keeps this many on its stack.
pub(super) const MAX_FIELDS: usize = 100;
/// How long a visitor may take to send a head, and how long a connection may idle between two requests.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take. It costs us the most before we know anything about the visitor.
pub(super) const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the 101 that we wrote may take to be flushed.
pub(super) const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request waits for room on its agent's link. A burst is over sooner; visitors of a tunnel that stays
/// full are better told so.
pub(super) const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a visitor who still sends may take to notice that it was answered. nginx waits as long.
pub(super) const PARTING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long closes may take to reach agents that do not read, at the end.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Idle time before TCP asks whether the visitor is still there, so that a connection whose visitor lost its
/// network does not stay for ever. Shorter wakes phones for nothing.
pub(super) const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Connections the kernel holds ready for us. A page with many parts opens dozens at once.
pub(super) const BACKLOG: i32 = 1024;
/// How long accepting rests when the process is out of file descriptors; some are free again by then.
pub(super) const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The ports that a relay for this machine alone may give to services: those that nobody registered (RFC 6335
/// section 6). What other programs listen at is passed over.
const LOOPBACK_PORTS: RangeInclusive<u16> = 49152..=65535;
/// Connections of visitors to one port at once, so that one service does not use up its agent's streams, of which a
/// link has 1024, nor the relay's connections.
pub(super) const PORT_CONNECTIONS: usize = 512;

/// Streams to other identities' services that one caller may hold. A pool of a busy application has a hundred; each
/// holds a window on two links.
pub(super) const REACHED_STREAMS: usize = 128;
/// Time between two openings of one caller, once it has used up its burst of [`REACHED_STREAMS`]: 32 a second. An
/// application opens what it needs and keeps it; more is somebody who guesses names.
pub(super) const REACH_INTERVAL: Duration = Duration::from_micros(31_250);
/// How long the owner of a service may take to say yes or no: as long as an opening may take, and its own connection.
pub(super) const VERDICT_TIMEOUT: Duration = Duration::from_secs(10);
/// No refusal reaches a caller sooner after its opening. A way to the owner and back is shorter nearly always, so the
/// time does not tell whether there is an owner.
pub(super) const REFUSAL_AFTER: Duration = Duration::from_millis(500);

/// How much a relay takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// Connections of visitors and agents at once. Each holds some 20 KiB and a file descriptor; what comes
    /// above it is turned away at once, so that the relay never dies of too many.
    pub(crate) connections: usize,
    /// Sessions at once, logged in or not. Each can hold its mux's whole receive window.
    pub(crate) sessions: usize,
    /// How long a service may take to begin its answer, counted from the last byte of the request that was
    /// passed on. Language models think for minutes; too short, and their visitors get a 504.
    pub(crate) response_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 10_000, sessions: 1_000, response_timeout: Duration::from_secs(300) }
    }
}

/// Everything a relay is told.
#[derive(Clone, Debug)]
pub(crate) struct RelaySettings {
    /// What its operator chose.
    pub(crate) options: RelayOptions,
    /// How much it takes.
    pub(crate) limits: Limits,
}

impl From<RelayOptions> for RelaySettings {
    fn from(options: RelayOptions) -> Self {
        Self { options, limits: Limits::default() }
    }
}

impl RelaySettings {
    /// A relay for this machine alone, at a free port, for agents of this process and visitors of this machine.
    pub(crate) fn loopback() -> Self {
        Self::from(RelayOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            domain: "localhost".to_owned(),
            public_scheme: PublicScheme::Http,
            public_port: None,
            tcp_ports: Some(LOOPBACK_PORTS),
            tls: None,
            services: Vec::new(),
            require_challenge: false,
            policy: Policy::default(),
            keepalive: Keepalive::default(),
        })
    }

    /// What every session of the relay `address` is given.
    pub(super) fn session(&self, address: Address) -> SessionConfig {
        let services = &self.options.services;
        let allowed_services = Some(services).filter(|names| !names.is_empty());
        let keepalive = KeepaliveConfig {
            ping_interval: self.options.keepalive.interval,
            ping_timeout: self.options.keepalive.timeout,
        };
        SessionConfig {
            login: RelayLogin {
                address,
                allowed_services: allowed_services
                    .map(|names| names.iter().map(ToString::to_string).collect()),
                require_challenge: self.options.require_challenge,
            },
            link: LinkConfig { keepalive, mux: MuxConfig::relay() },
        }
    }
}
