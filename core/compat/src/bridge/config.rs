//! Limits and timeouts of the message bridge of one link.

use alloc::string::String;
use core::time::Duration;

use super::send_pacing::MAX_DATA;
use crate::dialect::Dialect;
use crate::sealed_box::SealKey;
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::machine::Side;

/// Concurrent requests and connections. A browser opens six to a host; a busy page of many visitors fits.
const MAX_CALLS: usize = 256;
/// Bytes of bodies and messages that one link holds in both directions: four of the largest messages.
const MAX_BUFFERED: usize = 64 * 1024 * 1024;
/// Unread bytes of one connection. These dialects have no flow control: beyond it the connection is reset.
const MAX_UNREAD: usize = 16 * 1024 * 1024;
/// Unsent bytes of one connection, beyond which its writer waits.
const MAX_UNSENT: usize = 256 * 1024;
/// The same of one that sends much, where few messages must hold it: one large message.
const MAX_BULK_UNSENT: usize = MAX_DATA;
/// How long a half-closed connection may be idle.
const LINGER: Duration = Duration::from_secs(60);

/// How connections are carried.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum RawStreams {
    /// Not at all: only requests and responses.
    Off,
    /// All streams, HTTP included: only raw bytes are transparent.
    On {
        /// In binary messages, as agreed at the login.
        binary: bool,
    },
}

/// How much one link may hold.
#[derive(Clone, Debug)]
pub struct BridgeLimits {
    /// Requests and connections at once; one more is refused, never queued.
    pub max_calls: usize,
    /// Bytes held for all of them.
    pub max_buffered: usize,
    /// Bytes held for the reader of one connection, or of one response in pieces.
    pub max_unread: usize,
    /// Bytes taken from the writer of one connection ahead of the socket.
    pub max_unsent: usize,
    /// The same of a connection that is a long transfer, while others leave room for it.
    pub max_bulk_unsent: usize,
}

impl Default for BridgeLimits {
    fn default() -> Self {
        Self {
            max_calls: MAX_CALLS,
            max_buffered: MAX_BUFFERED,
            max_unread: MAX_UNREAD,
            max_unsent: MAX_UNSENT,
            max_bulk_unsent: MAX_BULK_UNSENT,
        }
    }
}

/// The rules of one link.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// The wire language.
    pub dialect: Dialect,
    /// Which end this is.
    pub side: Side,
    /// The service that requests are for, since no message names one.
    pub service: String,
    /// The largest message that the peer takes, bytes. A larger one is never sent: it would cost the whole link.
    pub peer_limit: usize,
    /// How much may be held.
    pub limits: BridgeLimits,
    /// How long a request may take; then the visitor is told, and a later response is dropped.
    pub answer_timeout: Duration,
    /// How long a half-ended connection may stand still.
    pub linger: Duration,
    /// Whether connections are carried.
    pub raw_streams: RawStreams,
    /// What the connections carry that the peer opens: what the service has. No message says so.
    pub raw_proto: Proto,
    /// The key that both sides share, if messages can be sealed.
    pub key: Option<SealKey>,
}

impl BridgeConfig {
    /// For a program of `dialect` at the other end, which carries requests for `service`, and no connections.
    pub fn new(dialect: Dialect, side: Side, service: impl Into<String>) -> Self {
        let profile = dialect.profile();
        let (peer_limit, answer_timeout) = match side {
            Side::Relay => (profile.agent_limit, profile.relay_timeout),
            Side::Agent => (profile.relay_limit, profile.agent_timeout),
        };
        Self {
            dialect,
            side,
            service: service.into(),
            peer_limit,
            limits: BridgeLimits::default(),
            answer_timeout,
            linger: LINGER,
            raw_streams: RawStreams::Off,
            raw_proto: Proto::Http,
            key: None,
        }
    }
}
