//! The relay's half of the login.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{Endpoint, FallbackPeer, HANDSHAKE_TIMEOUT, Login, SharedFallback, Step, in_time};
use crate::dialect::{DecodeError, Frame, MUX_YAMUX, Signal, VERSION};
use crate::message::Message;
use crate::plane::{DataPlane, PlaneStart, YamuxPlane};
use crate::reason::DownReason;
use crate::rng::Rng;
use crate::stellar::{Address, Expected, Token, Verified};
use crate::time::{Instant, UnixTime, Wall};

/// What a relay demands of a login.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayLogin {
    /// Who the relay is: the audience that every token must name.
    pub address: Address,
    /// The services an agent may ask for; `None` allows every legal name.
    pub allowed_services: Option<Vec<String>>,
    /// Answer even a valid bearer token with a challenge, so that a stolen token is worth nothing.
    pub require_challenge: bool,
}

/// What the upgrade request carried.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credential {
    /// Nothing: the agent will be challenged.
    #[default]
    None,
    /// The token of `Authorization: Bearer`, in an upgrade that asks for the Yamux data plane.
    Bearer(String),
    /// The token of `Authorization: Bearer`, in an upgrade that names no data plane.
    BearerWithoutMux(String),
}

impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Credential::None => "None",
            Credential::Bearer(_) => "Bearer(..)",
            Credential::BearerWithoutMux(_) => "BearerWithoutMux(..)",
        })
    }
}

/// What a message that cannot be part of a login is answered with; the text of the system that is replaced.
const NOT_A_LOGIN: &str = "Invalid auth response";

enum State {
    AwaitingResponse { challenge_id: String, challenge: String },
    AwaitingVerdict { peer: Address, services: Vec<String> },
    Done { peer: Address, encrypts: bool },
}

/// The relay's half of the login, from the accepted WebSocket to `auth_ok`.
pub struct RelayHandshake {
    login: RelayLogin,
    credential: Credential,
    wall: Wall,
    state: State,
    deadline: Instant,
    /// For agents that name no data plane; without it they are refused.
    fallback: Option<SharedFallback>,
    /// The agent named no data plane, and the fallback is used.
    falls_back: bool,
}

impl RelayHandshake {
    /// A login over a WebSocket that was accepted at `now`.
    pub fn new(
        login: RelayLogin,
        fallback: Option<SharedFallback>,
        credential: Credential,
        rng: &mut Rng,
        wall: Wall,
        now: Instant,
    ) -> Self {
        let (challenge_id, challenge) = (rng.token::<16>(), rng.token::<32>());
        let state = State::AwaitingResponse { challenge_id, challenge };
        let deadline = now + HANDSHAKE_TIMEOUT;
        Self { login, credential, wall, state, deadline, fallback, falls_back: false }
    }

    /// The agent said something.
    fn on_signal(&mut self, signal: Signal, now: Instant) -> Result<Option<Step>, DownReason> {
        match (&self.state, signal) {
            (State::AwaitingResponse { .. }, Signal::AuthResponse { challenge_id, jwt, mux, version }) => {
                self.on_response(challenge_id, jwt, (mux.as_deref(), version), now).map(Some)
            }
            (State::AwaitingResponse { .. }, _) => {
                Err(DownReason::OutOfOrder("Expected auth_response".to_owned()))
            }
            (_, other) => Err(DownReason::OutOfOrder(format!("{other:?} before auth_ok"))),
        }
    }

    fn on_bearer(&mut self, jwt: &str, now: Instant) -> Result<Step, DownReason> {
        let verified = self.verify(jwt, now)?;
        // Whoever saw the answer to a challenge could otherwise come in with it by this door, until it expires.
        if verified.claim("challenge").is_some() {
            return Err(DownReason::Authentication(
                "Token answers a challenge, it is no bearer token".to_owned(),
            ));
        }
        if verified.expires_at().is_none() {
            return Err(DownReason::Authentication("A bearer token must expire".to_owned()));
        }
        self.on_verified(verified)
    }

    /// The order of the checks is that of the system this replaces: token, challenge claim, challenge id, services.
    fn on_response(
        &mut self,
        id: Option<String>,
        jwt: Option<String>,
        plane: (Option<&str>, Option<u32>),
        now: Instant,
    ) -> Result<Step, DownReason> {
        let State::AwaitingResponse { challenge_id, challenge } = &self.state else {
            return Err(DownReason::OutOfOrder("auth_response".to_owned()));
        };
        let (Some(id), Some(jwt)) = (id.filter(|s| !s.is_empty()), jwt.filter(|s| !s.is_empty())) else {
            return Err(DownReason::OutOfOrder("Missing auth fields".to_owned()));
        };
        let verified = self.verify(&jwt, now)?;
        if verified.challenge() != Some(challenge.as_str()) {
            return Err(DownReason::Authentication("Challenge mismatch".to_owned()));
        }
        if id != *challenge_id {
            return Err(DownReason::Authentication("Invalid or expired challenge".to_owned()));
        }
        self.falls_back = match plane {
            (Some(MUX_YAMUX), _) => false,
            // Programs of the fallback name neither. Who names a version, knows of both.
            (None, None) if self.fallback.is_some() => true,
            _ => {
                let text =
                    "this relay speaks the yamux data plane, and the JSON one of programs that name none";
                return Err(DownReason::NotAllowed(text.to_owned()));
            }
        };
        self.on_verified(verified)
    }

    fn on_verified(&mut self, verified: Verified) -> Result<Step, DownReason> {
        for service in verified.services() {
            self.check_service(service)?;
        }
        let (peer, services) = (verified.address(), verified.services().to_vec());
        self.state = State::AwaitingVerdict { peer, services };
        Ok(Step::Admit(verified))
    }

    fn verify(&self, jwt: &str, now: Instant) -> Result<Verified, DownReason> {
        let unix = self.wall.unix_at(now);
        Token::verify(jwt, &Expected::for_audience(self.login.address), unix).map_err(|error| {
            match error.validity() {
                Some(validity) => {
                    DownReason::TokenTime { validity, error: error.to_string(), relay_time: Some(unix) }
                }
                None => DownReason::Authentication(error.to_string()),
            }
        })
    }

    fn check_service(&self, service: &str) -> Result<(), DownReason> {
        match &self.login.allowed_services {
            Some(allowed) if !allowed.iter().any(|name| name == service) => {
                Err(DownReason::NotAllowed(format!("Service not allowed: {service}")))
            }
            _ => Ok(()),
        }
    }
}

impl Login for RelayHandshake {
    /// Asks for a signature, or takes the token of the upgrade instead.
    fn start(&mut self, now: Instant) -> Result<Option<Step>, DownReason> {
        let State::AwaitingResponse { challenge_id, challenge } = &self.state else { return Ok(None) };
        let challenge = Signal::AuthChallenge {
            challenge_id: challenge_id.clone(),
            challenge: challenge.clone(),
            server_address: self.login.address.to_string(),
            mux: vec![MUX_YAMUX.to_owned()],
            version: Some(VERSION),
        };
        let bearer = match core::mem::take(&mut self.credential) {
            Credential::Bearer(jwt) => Some((jwt, false)),
            Credential::BearerWithoutMux(jwt) if self.fallback.is_some() => Some((jwt, true)),
            Credential::BearerWithoutMux(_) | Credential::None => None,
        };
        match bearer {
            Some((jwt, falls_back)) if !self.login.require_challenge => {
                self.falls_back = falls_back;
                self.on_bearer(&jwt, now).map(Some)
            }
            _ => Ok(self.encode(challenge).map(Step::Send)),
        }
    }

    fn handle_message(&mut self, message: Message, now: Instant) -> Result<Option<Step>, DownReason> {
        match Frame::decode(message) {
            Ok(Frame::Signal(signal)) => self.on_signal(signal, now),
            Ok(Frame::Mux(_)) | Err(DecodeError::NotControl(_)) => {
                Err(DownReason::Malformed(NOT_A_LOGIN.to_owned()))
            }
            Err(error @ DecodeError::TooLarge(_)) => Err(error.into()),
        }
    }

    fn admit(&mut self, url: String) -> Option<(Option<Message>, Endpoint)> {
        let State::AwaitingVerdict { peer, services } = &self.state else { return None };
        let peer = *peer;
        let endpoint = Endpoint { url, relay: Some(self.login.address), services: services.clone() };
        let fallback = self.fallback.as_ref().filter(|_| self.falls_back);
        let encryption = fallback.and_then(|fallback| fallback.encryption(&peer));
        self.state = State::Done { peer, encrypts: encryption.is_some() };
        let native = !self.falls_back;
        let ok = Signal::AuthOk {
            endpoint: endpoint.url.clone(),
            server_address: self.login.address.to_string(),
            services: endpoint.services.clone(),
            mux: native.then(|| MUX_YAMUX.to_owned()),
            version: native.then_some(VERSION),
            encryption_available: (!native).then_some(encryption.is_some()),
            encryption_mode: encryption.map(str::to_owned),
        };
        Some((self.encode(ok), endpoint))
    }

    /// A decision that the relay itself owes is not timed.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        in_time(self.poll_timeout(), now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        matches!(self.state, State::AwaitingResponse { .. }).then_some(self.deadline)
    }

    fn encode(&self, signal: Signal) -> Option<Message> {
        Some(Frame::Signal(signal).encode())
    }

    fn close(&mut self, reason: &DownReason) -> Option<Message> {
        let failed = || Signal::AuthFailed {
            code: Some(reason.auth_failed_code().into()),
            error: match reason {
                DownReason::Authentication(text)
                | DownReason::NotAllowed(text)
                | DownReason::TokenTime { error: text, .. } => text.clone(),
                other => format!("{other}"),
            },
            time: match reason {
                DownReason::TokenTime { relay_time, .. } => relay_time.map(UnixTime::as_secs),
                _ => None,
            },
        };
        is_announced(reason).then(failed).and_then(|failed| self.encode(failed))
    }

    fn finish(self: Box<Self>, endpoint: &Endpoint, start: PlaneStart) -> Box<dyn DataPlane> {
        match (&self.fallback, &self.state) {
            (Some(fallback), State::Done { peer, encrypts }) if self.falls_back => {
                let peer = FallbackPeer { address: *peer, encrypts: *encrypts, endpoint };
                fallback.data_plane(peer, start)
            }
            _ => Box::new(YamuxPlane::new(start)),
        }
    }
}

/// Whether a relay says why in an `auth_failed` before it closes. What was not even a login gets the close alone.
fn is_announced(reason: &DownReason) -> bool {
    matches!(
        reason,
        DownReason::Authentication(_)
            | DownReason::TokenTime { .. }
            | DownReason::NotAllowed(_)
            | DownReason::RateLimited(_)
            | DownReason::Replaced
            | DownReason::Overloaded(_)
    )
}
