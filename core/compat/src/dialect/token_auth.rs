//! The login messages of dialects in which agents share a token with their relay's owner instead of owning a key.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use hvym_tunnel_core::reason::DownReason;

/// One message of such a login.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenAuth {
    /// Agent: asks for admission.
    Request {
        /// The token.
        token: String,
        /// The program's version.
        version: String,
        /// Replace another agent that is connected with the token.
        force: bool,
        /// Capabilities beyond the first version.
        capabilities: Vec<String>,
    },
    /// Relay: admitted.
    Granted {
        /// The agent's public name.
        name: String,
        /// The id of its entry at the relay.
        id: String,
        /// Capabilities of both sides; `None` is a relay of the first version.
        capabilities: Option<Vec<String>>,
    },
    /// Relay: refused.
    Refused {
        /// Machine-readable.
        code: String,
        /// For a person.
        error: String,
    },
}

/// The kind alone: one of them carries a token.
impl fmt::Debug for TokenAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenAuth::Request { .. } => "auth",
            TokenAuth::Granted { .. } => "auth_ok",
            TokenAuth::Refused { .. } => "auth_error",
        })
    }
}

impl TokenAuth {
    /// What a relay sends before it closes for `reason`.
    pub(crate) fn refused(reason: &DownReason) -> Self {
        let (code, error) = match reason {
            DownReason::Authentication(text) => ("auth_failed", text.clone()),
            DownReason::Conflict => (
                "connection_exists",
                "another agent is connected with this token; --force takes its place".to_owned(),
            ),
            DownReason::Replaced => {
                ("connection_exists", "replaced by a newer agent with the same token".to_owned())
            }
            other => (other.auth_failed_code(), format!("{other}")),
        };
        TokenAuth::Refused { code: code.to_owned(), error }
    }
}
