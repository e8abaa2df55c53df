//! The limits of a relay, and the timeouts of its visitors.

use std::time::Duration;

// Fields: one for each limit that an operator can set.
/// How much a relay takes. Every number has a bound behind it: raising one costs the memory or time it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections of visitors and agents at once. Each holds some 20 KiB and a file descriptor; what comes
    /// above it is turned away at once, so that the relay never dies of too many.
    pub connections: usize,
    /// Connections of one visitor at once, and how many it may open in one go. A browser has six to a host, an
    /// office behind one address some dozens.
    pub visitor_connections: usize,
    /// New connections of one visitor per second, in the long run. A TLS handshake costs us a millisecond.
    pub visitor_rate: u32,
    /// Whether both limits hold for visitors of this machine too. They do once an operator has set them; before, a
    /// proxy on this machine that nobody told us of must not be taken for one visitor.
    pub limit_loopback: bool,
    /// Sessions at once, logged in or not. Each can hold its mux's whole receive window.
    pub sessions: usize,
    /// Requests under way at once, those of upgraded connections included. Each holds some 100 KiB at most.
    pub requests: usize,
    /// The same for one service, so that one that hangs does not take the place of all.
    pub service_requests: usize,
    /// Streams at once on the link of one agent. Agents take 1024, and 256 KiB can be under way on each.
    pub link_streams: usize,
    /// How long a head may take from its first byte to its last, however it dribbles.
    pub head_timeout: Duration,
    /// How long a connection may idle between two requests. Browsers keep theirs for a minute or two.
    pub idle_timeout: Duration,
    /// How long nothing of a request's body may come while the service waits for it.
    pub body_timeout: Duration,
    /// How long a visitor may read nothing of its answer. A paused film is asked for again when it goes on; whoever
    /// never reads would hold a place at the service for ever.
    pub send_timeout: Duration,
    /// How long a service may take to begin its answer, counted from the last byte of the request that was
    /// passed on. Language models think for minutes; too short, and their visitors get a 504.
    pub response_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            visitor_connections: 256,
            visitor_rate: 64,
            limit_loopback: false,
            sessions: 1_000,
            requests: 10_000,
            service_requests: 512,
            link_streams: 1024,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(120),
            response_timeout: Duration::from_secs(300),
        }
    }
}
