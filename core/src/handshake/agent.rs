//! The agent's half of the login.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::agent_states::{AgentLoginAction, AgentLoginInput, AgentLoginPhase, rows};
use super::{Endpoint, FallbackPeer, HANDSHAKE_TIMEOUT, Login, SharedFallback, Step};
use crate::dialect::{Frame, MUX_YAMUX, Process, SessionTerms, Signal, VERSION};
use crate::machine::TransitionRow;
use crate::message::Message;
use crate::plane::{DataPlane, PlaneStart, YamuxPlane};
use crate::reason::DownReason;
use crate::stellar::jwt::LIFETIME;
use crate::stellar::{Address, Claims, Signature, SigningInput};
use crate::time::{Instant, UnixTime, Wall};

/// How an agent shows who it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum AuthMode {
    /// The relay asks, the agent signs the answer: nothing that travels can be used twice.
    #[default]
    Challenge,
    /// A token in the upgrade request, one round trip sooner. Whoever reads it can log in until it expires.
    Bearer,
}

/// What an agent logs in with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentLogin {
    /// Who the agent is.
    pub identity: Address,
    /// Who the relay must be; `None` trusts whoever answers at the URL.
    pub relay_address: Option<Address>,
    /// The services the token asks for.
    pub services: Vec<String>,
    /// How long the token is valid.
    pub token_lifetime: Duration,
    /// Whether a token went ahead in the upgrade.
    pub mode: AuthMode,
}

impl AgentLogin {
    /// The login of `identity` by challenge, at any relay, with tokens of the usual lifetime.
    pub fn new(identity: Address) -> Self {
        Self {
            identity,
            relay_address: None,
            services: Vec::new(),
            token_lifetime: LIFETIME,
            mode: AuthMode::Challenge,
        }
    }

    /// The claims of a token for `relay`, issued now.
    pub fn claims(&self, relay: Address, wall: Wall, now: Instant) -> Claims {
        Claims::new(self.identity, relay.to_string(), wall.unix_at(now))
            .with_services(self.services.iter().cloned())
            .with_lifetime(Some(self.token_lifetime))
    }
}

/// What an agent asks of the relay for one link, beside its login.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LinkRequest {
    /// The live session that the link shall belong to; `None` asks for a new one.
    pub join: Option<String>,
    /// The streams that the relay may have open on the link; `None` says nothing.
    pub streams: Option<u32>,
    /// Which of the identity's programs this is.
    pub process: Process,
}

/// A signature that was asked for.
struct SignatureRequest {
    challenge_id: String,
    input: SigningInput,
}

/// The agent's half of the login, from the open WebSocket to `auth_ok`.
pub struct AgentHandshake {
    login: AgentLogin,
    link: LinkRequest,
    wall: Wall,
    phase: AgentLoginPhase,
    /// Whose challenge was accepted; `None` before, and where a token in the upgrade is enough.
    relay: Option<Address>,
    request: Option<SignatureRequest>,
    deadline: Instant,
    /// For relays that name no data plane; without it they are refused.
    fallback: Option<SharedFallback>,
    /// The relay named no data plane, and the fallback is used.
    falls_back: bool,
    /// The relay says that messages can be encrypted.
    encrypts: bool,
}

impl AgentHandshake {
    /// A login over a WebSocket that opened at `now`.
    pub fn new(
        login: AgentLogin,
        link: LinkRequest,
        fallback: Option<SharedFallback>,
        wall: Wall,
        now: Instant,
    ) -> Self {
        Self {
            link,
            phase: match login.mode {
                AuthMode::Challenge => AgentLoginPhase::AwaitingChallenge,
                AuthMode::Bearer => AgentLoginPhase::AwaitingChallengeOrOk,
            },
            login,
            wall,
            relay: None,
            request: None,
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
        input: AgentLoginInput,
        act: impl FnOnce(&mut Self, AgentLoginAction) -> Result<Option<Step>, DownReason>,
    ) -> Result<Option<Step>, DownReason> {
        let (to, action) = self.phase.on(input);
        let outcome = act(self, action);
        self.phase = if outcome.is_ok() { to } else { AgentLoginPhase::Failed };
        outcome
    }

    fn on_signal(&mut self, signal: Signal, now: Instant) -> Result<Option<Step>, DownReason> {
        self.advance(kind(&signal), |login, action| match (action, signal) {
            (
                AgentLoginAction::RequestSignature,
                Signal::AuthChallenge { challenge_id, challenge, server_address, mux, .. },
            ) => login.request_signature(challenge_id, &challenge, &server_address, &mux, now).map(Some),
            (AgentLoginAction::AcceptGrant, ok) => login.accept_grant(ok).map(Some),
            (AgentLoginAction::SendPong, Signal::Ping { id }) => {
                Ok(login.encode(Signal::Pong { id }).map(Step::Send))
            }
            (AgentLoginAction::Ignore, _) => Ok(None),
            (AgentLoginAction::Fail, Signal::AuthFailed { code, error, time }) => {
                Err(DownReason::from_auth_failed(code.as_deref(), &error, time.map(UnixTime::from_secs)))
            }
            (_, illegal) => Err(out_of_order(&illegal)),
        })
    }

    fn request_signature(
        &mut self,
        challenge_id: String,
        challenge: &str,
        server_address: &str,
        mux: &[String],
        now: Instant,
    ) -> Result<Step, DownReason> {
        let relay = self.pinned(server_address)?;
        if challenge.is_empty() {
            // The signature would be valid for every other login with an empty challenge.
            return Err(DownReason::Malformed(String::from("an empty challenge")));
        }
        self.falls_back = match mux {
            [] if self.fallback.is_some() => true,
            planes if planes.iter().any(|offered| offered == MUX_YAMUX) => false,
            _ => {
                let text = "the relay does not offer the yamux data plane";
                return Err(DownReason::NotAllowed(String::from(text)));
            }
        };
        let input = self.login.claims(relay, self.wall, now).with_challenge(challenge).signing_input();
        self.relay = Some(relay);
        self.request = Some(SignatureRequest { challenge_id, input: input.clone() });
        self.deadline = now + HANDSHAKE_TIMEOUT;
        Ok(Step::Sign(input))
    }

    fn send_response(
        &mut self,
        signed: &SigningInput,
        signature: Option<Signature>,
        now: Instant,
    ) -> Result<Option<Step>, DownReason> {
        let signature = signature.ok_or(DownReason::SignerRefused)?;
        let token = signed.clone().into_token(signature).map_err(|_| DownReason::SignerMismatch)?;
        let native = !self.falls_back;
        let answer = Signal::AuthResponse {
            challenge_id: self.request.take().map(|request| request.challenge_id),
            jwt: Some(token.as_str().to_string()),
            mux: native.then(|| MUX_YAMUX.to_string()),
            version: native.then_some(VERSION),
            join: self.link.join.take().filter(|_| native),
            streams: self.link.streams.filter(|_| native),
            process: if native { self.link.process.clone() } else { Process::default() },
        };
        self.deadline = now + HANDSHAKE_TIMEOUT;
        Ok(self.encode(answer).map(Step::Send))
    }

    fn accept_grant(&mut self, ok: Signal) -> Result<Step, DownReason> {
        let Signal::AuthOk { endpoint, server_address, services, mux, terms, encryption_available, .. } = ok
        else {
            return Err(out_of_order(&ok));
        };
        let relay = match self.relay {
            Some(relay) => relay,
            // The token of the upgrade was enough: nothing was said about the data plane before.
            None => {
                self.falls_back = self.fallback.is_some() && mux.is_none();
                self.pinned(&server_address)?
            }
        };
        self.encrypts = encryption_available == Some(true);
        if self.address(&server_address)? != relay {
            return Err(DownReason::WrongRelay { pinned: relay.to_string(), found: server_address });
        }
        let fault = match (self.falls_back, mux.as_deref()) {
            (false, Some(MUX_YAMUX)) | (true, None) => None,
            (true, Some(_)) => Some("the relay took a data plane that it had not offered"),
            (false, _) => Some("the relay did not take the yamux data plane"),
        };
        if let Some(fault) = fault {
            return Err(DownReason::Protocol(String::from(fault)));
        }
        self.relay = Some(relay);
        let terms = if self.falls_back { SessionTerms::default() } else { terms };
        Ok(Step::Done(Endpoint { url: endpoint, relay: Some(relay), services, terms }))
    }

    /// Who the relay says it is, if that is who it must be. Nothing is signed for anybody else.
    fn pinned(&self, server_address: &str) -> Result<Address, DownReason> {
        let found = self.address(server_address)?;
        match self.login.relay_address {
            Some(pinned) if pinned != found => {
                Err(DownReason::WrongRelay { pinned: pinned.to_string(), found: found.to_string() })
            }
            _ => Ok(found),
        }
    }

    fn address(&self, text: &str) -> Result<Address, DownReason> {
        text.parse().map_err(|e| DownReason::Malformed(format!("the relay's address: {e}")))
    }
}

impl Login for AgentHandshake {
    fn start(&mut self, _now: Instant) -> Result<Option<Step>, DownReason> {
        Ok(None)
    }

    fn handle_message(&mut self, message: Message, now: Instant) -> Result<Option<Step>, DownReason> {
        let reason = match Frame::decode(message) {
            Ok(Frame::Signal(signal)) => return self.on_signal(signal, now),
            Ok(Frame::Mux(_)) => DownReason::Malformed(String::from("stream data before the login")),
            Err(error) => DownReason::from(error),
        };
        self.advance(AgentLoginInput::NoSignal, |_, action| match action {
            AgentLoginAction::Ignore => Ok(None),
            _ => Err(reason),
        })
    }

    fn handle_signature(
        &mut self,
        signed: &SigningInput,
        signature: Option<Signature>,
        now: Instant,
    ) -> Result<Option<Step>, DownReason> {
        let is_current = self.request.as_ref().is_some_and(|request| signed.answers(&request.input));
        let input = match signature {
            // A person may take longer than a link lives.
            _ if !is_current => AgentLoginInput::StaleSignature,
            Some(_) => AgentLoginInput::Signature,
            None => AgentLoginInput::SignatureDeclined,
        };
        self.advance(input, |login, action| match action {
            AgentLoginAction::Ignore => Ok(None),
            _ => login.send_response(signed, signature, now),
        })
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        let reason = DownReason::TimedOut(String::from(match self.phase {
            AgentLoginPhase::AwaitingSignature => "the signer did not answer the login",
            _ => "the relay did not answer the login",
        }));
        self.advance(AgentLoginInput::Deadline, |_, action| match action {
            AgentLoginAction::Ignore => Ok(None),
            _ => Err(reason),
        })
        .map(drop)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (!matches!(self.phase, AgentLoginPhase::Done | AgentLoginPhase::Failed)).then_some(self.deadline)
    }

    fn encode(&self, signal: Signal) -> Option<Message> {
        Some(Frame::Signal(signal).encode())
    }

    fn close(&mut self, _reason: &DownReason) -> Option<Message> {
        None
    }

    fn finish(self: Box<Self>, endpoint: &Endpoint, mut start: PlaneStart) -> Box<dyn DataPlane> {
        start.limit_opened(endpoint.terms.streams);
        match (&self.fallback, self.relay) {
            (Some(fallback), Some(relay)) if self.falls_back => {
                let peer = FallbackPeer { address: relay, encrypts: self.encrypts, endpoint };
                fallback.data_plane(peer, start)
            }
            _ => Box::new(YamuxPlane::new(start)),
        }
    }
}

/// Which kind of input a control message is.
fn kind(signal: &Signal) -> AgentLoginInput {
    match signal {
        Signal::AuthChallenge { .. } => AgentLoginInput::Challenge,
        Signal::AuthOk { .. } => AgentLoginInput::Ok,
        Signal::AuthFailed { .. } => AgentLoginInput::Refusal,
        Signal::Ping { .. } => AgentLoginInput::Ping,
        Signal::Pong { .. } | Signal::Error { .. } | Signal::Unknown => AgentLoginInput::Notice,
        _ => AgentLoginInput::OtherSignal,
    }
}

fn out_of_order(signal: &Signal) -> DownReason {
    DownReason::OutOfOrder(format!("{signal:?} during the login"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    #[test]
    fn alone_it_takes_no_relay_that_names_no_data_plane() {
        let relay = Address::from_public_key([7; 32]);
        let login = |mode| AgentLogin {
            identity: Address::from_public_key([8; 32]),
            relay_address: Some(relay),
            services: Vec::new(),
            token_lifetime: Duration::from_secs(60),
            mode,
        };
        let wall = Wall { unix: UnixTime::from_secs(0), at: Instant::ZERO };
        let half = |mode| AgentHandshake::new(login(mode), LinkRequest::default(), None, wall, Instant::ZERO);
        let asked = half(AuthMode::Challenge).on_signal(
            Signal::AuthChallenge {
                challenge_id: String::from("id"),
                challenge: String::from("prove it"),
                server_address: relay.to_string(),
                mux: Vec::new(),
                version: None,
            },
            Instant::ZERO,
        );
        assert!(matches!(asked, Err(DownReason::NotAllowed(_))), "{asked:?}");
        let let_in = half(AuthMode::Bearer).on_signal(
            Signal::AuthOk {
                endpoint: String::new(),
                server_address: relay.to_string(),
                services: Vec::new(),
                mux: None,
                version: None,
                terms: SessionTerms::default(),
                encryption_available: None,
                encryption_mode: None,
            },
            Instant::ZERO,
        );
        assert!(matches!(let_in, Err(DownReason::Protocol(_))), "{let_in:?}");
    }
}
