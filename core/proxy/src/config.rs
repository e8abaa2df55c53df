//! The timeouts and limits of a visitor's connection and of its exchanges.

use alloc::string::String;
use core::time::Duration;

use crate::min_rate::MinRate;

/// What a connection may hold, and how long it may wait. All limits are inclusive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyConfig {
    // Fields: one for each rule of a connection.
    /// From the first byte of a request head to its last, however slowly they come (408).
    pub head_timeout: Duration,
    /// Between an answer and the first byte of the next request.
    pub idle_timeout: Duration,
    /// How long an exchange may stand still, in both directions, while its request is incomplete (408).
    pub body_timeout: Duration,
    /// The same once its response has begun: both sides stream, and may be silent as long as those that upgraded.
    pub tunnel_timeout: Duration,
    /// How long a visitor may take nothing of what it is sent.
    pub send_timeout: Duration,
    /// Bytes a second that a visitor sends and takes at least, in the long run, where that is demanded: see
    /// [`Exchange::set_rate_enforced`](crate::Exchange::set_rate_enforced).
    pub min_rate: u32,
    /// From the last progress of a request to the head of its response (504).
    pub response_timeout: Duration,
    /// How long a request that expects `100 Continue` waits for the service to say so, before the proxy says it. Many
    /// services never do; curl waits as long by itself.
    pub continue_timeout: Duration,
    /// How long an exchange may stand still whose visitor has ended its half (RFC 9112 section 9.6). An ended half looks
    /// like a visitor who left, and the service should not work for nobody.
    pub half_closed_timeout: Duration,
    /// Bytes queued for either side; above it, nothing more is read for that side. As much as one read takes.
    pub max_unsent: usize,
    /// Bytes that a visitor may send before its upgrade is answered. A first message comes early, megabytes do not.
    pub max_early: usize,
    /// The domain below which all services are: a cookie for all of it is made one of the host that sets it.
    pub relay_domain: Option<String>,
    /// The value of `Strict-Transport-Security` in responses that have none (RFC 6797 section 7.1). Only for connections by
    /// TLS.
    pub hsts: Option<String>,
}

impl ProxyConfig {
    /// What holds unless something else is set.
    pub const DEFAULT: ProxyConfig = ProxyConfig {
        head_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(75),
        body_timeout: Duration::from_secs(60),
        tunnel_timeout: Duration::from_secs(3600),
        send_timeout: Duration::from_secs(120),
        min_rate: 240,
        response_timeout: Duration::from_secs(300),
        continue_timeout: Duration::from_secs(1),
        half_closed_timeout: Duration::from_secs(10),
        max_unsent: 64 * 1024,
        max_early: 64 * 1024,
        relay_domain: None,
        hsts: None,
    };
}

impl ProxyConfig {
    /// How slow a visitor may take what it is sent.
    pub(crate) const fn send_rate(&self) -> MinRate {
        MinRate { bytes_per_second: self.min_rate, pause: self.send_timeout }
    }

    /// How slow a request's body may come.
    pub(crate) const fn body_rate(&self) -> MinRate {
        MinRate { bytes_per_second: self.min_rate, pause: self.body_timeout }
    }
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}
