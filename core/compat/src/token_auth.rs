//! The login by shared token, either half. The relay's owner decides about the token; this file knows no tokens.
//!
//! Tunely sends the token in the first message and answers it; CloudToLocalLLM sends it in the upgrade request, without
//! any login message.
//!
//! ```text
//!  agent                             relay
//!  Starting                          AwaitingRequest (tunely), TokenInUpgrade (CloudToLocalLLM)
//!  AwaitingGrant ------- auth -----> AwaitingVerdict (Authenticate -> admit | refuse)
//!  Done          <----- auth_ok ---- Done
//! ```

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use hvym_tunnel_core::agent::LoginFactory;
use hvym_tunnel_core::dialect::{DecodeError, Proto, Service, SessionTerms, Signal};
use hvym_tunnel_core::handshake::{Endpoint, HANDSHAKE_TIMEOUT, Login, Step, TokenAuthRequest};
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::plane::{DataPlane, PlaneStart};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::time::Instant;

use crate::bridge::{BridgeConfig, RawStreams};
use crate::dialect::{CompatFrame, Dialect, TokenAuth};
use crate::plane::BridgePlane;

/// The capability to carry connections in binary messages.
const BINARY_FRAMES: &str = "binary_frames";
/// Timeout of a login that replaces another agent: one existing server needs 31 s for it with its default database.
const FORCE_TIMEOUT: Duration = Duration::from_secs(60);
/// The version that our agent sends.
const OWN_VERSION: &str = concat!("hvym-tunnel ", env!("CARGO_PKG_VERSION"));
/// Prefix of the `User-Agent` of the existing Python agents.
const PYTHON: &str = "Python/";

/// An agent that logs in by token, from what the upgrade request carried.
#[derive(Clone, PartialEq, Eq)]
pub enum CompatAgent {
    /// A tunely agent. Python agents are known by their `User-Agent`; they name no capabilities.
    Tunely {
        /// The field of the upgrade request.
        user_agent: Option<String>,
    },
    /// A CloudToLocalLLM agent: its token, from `Authorization: Bearer`, else from the query.
    CloudLlm {
        /// The token; none was given if it is empty.
        token: String,
    },
}

impl fmt::Debug for CompatAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CompatAgent::Tunely { .. } => "Tunely",
            CompatAgent::CloudLlm { .. } => "CloudLlm(..)",
        })
    }
}

/// Messages that are kept until the login is over: early pings of an agent, or requests that one existing relay sends
/// ahead of its answer.
const MAX_EARLY: usize = 16;
/// Bytes of them that a relay keeps of somebody who has not logged in.
const MAX_EARLY_BYTES: usize = 12 * 1024;

/// The credentials of an agent.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenLogin {
    /// The dialect: [`Dialect::Tunely`] or [`Dialect::CloudLlm`].
    pub dialect: Dialect,
    /// The token; for CloudToLocalLLM the runner puts it into the upgrade request.
    pub token: String,
    /// Replace another agent that is connected with the token.
    pub force: bool,
}

impl TokenLogin {
    /// The login at a tunely server.
    pub fn tunely(token: impl Into<String>, force: bool) -> Self {
        Self { dialect: Dialect::Tunely, token: token.into(), force }
    }

    /// The login at a CloudToLocalLLM relay, where the newest agent of an account always replaces the older one.
    pub fn cloud_llm(token: impl Into<String>) -> Self {
        Self { dialect: Dialect::CloudLlm, token: token.into(), force: false }
    }
}

impl fmt::Debug for TokenLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenLogin").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl LoginFactory for TokenLogin {
    fn login(&self, service: &Service, now: Instant) -> Box<dyn Login> {
        Box::new(TokenHandshake::agent(self.clone(), service, now))
    }
}

/// What both sides support.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
struct Capabilities {
    /// The agent carries connections.
    raw_streams: bool,
    /// In binary messages.
    binary_frames: bool,
    /// The relay answers pings.
    answers_pings: bool,
}

enum State {
    /// The relay has the token from the upgrade.
    TokenInUpgrade {
        token: String,
    },
    /// The relay waits for the first message.
    AwaitingRequest,
    /// The relay waits for its owner's decision.
    AwaitingVerdict,
    /// The agent has sent nothing.
    Starting(TokenLogin),
    /// The agent has sent the token.
    AwaitingGrant,
    Done,
}

/// One half of a login by token.
pub struct TokenHandshake {
    side: Side,
    dialect: Dialect,
    state: State,
    deadline: Instant,
    /// The agent is a Python one.
    python: bool,
    /// The capabilities that the agent named.
    named: Vec<String>,
    service: Service,
    capabilities: Capabilities,
    /// Messages for the data plane that came before the login was over.
    early: Vec<Message>,
}

impl TokenHandshake {
    /// The relay's half.
    pub fn relay(agent: CompatAgent, now: Instant) -> Self {
        let none = Service::http("");
        match agent {
            CompatAgent::Tunely { user_agent } => {
                let python = user_agent.is_some_and(|name| name.starts_with(PYTHON));
                let half = Self::new(Side::Relay, Dialect::Tunely, State::AwaitingRequest, none, now);
                Self { python, ..half }
            }
            CompatAgent::CloudLlm { token } => {
                Self::new(Side::Relay, Dialect::CloudLlm, State::TokenInUpgrade { token }, none, now)
            }
        }
    }

    /// The agent's half. Everything that comes is for `service`, since no message names one.
    pub fn agent(login: TokenLogin, service: &Service, now: Instant) -> Self {
        let timeout = if login.force { FORCE_TIMEOUT } else { HANDSHAKE_TIMEOUT };
        let half = Self::new(Side::Agent, login.dialect, State::Starting(login), service.clone(), now);
        Self { deadline: now + timeout, ..half }
    }

    fn new(side: Side, dialect: Dialect, state: State, service: Service, now: Instant) -> Self {
        Self {
            side,
            dialect,
            state,
            deadline: now + HANDSHAKE_TIMEOUT,
            python: false,
            named: Vec::new(),
            service,
            capabilities: Capabilities::default(),
            early: Vec::new(),
        }
    }

    fn on_token_auth(&mut self, message: TokenAuth) -> Result<Option<Step>, DownReason> {
        match (&self.state, message) {
            (State::AwaitingRequest, TokenAuth::Request { token, version, force, capabilities }) => {
                self.state = State::AwaitingVerdict;
                self.named = capabilities;
                Ok(Some(Step::Authenticate(TokenAuthRequest { token, force, version })))
            }
            (State::AwaitingGrant, TokenAuth::Granted { name, capabilities, .. }) => {
                self.state = State::Done;
                self.capabilities = Capabilities {
                    raw_streams: true,
                    binary_frames: capabilities.as_ref().is_some_and(|all| has(all, BINARY_FRAMES)),
                    answers_pings: capabilities.is_some(),
                };
                Ok(Some(Step::Done(self.endpoint(name))))
            }
            (State::AwaitingGrant, TokenAuth::Refused { code, error }) => Err(refusal(&code, error)),
            (_, other) => Err(DownReason::OutOfOrder(format!("{other:?} during the login"))),
        }
    }

    fn on_signal(&self, signal: Signal) -> Result<Option<Step>, DownReason> {
        match (self.side, signal) {
            (Side::Agent, Signal::Ping { id }) => Ok(self.encode(Signal::Pong { id }).map(Step::Send)),
            (_, signal) if matches!(self.state, State::AwaitingRequest) => {
                Err(DownReason::Authentication(format!("{signal:?} where the token was expected")))
            }
            // Some relays and agents send pings before the login is over.
            _ => Ok(None),
        }
    }

    /// Keeps a message for the data plane, in dialects whose programs send before the login is over.
    fn on_early(&mut self, message: Message) -> Result<Option<Step>, DownReason> {
        if !self.dialect.profile().sends_before_auth || self.early.len() >= MAX_EARLY {
            return Err(DownReason::Malformed(self.not_a_login().to_owned()));
        }
        let held: usize = self.early.iter().map(|early| early.payload().len()).sum();
        if self.side == Side::Relay && held + message.payload().len() > MAX_EARLY_BYTES {
            return Err(DownReason::TooLarge(self.not_a_login().to_owned()));
        }
        self.early.push(message);
        Ok(None)
    }

    /// The reason for a message that cannot be part of a login; the relay's is the text of the system that is replaced.
    fn not_a_login(&self) -> &'static str {
        match self.side {
            Side::Agent => "stream data before the login",
            Side::Relay => "Invalid auth response",
        }
    }

    /// The result of the login; `url` is what the agent's programs display.
    fn endpoint(&self, url: String) -> Endpoint {
        let services = match self.side {
            Side::Agent => vec![self.service.name.clone()],
            Side::Relay => Vec::new(),
        };
        Endpoint { url, relay: None, is_proven: false, services, terms: SessionTerms::default() }
    }
}

impl Login for TokenHandshake {
    fn start(&mut self, _now: Instant) -> Result<Option<Step>, DownReason> {
        match core::mem::replace(&mut self.state, State::Done) {
            State::TokenInUpgrade { token } => {
                self.state = State::AwaitingVerdict;
                let request = TokenAuthRequest { token, force: true, version: String::new() };
                Ok(Some(Step::Authenticate(request)))
            }
            State::Starting(login) if login.dialect == Dialect::Tunely => {
                self.state = State::AwaitingGrant;
                let request = TokenAuth::Request {
                    token: login.token,
                    version: OWN_VERSION.to_owned(),
                    force: login.force,
                    capabilities: vec![BINARY_FRAMES.to_owned()],
                };
                Ok(self.dialect.encode(CompatFrame::TokenAuth(request)).map(Step::Send))
            }
            // The token was sent in the upgrade request; no login message follows.
            State::Starting(_) => Ok(Some(Step::Done(self.endpoint(String::new())))),
            state => {
                self.state = state;
                Ok(None)
            }
        }
    }

    fn handle_message(&mut self, message: Message, _now: Instant) -> Result<Option<Step>, DownReason> {
        match self.dialect.decode(message.clone()) {
            Ok(CompatFrame::TokenAuth(auth)) => self.on_token_auth(auth),
            Ok(CompatFrame::Signal(signal)) => self.on_signal(signal),
            Ok(CompatFrame::Call(_)) => self.on_early(message),
            Err(DecodeError::NotControl(_)) if self.side == Side::Relay => {
                Err(DownReason::Malformed(self.not_a_login().to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn admit(&mut self, name: String, _terms: SessionTerms) -> Option<(Option<Message>, Endpoint)> {
        if !matches!(self.state, State::AwaitingVerdict) {
            return None;
        }
        self.state = State::Done;
        let binary_frames = has(&self.named, BINARY_FRAMES);
        // Python agents carry HTTP by messages as well, but only one request at a time and only text.
        self.capabilities =
            Capabilities { raw_streams: binary_frames || self.python, binary_frames, answers_pings: true };
        let granted = TokenAuth::Granted {
            name: name.clone(),
            id: name.clone(),
            capabilities: Some(binary_frames.then(|| BINARY_FRAMES.to_owned()).into_iter().collect()),
        };
        let granted = Some(granted).filter(|_| self.dialect == Dialect::Tunely);
        let message = granted.and_then(|granted| self.dialect.encode(CompatFrame::TokenAuth(granted)));
        Some((message, self.endpoint(name)))
    }

    /// The time for the owner's decision is not limited.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        match self.poll_timeout() {
            Some(deadline) if now >= deadline => {
                Err(DownReason::TimedOut("Authentication timeout".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        matches!(self.state, State::AwaitingRequest | State::AwaitingGrant).then_some(self.deadline)
    }

    fn encode(&self, signal: Signal) -> Option<Message> {
        self.dialect.encode(CompatFrame::Signal(signal))
    }

    /// Sends the reason where the dialect has a message for it: some agents reconnect in a loop after a bare close.
    fn close(&mut self, reason: &DownReason) -> Option<Message> {
        let is_fault =
            matches!(reason, DownReason::Malformed(_) | DownReason::TimedOut(_) | DownReason::Finished);
        if self.side == Side::Agent || self.dialect != Dialect::Tunely || is_fault {
            return None;
        }
        self.dialect.encode(CompatFrame::TokenAuth(TokenAuth::refused(reason)))
    }

    fn finish(self: Box<Self>, endpoint: &Endpoint, start: PlaneStart) -> Box<dyn DataPlane> {
        let Capabilities { raw_streams, binary_frames, answers_pings } = self.capabilities;
        let raw_streams =
            if raw_streams { RawStreams::On { binary: binary_frames } } else { RawStreams::Off };
        let raw_proto = match self.side {
            Side::Agent => self.service.proto,
            Side::Relay => Proto::default(),
        };
        let service = endpoint.services.first().cloned().unwrap_or_default();
        let config = BridgeConfig::new(self.dialect, self.side, service);
        let config = BridgeConfig { raw_streams, raw_proto, ..config };
        Box::new(BridgePlane::new(config, answers_pings, self.early, &start))
    }
}

fn has(capabilities: &[String], name: &str) -> bool {
    capabilities.iter().any(|capability| capability == name)
}

/// The reason of a refusal. One server sends the same text for a wrong token and for one that is in use.
fn refusal(code: &str, error: String) -> DownReason {
    match (code, error.as_str()) {
        ("connection_exists", _) => DownReason::TokenInUse { known: true },
        (_, "Authentication failed") => DownReason::TokenInUse { known: false },
        _ => DownReason::Authentication(error),
    }
}
