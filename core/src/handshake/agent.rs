//! The agent's half of the login.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::agent_login::{AgentLogin, AuthMode};
use super::agent_states::{AgentLoginAction, AgentLoginInput, AgentLoginPhase, rows};
use super::relay_check::{self, Dialled, RelayCheck};
use super::{Endpoint, FallbackPeer, HANDSHAKE_TIMEOUT, Login, SharedFallback, Step};
use crate::dialect::{Frame, MUX_YAMUX, Process, SessionTerms, ShownProof, Signal, VERSION};
use crate::machine::TransitionRow;
use crate::message::Message;
use crate::plane::{DataPlane, PlaneStart, YamuxPlane};
use crate::reason::DownReason;
use crate::stellar::{Address, Signature, SigningInput};
use crate::time::{Instant, UnixTime, Wall};

/// What an agent asks of the relay for one link, beside its login.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LinkRequest {
    /// The live session that the link shall belong to; `None` asks for a new one.
    pub join: Option<String>,
    /// The streams that the relay may have open on the link; `None` says nothing.
    pub streams: Option<u32>,
    /// Which of the identity's programs this is.
    pub process: Process,
    /// The dial that the link came of.
    pub dialled: Dialled,
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
                Signal::AuthChallenge { challenge_id, challenge, server_address, mux, version, shown },
            ) => {
                login.check_challenge(&challenge, &mux)?;
                let relay = login.check_relay(&server_address, &challenge, &shown, version)?;
                Ok(Some(login.request_signature(challenge_id, &challenge, relay, now)))
            }
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

    /// Whether the challenge can be signed, and its relay names a data plane that is known here, or none where such relays are
    /// served.
    fn check_challenge(&mut self, challenge: &str, mux: &[String]) -> Result<(), DownReason> {
        if challenge.is_empty() {
            // The signature would be valid for every other login with an empty challenge.
            return Err(DownReason::Malformed(String::from("an empty challenge")));
        }
        if self.login.delegation.is_some() && mux.is_empty() {
            let text = "the relay is of an older system, which takes no login by delegation";
            return Err(DownReason::NotAllowed(String::from(text)));
        }
        self.falls_back = match mux {
            [] if self.fallback.is_some() => true,
            planes if planes.iter().any(|offered| offered == MUX_YAMUX) => false,
            _ => {
                let text = "the relay does not offer the yamux data plane";
                return Err(DownReason::NotAllowed(String::from(text)));
            }
        };
        Ok(())
    }

    /// Who the relay is. Everything else about it is settled before anything is signed.
    fn check_relay(
        &self,
        server_address: &str,
        challenge: &str,
        shown: &ShownProof,
        version: Option<u32>,
    ) -> Result<Address, DownReason> {
        let check = RelayCheck { login: &self.login, dialled: &self.link.dialled };
        match self.falls_back {
            true => check.older(server_address),
            false => check.native(server_address, challenge, shown, version),
        }
    }

    fn request_signature(
        &mut self,
        challenge_id: String,
        challenge: &str,
        relay: Address,
        now: Instant,
    ) -> Step {
        let claims = self.login.claims(relay, &self.link.dialled.host, self.wall, now);
        let input = claims.with_challenge(challenge).signing_input();
        self.relay = Some(relay);
        self.request = Some(SignatureRequest { challenge_id, input: input.clone() });
        self.deadline = now + HANDSHAKE_TIMEOUT;
        Step::Sign(input)
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
        let Signal::AuthOk {
            endpoint,
            server_address,
            services,
            mux,
            version,
            terms,
            challenge,
            shown,
            encryption_available,
            ..
        } = ok
        else {
            return Err(out_of_order(&ok));
        };
        let found = relay_check::parse(&server_address)?;
        let is_asked = self.relay.is_some();
        if !is_asked {
            // The token of the upgrade was enough: nothing was said about the data plane before.
            self.falls_back = self.fallback.is_some() && mux.is_none();
        }
        let fault = match (self.falls_back, mux.as_deref()) {
            (false, Some(MUX_YAMUX)) | (true, None) => None,
            (true, Some(_)) => Some("the relay took a data plane that it had not offered"),
            (false, _) => Some("the relay did not take the yamux data plane"),
        };
        let relay = match self.relay {
            Some(relay) => relay,
            None if fault.is_some() => found,
            None => self.check_relay(&server_address, &challenge.unwrap_or_default(), &shown, version)?,
        };
        if found != relay {
            return Err(DownReason::WrongRelay { pinned: relay.to_string(), found: server_address });
        }
        if let Some(fault) = fault {
            return Err(DownReason::Protocol(String::from(fault)));
        }
        self.encrypts = encryption_available == Some(true);
        self.relay = Some(relay);
        let terms = if self.falls_back { SessionTerms::default() } else { terms };
        let is_proven = !self.falls_back;
        Ok(Step::Done(Endpoint { url: endpoint, relay: Some(relay), is_proven, services, terms }))
    }
}

impl Login for AgentHandshake {
    fn start(&mut self, _now: Instant) -> Result<Option<Step>, DownReason> {
        Ok(None)
    }

    fn handle_message(&mut self, message: Message, now: Instant) -> Result<Option<Step>, DownReason> {
        let reason = match Frame::decode_by(message, Signal::from_relay) {
            Ok(Frame::Signal(signal)) => return self.on_signal(*signal, now),
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
        Some(Frame::Signal(Box::new(signal)).encode())
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
            _ => Box::new(YamuxPlane::agent(start)),
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
    DownReason::OutOfOrder(format!("{} during the login", signal.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    #[test]
    fn alone_it_takes_no_relay_that_names_no_data_plane() {
        let relay = Address::from_public_key([7; 32]);
        let login = |mode| AgentLogin {
            relay_address: Some(relay),
            mode,
            ..AgentLogin::new(Address::from_public_key([8; 32]))
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
                shown: ShownProof::default(),
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
                challenge: None,
                shown: ShownProof::default(),
                encryption_available: None,
                encryption_mode: None,
            },
            Instant::ZERO,
        );
        assert!(matches!(let_in, Err(DownReason::Protocol(_))), "{let_in:?}");
    }
}
