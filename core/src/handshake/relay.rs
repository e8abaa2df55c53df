//! The relay's half of the login.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{Endpoint, HANDSHAKE_TIMEOUT, RelayHalf, SEAL_MODE, Step, in_time};
use crate::dialect::{Dialect, MUX_YAMUX, Signal, VERSION};
use crate::reason::DownReason;
use crate::rng::Rng;
use crate::stellar::{Address, Expected, Token, Verified};
use crate::time::{Instant, Wall};

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
    /// The token of `Authorization: Bearer`, in an upgrade that does not: an existing HVYM program.
    #[cfg(feature = "foreign")]
    BearerJson(String),
}

impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Credential::None => "None",
            Credential::Bearer(_) => "Bearer(..)",
            #[cfg(feature = "foreign")]
            Credential::BearerJson(_) => "BearerJson(..)",
        })
    }
}

#[derive(Debug)]
enum State {
    AwaitingResponse { challenge_id: String, challenge: String },
    AwaitingVerdict { services: Vec<String> },
    Done,
}

/// The relay's half of the login, from the accepted WebSocket to `auth_ok`.
#[derive(Debug)]
pub struct RelayHandshake {
    login: RelayLogin,
    wall: Wall,
    state: State,
    deadline: Instant,
    dialect: Dialect,
    /// Whether messages can be sealed for who was announced.
    seals: bool,
}

impl RelayHalf for RelayHandshake {
    fn handle_signal(&mut self, signal: Signal, now: Instant) -> Result<Option<Step>, DownReason> {
        RelayHandshake::handle_signal(self, signal, now)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        RelayHandshake::handle_timeout(self, now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        RelayHandshake::poll_timeout(self)
    }

    fn admit(&mut self, url: String) -> Option<(Signal, Endpoint)> {
        RelayHandshake::admit(self, url)
    }

    #[cfg(feature = "foreign")]
    fn offer_seal(&mut self) {
        RelayHandshake::offer_seal(self);
    }

    #[cfg(feature = "foreign")]
    fn dialect(&self) -> Dialect {
        RelayHandshake::dialect(self)
    }
}

impl RelayHandshake {
    /// A login over a WebSocket that was accepted at `now`, and its first step.
    pub fn new(
        login: RelayLogin,
        credential: &Credential,
        rng: &mut Rng,
        wall: Wall,
        now: Instant,
    ) -> (Self, Result<Step, DownReason>) {
        let (challenge_id, challenge) = (rng.token::<16>(), rng.token::<32>());
        let ask = Signal::AuthChallenge {
            challenge_id: challenge_id.clone(),
            challenge: challenge.clone(),
            server_address: login.address.to_string(),
            mux: vec![MUX_YAMUX.to_owned()],
            version: Some(VERSION),
        };
        let state = State::AwaitingResponse { challenge_id, challenge };
        let deadline = now + HANDSHAKE_TIMEOUT;
        let mut this = Self { login, wall, state, deadline, dialect: Dialect::Native, seals: false };
        let (jwt, dialect) = match credential {
            Credential::None => (None, Dialect::Native),
            Credential::Bearer(jwt) => (Some(jwt), Dialect::Native),
            #[cfg(feature = "foreign")]
            Credential::BearerJson(jwt) => (Some(jwt), Dialect::HvymJson),
        };
        let first = match jwt {
            Some(jwt) if !this.login.require_challenge => {
                this.dialect = dialect;
                this.on_bearer(jwt, now)
            }
            _ => Ok(Step::Send(ask)),
        };
        (this, first)
    }

    /// The agent said something.
    pub fn handle_signal(&mut self, signal: Signal, now: Instant) -> Result<Option<Step>, DownReason> {
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

    /// Lets in who was announced by [`Step::Admit`]; `url` is where its first service will be reachable.
    ///
    /// Nothing happens unless somebody waits for the verdict.
    pub fn admit(&mut self, url: String) -> Option<(Signal, Endpoint)> {
        let State::AwaitingVerdict { services } = &self.state else { return None };
        let endpoint = Endpoint { url, relay: Some(self.login.address), services: services.clone() };
        self.state = State::Done;
        let native = self.dialect == Dialect::Native;
        let ok = Signal::AuthOk {
            endpoint: endpoint.url.clone(),
            server_address: self.login.address.to_string(),
            services: endpoint.services.clone(),
            mux: native.then(|| MUX_YAMUX.to_owned()),
            version: native.then_some(VERSION),
            encryption_available: (!native).then_some(self.seals),
            encryption_mode: (!native && self.seals).then(|| SEAL_MODE.to_owned()),
        };
        Some((ok, endpoint))
    }

    /// The relay shares a key with who was announced, so that messages can be sealed.
    #[cfg(feature = "foreign")]
    pub fn offer_seal(&mut self) {
        self.seals = true;
    }

    /// What is spoken once the login is over.
    #[cfg(feature = "foreign")]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Gives up when the agent takes too long. A verdict that the relay itself owes is not timed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        in_time(self.poll_timeout(), now)
    }

    /// When [`Self::handle_timeout`] gives up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        matches!(self.state, State::AwaitingResponse { .. }).then_some(self.deadline)
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
        self.dialect = match plane {
            (Some(MUX_YAMUX), _) => Dialect::Native,
            // Existing programs know of neither. Who names a version, knows of both.
            #[cfg(feature = "foreign")]
            (None, None) => Dialect::HvymJson,
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
        self.state = State::AwaitingVerdict { services: verified.services().to_vec() };
        Ok(Step::Admit(verified))
    }

    fn verify(&self, jwt: &str, now: Instant) -> Result<Verified, DownReason> {
        Token::verify(jwt, &Expected::of(self.login.address), self.wall.unix_at(now))
            .map_err(|e| DownReason::Authentication(e.to_string()))
    }

    /// Whether agents may bind a service of this name.
    pub fn check_service(&self, service: &str) -> Result<(), DownReason> {
        match &self.login.allowed_services {
            Some(allowed) if !allowed.iter().any(|name| name == service) => {
                Err(DownReason::NotAllowed(format!("Service not allowed: {service}")))
            }
            _ => Ok(()),
        }
    }
}
