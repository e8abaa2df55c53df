//! Everything that a person or a script is told, as one list of reports.
//!
//! How a report reads as text is in `human.rs` and `request_line.rs`, as JSON in `json.rs`; where it goes is in `reporter.rs`.

mod audit_file;
mod certificates;
mod event_line;
mod human;
mod json;
mod line;
mod log_files;
mod log_line;
mod reopened_file;
mod reporter;
mod request_line;
mod rotating_file;
mod settings;
pub(crate) mod told;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use serde::Serialize;

use crate::exit::ExitError;
pub(crate) use audit_file::AuditFile;
pub(crate) use event_line::PlainEvents;
pub(crate) use human::without_query;
pub(crate) use line::escaped;
pub(crate) use log_files::paths as log_paths;
pub(crate) use log_line::{time as log_time, time_of};
pub(crate) use reopened_file::{ReopenHandle, ReopenedFile};
pub(crate) use reporter::{FLUSH_LIMIT, Reporter, Style};
pub(crate) use rotating_file::full as full_log;

/// Whose agent it is. In JSON one member, named like the variant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Who {
    /// An identity's.
    Address(Address),
    /// A guest's, by the name that the relay's operator gave it.
    Name(String),
}

impl From<Owner> for Who {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Identity(address) => Who::Address(address),
            Owner::Named(name) => Who::Name(name.as_ref().to_owned()),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Address(address) => address.fmt(f),
            Who::Name(name) => f.write_str(name),
        }
    }
}

/// A visitor's request was answered. Borrowed, because there may be thousands a second. What follows `?` in its path is not
/// told: it may hold a visitor's secrets.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename = "request")]
pub(crate) struct RequestReport<'a> {
    /// As the visitor sent it.
    pub(crate) method: &'a str,
    /// As the visitor sent it.
    #[serde(serialize_with = "json::path_alone")]
    pub(crate) path: &'a str,
    /// Where the visitor came from, as the relay saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) visitor: Option<IpAddr>,
    /// What the visitor got.
    pub(crate) status: u16,
    /// From the first byte of the request to the last of the response.
    pub(crate) millis: u64,
    /// Bytes of the response's body, once they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// Which service, when that is not obvious.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<&'a str>,
    /// What a person should know about it, with the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<&'a str>,
}

/// One thing that happened. In JSON: the variant is the member `event`, in snake case; times are whole
/// milliseconds in members that end in `_ms`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Report {
    /// A key pair was made, because there was none.
    IdentityCreated {
        /// Its public half.
        address: Address,
        /// Its file.
        path: String,
    },
    /// No relay was named, so there is one that only this machine can visit.
    OwnRelay {
        /// What agents would give as `--relay`.
        relay: String,
        /// Whether machines of the local network can visit too.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        lan: bool,
    },
    /// Requests are shown on this machine.
    Inspecting {
        /// What to open in a browser.
        url: String,
    },
    /// The relay took the agent, and visitors can come. The first one decides what is in the URL file.
    Ready {
        /// Where visitors reach the first service; of a private one, what its friends give to `forward`.
        url: String,
        /// Where that service really is.
        target: String,
        /// Its name.
        service: String,
        /// Who the agent is; a server that knows it by a token is not told.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<Address>,
        /// Whom it dialled.
        relay: String,
        /// Whether only identities that were named reach it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        private: bool,
        /// What a person should know about the URL.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
    },
    /// A further service can be visited.
    Bound {
        /// Its name.
        service: String,
        /// Where visitors reach it.
        url: String,
        /// Where it really is.
        target: String,
    },
    /// The relay did not take a service.
    BindFailed {
        /// Its name.
        service: String,
        /// The relay's word for the reason.
        code: String,
        /// The relay's text for a person.
        message: String,
    },
    /// The server takes services of certain names alone, and nobody named this one.
    ServiceChosen {
        /// The name that it has from now on: the first that the server lists.
        service: String,
        /// The name that was refused.
        refused: String,
    },
    /// Another agent of the same identity serves a service from now on.
    Unbound {
        /// Its name.
        service: String,
        /// The relay's word for the reason.
        code: &'static str,
        /// Which program has it, if that allowed to tell.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The relay gave a name.
    Named {
        /// The name.
        name: String,
        /// Where it leads visitors to.
        url: String,
    },
    /// The relay did not give a name.
    NameRefused {
        /// The name.
        name: String,
        /// The relay's word for the reason.
        code: String,
        /// The relay's text for a person.
        message: String,
    },
    /// An identity reached a service. Told now and then, not for every stream.
    Reached {
        /// The service.
        service: String,
        /// Who.
        from: Address,
        /// The key that acts for them by a delegation, if it is not their own.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<Address>,
    },
    /// An identity that may not reach a service tried to. Told now and then, not for every stream.
    Refused {
        /// The service.
        service: String,
        /// Who.
        from: Address,
        /// The key that acts for them by a delegation, if it is not their own.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<Address>,
    },
    /// Local connections lead to the service of another identity. The first one decides what is in the URL file.
    Forwarding {
        /// Whose service, and which: `<address>/<service>`.
        service: String,
        /// Where local connections are taken.
        listen: String,
        /// Who the agent is: what the owner must allow.
        address: Address,
        /// Whom it dialled.
        relay: String,
    },
    /// A local connection was cut, because the service of the other identity was not reached. Told when it begins.
    NotReached {
        /// Whose service, and which.
        service: String,
        /// The other side's word for the reason.
        code: String,
        /// What is wrong, in words.
        message: String,
        /// What to do.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A visitor's request takes longer than most. Its own report follows at its end.
    RequestOngoing {
        /// As the visitor sent it.
        method: String,
        /// The same, without what follows `?`.
        path: String,
        /// Where the visitor came from, as the relay saw it.
        #[serde(skip_serializing_if = "Option::is_none")]
        visitor: Option<IpAddr>,
        /// What the visitor got, if the response has begun.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Since the first byte of the request.
        #[serde(rename = "elapsed_ms", serialize_with = "json::millis")]
        elapsed: Duration,
        /// Which service, when that is not obvious.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// A visitor's connection to a service that carries bytes is over.
    Connection {
        /// Where the visitor came from, as the relay saw it; of an identity, its address.
        #[serde(skip_serializing_if = "Option::is_none")]
        visitor: Option<String>,
        /// Bytes that came from the visitor.
        received: u64,
        /// Bytes that went to the visitor.
        sent: u64,
        /// How long it was open.
        #[serde(rename = "lasted_ms", serialize_with = "json::millis")]
        lasted: Duration,
        /// Which service, when that is not obvious.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// What a person should know about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Nobody answers at a target. Told when it begins, not for every visitor.
    UpstreamUnreachable {
        /// The service.
        service: String,
        /// Where it should be.
        target: String,
        /// What is wrong, in words, with the way out.
        message: String,
    },
    /// A target answers that did not.
    UpstreamReachable {
        /// The service.
        service: String,
        /// Where it is.
        target: String,
    },
    /// There is no link to the relay.
    Disconnected {
        /// Why, in words.
        reason: String,
        /// When the next attempt comes; `None` is never.
        #[serde(rename = "retry_in_ms", serialize_with = "json::optional_millis")]
        retry_in: Option<Duration>,
        /// Counts the attempts since the link was lost, from 1. Telling the same attempt again updates its line.
        attempt: u32,
        /// What to do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Whether there was a link before.
        #[serde(skip)]
        is_again: bool,
    },
    /// There is a link again, and visitors can come.
    Reconnected {
        /// Where visitors reach the first service.
        url: String,
        /// How long there was no link.
        #[serde(rename = "after_ms", serialize_with = "json::millis")]
        after: Duration,
    },
    /// The other side wants a person to know something.
    #[serde(rename = "told")]
    Notice {
        /// Its word for it.
        code: String,
        /// Its text.
        message: String,
        /// Its advice.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A relay takes visitors and agents.
    Listening {
        /// Where visitors begin.
        url: String,
        /// What agents give as `--relay`.
        relay: String,
        /// What agents give as `--relay-address`.
        address: Address,
        /// Where it really listens.
        listen: String,
        /// Where it listens for its operator's programs.
        #[serde(skip_serializing_if = "Option::is_none")]
        admin: Option<String>,
    },
    /// An agent was admitted.
    AgentJoined {
        /// Who.
        #[serde(flatten)]
        who: Who,
        /// The key that acts for them by a delegation, if it is not their own.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<Address>,
        /// Where visitors reach it.
        url: String,
        /// From where it dialled.
        peer: String,
    },
    /// An agent's link ended.
    AgentLeft {
        /// Who.
        #[serde(flatten)]
        who: Who,
        /// The key that acts for them by a delegation, if it is not their own.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<Address>,
        /// Why, in words.
        reason: String,
    },
    /// A record of a relay's audit log.
    Audit {
        /// What happened, as a word.
        action: &'static str,
        /// Whom it concerns, as far as it is known.
        #[serde(flatten)]
        who: Option<Who>,
        /// From where it dialled.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
        /// Why, or what.
        detail: String,
        /// Records of this action that came too fast and were left out since the last one.
        #[serde(skip_serializing_if = "is_zero")]
        suppressed: u64,
    },
    /// An owner took a delegation back.
    DelegationRevoked {
        /// The owner.
        address: Address,
        /// The delegation.
        id: String,
        /// Whether it stays revoked when the relay is started again.
        persisted: bool,
    },
    /// The relay's certificate was read again, and is used from now on.
    CertificateLoaded,
    /// The relay's new certificate cannot be used, and the one from before stays.
    CertificateKept {
        /// What is wrong with it.
        message: String,
    },
    /// A certificate was issued, or renewed, and is used from now on.
    CertificateIssued {
        /// Its names.
        names: Vec<String>,
        /// When it ends, in seconds of the Unix epoch.
        not_after: u64,
    },
    /// A certificate could not be had.
    CertificateFailed {
        /// Its names.
        names: Vec<String>,
        /// Why, in words.
        message: String,
        /// When the next attempt is, in seconds of the Unix epoch.
        retry_at: u64,
    },
    /// A file of the state folder cannot be used, or not be written.
    StateFailed {
        /// Which, and why.
        message: String,
    },
    /// The database of tunnels cannot be reached: what is connected stays, and nothing can be changed.
    DatabaseLost {
        /// Which, and why.
        message: String,
    },
    /// The database of tunnels is back.
    DatabaseBack,
    /// The store that relays share cannot be reached: what is known of the others goes on to hold.
    ClusterLost {
        /// Why.
        message: String,
    },
    /// Nor can another relay be reached: visitors are answered 503.
    ClusterCutOff,
    /// The store that relays share is back.
    ClusterBack,
    /// The keys of guests' tokens were read again, and are used from now on.
    KeysLoaded,
    /// The new keys of guests' tokens cannot be used, and those from before stay.
    KeysKept {
        /// What is wrong with them.
        message: String,
    },
    /// The settings file was read again, and is applied from now on.
    ConfigLoaded {
        /// How many differences there were, where each is applied by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<usize>,
        /// What differs too, and has an effect after a restart only.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        restart: Vec<&'static str>,
    },
    /// The new settings file cannot be used, and the settings from before stay.
    ConfigKept {
        /// What is wrong with it: a line for each mistake.
        message: String,
    },
    /// A link of the settings file does not run.
    LinkFailed {
        /// Its name.
        link: String,
        /// Why, in words.
        message: String,
        /// What to do.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The next process of a relay has its listeners, and this one finishes what is under way.
    Upgraded {
        /// The id of the next process.
        pid: u32,
    },
    /// The next process of a relay did not come up, and this one goes on.
    UpgradeFailed {
        /// Why.
        message: String,
    },
    /// Nothing new is taken, what is under way may finish.
    Draining {
        /// Why, in words.
        reason: String,
        /// How long that may take.
        #[serde(rename = "deadline_ms", serialize_with = "json::millis")]
        deadline: Duration,
    },
    /// The last report of a process that ends as it was asked.
    Stopped {
        /// Why, in words.
        reason: String,
    },
    /// The last report of a process that cannot go on. Also as text on standard error, whatever the style.
    Error {
        /// The word for the exit code.
        code: &'static str,
        /// The exit code.
        exit: u8,
        /// What happened.
        message: String,
        /// What else is wrong, each a line of its own.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        more: Vec<String>,
        /// What to do.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// For serde, which gives a reference.
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<&ExitError> for Report {
    fn from(failure: &ExitError) -> Report {
        Report::Error {
            code: failure.exit.word(),
            exit: failure.exit.code(),
            message: failure.message.clone(),
            more: failure.more.clone(),
            hint: failure.hint.clone(),
        }
    }
}
