//! Why a relay was not reached, as a fact that a person can be given the way out of.
//!
//! Knows no options and no commands.

use std::io;

use hvym_tunnel_core::message::Close;
use rustls::AlertDescription;

use super::client_upgrade::UpgradeError;
use super::error_text::words;
use super::host_connect::HostConnectError;

/// There is no WebSocket to a relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialError {
    /// What it means for the link; its reason is a text for a person.
    pub close: Close,
    /// What stands in the way.
    pub problem: DialProblem,
}

/// What stands in the way to a relay.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DialProblem {
    /// The name has no address.
    Unresolved {
        /// The name.
        host: String,
    },
    /// Nothing listens there.
    Refused {
        /// `host:port`.
        at: String,
    },
    /// TLS was begun, and what answered is not TLS.
    NotTls {
        /// `host:port`.
        at: String,
    },
    /// TLS was not begun, and TLS is what is spoken there.
    SpeaksTls {
        /// `host:port`.
        at: String,
    },
    /// The certificate is not for this name, has ended, or is of an authority that nobody here trusts.
    Untrusted {
        /// The name.
        host: String,
    },
    /// The relay has no certificate for this name.
    NoCertificate {
        /// The name.
        host: String,
    },
    /// A web server that is no relay, or a relay behind one that does not let WebSockets pass.
    NoRelay {
        /// `host:port`.
        at: String,
        /// What it answered.
        status: u16,
    },
    /// Something else, which the text of the close says all about.
    Other,
}

impl DialError {
    pub(super) fn other(reason: impl Into<String>) -> Self {
        Close::abnormal(reason.into()).into()
    }

    fn new(reason: String, problem: DialProblem) -> Self {
        Self { close: Close::abnormal(reason), problem }
    }

    pub(super) fn of_connect(error: HostConnectError, host: &str, at: String) -> Self {
        match error {
            HostConnectError::Unresolved(error) => {
                let reason = format!("the name {host} does not resolve ({})", words(&error));
                Self::new(reason, DialProblem::Unresolved { host: host.to_owned() })
            }
            HostConnectError::Failed(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Self::new(format!("nothing is listening on {at}"), DialProblem::Refused { at })
            }
            HostConnectError::Failed(error) => Self::other(format!("{at}: {}", words(&error))),
        }
    }

    /// Of a handshake with the server that is called `host`, at `at` (`host:port`).
    pub fn of_tls(error: &io::Error, host: &str, at: String) -> Self {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
        match cause {
            Some(rustls::Error::InvalidMessage(_)) => {
                Self::new(format!("{at} does not speak TLS"), DialProblem::NotTls { at })
            }
            // Whoever speaks TLS for several names says so when it has no certificate for one of them.
            Some(rustls::Error::AlertReceived(
                AlertDescription::AccessDenied | AlertDescription::UnrecognisedName,
            )) => Self::new(
                format!("{at} has no certificate for {host}"),
                DialProblem::NoCertificate { host: host.to_owned() },
            ),
            Some(rustls::Error::InvalidCertificate(_)) => Self::new(
                format!("TLS with {host}: {}", words(error)),
                DialProblem::Untrusted { host: host.to_owned() },
            ),
            _ => Self::other(format!("TLS with {host}: {}", words(error))),
        }
    }

    pub(super) fn of_upgrade(error: &UpgradeError, host: &str, at: String) -> Self {
        match error {
            UpgradeError::SpeaksTls => Self::new(format!("{at} speaks TLS"), DialProblem::SpeaksTls { at }),
            UpgradeError::Status(421) => Self::other(format!(
                "{host} is not a name of the relay there (HTTP 421); dial it by its own name, or have its operator add this \
                 one with --also-name {host}"
            )),
            UpgradeError::Status(403) => Self::other(
                "the server refuses (HTTP 403); one of tunely is dialled with --dialect tunely and its token",
            ),
            UpgradeError::Status(status) => {
                let reason = format!("there is a web server at {at}, and no relay (HTTP {status})");
                Self::new(reason, DialProblem::NoRelay { at, status: *status })
            }
            UpgradeError::Io(error) => Self::other(words(error)),
            other => Self::other(other.to_string()),
        }
    }
}

impl From<Close> for DialError {
    fn from(close: Close) -> Self {
        Self { close, problem: DialProblem::Other }
    }
}
