//! The login of dialects in which an agent has a token of its relay's owner, and no key of its own.
//!
//! Nothing here can be checked without that owner, who knows the tokens.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use hvym_tunnel_core::reason::DownReason;

/// One message of such a login.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenAuth {
    /// Agent: let me in.
    Request {
        /// The token.
        token: String,
        /// What the program calls itself.
        version: String,
        /// Take the place of whoever is connected with it.
        force: bool,
        /// What it can do beyond the first version.
        capabilities: Vec<String>,
    },
    /// Relay: you are in.
    Granted {
        /// The agent's public name.
        name: String,
        /// Names its entry at the relay.
        id: String,
        /// What both can do; `None` is a relay of the first version.
        capabilities: Option<Vec<String>>,
    },
    /// Relay: you are not.
    Refused {
        /// Machine-readable.
        code: String,
        /// For a person.
        error: String,
    },
}

/// Names the kind alone, because a token is in one of them.
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
    /// What a relay sends before it closes for `reason`. `is_login` if the agent was not admitted yet.
    pub(crate) fn refused(reason: &DownReason, is_login: bool) -> Self {
        let (code, error) = match reason {
            DownReason::Authentication(text) => ("auth_failed", text.clone()),
            DownReason::Replaced if is_login => (
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
