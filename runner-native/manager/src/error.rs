//! What a manager cannot do.

use hvym_tunnel_agent::AgentError;
use thiserror::Error;

/// What a manager cannot do.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// It has no link.
    #[error("no link is set")]
    NoLinks,
    /// It has several, and none was named.
    #[error("there are several links: name one of {0}")]
    WhichLink(String),
    /// It has none of this name.
    #[error("there is no link {0}")]
    UnknownLink(String),
    /// Two links have one name.
    #[error("two links are called {0}")]
    DuplicateLink(String),
    /// It has no service of this name.
    #[error("there is no service {0}")]
    UnknownService(String),
    /// No link leads where somebody wants to join one.
    #[error("no link here leads there")]
    NotShared,
    /// A service of this name is there already.
    #[error("the manager that runs has a service {0}")]
    ServiceInUse(String),
    /// The local port that somebody wants cannot be had.
    #[error("{0}")]
    NoPort(String),
    /// What was said of a service is not understood.
    #[error("{0}")]
    BadService(String),
    /// A link cannot do it.
    #[error(transparent)]
    Agent(#[from] AgentError),
}
