//! The login of a link: every transition of both sides. It knows no key and no stream.
//!
//! A login is bound to both ends: the relay proves its key over the agent's nonce and the authority that was dialled before
//! the agent signs, and the agent's token names that authority.
//!
//! ```text
//!  agent                                   relay
//!  AwaitingChallenge <-- auth_challenge -- AwaitingResponse
//!  AwaitingSignature (Sign -> signature)
//!  AwaitingOk ------- auth_response -----> AwaitingDecision (Admit -> admit | refuse)
//!  Done <---------------- auth_ok -------- Done
//! ```
//!
//! With a token in the upgrade the relay starts in `AwaitingDecision` and the agent in `AwaitingChallengeOrOk`.
//! [`Login`] is object safe: a link runs either half, and logins of other protocols, without knowing which.

mod agent;
mod agent_login;
mod agent_states;
mod authority;
mod fallback;
mod proof;
mod relay;
mod relay_check;
mod relay_states;
mod upgrade;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::dialect::{Process, SessionTerms, Signal};
use crate::message::Message;
use crate::plane::{DataPlane, PlaneStart};
use crate::reason::DownReason;
use crate::stellar::{Address, Signature, SigningInput, Verified};
use crate::time::Instant;

pub use agent::{AgentHandshake, LinkRequest};
pub use agent_login::{AgentLogin, AuthMode};
pub(crate) use authority::split_port;
pub use authority::{dialled_authority, normal_authority};
pub use fallback::{Fallback, FallbackPeer, SharedFallback};
pub(crate) use proof::url_with_nonce;
pub use proof::{NONCE_BYTES, ProofInput, RelayProof, nonce_in_query};
pub use relay::{RelayHandshake, RelayLogin};
pub use relay_check::Dialled;
pub use upgrade::{Credential, Upgrade};

/// How long either side waits for the other's next step. The one system that is replaced waits as long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// What an agent of a protocol with shared tokens shows, for the relay's owner to judge.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenAuthRequest {
    /// The token. Compare it in constant time, or by a hash.
    pub token: String,
    /// The agent wants to take the place of whoever is connected with it.
    pub force: bool,
    /// What the program calls itself.
    pub version: String,
}

/// Without the token.
impl fmt::Debug for TokenAuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAuthRequest")
            .field("force", &self.force)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What a login asks of the link it belongs to.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Send this.
    Send(Message),
    /// Have this signed by the identity, and hand the signature in.
    Sign(SigningInput),
    /// Somebody proved who they are: decide, then admit or refuse.
    Admit(Verified),
    /// The same, for a further link of the session of this name.
    Join(Verified, String),
    /// Somebody shows a token: decide, then admit or refuse.
    Authenticate(TokenAuthRequest),
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
    /// Whether the relay has proved to hold the key of that identity; those of older systems do not.
    pub is_proven: bool,
    /// The services the token named.
    pub services: Vec<String>,
    /// What the session may have.
    pub terms: SessionTerms,
}

/// One half of a login, from the open WebSocket to the data plane.
pub trait Login: Send {
    /// The first step, if this half has one. Called once, before anything else.
    ///
    /// # Errors
    /// Why the login failed; the link ends.
    fn start(&mut self, now: Instant) -> Result<Option<Step>, DownReason>;

    /// The other side sent a message.
    ///
    /// # Errors
    /// As [`Self::start`].
    fn handle_message(&mut self, message: Message, now: Instant) -> Result<Option<Step>, DownReason>;

    /// The signer answered the [`Step::Sign`] that carried `input`, as it was or reissued; `None` is a no.
    ///
    /// # Errors
    /// As [`Self::start`].
    fn handle_signature(
        &mut self,
        _input: &SigningInput,
        _signature: Option<Signature>,
        _now: Instant,
    ) -> Result<Option<Step>, DownReason> {
        Ok(None)
    }

    /// Admits who was announced by [`Step::Admit`], [`Step::Join`] or [`Step::Authenticate`]; `url` is where its service is
    /// reachable. Returns what to send and the end of the login; `None` if nobody waits for the decision.
    fn admit(&mut self, _url: String, _terms: SessionTerms) -> Option<(Option<Message>, Endpoint)> {
        None
    }

    /// What the other side said of its program, if it did. Asked once somebody waits for the decision.
    fn take_process(&mut self) -> Option<Process> {
        None
    }

    /// Whether the agent is a program of an older system, by what it has said so far.
    fn falls_back(&self) -> bool {
        false
    }

    /// Gives up when the other side takes too long.
    ///
    /// # Errors
    /// As [`Self::start`].
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DownReason>;

    /// When [`Self::handle_timeout`] gives up; `None` is never.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The message for a control signal; `None` if the protocol has none.
    fn encode(&self, signal: Signal) -> Option<Message>;

    /// The login ends for `reason`: what the other side is told ahead of the WebSocket close.
    fn close(&mut self, reason: &DownReason) -> Option<Message>;

    /// The data plane that was agreed on. Called once, after [`Step::Done`] with this `endpoint`.
    fn finish(self: Box<Self>, endpoint: &Endpoint, start: PlaneStart) -> Box<dyn DataPlane>;
}

/// Fails when `deadline` has passed: the agent did not answer in time.
fn in_time(deadline: Option<Instant>, now: Instant) -> Result<(), DownReason> {
    match deadline {
        Some(deadline) if now >= deadline => {
            Err(DownReason::TimedOut(String::from("Authentication timeout")))
        }
        _ => Ok(()),
    }
}
