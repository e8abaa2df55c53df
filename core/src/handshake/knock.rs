//! The login by token, either half: the agent shows it, the relay asks its owner, who alone knows the tokens.
//!
//! In one dialect the token comes in a message, in the other in the upgrade request, and then nothing is said at all.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::{Endpoint, HANDSHAKE_TIMEOUT, Step, in_time};
use crate::dialect::{Dialect, Knock, Signal};
use crate::reason::DownReason;
use crate::time::Instant;

/// The capability to carry connections in binary messages.
const BINARY_FRAMES: &str = "binary_frames";
/// How long an agent waits that takes the place of another: with its default database, one existing server needs 31 s.
const FORCE_TIMEOUT: Duration = Duration::from_secs(60);
/// What an agent of ours calls itself.
const OWN_VERSION: &str = concat!("hvym-tunnel ", env!("CARGO_PKG_VERSION"));
/// How the WebSocket library of the existing Python agents begins its name.
const PYTHON: &str = "Python/";

/// Who knocks at a relay, from what the upgrade request carried.
#[derive(Clone, PartialEq, Eq)]
pub enum Guest {
    /// A tunely agent. Its `User-Agent` tells what it can carry, where it does not say so itself.
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

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guest::Tunely { .. } => "Tunely",
            Guest::CloudLlm { .. } => "CloudLlm(..)",
        })
    }
}

/// What a relay's owner has to judge.
#[derive(Clone, PartialEq, Eq)]
pub struct Knocked {
    /// The token. Compare it in constant time, or by a hash.
    pub token: String,
    /// The agent wants to take the place of whoever is connected with it.
    pub force: bool,
    /// What the program calls itself.
    pub version: String,
}

/// Without the token.
impl fmt::Debug for Knocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knocked")
            .field("force", &self.force)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What an agent shows.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenLogin {
    /// The dialect: [`Dialect::Tunely`] or [`Dialect::CloudLlm`].
    pub dialect: Dialect,
    /// The token; for CloudToLocalLLM the runner puts it into the upgrade request.
    pub token: String,
    /// Take the place of whoever is connected with it.
    pub force: bool,
}

impl TokenLogin {
    /// The login at a tunely server.
    pub fn tunely(token: impl Into<String>, force: bool) -> Self {
        Self { dialect: Dialect::Tunely, token: token.into(), force }
    }

    /// The login at a CloudToLocalLLM relay, where the newest agent of an account wins by itself.
    pub fn cloud_llm(token: impl Into<String>) -> Self {
        Self { dialect: Dialect::CloudLlm, token: token.into(), force: false }
    }
}

impl fmt::Debug for TokenLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenLogin").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// What both sides turned out to be able to do.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Abilities {
    /// The agent carries connections.
    pub pipes: bool,
    /// In binary messages.
    pub packed: bool,
    /// The relay answers pings.
    pub pongs: bool,
}

#[derive(Debug)]
enum State {
    /// The relay waits for the first message.
    AwaitingAsk,
    /// The relay's owner has been asked.
    AwaitingVerdict,
    /// The agent has asked.
    AwaitingGrant,
    Done,
}

/// One half of a login by token.
#[derive(Debug)]
pub struct KnockHandshake {
    dialect: Dialect,
    state: State,
    deadline: Instant,
    python: bool,
    asked: Vec<String>,
    services: Vec<String>,
    abilities: Abilities,
}

impl KnockHandshake {
    /// The relay's half, and its first step, if it has one.
    pub fn relay(guest: Guest, now: Instant) -> (Self, Result<Option<Step>, DownReason>) {
        match guest {
            Guest::Tunely { user_agent } => {
                let python = user_agent.is_some_and(|name| name.starts_with(PYTHON));
                let half = Self::new(Dialect::Tunely, State::AwaitingAsk, now);
                (Self { python, ..half }, Ok(None))
            }
            Guest::CloudLlm { token } => {
                let half = Self::new(Dialect::CloudLlm, State::AwaitingVerdict, now);
                let knocked = Knocked { token, force: true, version: String::new() };
                (half, Ok(Some(Step::Knock(knocked))))
            }
        }
    }

    /// The agent's half, and its first step. What comes is for `service`.
    pub fn agent(login: &TokenLogin, service: &str, now: Instant) -> (Self, Step) {
        let services = vec![service.to_owned()];
        if login.dialect != Dialect::Tunely {
            let half = Self::new(login.dialect, State::Done, now);
            return (half, Step::Done(Endpoint { url: String::new(), relay: None, services }));
        }
        let ask = Knock::Ask {
            token: login.token.clone(),
            version: OWN_VERSION.to_owned(),
            force: login.force,
            capabilities: vec![BINARY_FRAMES.to_owned()],
        };
        let half = Self::new(Dialect::Tunely, State::AwaitingGrant, now);
        let deadline = now + if login.force { FORCE_TIMEOUT } else { HANDSHAKE_TIMEOUT };
        (Self { services, deadline, ..half }, Step::Say(ask))
    }

    fn new(dialect: Dialect, state: State, now: Instant) -> Self {
        let deadline = now + HANDSHAKE_TIMEOUT;
        let (asked, services, abilities) = (Vec::new(), Vec::new(), Abilities::default());
        Self { dialect, state, deadline, python: false, asked, services, abilities }
    }

    /// The other side said something about the login.
    pub fn handle_knock(&mut self, knock: Knock) -> Result<Option<Step>, DownReason> {
        match (&self.state, knock) {
            (State::AwaitingAsk, Knock::Ask { token, version, force, capabilities }) => {
                self.state = State::AwaitingVerdict;
                self.asked = capabilities;
                Ok(Some(Step::Knock(Knocked { token, force, version })))
            }
            (State::AwaitingGrant, Knock::Granted { name, capabilities, .. }) => {
                self.state = State::Done;
                let packed = capabilities.as_ref().is_some_and(|all| all.iter().any(|c| c == BINARY_FRAMES));
                self.abilities = Abilities { pipes: true, packed, pongs: capabilities.is_some() };
                let services = core::mem::take(&mut self.services);
                Ok(Some(Step::Done(Endpoint { url: name, relay: None, services })))
            }
            (State::AwaitingGrant, Knock::Refused { code, error }) => Err(refusal(&code, error)),
            (_, other) => Err(DownReason::OutOfOrder(format!("{other:?} during the login"))),
        }
    }

    /// The other side said something else.
    pub fn handle_signal(&mut self, signal: &Signal) -> Result<Option<Step>, DownReason> {
        match (&self.state, self.dialect) {
            (State::AwaitingAsk, _) => {
                Err(DownReason::Authentication(format!("{signal:?} where the token was expected")))
            }
            // Some relays ask for a sign of life before they have answered, and some agents give one.
            _ => Ok(None),
        }
    }

    /// Lets in who knocked; `name` is what the agent's programs show.
    pub fn welcome(&mut self, name: String) -> Option<(Option<Knock>, Endpoint)> {
        if !matches!(self.state, State::AwaitingVerdict) {
            return None;
        }
        self.state = State::Done;
        let can = |capability: &str| self.asked.iter().any(|asked| asked == capability);
        let packed = can(BINARY_FRAMES);
        // Those in Python carry HTTP by messages too, one request at a time and never a byte that is no text.
        self.abilities = Abilities { pipes: packed || self.python, packed, pongs: true };
        let granted = Knock::Granted {
            name: name.clone(),
            id: name.clone(),
            capabilities: Some(
                self.asked.iter().filter(|asked| *asked == BINARY_FRAMES).take(1).cloned().collect(),
            ),
        };
        let endpoint = Endpoint { url: name, relay: None, services: Vec::new() };
        Some(((self.dialect == Dialect::Tunely).then_some(granted), endpoint))
    }

    /// Gives up when the other side takes too long. A verdict that the relay's owner owes is not timed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        in_time(self.poll_timeout(), now)
    }

    /// When [`Self::handle_timeout`] gives up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        matches!(self.state, State::AwaitingAsk | State::AwaitingGrant).then_some(self.deadline)
    }

    /// What is spoken.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What was agreed on, once it is over.
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }
}

/// Why an agent was refused. One server has the same words for a wrong token and for one that is in use.
fn refusal(code: &str, error: String) -> DownReason {
    match (code, error.as_str()) {
        ("connection_exists", _) => DownReason::TokenInUse { known: true },
        (_, "Authentication failed") => DownReason::TokenInUse { known: false },
        _ => DownReason::Authentication(error),
    }
}

/// What a relay says before it closes, where it has words for the reason. `is_login` if the agent was not let in yet.
pub fn refused(reason: &DownReason, is_login: bool) -> Knock {
    let (code, error) = match reason {
        DownReason::Authentication(text) => ("auth_failed", text.clone()),
        DownReason::Replaced if is_login => (
            "connection_exists",
            "another agent is connected with this token; --force takes its place".to_owned(),
        ),
        DownReason::Replaced => {
            ("connection_exists", "replaced by a newer agent with the same token".to_owned())
        }
        other => (other.auth_failed_code(), format!("{other}")),
    };
    Knock::Refused { code: code.to_owned(), error }
}
