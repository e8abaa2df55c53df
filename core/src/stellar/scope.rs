//! What a token is good for. A token of one scope is good for nothing of another.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The `scope` claim. Tokens of older systems have none.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// A login that may bind services.
    #[default]
    Agent,
    /// A login that only reaches services of others.
    Call,
    /// The relay's HTTP routes, and no login.
    Api,
}

impl Scope {
    /// Its name in a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Agent => "agent",
            Scope::Call => "call",
            Scope::Api => "api",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is no scope.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("a scope is agent, call or api")]
pub struct ScopeError;

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        [Scope::Agent, Scope::Call, Scope::Api]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(ScopeError)
    }
}
