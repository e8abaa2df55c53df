//! Why a list of agents cannot be used.

use std::path::PathBuf;

use hvym_tunnel_core::relay::AgentListError;
use thiserror::Error;

/// Why a file of agents cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AgentListFileError {
    /// It is missing, too large, no text, or not readable for this process.
    #[error("the list of agents in {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// A line of it is wrong.
    #[error("the list of agents in {} is wrong in {error}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        error: AgentListError,
    },
}
