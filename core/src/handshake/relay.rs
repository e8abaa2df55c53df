//! The relay's half of the login.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::relay_states::{RelayLoginAction, RelayLoginInput, RelayLoginPhase, rows};
use super::{
    Credential, Endpoint, FallbackPeer, HANDSHAKE_TIMEOUT, Login, SharedFallback, Step, Upgrade, in_time,
};
use crate::dialect::{DecodeError, Frame, MUX_YAMUX, Process, SessionTerms, ShownProof, Signal, VERSION};
use crate::machine::TransitionRow;
use crate::message::Message;
use crate::plane::{DataPlane, PlaneStart, YamuxPlane};
use crate::reason::DownReason;
use crate::rng::Rng;
use crate::stellar::{Address, Expected, JwtError, MAX_LIFETIME, Scope, Token, Verified};
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
    /// The longest time from `iat` to `exp` of a token that is not for one challenge alone.
    pub max_token_lifetime: Duration,
}

impl RelayLogin {
    /// The logins of the relay `address`, with services of any legal name.
    pub fn new(address: Address) -> Self {
        Self { address, allowed_services: None, require_challenge: false, max_token_lifetime: MAX_LIFETIME }
    }
}

/// What a message that cannot be part of a login is answered with; the text of the system that is replaced.
const NOT_A_LOGIN: &str = "Invalid auth response";

/// What the agent must sign, and under which name.
struct IssuedChallenge {
    id: String,
    text: String,
}

/// Who proved to be there, and the services that the token asks for.
struct ProvenPeer {
    address: Address,
    services: Vec<String>,
    /// The streams that the agent lets this relay have open on the link, if it says so.
    streams: Option<u32>,
}

/// What an agent says beside its token.
#[derive(Default)]
struct Wishes {
    mux: Option<String>,
    version: Option<u32>,
    join: Option<String>,
    streams: Option<u32>,
    process: Process,
}

/// The relay's half of the login, from the accepted WebSocket to `auth_ok`.
pub struct RelayHandshake {
    login: RelayLogin,
    upgrade: Upgrade,
    /// The agent has shown a token that answers no challenge.
    is_bearer: bool,
    wall: Wall,
    phase: RelayLoginPhase,
    challenge: IssuedChallenge,
    peer: Option<ProvenPeer>,
    /// What the agent said of its program.
    process: Option<Process>,
    deadline: Instant,
    /// For agents that name no data plane; without it they are refused.
    fallback: Option<SharedFallback>,
    /// The agent named no data plane, and the fallback is used.
    falls_back: bool,
    /// The agent was told that messages can be encrypted.
    encrypts: bool,
}

impl RelayHandshake {
    /// A login over a WebSocket that was accepted at `now`.
    pub fn new(
        login: RelayLogin,
        fallback: Option<SharedFallback>,
        upgrade: Upgrade,
        rng: &mut Rng,
        wall: Wall,
        now: Instant,
    ) -> Self {
        let (id, text) = (rng.token::<16>(), rng.token::<32>());
        // The proof is over its own challenge, which is as random.
        let text = upgrade.proof.as_ref().map_or(text, |proof| proof.challenge.clone());
        Self {
            login,
            upgrade,
            is_bearer: false,
            wall,
            phase: RelayLoginPhase::Initial,
            challenge: IssuedChallenge { id, text },
            peer: None,
            process: None,
            deadline: now + HANDSHAKE_TIMEOUT,
            fallback,
            falls_back: false,
            encrypts: false,
        }
    }

    /// The transition table of this half: a row for each phase and kind of input.
    pub fn transitions() -> Vec<TransitionRow> {
        rows()
    }

    /// Takes the transition for `input`: performs its action by `act`, and enters its phase, or fails.
    fn advance(
        &mut self,
        input: RelayLoginInput,
        act: impl FnOnce(&mut Self, RelayLoginAction) -> Result<Option<Step>, DownReason>,
    ) -> Result<Option<Step>, DownReason> {
        let (to, action) = self.phase.on(input);
        let outcome = act(self, action).map_err(|reason| match reason {
            DownReason::Authentication(_) if self.upgrade.is_rate_limited => {
                DownReason::RateLimited("logins from your network fail again and again".to_owned())
            }
            reason => reason,
        });
        self.phase = if outcome.is_ok() { to } else { RelayLoginPhase::Failed };
        outcome
    }

    fn on_signal(&mut self, signal: Signal, now: Instant) -> Result<Option<Step>, DownReason> {
        let input = match signal {
            Signal::AuthResponse { .. } => RelayLoginInput::Response,
            _ => RelayLoginInput::OtherSignal,
        };
        let illegal = match self.phase {
            RelayLoginPhase::AwaitingResponse => "Expected auth_response".to_owned(),
            _ => format!("{signal:?} before auth_ok"),
        };
        self.advance(input, |login, action| match (action, signal) {
            (
                RelayLoginAction::VerifyResponse,
                Signal::AuthResponse { challenge_id, jwt, mux, version, join, streams, process },
            ) => {
                let wishes = Wishes { mux, version, join, streams, process };
                login.verify_response(challenge_id, jwt, wishes, now).map(Some)
            }
            (RelayLoginAction::Ignore, _) => Ok(None),
            _ => Err(DownReason::OutOfOrder(illegal)),
        })
    }

    fn send_challenge(&self) -> Option<Step> {
        let challenge = Signal::AuthChallenge {
            challenge_id: self.challenge.id.clone(),
            challenge: self.challenge.text.clone(),
            server_address: self.login.address.to_string(),
            mux: vec![MUX_YAMUX.to_owned()],
            version: Some(VERSION),
            shown: self.shown(),
        };
        self.encode(challenge).map(Step::Send)
    }

    fn shown(&self) -> ShownProof {
        let Upgrade { host, proof, .. } = &self.upgrade;
        ShownProof { host: Some(host.clone()), proof: proof.as_ref().map(|proof| proof.as_str().to_owned()) }
    }

    fn verify_token(&mut self, jwt: &str, now: Instant) -> Result<Step, DownReason> {
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
        self.is_bearer = true;
        self.on_verified(verified, Wishes::default())
    }

    /// The order of the checks is that of the system this replaces: token, challenge claim, challenge id, services.
    fn verify_response(
        &mut self,
        id: Option<String>,
        jwt: Option<String>,
        mut wishes: Wishes,
        now: Instant,
    ) -> Result<Step, DownReason> {
        let (Some(id), Some(jwt)) = (id.filter(|s| !s.is_empty()), jwt.filter(|s| !s.is_empty())) else {
            return Err(DownReason::OutOfOrder("Missing auth fields".to_owned()));
        };
        let verified = self.verify(&jwt, now)?;
        if verified.challenge() != Some(self.challenge.text.as_str()) {
            return Err(DownReason::Authentication("Challenge mismatch".to_owned()));
        }
        if id != self.challenge.id {
            return Err(DownReason::Authentication("Invalid or expired challenge".to_owned()));
        }
        self.falls_back = match (wishes.mux.as_deref(), wishes.version) {
            (Some(MUX_YAMUX), Some(VERSION)) => false,
            (Some(MUX_YAMUX), theirs) => {
                let theirs =
                    theirs.map_or_else(|| "an unknown version".to_owned(), |v| format!("version {v}"));
                let text = format!(
                    "the agent speaks {theirs} of the protocol, this relay version {VERSION}: update both"
                );
                return Err(DownReason::NotAllowed(text));
            }
            // Programs of the fallback name neither. Who names a version, knows of both.
            (None, None) if self.fallback.is_some() => true,
            _ => {
                let text =
                    "this relay speaks the yamux data plane, and the JSON one of programs that name none";
                return Err(DownReason::NotAllowed(text.to_owned()));
            }
        };
        if !wishes.process.is_valid() {
            return Err(DownReason::Malformed("instance or process is malformed".to_owned()));
        }
        self.process = Some(core::mem::take(&mut wishes.process));
        self.on_verified(verified, wishes)
    }

    fn on_verified(&mut self, verified: Verified, wishes: Wishes) -> Result<Step, DownReason> {
        self.check_binding(&verified)?;
        for service in verified.services() {
            self.check_service(service)?;
        }
        let (address, services) = (verified.address(), verified.services().to_vec());
        self.peer = Some(ProvenPeer { address, services, streams: wishes.streams });
        Ok(match wishes.join.filter(|_| !self.falls_back) {
            Some(session) => Step::Join(verified, session),
            None => Step::Admit(verified),
        })
    }

    /// Whether the token is for a login, and for one at this relay, whatever the agent's age. Programs of older systems name
    /// neither host nor scope; a token that names them was made by one that knows this protocol, and is held to it.
    fn check_binding(&self, verified: &Verified) -> Result<(), DownReason> {
        let is_native = !self.falls_back;
        let fault = match (verified.host(), verified.scope()) {
            (None, _) if is_native => "Missing required claim: host",
            (_, None) if is_native => "Missing required claim: scope",
            (Some(host), _) if host != self.upgrade.host => {
                // Its signer dialled somebody else, who passes the token on.
                let text = format!("Host mismatch: the token is for another host than {}", self.upgrade.host);
                return Err(DownReason::Authentication(text));
            }
            (_, Some(Scope::Api)) => "Scope mismatch: a token for the HTTP API is good for no login",
            (_, Some(Scope::Agent | Scope::Call) | None) => return Ok(()),
        };
        Err(DownReason::Authentication(fault.to_owned()))
    }

    fn verify(&self, jwt: &str, now: Instant) -> Result<Verified, DownReason> {
        let unix = self.wall.unix_at(now);
        let mut expected = Expected::for_audience(self.login.address);
        expected.max_lifetime = Some(self.login.max_token_lifetime);
        Token::verify(jwt, &expected, unix).map_err(|error| match (error.validity(), error) {
            (Some(validity), error) => {
                DownReason::TokenTime { validity, error: error.to_string(), relay_time: Some(unix) }
            }
            (None, JwtError::Delegation(error)) => {
                DownReason::Delegation { fault: error.fault(), error: error.to_string() }
            }
            (None, error) => DownReason::Authentication(error.to_string()),
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
    /// Takes the token of the upgrade, if there is one that can be taken, and sends a challenge otherwise.
    fn start(&mut self, now: Instant) -> Result<Option<Step>, DownReason> {
        let token = match core::mem::take(&mut self.upgrade.credential) {
            Credential::Bearer(jwt) => Some((jwt, false)),
            Credential::BearerWithoutMux(jwt) if self.fallback.is_some() => Some((jwt, true)),
            Credential::BearerWithoutMux(_) | Credential::None => None,
        };
        let token = token.filter(|_| !self.login.require_challenge);
        let input = token.as_ref().map_or(RelayLoginInput::Start, |_| RelayLoginInput::StartWithToken);
        self.advance(input, |login, action| match (action, token) {
            (RelayLoginAction::VerifyToken, Some((jwt, falls_back))) => {
                login.falls_back = falls_back;
                login.verify_token(&jwt, now).map(Some)
            }
            (RelayLoginAction::SendChallenge, _) => Ok(login.send_challenge()),
            _ => Ok(None),
        })
    }

    fn handle_message(&mut self, message: Message, now: Instant) -> Result<Option<Step>, DownReason> {
        let reason = match Frame::decode_by(message, Signal::from_agent) {
            Ok(Frame::Signal(signal)) => return self.on_signal(*signal, now),
            Ok(Frame::Mux(_)) | Err(DecodeError::NotControl(_)) => {
                DownReason::Malformed(NOT_A_LOGIN.to_owned())
            }
            Err(error @ DecodeError::TooLarge(_)) => error.into(),
        };
        self.advance(RelayLoginInput::NoSignal, |_, action| match action {
            RelayLoginAction::Ignore => Ok(None),
            _ => Err(reason),
        })
    }

    fn admit(&mut self, url: String, terms: SessionTerms) -> Option<(Option<Message>, Endpoint)> {
        let (to, action) = self.phase.on(RelayLoginInput::Admit);
        let peer = self.peer.as_ref().filter(|_| action == RelayLoginAction::SendOk)?;
        let terms = if self.falls_back { SessionTerms::default() } else { terms };
        let (relay, services) = (Some(self.login.address), peer.services.clone());
        let is_proven = self.upgrade.proof.is_some();
        let endpoint = Endpoint { url, relay, is_proven, services, terms };
        let fallback = self.fallback.as_ref().filter(|_| self.falls_back);
        let encryption = fallback.and_then(|fallback| fallback.encryption(&peer.address));
        self.encrypts = encryption.is_some();
        self.phase = to;
        let native = !self.falls_back;
        // Who was challenged knows both already.
        let is_first = native && self.is_bearer;
        let ok = Signal::AuthOk {
            endpoint: endpoint.url.clone(),
            server_address: self.login.address.to_string(),
            services: endpoint.services.clone(),
            mux: native.then(|| MUX_YAMUX.to_owned()),
            version: native.then_some(VERSION),
            terms: endpoint.terms.clone(),
            challenge: is_first.then(|| self.challenge.text.clone()),
            shown: if is_first { self.shown() } else { ShownProof::default() },
            encryption_available: (!native).then_some(encryption.is_some()),
            encryption_mode: encryption.map(str::to_owned),
        };
        Some((self.encode(ok), endpoint))
    }

    fn take_process(&mut self) -> Option<Process> {
        self.process.take()
    }

    fn falls_back(&self) -> bool {
        self.falls_back
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        let Err(reason) = in_time(self.poll_timeout(), now) else { return Ok(()) };
        self.advance(RelayLoginInput::Deadline, |_, action| match action {
            RelayLoginAction::Ignore => Ok(None),
            _ => Err(reason),
        })
        .map(drop)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (self.phase == RelayLoginPhase::AwaitingResponse).then_some(self.deadline)
    }

    fn encode(&self, signal: Signal) -> Option<Message> {
        Some(Frame::Signal(Box::new(signal)).encode())
    }

    fn close(&mut self, reason: &DownReason) -> Option<Message> {
        let failed = || Signal::AuthFailed {
            code: Some(reason.auth_failed_code().into()),
            error: match reason {
                DownReason::Authentication(text)
                | DownReason::NotAllowed(text)
                | DownReason::UnknownSession(text)
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

    fn finish(self: Box<Self>, endpoint: &Endpoint, mut start: PlaneStart) -> Box<dyn DataPlane> {
        start.limit_opened(self.peer.as_ref().and_then(|peer| peer.streams));
        match (&self.fallback, &self.peer) {
            (Some(fallback), Some(peer)) if self.falls_back => {
                let peer = FallbackPeer { address: peer.address, encrypts: self.encrypts, endpoint };
                fallback.data_plane(peer, start)
            }
            _ => Box::new(YamuxPlane::relay(start)),
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
            | DownReason::Conflict
            | DownReason::UnknownSession(_)
            | DownReason::Delegation { .. }
            | DownReason::Overloaded(_)
    )
}
