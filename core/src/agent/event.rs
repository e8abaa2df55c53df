//! What an agent tells its runner, and where it has the runner dial.

use alloc::string::String;
use core::time::Duration;

use crate::dialect::Process;
use crate::handshake::Endpoint;
use crate::link::StreamEvent;
use crate::reason::DownReason;
use crate::stellar::{SigningInput, Token};
use crate::time::Instant;

/// Names one dial of an agent and the WebSocket that comes of it, so that what happens to an earlier one is not taken
/// for news of a later one.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttemptId(pub(super) u32);

/// Where to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DialTarget {
    /// To be passed on with everything that comes of this dial.
    pub attempt: AttemptId,
    /// The relay's URL, with the nonce of this dial in the query where the relay is asked for a proof.
    pub relay: String,
    /// What `Host` has to be: the authority of that URL, as browsers send it.
    pub host: String,
    /// The token for `Authorization: Bearer`, if the agent logs in that way.
    pub bearer: Option<Token>,
    /// What the upgrade says of this program, where a token in it makes other messages of the login unnecessary.
    pub process: Process,
}

/// What an agent tells, or asks of, its runner.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum AgentEvent {
    /// Open a WebSocket there, then call [`Agent::handle_open`], or [`Machine::handle_close_from`] if it fails, with the
    /// target's attempt. A dial that is still under way is not needed any more; links that are up stay.
    ///
    /// [`Agent::handle_open`]: super::Agent::handle_open
    /// [`Machine::handle_close_from`]: crate::machine::Machine::handle_close_from
    Dial(DialTarget),
    /// Have this signed and call [`Agent::handle_signature`](super::Agent::handle_signature). The claims in it are from the
    /// wall clock as the agent knows it; [`SigningInput::reissued`] creates them from the clock at the moment of signing.
    Sign(SigningInput),
    /// Logged in, with a new session.
    Up(Endpoint),
    /// A service is reachable at this URL.
    Bound {
        /// The service.
        service: String,
        /// Where it is reachable; an older relay does not say.
        url: Option<String>,
    },
    /// The relay does not take a service.
    BindRefused {
        /// The service.
        service: String,
        /// Machine-readable.
        code: String,
        /// For a person.
        error: String,
    },
    /// Another session of the identity serves a service from now on. It is not offered again, and its streams go on.
    Unbound {
        /// The service.
        service: String,
        /// Which program took it, if that allows to tell.
        by: Option<String>,
    },
    /// The relay takes a delegation of this identity for revoked.
    Revoked {
        /// The delegation.
        id: String,
        /// Whether it stays so when the relay is started again.
        persisted: bool,
    },
    /// The relay does not revoke a delegation.
    RevokeRefused {
        /// The delegation.
        id: String,
        /// Machine-readable.
        code: String,
        /// For a person.
        error: String,
    },
    /// A name is this identity's, and leads visitors to this URL.
    Named {
        /// The name.
        name: String,
        /// Where it leads.
        url: String,
    },
    /// The relay does not give a name.
    NameRefused {
        /// The name.
        name: String,
        /// Machine-readable.
        code: String,
        /// For a person.
        error: String,
    },
    /// Something happened to a stream.
    Stream(StreamEvent),
    /// Opening a stream, which was refused for lack of capacity, may succeed again.
    OpenReady,
    /// So many links are up: one came or went beside others. The streams of one that went are lost.
    Links(usize),
    /// A fresh round trip time to the relay.
    Latency(Duration),
    /// The relay will go away; what is under way there may go on for `deadline`. If the relay allows more than one link, the
    /// agent dials another first; a second [`AgentEvent::Up`] without a [`AgentEvent::Down`] follows.
    Draining {
        /// For a person.
        reason: String,
        /// How long.
        deadline: Duration,
    },
    /// Something a person should know.
    Notice {
        /// Machine-readable.
        code: String,
        /// For a person.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The last link, or the attempt, ended; every stream is closed. `None` is the end of the agent.
    Down {
        /// Why.
        reason: DownReason,
        /// When the next dial is.
        retry_at: Option<Instant>,
    },
}
