//! The agent's half of the login.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::{Endpoint, HANDSHAKE_TIMEOUT, Step};
use crate::dialect::{Dialect, MUX_YAMUX, Signal, VERSION};
use crate::reason::DownReason;
use crate::stellar::{Address, Claims, Signature, SigningInput};
use crate::time::{Instant, Wall};

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
    /// The claims of a token for `relay`, issued now.
    pub fn claims(&self, relay: Address, wall: Wall, now: Instant) -> Claims {
        Claims::new(self.identity, relay.to_string(), wall.unix_at(now))
            .with_services(self.services.iter().cloned())
            .with_lifetime(Some(self.token_lifetime))
    }
}

#[derive(Debug)]
enum State {
    /// For `auth_challenge`; with a bearer token `auth_ok` may come at once.
    AwaitingRelay,
    Signing {
        challenge_id: String,
        relay: Address,
        input: SigningInput,
    },
    AwaitingOk {
        relay: Address,
    },
    Done,
}

/// The agent's half of the login, from the open WebSocket to `auth_ok`.
#[derive(Debug)]
pub struct AgentHandshake {
    login: AgentLogin,
    wall: Wall,
    state: State,
    deadline: Instant,
    dialect: Dialect,
    #[cfg(feature = "foreign")]
    seals: bool,
}

impl AgentHandshake {
    /// A login over a WebSocket that opened at `now`.
    pub fn new(login: AgentLogin, wall: Wall, now: Instant) -> Self {
        let (state, deadline) = (State::AwaitingRelay, now + HANDSHAKE_TIMEOUT);
        Self {
            login,
            wall,
            state,
            deadline,
            dialect: Dialect::Native,
            #[cfg(feature = "foreign")]
            seals: false,
        }
    }

    /// The relay said something.
    pub fn handle_signal(&mut self, signal: Signal, now: Instant) -> Result<Option<Step>, DownReason> {
        match (&self.state, signal) {
            (_, Signal::AuthFailed { code, error }) => {
                Err(DownReason::from_auth_failed(code.as_deref(), &error))
            }
            (_, Signal::Error { .. } | Signal::Unknown) => Ok(None),
            (
                State::AwaitingRelay,
                Signal::AuthChallenge { challenge_id, challenge, server_address, mux, .. },
            ) => self.on_challenge(challenge_id, &challenge, &server_address, &mux, now).map(Some),
            (State::AwaitingOk { relay }, ok @ Signal::AuthOk { .. }) => {
                let relay = *relay;
                self.on_ok(relay, ok).map(Some)
            }
            (State::AwaitingRelay, ok @ Signal::AuthOk { .. }) if self.login.mode == AuthMode::Bearer => {
                let Signal::AuthOk { server_address, .. } = &ok else { return Ok(None) };
                #[cfg(feature = "foreign")]
                if matches!(&ok, Signal::AuthOk { mux: None, .. }) {
                    self.dialect = Dialect::HvymJson;
                }
                let relay = self.pinned(server_address)?;
                self.on_ok(relay, ok).map(Some)
            }
            (_, other) => Err(DownReason::OutOfOrder(format!("{other:?} during the login"))),
        }
    }

    /// The signer answered the [`Step::Sign`] that carried `asked`; `None` is a no.
    pub fn handle_signature(
        &mut self,
        asked: &SigningInput,
        signature: Option<Signature>,
        now: Instant,
    ) -> Result<Option<Step>, DownReason> {
        let State::Signing { challenge_id, relay, input } = &self.state else { return Ok(None) };
        if input != asked {
            // An answer that nobody waits for any more: a person may take longer than a link lives.
            return Ok(None);
        }
        let signature = signature.ok_or(DownReason::SignerRefused)?;
        let token = input.clone().into_token(signature).map_err(|_| DownReason::SignerMismatch)?;
        let native = self.dialect == Dialect::Native;
        let answer = Signal::AuthResponse {
            challenge_id: Some(challenge_id.clone()),
            jwt: Some(token.as_str().to_string()),
            mux: native.then(|| MUX_YAMUX.to_string()),
            version: native.then_some(VERSION),
        };
        self.state = State::AwaitingOk { relay: *relay };
        self.deadline = now + HANDSHAKE_TIMEOUT;
        Ok(Some(Step::Send(answer)))
    }

    /// Gives up when the relay, or the signer, takes too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        match self.poll_timeout() {
            Some(deadline) if now >= deadline => Err(DownReason::TimedOut(String::from(match self.state {
                State::Signing { .. } => "the signer did not answer the login",
                _ => "the relay did not answer the login",
            }))),
            _ => Ok(()),
        }
    }

    /// When [`Self::handle_timeout`] gives up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!matches!(self.state, State::Done)).then_some(self.deadline)
    }

    fn on_challenge(
        &mut self,
        challenge_id: String,
        challenge: &str,
        server_address: &str,
        mux: &[String],
        now: Instant,
    ) -> Result<Step, DownReason> {
        let relay = self.pinned(server_address)?;
        if challenge.is_empty() {
            // What would be signed could be used again.
            return Err(DownReason::Malformed(String::from("an empty challenge")));
        }
        self.dialect = match mux {
            #[cfg(feature = "foreign")]
            [] => Dialect::HvymJson,
            planes if planes.iter().any(|offered| offered == MUX_YAMUX) => Dialect::Native,
            _ => {
                let text = "the relay does not offer the yamux data plane";
                return Err(DownReason::NotAllowed(String::from(text)));
            }
        };
        let input = self.login.claims(relay, self.wall, now).with_challenge(challenge).signing_input();
        self.state = State::Signing { challenge_id, relay, input: input.clone() };
        self.deadline = now + HANDSHAKE_TIMEOUT;
        Ok(Step::Sign(input))
    }

    fn on_ok(&mut self, relay: Address, ok: Signal) -> Result<Step, DownReason> {
        #[cfg(feature = "foreign")]
        if let Signal::AuthOk { encryption_available, .. } = &ok {
            self.seals = *encryption_available == Some(true);
        }
        let Signal::AuthOk { endpoint, server_address, services, mux, .. } = ok else {
            return Err(DownReason::OutOfOrder(format!("{ok:?} during the login")));
        };
        if self.address(&server_address)? != relay {
            return Err(DownReason::WrongRelay { pinned: relay.to_string(), found: server_address });
        }
        let fault = match (self.dialect, mux.as_deref()) {
            (Dialect::Native, Some(MUX_YAMUX)) => None,
            #[cfg(feature = "foreign")]
            (Dialect::HvymJson, None) => None,
            #[cfg(feature = "foreign")]
            (Dialect::HvymJson, Some(_)) => Some("the relay took a data plane that it had not offered"),
            _ => Some("the relay did not take the yamux data plane"),
        };
        if let Some(fault) = fault {
            return Err(DownReason::Protocol(String::from(fault)));
        }
        self.state = State::Done;
        Ok(Step::Done(Endpoint { url: endpoint, relay: Some(relay), services }))
    }

    /// What is spoken once the login is over.
    #[cfg(feature = "foreign")]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The relay that asked for a signature, until the login is over.
    #[cfg(feature = "foreign")]
    pub fn relay(&self) -> Option<Address> {
        match &self.state {
            State::Signing { relay, .. } | State::AwaitingOk { relay } => Some(*relay),
            State::AwaitingRelay | State::Done => None,
        }
    }

    /// Whether the relay shares a key with this agent, so that messages can be sealed.
    #[cfg(feature = "foreign")]
    pub fn seals(&self) -> bool {
        self.seals
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

#[cfg(all(test, not(feature = "foreign")))]
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
        let half = |mode| AgentHandshake::new(login(mode), wall, Instant::ZERO);
        let asked = half(AuthMode::Challenge).handle_signal(
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
        let let_in = half(AuthMode::Bearer).handle_signal(
            Signal::AuthOk {
                endpoint: String::new(),
                server_address: relay.to_string(),
                services: Vec::new(),
                mux: None,
                version: None,
                encryption_available: None,
                encryption_mode: None,
            },
            Instant::ZERO,
        );
        assert!(matches!(let_in, Err(DownReason::Protocol(_))), "{let_in:?}");
    }
}
