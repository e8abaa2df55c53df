//! Who asks: the operator, or the owner of tunnels by a token of a login service.

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap};

use super::super::credential::{self, Asker, Refused};
use super::super::json;
use super::{invalid_key, jwt};
use crate::relay_state::RelayState;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;

/// The header of a tunnel's own token, as Tunely's tools send it.
const TUNNEL_TOKEN: &str = "x-tunnel-token";

/// Who may change tunnels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Requester {
    /// All of them.
    Operator,
    /// Those of this subject.
    Owner(String),
}

/// The token of a tunnel in place of the operator's key.
pub(super) fn tunnel_token(fields: &HeaderMap) -> Option<&str> {
    let token = fields.get(TUNNEL_TOKEN)?.to_str().ok()?;
    (!credential::shows_key(fields)).then_some(token)
}

/// Whether the token of a login service is shown, and one is trusted.
pub(in super::super) fn shows_owner(state: &RelayState, fields: &HeaderMap) -> bool {
    let live = state.live.get();
    let trusts = live.compat_agents.tunely().is_some_and(|tunely| tunely.jwt_secret.is_some());
    trusts && credential::bearer(fields).is_some_and(jwt::is_hs256)
}

/// Whether `domain` is a tunnel of this owner.
pub(super) fn owns(state: &RelayState, domain: &str, owner: &str) -> bool {
    let tunnel = state.plugins.tunnels.as_ref().and_then(|registry| registry.get(domain));
    tunnel.is_some_and(|tunnel| tunnel.owner.as_deref() == Some(owner))
}

/// Who sent these fields. `creates` says whether a tunnel is to be created, of which more is told.
///
/// # Errors
/// The answer to whoever is neither.
pub(super) fn authenticate(
    visitor: &Visitor,
    fields: &HeaderMap,
    creates: bool,
) -> Result<Requester, Answer> {
    let state = &visitor.state;
    let live = state.live.get();
    let secret = live.compat_agents.tunely().and_then(|tunely| tunely.jwt_secret.as_ref());
    if let Some(secret) = secret.filter(|_| !credential::shows_key(fields)) {
        let is_operator = credential::bearer(fields).is_some_and(|token| state.is_operator(token.as_bytes()));
        if !is_operator {
            let shown = fields.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
            if shown.is_none() && !creates {
                return Err(invalid_key());
            }
            let subject = jwt::subject(shown, secret.bytes(), state.clock.wall().unix.as_secs());
            return subject
                .map(Requester::Owner)
                .map_err(|error| json::detail(StatusCode::UNAUTHORIZED, error));
        }
    }
    match Asker::new(fields, visitor) {
        Ok(Asker::Operator) => Ok(Requester::Operator),
        Err(Refused::Wait(wait)) => Err(json::too_many(wait)),
        _ => Err(invalid_key()),
    }
}
