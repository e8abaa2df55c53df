//! The login of a link: every transition of both sides. It knows no JSON, no key and no stream.
//!
//! ```text
//!  agent                                   relay
//!  AwaitingRelay <---- auth_challenge ---- (start) AwaitingResponse
//!  Signing  (Sign -> signature)
//!  AwaitingOk   ----- auth_response -----> AwaitingVerdict (Admit -> admit | refuse)
//!  Done         <-------- auth_ok -------- Done
//! ```
//!
//! With a bearer token the relay starts in `AwaitingVerdict` and the agent waits for `auth_ok` at once.

mod agent;
#[cfg(feature = "foreign")]
mod knock;
mod relay;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::dialect::Signal;
#[cfg(feature = "foreign")]
use crate::dialect::{Dialect, Knock};
use crate::reason::DownReason;
use crate::stellar::{Address, SigningInput, Verified};
use crate::time::Instant;

pub use agent::{AgentHandshake, AgentLogin, AuthMode};
#[cfg(feature = "foreign")]
pub use knock::{Abilities, Guest, KnockHandshake, Knocked, TokenLogin, refused};
pub use relay::{Credential, RelayHandshake, RelayLogin};

/// How long either side waits for the other's next step. The one system that is replaced waits as long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// How the sealing of messages is called; there is one way.
const SEAL_MODE: &str = "XSalsa20-Poly1305";

/// What a handshake asks of the link it belongs to.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Send this.
    Send(Signal),
    /// Have this signed by the identity, and hand the signature in.
    Sign(SigningInput),
    /// Somebody proved who they are: decide, then admit or refuse.
    Admit(Verified),
    /// Send this, which is part of a login by token.
    #[cfg(feature = "foreign")]
    Say(Knock),
    /// Somebody shows a token: decide, then welcome or refuse.
    #[cfg(feature = "foreign")]
    Knock(Knocked),
    /// Both sides agree; streams may flow.
    Done(Endpoint),
}

/// What the relay granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The public URL of the first service bound.
    pub url: String,
    /// Who the relay is, if it has an identity.
    pub relay: Option<Address>,
    /// The services the token named.
    pub services: Vec<String>,
}

/// The relay's half as a link sees it. Behind a pointer, so that a program that only has agents, such as a page in a
/// browser, need not carry what a relay checks.
pub trait RelayHalf: core::fmt::Debug + Send {
    /// As [`Handshake::handle_signal`].
    fn handle_signal(&mut self, signal: Signal, now: Instant) -> Result<Option<Step>, DownReason>;
    /// As [`Handshake::handle_timeout`].
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason>;
    /// As [`Handshake::poll_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// As [`RelayHandshake::admit`].
    fn admit(&mut self, url: String) -> Option<(Signal, Endpoint)>;
    /// As [`RelayHandshake::offer_seal`].
    #[cfg(feature = "foreign")]
    fn offer_seal(&mut self);
    /// As [`Handshake::dialect`].
    #[cfg(feature = "foreign")]
    fn dialect(&self) -> Dialect;
}

/// Either half, for a link that does not care which. Boxed: it is large, and over after the first second.
#[derive(Debug)]
pub enum Handshake {
    /// The agent's.
    Agent(Box<AgentHandshake>),
    /// The relay's.
    Relay(Box<dyn RelayHalf>),
    /// Either half of a login by token.
    #[cfg(feature = "foreign")]
    Knock(Box<KnockHandshake>),
}

/// Whether an agent that is to say something until `deadline` still may.
fn in_time(deadline: Option<Instant>, now: Instant) -> Result<(), DownReason> {
    match deadline {
        Some(deadline) if now >= deadline => {
            Err(DownReason::TimedOut(String::from("Authentication timeout")))
        }
        _ => Ok(()),
    }
}

impl Handshake {
    /// The other side said something.
    pub fn handle_signal(&mut self, signal: Signal, now: Instant) -> Result<Option<Step>, DownReason> {
        match self {
            Handshake::Agent(half) => half.handle_signal(signal, now),
            Handshake::Relay(half) => half.handle_signal(signal, now),
            #[cfg(feature = "foreign")]
            Handshake::Knock(half) => half.handle_signal(&signal),
        }
    }

    /// Gives up when the other side takes too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason> {
        match self {
            Handshake::Agent(half) => half.handle_timeout(now),
            Handshake::Relay(half) => half.handle_timeout(now),
            #[cfg(feature = "foreign")]
            Handshake::Knock(half) => half.handle_timeout(now),
        }
    }

    /// What is spoken once the login is over.
    #[cfg(feature = "foreign")]
    pub fn dialect(&self) -> Dialect {
        match self {
            Handshake::Agent(half) => half.dialect(),
            Handshake::Relay(half) => half.dialect(),
            Handshake::Knock(half) => half.dialect(),
        }
    }

    /// When [`Self::handle_timeout`] gives up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Handshake::Agent(half) => half.poll_timeout(),
            Handshake::Relay(half) => half.poll_timeout(),
            #[cfg(feature = "foreign")]
            Handshake::Knock(half) => half.poll_timeout(),
        }
    }
}
