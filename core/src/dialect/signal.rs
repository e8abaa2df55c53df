//! The control vocabulary of all dialects, without its encoding.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use super::{OnConflict, Process};
use crate::names::{MAX_SERVICE_CHARACTERS, check_service};

/// The data plane's name in the `mux` field.
pub const MUX_YAMUX: &str = "yamux";
/// The version of the native dialect.
pub const VERSION: u32 = 2;

/// What a stream of a service carries.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Proto {
    /// HTTP/1.1.
    #[default]
    Http,
    /// Bytes.
    Tcp,
    /// HTTP/2 with prior knowledge.
    H2,
}

/// A named local port that an agent offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name: a DNS label of its public host name.
    pub name: String,
    /// What its streams carry.
    pub proto: Proto,
    /// The local port, which the relay only displays.
    pub local_port: Option<u16>,
    /// Whether visitors may reach it. If not, only identities may that its owner allows.
    pub public: bool,
    /// What becomes of it when another session of the same identity has bound it.
    pub on_conflict: OnConflict,
}

/// A text that cannot name a service.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "a service name is 1 to {MAX_SERVICE_CHARACTERS} of a-z, 0-9 and single '-', with no '-' at either end, and not xn"
)]
pub struct ServiceNameError;

impl Service {
    /// A service of this name whose streams are bytes.
    pub fn tcp(name: impl Into<String>) -> Self {
        Self { proto: Proto::Tcp, ..Self::http(name) }
    }

    /// An HTTP service of this name.
    pub fn http(name: impl Into<String>) -> Self {
        let on_conflict = OnConflict::default();
        Self { name: name.into(), proto: Proto::Http, local_port: None, public: true, on_conflict }
    }

    /// Whether `name` can be a service's: it shares a DNS label with the name of its owner, see [`names`](crate::names).
    ///
    /// # Errors
    /// The rule, if it cannot.
    pub fn check_name(name: &str) -> Result<(), ServiceNameError> {
        if check_service(name) { Ok(()) } else { Err(ServiceNameError) }
    }
}

/// What a relay grants to the session of a login.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SessionTerms {
    /// The session's name, for further links of the same agent; `None` if it takes none.
    pub session: Option<String>,
    /// The links that may take streams at once; `None` is one.
    pub links: Option<u32>,
    /// The streams that the relay lets the agent have open on one link; `None` if it does not say.
    pub streams: Option<u32>,
}

/// How a relay shows that it holds its key. Relays of older systems do not.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ShownProof {
    /// The authority that the relay takes itself to be dialled as.
    pub host: Option<String>,
    /// Its signature over a [`ProofInput`](crate::handshake::ProofInput), base64url.
    pub proof: Option<String>,
}

/// What a [`Signal::Drain`] is about.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub enum DrainScope {
    /// All links: the relay goes away.
    #[default]
    Session,
    /// The link that carries the message; others of the same session stay.
    Link,
}

/// One control message. Fields a peer may leave out are optional; fields it adds are ignored.
#[derive(Clone, PartialEq, Eq)]
pub enum Signal {
    /// Relay: demands a signature over a fresh challenge.
    AuthChallenge {
        /// The id of this challenge.
        challenge_id: String,
        /// What the token's `challenge` claim must repeat.
        challenge: String,
        /// The relay's address: the audience of the token.
        server_address: String,
        /// Data planes the relay offers; absent on existing HVYM programs.
        mux: Vec<String>,
        /// Version of the dialect.
        version: Option<u32>,
        /// The proof of the relay's key.
        shown: ShownProof,
    },
    /// Agent: the signed token.
    AuthResponse {
        /// The challenge it answers.
        challenge_id: Option<String>,
        /// The token.
        jwt: Option<String>,
        /// The data plane the agent chose; absent on existing HVYM programs.
        mux: Option<String>,
        /// Version of the dialect.
        version: Option<u32>,
        /// The live session that this link shall belong to; absent for a session of its own.
        join: Option<String>,
        /// The streams that the agent lets the relay have open on one link.
        streams: Option<u32>,
        /// Which of the identity's programs this is; nothing is said by older ones.
        process: Process,
    },
    /// Relay: admitted.
    AuthOk {
        /// The public URL of the first service bound.
        endpoint: String,
        /// The relay's address.
        server_address: String,
        /// The services the token asked for.
        services: Vec<String>,
        /// The data plane in use; absent on existing HVYM programs.
        mux: Option<String>,
        /// Version of the dialect.
        version: Option<u32>,
        /// What the session is and may have; nothing is said by existing HVYM programs.
        terms: SessionTerms,
        /// What the proof is over, if this message is the relay's first.
        challenge: Option<String>,
        /// The proof of the relay's key, if this message is the relay's first.
        shown: ShownProof,
        /// Whether messages can be sealed; only sent by existing HVYM programs.
        encryption_available: Option<bool>,
        /// The name of the encryption.
        encryption_mode: Option<String>,
    },
    /// Relay: refused; a close follows.
    AuthFailed {
        /// Machine-readable.
        code: Option<String>,
        /// For a person.
        error: String,
        /// The relay's clock, Unix seconds; only where the token was refused for its times.
        time: Option<u64>,
    },
    /// Agent: make a service reachable.
    Bind {
        /// Its name.
        service: String,
        /// The local port, for display.
        local_port: Option<u16>,
        /// What it carries; `None` is a protocol that this version does not know.
        proto: Option<Proto>,
        /// Whether visitors may reach it; relays of earlier versions ignore it.
        public: bool,
        /// What becomes of it when another session has bound it; `None` is a mode that this version does not know.
        on_conflict: Option<OnConflict>,
    },
    /// Relay: the service is reachable.
    BindOk {
        /// Its name.
        service: String,
        /// The local port of the bind; only repeated for existing HVYM programs.
        local_port: Option<u16>,
        /// Its public URL.
        url: Option<String>,
        /// The public port of this service alone, if it has one.
        port: Option<u16>,
    },
    /// Relay: the service is not reachable.
    BindFailed {
        /// Its name.
        service: String,
        /// Machine-readable.
        code: String,
        /// For a person.
        error: String,
    },
    /// Agent: make a service unreachable; its streams go on.
    Unbind {
        /// Its name.
        service: String,
    },
    /// Relay: the service is unbound.
    UnbindOk {
        /// Its name.
        service: String,
    },
    /// Relay: another session of the same identity serves this service from now on.
    Unbound {
        /// Its name.
        service: String,
        /// Machine-readable.
        code: String,
        /// Which program took it, if that allows to tell.
        by: Option<String>,
    },
    /// Agent: a delegation of its identity is not valid any more.
    Revoke {
        /// The id of the delegation.
        id: String,
        /// When it would be over by itself, Unix seconds; `None` is not known.
        until: Option<u64>,
    },
    /// Relay: the delegation is revoked.
    RevokeOk {
        /// The id of the delegation.
        id: String,
        /// Whether it stays so when the relay is started again.
        persisted: bool,
    },
    /// Relay: the delegation is not revoked.
    RevokeFailed {
        /// The id of the delegation.
        id: String,
        /// Machine-readable.
        code: String,
        /// For a person.
        error: String,
    },
    /// Agent: give this name to its identity.
    Claim {
        /// A label below the relay's domain, or a host name.
        name: String,
    },
    /// Relay: the name is the identity's.
    ClaimOk {
        /// The name.
        name: String,
        /// Where it leads visitors to.
        url: String,
    },
    /// Relay: the name is not given.
    ClaimFailed {
        /// The name.
        name: String,
        /// Machine-readable.
        code: String,
        /// For a person.
        error: String,
    },
    /// Keepalive request.
    Ping {
        /// To be repeated in the pong.
        id: Option<u64>,
    },
    /// Answer to a ping.
    Pong {
        /// The ping's.
        id: Option<u64>,
    },
    /// Relay: another link is needed now, because this one will end.
    Drain {
        /// For a person.
        reason: String,
        /// How long streams of this link may go on, milliseconds.
        deadline_ms: u64,
        /// What will end.
        scope: DrainScope,
    },
    /// No stream is left on this link, nor will there be another; see [`Link::shutdown`](crate::link::Link::shutdown).
    Drained,
    /// Relay: more streams wait than its links carry; the agent may dial so many in all.
    Links {
        /// The links that should take new streams.
        wanted: u32,
    },
    /// A notice for a person; never fatal by itself.
    Error {
        /// Machine-readable.
        code: String,
        /// For a person.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A message of this type, which only the receiving side sends; nothing else of it was read.
    Misdirected(&'static str),
    /// A type this version does not know.
    Unknown,
}

impl Signal {
    /// The message that tells the peer a service cannot be bound.
    pub fn bind_failed(service: &str, code: &str, error: &str) -> Self {
        Signal::BindFailed { service: service.to_owned(), code: code.to_owned(), error: error.to_owned() }
    }

    /// What kind of message this is: its `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Signal::AuthChallenge { .. } => "auth_challenge",
            Signal::AuthResponse { .. } => "auth_response",
            Signal::AuthOk { .. } => "auth_ok",
            Signal::AuthFailed { .. } => "auth_failed",
            Signal::Bind { .. } => "bind",
            Signal::BindOk { .. } => "bind_ok",
            Signal::BindFailed { .. } => "bind_failed",
            Signal::Unbind { .. } => "unbind",
            Signal::UnbindOk { .. } => "unbind_ok",
            Signal::Unbound { .. } => "unbound",
            Signal::Revoke { .. } => "revoke",
            Signal::RevokeOk { .. } => "revoke_ok",
            Signal::RevokeFailed { .. } => "revoke_failed",
            Signal::Claim { .. } => "claim",
            Signal::ClaimOk { .. } => "claim_ok",
            Signal::ClaimFailed { .. } => "claim_failed",
            Signal::Ping { .. } => "ping",
            Signal::Pong { .. } => "pong",
            Signal::Drain { .. } => "drain",
            Signal::Drained => "drained",
            Signal::Links { .. } => "links",
            Signal::Error { .. } => "error",
            Signal::Misdirected(kind) => kind,
            Signal::Unknown => "unknown",
        }
    }
}

/// The kind alone: an `auth_response` carries a token, which must not be logged.
impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.kind())
    }
}
