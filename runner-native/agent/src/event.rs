//! What an agent tells its owner, as values: the events of a link, of visitors and of local services.
//!
//! Knows no screen and no texts.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hvym_http1::ResponseError;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::dial_error::DialProblem;
use hvym_tunnel_net::target::Target;

pub use crate::service::host_check::DevServer;
pub use crate::service::upstream::ConnectError;

/// One thing that happened to an agent.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum AgentEvent {
    /// The relay took the agent, and visitors can come. Once in its life; later it is [`AgentEvent::Reconnected`].
    Online {
        /// The services that the relay took, in the order they were given.
        services: Vec<BoundService>,
    },
    /// A forward is connected, and local connections reach the service. Once in its life, as [`AgentEvent::Online`].
    ForwardOnline {
        /// Where local connections are taken.
        listen: SocketAddr,
    },
    /// The relay gave a name, which leads visitors to this URL.
    Named {
        /// The name.
        name: String,
        /// Where it leads.
        url: String,
    },
    /// The relay did not give a name.
    NameRefused {
        /// The name.
        name: String,
        /// The relay's code for the reason.
        code: String,
        /// The relay's text for a person.
        message: String,
    },
    /// The relay took a service that was added while the agent was online.
    ServiceBound(BoundService),
    /// The relay did not take a service.
    ServiceRefused {
        /// Its name.
        service: String,
        /// The relay's code for the reason.
        code: String,
        /// The relay's text for a person.
        message: String,
    },
    /// Another agent of the same identity serves this service from now on. What visitors have under way here goes on.
    ServiceTakenOver {
        /// Its name.
        service: String,
        /// Which program has it, if that allowed to tell.
        by: Option<String>,
    },
    /// There is no link. Once for each failed attempt.
    Disconnected {
        /// Why the link ended, or the attempt failed.
        reason: DownReason,
        /// What stands in the way, if there was no connection.
        problem: Option<DialProblem>,
        /// When the next attempt comes.
        retry_in: Duration,
        /// Counts the attempts since the link was lost, from 1.
        attempt: u32,
    },
    /// There is a link again, and visitors can come.
    Reconnected {
        /// Where the first service is reached; for a forward, where local connections are taken.
        url: String,
        /// How long there was no link.
        after: Duration,
    },
    /// The relay wants a person to know something.
    Notice {
        /// Its code for the reason.
        code: String,
        /// Its text.
        message: String,
        /// Its advice.
        hint: Option<String>,
    },
    /// The relay announced that it goes away; the agent connects again by itself.
    RelayDraining,
    /// The relay answered a ping after this long: the round trip of the link.
    Latency(Duration),
    /// The agent was asked to stop while requests were under way; it waits for them.
    Draining {
        /// How long at most.
        deadline: Duration,
    },
    /// A visitor's HTTP request takes longer than most; [`AgentEvent::Request`] follows at its end.
    RequestOngoing(OngoingRequest),
    /// A visitor's HTTP request was answered, or broke off.
    Request(RequestRecord),
    /// A visitor's connection to a TCP service is over.
    Connection(ConnectionRecord),
    /// An identity opened a stream to a service and was admitted. Reported once a minute for each identity and service.
    PeerAdmitted {
        /// The service.
        service: String,
        /// Who.
        from: Address,
        /// The key that acts for that identity by a delegation; `None` where it is the identity's own.
        key: Option<Address>,
    },
    /// An identity opened a stream to a service and was refused. Reported once a minute for each identity and service.
    PeerRefused {
        /// The service, as it was asked for.
        service: String,
        /// Who.
        from: Address,
        /// The key that acts for that identity by a delegation; `None` where it is the identity's own.
        key: Option<Address>,
    },
    /// The relay takes a delegation for revoked, as it was asked.
    Revoked {
        /// Whether it stays so when the relay is started again.
        persisted: bool,
    },
    /// The relay does not revoke a delegation.
    RevokeRefused {
        /// The relay's code for the reason.
        code: String,
        /// The relay's text for a person.
        message: String,
    },
    /// A local service does not answer. Reported when its state changes, not for every visitor.
    UpstreamUnreachable {
        /// The service.
        service: String,
        /// Where it should be.
        target: Target,
        /// Why.
        error: ConnectError,
    },
    /// A local service answers that did not.
    UpstreamReachable {
        /// The service.
        service: String,
        /// Where it is.
        target: Target,
    },
    /// A forward cut a local connection, because the other identity's service was not reached. Reported when the reason
    /// changes.
    ForwardFailed(ForwardError),
}

/// A service that the relay took.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BoundService {
    /// Its name.
    pub service: String,
    /// Where visitors reach it; of a private one `ADDRESS/NAME`, which peers forward to.
    pub url: String,
    /// The local place.
    pub target: Target,
    /// Whether only the identities of its access list reach it.
    pub private: bool,
}

/// One HTTP request that is under way.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OngoingRequest {
    /// The service.
    pub service: Arc<str>,
    /// As in [`RequestRecord`].
    pub visitor: Option<IpAddr>,
    /// As the visitor sent it.
    pub method: Cow<'static, str>,
    /// As in [`RequestRecord`].
    pub target: String,
    /// The status of the response, once it has begun.
    pub status: Option<u16>,
    /// Since the first byte of the request.
    pub elapsed: Duration,
}

/// One HTTP request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RequestRecord {
    /// The service.
    pub service: Arc<str>,
    /// Where the visitor came from, as the relay says it. `None` of another identity, and where the relay says nothing.
    pub visitor: Option<IpAddr>,
    /// As the visitor sent it.
    pub method: Cow<'static, str>,
    /// The request target as the visitor sent it. What follows `?` may be secret.
    pub target: String,
    /// What the visitor got; 499 if it left before the response (as nginx), 502 if the service did or sent no proper one.
    pub status: u16,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// Bytes of the response's body, without its framing, if there was a response of the service.
    pub response_bytes: Option<u64>,
    /// What was unusual.
    pub note: Option<RequestNote>,
}

/// What was unusual about a request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RequestNote {
    /// A development server refused the public host name.
    HostRefused {
        /// Which.
        server: DevServer,
        /// The `Host` of the request.
        host: Option<String>,
        /// The `Host` that the service would accept; `None` if it already gets another one than visitors send.
        accepted: Option<String>,
    },
    /// The visitor's address is in none of the allowed networks.
    NetworkNotAllowed(Option<IpAddr>),
    /// A CORS preflight was answered in place of the service.
    PreflightAnswered,
    /// The visitor gave no credentials.
    NoCredentials,
    /// The visitor gave wrong credentials.
    WrongCredentials,
    /// The visitor gave credentials, and none is looked at because too many from its address were wrong.
    TooManyGuesses,
    /// The service closed the connection before it answered.
    ClosedWithoutResponse {
        /// Where the service is.
        place: String,
    },
    /// What the service sent is not HTTP/1.1, or a form of it that two recipients could read differently: the visitor got an
    /// error page.
    BadResponse {
        /// Where the service is.
        place: String,
        /// What is wrong with it.
        reason: ResponseError,
    },
    /// The service closed the connection in the middle of its response.
    StoppedInResponse {
        /// Where the service is.
        place: String,
    },
    /// The stream broke in the middle of the response.
    CutOffInResponse,
    /// The stream broke before the response.
    CutOffBeforeResponse,
}

/// One connection to a TCP service.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ConnectionRecord {
    /// The service.
    pub service: Arc<str>,
    /// Where the visitor came from, as the relay saw it.
    pub visitor: Option<String>,
    /// Which identity opened it, if one did.
    pub from: Option<Address>,
    /// Bytes that came from the visitor.
    pub received: u64,
    /// Bytes that went to the visitor.
    pub sent: u64,
    /// How long it was open.
    pub duration: Duration,
    /// How it ended, if not in good order.
    pub failure: Option<ConnectionFailure>,
}

/// Why a connection to a TCP service did not end in good order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConnectionFailure {
    /// One of both sides broke off.
    CutOff,
    /// The service was not reached.
    Unreachable(ConnectError),
}

/// Why a forward did not reach the other identity's service.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ForwardError {
    /// There is no link, or no stream is free.
    NotConnected(String),
    /// The relay or the owner's agent refused.
    Refused {
        /// The code of the reason, one of [`OpenResult`](hvym_tunnel_core::dialect::OpenResult).
        code: String,
        /// Its text.
        message: String,
    },
    /// The stream ended without a verdict.
    NoVerdict(String),
    /// No verdict came in time.
    TimedOut,
}

impl ForwardError {
    /// A code for the reason, the peer's own if it sent one.
    pub fn code(&self) -> &str {
        match self {
            ForwardError::NotConnected(_) => "not_connected",
            ForwardError::Refused { code, .. } => code,
            ForwardError::NoVerdict(_) => "no_verdict",
            ForwardError::TimedOut => "timed_out",
        }
    }
}

/// How things stand, at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AgentStatus {
    /// The agent's address.
    pub address: Address,
    /// The link to the relay.
    pub link: LinkState,
    /// Who the relay is, while there is a link, and if it has proved to be that.
    pub relay: Option<Address>,
    /// Where visitors of the bare address come to, while there is a link: the first service.
    pub url: Option<String>,
    /// Whether visitors could come at some time.
    pub was_online: bool,
    /// The services, in the order they were given.
    pub services: Vec<ServiceStatus>,
    /// How many streams run.
    pub streams: usize,
    /// Events that were dropped because their readers fell behind.
    pub lagged: u64,
    /// Of a forward: where local connections are taken.
    pub listen: Option<SocketAddr>,
}

/// The link to the relay.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkState {
    /// Dialling.
    Connecting,
    /// The WebSocket is open, and the login is under way.
    Authenticating,
    /// Visitors can come.
    Online,
    /// Waiting for the next attempt.
    Waiting,
}

/// One service.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name.
    pub service: String,
    /// The local place.
    pub target: Target,
    /// Where it is reached; `None` while the relay has not taken it.
    pub url: Option<String>,
}
