//! Authenticates requests to the relay's API: anonymous, operator, or owner of an agent.
//!
//! Authorization is up to the routes.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::jwt::{Expected, Scope, Token};

use crate::http1::auth;
use crate::proxy::fields as fields_of;
use crate::relay_state::RelayState;
use crate::visitor::Visitor;

/// The header of the operator's key, as Tunely's tools send it.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The sender of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// Sent no credential.
    Stranger,
    /// Sent the operator's key.
    Operator,
    /// Sent a token signed by this identity.
    Owner(Address),
}

/// Why a credential is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// The key is not the operator's.
    Key,
    /// An invalid token; the text says why.
    Token(String),
    /// Too many keys from this address were wrong: none is looked at for so long.
    Wait(Duration),
}

/// The token of `Authorization: Bearer`, if there is one.
pub(super) fn bearer(fields: &HeaderMap) -> Option<&str> {
    auth::bearer(fields).filter(|token| !token.is_empty())
}

/// Whether the operator's key header is present.
pub(super) fn shows_key(fields: &HeaderMap) -> bool {
    fields.contains_key(API_KEY)
}

impl Asker {
    /// The sender of these header fields.
    ///
    /// # Errors
    /// A credential was sent and is invalid; such a request is not treated as anonymous.
    pub(super) fn new(fields: &HeaderMap, visitor: &Visitor) -> Result<Self, Refused> {
        let state = &visitor.state;
        let (key, token) = (fields.get(API_KEY), bearer(fields));
        if key.is_none() && token.is_none() {
            return Ok(Asker::Stranger);
        }
        let from = visitor.client_info(&fields_of(fields)).address();
        state.guesses.check(from, state.clock.now()).map_err(Refused::Wait)?;
        let asker = match (key, token) {
            (Some(key), _) if state.is_operator(key.as_bytes()) => Ok(Asker::Operator),
            (Some(_), _) => Err(Refused::Key),
            (None, Some(token)) if state.is_operator(token.as_bytes()) => Ok(Asker::Operator),
            (None, token) => {
                owner(token.unwrap_or_default(), state).map(Asker::Owner).map_err(Refused::Token)
            }
        };
        // What somebody signs is not guessed: a token of an owner has three parts (RFC 7515 section 3.1).
        let is_signed = key.is_none() && token.is_some_and(|token| token.split('.').count() == 3);
        if asker.is_err() && !is_signed {
            state.handle_wrong_key(from, "a key for the API");
        }
        asker
    }
}

/// The signer of `token`, which must be for this API (scope `api`): a token that logs an agent in opens nothing here, and one
/// without a scope is of an older program, none of which shows it here. Refuses answers to a challenge, which are valid on their own
/// connection only, tokens that never expire or too late, those that name another host, and those of somebody who is banned. A delegation
/// allows none.
fn owner(token: &str, state: &RelayState) -> Result<Address, String> {
    let mut expected = Expected::for_audience(state.info.address);
    expected.max_lifetime = Some(state.settings.options.login.max_token_lifetime);
    let verified = Token::verify(token, &expected, state.clock.wall().unix).map_err(|e| e.to_string())?;
    if verified.expires_at().is_none() {
        return Err("the token must expire".to_owned());
    }
    if verified.claim("challenge").is_some() {
        return Err("the token answers a challenge, and is good for nothing else".to_owned());
    }
    if verified.scope() != Some(Scope::Api) {
        return Err("the token is not for this API: its scope must be api".to_owned());
    }
    if verified.host().is_some_and(|host| !state.info.names.contains(host, true)) {
        return Err("the token is for another host than this relay".to_owned());
    }
    if state.is_banned(&verified.address()) {
        return Err("this identity is banned".to_owned());
    }
    Ok(verified.address())
}
