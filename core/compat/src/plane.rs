//! The message bridge as a data plane of a link, and the hook that brings it to HVYM programs.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::dialect::{Signal, StreamHeader};
use hvym_tunnel_core::handshake::{Fallback, FallbackPeer};
use hvym_tunnel_core::keepalive::{KeepaliveConfig, KeepaliveMode};
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::mux::{Read, StreamError, StreamId};
use hvym_tunnel_core::plane::{
    DataPlane, MessageLimits, OpenStreamError, PlaneEvent, PlaneInfo, PlaneStart, StreamEvent,
};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use crate::bridge::{BridgeConfig, BridgeEvent, MessageBridge};
use crate::dialect::{CompatFrame, Dialect, TokenAuth};
use crate::sealed_box::SealKey;

/// The largest message of any dialect, bytes.
pub const MAX_MESSAGE_BYTES: usize = Dialect::MAX_CALL_BYTES;
/// What requests are for when the login named no service: the only one that existing HVYM agents have.
const HVYM_SERVICE: &str = "pintheon";
/// The name of the encryption mode in `auth_ok`.
const SEAL_MODE: &str = "XSalsa20-Poly1305";
/// Existing agents handle one message after another, a request included, which may take them 30 s; existing relays
/// ping every 30 s. A peer that is pinged more often, or given up sooner, may be alive all the same.
const MIN_KEEPALIVE: KeepaliveConfig =
    KeepaliveConfig { ping_interval: Duration::from_secs(30), ping_timeout: Duration::from_secs(45) };

/// A data plane without a multiplexer: messages of one [`Dialect`], bridged to streams.
pub struct BridgePlane {
    dialect: Dialect,
    side: Side,
    keepalive: KeepaliveMode,
    bridge: MessageBridge,
    /// Messages that came before the login was over, until they are handled.
    early: Vec<Message>,
    /// The reason of the end was told to the peer.
    told: bool,
}

impl BridgePlane {
    /// The plane of a login that is over. `answers_pings`: whether the peer, if it is a relay, is known to answer pings.
    /// `early`: what the peer sent ahead of the login's end.
    pub fn new(config: BridgeConfig, answers_pings: bool, early: Vec<Message>, start: &PlaneStart) -> Self {
        let (dialect, side) = (config.dialect, config.side);
        let keepalive = match side {
            Side::Relay => KeepaliveMode::Active,
            Side::Agent if dialect.profile().relay_pings => KeepaliveMode::Passive,
            Side::Agent if answers_pings => KeepaliveMode::Active,
            Side::Agent => KeepaliveMode::Unanswered,
        };
        let bridge = MessageBridge::new(config, start.epoch, start.seed, start.now);
        Self { dialect, side, keepalive, bridge, early, told: false }
    }
}

impl DataPlane for BridgePlane {
    fn info(&self) -> PlaneInfo {
        PlaneInfo {
            protocol: self.dialect.name(),
            keepalive: self.keepalive,
            min_keepalive: Some(MIN_KEEPALIVE),
            limits: MessageLimits {
                max_bytes: MAX_MESSAGE_BYTES,
                binary_is_stream: false,
                oversized_head: Some(Dialect::OVERSIZED_HEAD_BYTES),
            },
        }
    }

    fn start(&mut self, now: Instant) -> Result<(), DownReason> {
        for message in core::mem::take(&mut self.early) {
            self.handle_message(message, now)?;
        }
        Ok(())
    }

    fn handle_message(&mut self, message: Message, now: Instant) -> Result<Option<Signal>, DownReason> {
        match self.dialect.decode(message)? {
            CompatFrame::Signal(signal) => Ok(Some(signal)),
            CompatFrame::Call(part) => match self.bridge.handle_call(part, now) {
                Ok(()) => Ok(None),
                Err(error) => Err(DownReason::Overloaded(error.to_string())),
            },
            CompatFrame::TokenAuth(auth) => {
                // The existing server ignores a second login as well.
                tracing::debug!(?auth, "ignored after the login");
                Ok(None)
            }
        }
    }

    fn handle_oversized(&mut self, head: Bytes, now: Instant) {
        match self.dialect.decode_oversized(&head) {
            Some(about) => self.bridge.handle_oversized(about, now),
            None => tracing::debug!("ignored a message that is too large, and does not say what it is about"),
        }
    }

    fn encode(&self, signal: Signal) -> Option<Message> {
        self.dialect.encode(CompatFrame::Signal(signal))
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        self.bridge.handle_timeout(now);
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.bridge.poll_timeout()
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        self.bridge.poll_transmit()
    }

    fn has_output(&self) -> bool {
        true
    }

    fn poll_event(&mut self) -> Option<PlaneEvent> {
        Some(PlaneEvent::Stream(match self.bridge.poll_event()? {
            BridgeEvent::Opened(id, header) => StreamEvent::Opened { id, header },
            BridgeEvent::Readable(id) => StreamEvent::Readable(id),
            BridgeEvent::Writable(id) => StreamEvent::Writable(id),
            BridgeEvent::Reset(id, reason) => StreamEvent::Reset(id, reason),
            BridgeEvent::OpenReady => return Some(PlaneEvent::OpenReady),
        }))
    }

    fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        Ok(self.bridge.open(header, now)?)
    }

    fn contains(&self, id: StreamId) -> bool {
        self.bridge.contains(id)
    }

    fn read(&mut self, id: StreamId, max: usize, now: Instant) -> Result<Read, StreamError> {
        self.bridge.read(id, max, now)
    }

    fn write(&mut self, id: StreamId, data: &mut Bytes, now: Instant) -> Result<usize, StreamError> {
        self.bridge.write(id, data, now)
    }

    fn writable(&self, id: StreamId) -> usize {
        self.bridge.writable(id)
    }

    fn finish(&mut self, id: StreamId, now: Instant) -> Result<(), StreamError> {
        self.bridge.finish(id, now)
    }

    fn reset(&mut self, id: StreamId, _code: u32, now: Instant) {
        self.bridge.reset(id, now);
    }

    fn stop(&mut self, id: StreamId, now: Instant) {
        self.bridge.stop(id, now);
    }

    /// Sends the reason first where the dialect has a message for it: some agents reconnect in a loop after a bare close.
    /// When this side finished, complete responses are sent ahead of the close, since their writers are gone already.
    fn poll_last(&mut self, reason: &DownReason) -> Option<Message> {
        let is_told = matches!(reason, DownReason::Replaced | DownReason::NotAllowed(_));
        if self.dialect == Dialect::Tunely && self.side == Side::Relay && is_told && !self.told {
            self.told = true;
            return self.dialect.encode(CompatFrame::TokenAuth(TokenAuth::refused(reason)));
        }
        if *reason == DownReason::Finished { self.bridge.poll_transmit() } else { None }
    }

    fn down_reason(&self, close: &Close) -> DownReason {
        let refusal = self.dialect.profile().auth_close_code.filter(|_| self.side == Side::Agent);
        if refusal == Some(close.code) {
            return DownReason::Authentication(close.reason.clone().into_owned());
        }
        DownReason::from_close(close)
    }

    fn is_sealed(&self) -> bool {
        self.bridge.is_sealed()
    }
}

/// Finds the key that the owner's account shares with another account.
pub type SealKeyOf = Box<dyn Fn(&Address) -> Option<SealKey> + Send + Sync>;

/// Serves HVYM programs, which log in as native ones do and name no data plane.
#[derive(Default)]
pub struct HvymFallback {
    seal_key_of: Option<SealKeyOf>,
}

impl HvymFallback {
    /// Serves them in clear text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves them, and seals messages wherever `seal_key_of` finds a key and the program asks for it.
    pub fn sealing(seal_key_of: impl Fn(&Address) -> Option<SealKey> + Send + Sync + 'static) -> Self {
        Self { seal_key_of: Some(Box::new(seal_key_of)) }
    }

    fn key_of(&self, peer: &Address) -> Option<SealKey> {
        self.seal_key_of.as_ref().and_then(|seal_key_of| seal_key_of(peer))
    }
}

impl Fallback for HvymFallback {
    fn encryption(&self, peer: &Address) -> Option<&'static str> {
        self.key_of(peer).map(|_| SEAL_MODE)
    }

    fn data_plane(&self, peer: FallbackPeer<'_>, start: PlaneStart) -> Box<dyn DataPlane> {
        let service = peer.endpoint.services.first().map_or(HVYM_SERVICE, String::as_str);
        let key = if peer.encrypts { self.key_of(&peer.address) } else { None };
        let config = BridgeConfig::new(Dialect::HvymJson, start.side, service);
        Box::new(BridgePlane::new(BridgeConfig { key, ..config }, false, Vec::new(), &start))
    }
}
