//! Who asks the relay about itself: a stranger, its operator, or the owner of an agent.
//!
//! It decides nothing; what each may know is the routes' own.

use http::header::{HeaderMap, HeaderName};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::jwt::{Expected, Token};

use crate::http1::auth;
use crate::relay_state::RelayState;

/// The key of a relay's operator, as Tunely's tools show it.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Somebody who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// Somebody who showed nothing.
    Stranger,
    /// Whoever holds the operator's key.
    Operator,
    /// Whoever holds the key of this identity.
    Owner(Address),
}

/// Why what somebody showed is worth nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// A key that is not the operator's.
    Key,
    /// A token that proves nothing; the text says why.
    Token(String),
}

/// The token of `Authorization: Bearer`, if there is one.
pub(super) fn bearer(fields: &HeaderMap) -> Option<&str> {
    auth::bearer(fields).filter(|token| !token.is_empty())
}

/// Whether somebody tries the operator's key.
pub(super) fn shows_key(fields: &HeaderMap) -> bool {
    fields.contains_key(API_KEY)
}

impl Asker {
    /// Who sent these fields.
    ///
    /// # Errors
    /// Something was shown, and it is worth nothing: nobody is taken for a stranger who claimed to be more.
    pub(super) fn new(fields: &HeaderMap, state: &RelayState) -> Result<Self, Refused> {
        if let Some(key) = fields.get(API_KEY) {
            return state.is_operator(key.as_bytes()).then_some(Asker::Operator).ok_or(Refused::Key);
        }
        match bearer(fields) {
            None => Ok(Asker::Stranger),
            Some(token) if state.is_operator(token.as_bytes()) => Ok(Asker::Operator),
            Some(token) => owner(token, state).map(Asker::Owner).map_err(Refused::Token),
        }
    }
}

/// Who signed `token` for this relay. An answer to a challenge is good on its own connection only, and a token that
/// never expires would be good for whoever finds it.
fn owner(token: &str, state: &RelayState) -> Result<Address, String> {
    let expected = Expected::for_audience(state.info.address);
    let verified = Token::verify(token, &expected, state.clock.wall().unix).map_err(|e| e.to_string())?;
    if verified.expires_at().is_none() {
        return Err("the token must expire".to_owned());
    }
    if verified.claim("challenge").is_some() {
        return Err("the token answers a challenge, and is good for nothing else".to_owned());
    }
    Ok(verified.address())
}
