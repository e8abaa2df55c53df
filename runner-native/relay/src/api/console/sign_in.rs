//! Begins and ends sessions: by the operator's key, by a token that an operator or owner signed, or by a text that a wallet signed.

use base64ct::{Base64, Encoding};
use http::header::{AUTHORIZATION, HeaderMap, SET_COOKIE};
use http::{Request, StatusCode};
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::secret::Fingerprint;
use serde::{Deserialize, Serialize};

use super::super::credential::{Asker, Refused, bearer};
use super::super::{json, management};
use super::{PAGE, cookie};
use crate::audit::{AuditKind, AuditRecord};
use crate::console_challenges::ChallengeError;
use crate::console_sessions::{ConsoleRole, Credential};
use crate::http1::request_body::RequestBody;
use crate::proxy::fields;
use crate::registry::REGISTRY_TIMEOUT;
use crate::relay_state::RelayState;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;
use hvym_tunnel_net::timeout::within;

/// What everybody is told whose credential is not the operator's.
const NOT_OPERATOR: &str = "this is not the operator's key";
/// The same of an identity.
const NOT_LISTED: &str = "this identity may have no agent here";

#[derive(Serialize)]
struct ChallengeReport {
    text: String,
}

#[derive(Serialize)]
struct Done {
    signed_in: bool,
}

/// A text of [`challenge`], signed by a wallet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedText {
    text: String,
    address: String,
    /// In base64.
    signature: String,
}

/// `POST /console/api/challenge`.
pub(super) fn challenge(state: &RelayState) -> Answer {
    let now = state.clock.wall().unix;
    json::answer(&ChallengeReport { text: state.challenges.text(&url(state), &state.info.address, now) })
}

/// `POST /console/api/session`: with a key or a token as `Authorization: Bearer`, else with a [`SignedText`].
pub(super) async fn sign_in(visitor: &Visitor, request: Request<RequestBody>) -> Answer {
    let signed = match request.headers().contains_key(AUTHORIZATION) {
        true => by_key(visitor, request.headers()).await,
        false => by_signature(visitor, request).await,
    };
    let (by, role) = match signed {
        Ok(signed) => signed,
        Err(refused) => return refused,
    };
    let state = &visitor.state;
    let secret = state.console.begin(by, role, state.clock.now());
    let mut answer = json::answer(&Done { signed_in: true });
    if let Some(cookie) = cookie::set(state, Some(&secret)) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// `DELETE /console/api/session`.
pub(super) fn sign_out(state: &RelayState, sent: &HeaderMap) -> Answer {
    if let Some(secret) = cookie::secret(state, sent) {
        state.console.end(secret);
    }
    let mut answer = json::answer(&Done { signed_in: false });
    if let Some(cookie) = cookie::set(state, None) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

async fn by_key(visitor: &Visitor, sent: &HeaderMap) -> Result<(Credential, ConsoleRole), Answer> {
    match Asker::new(sent, visitor) {
        Ok(Asker::Operator) => {
            let key = bearer(sent).unwrap_or_default();
            Ok((Credential::Key(Fingerprint::new(key.as_bytes())), ConsoleRole::Operator))
        }
        Ok(Asker::Owner(identity)) => {
            let role = role(visitor, sent, identity).await?;
            Ok((Credential::Identity(identity), role))
        }
        Err(Refused::Wait(wait)) => Err(json::too_many(wait)),
        Err(Refused::Token(why)) if bearer(sent).is_some_and(|token| token.contains('.')) => {
            Err(json::detail(StatusCode::UNAUTHORIZED, why))
        }
        Ok(Asker::Stranger) | Err(Refused::Key | Refused::Token(_)) => {
            Err(json::detail(StatusCode::UNAUTHORIZED, NOT_OPERATOR))
        }
    }
}

async fn by_signature(
    visitor: &Visitor,
    request: Request<RequestBody>,
) -> Result<(Credential, ConsoleRole), Answer> {
    let state = &visitor.state;
    let request = management::collect(request).await?;
    let bad = |why: &str| json::detail(StatusCode::BAD_REQUEST, why);
    let signed: SignedText = serde_json::from_slice(request.body())
        .map_err(|_| bad("a key is needed, or a text with an address and a signature"))?;
    let identity: Address = signed.address.parse().map_err(|_| bad("that is not an address"))?;
    let signature = Base64::decode_vec(&signed.signature).map_err(|_| bad("the signature is not base64"))?;
    let (own, now) = (url(state), state.clock.wall().unix);
    let checked =
        state.challenges.check((own.as_str(), &state.info.address), &signed.text, identity, &signature, now);
    let refused = |why: ChallengeError| json::detail(StatusCode::UNAUTHORIZED, why.to_string());
    let challenge = checked.map_err(refused)?;
    let role = role(visitor, request.headers(), identity).await?;
    state.challenges.take(challenge, role == ConsoleRole::Operator, now).map_err(refused)?;
    Ok((Credential::Identity(identity), role))
}

/// As what this identity signs in, which has signed: whether it is an operator's is looked at last, so that nobody else learns whose is.
/// Owners are those who may have an agent here.
async fn role(visitor: &Visitor, sent: &HeaderMap, identity: Address) -> Result<ConsoleRole, Answer> {
    let state = &visitor.state;
    if state.settings.options.admin.operators.contains(&identity) {
        return Ok(ConsoleRole::Operator);
    }
    let admitted = within(REGISTRY_TIMEOUT, state.plugins.registry.admit(identity)).await;
    if !state.is_banned(&identity) && admitted.is_some_and(|admitted| admitted.is_ok()) {
        return Ok(ConsoleRole::Owner);
    }
    let from = visitor.client_info(&fields(sent)).address();
    let record =
        AuditRecord::new(AuditKind::WrongKey, "it signed in to the console, and may have no agent here");
    state.audit(record.agent(Owner::Identity(identity)).peer(from));
    Err(json::detail(StatusCode::FORBIDDEN, NOT_LISTED))
}

/// The URL of the page, as a wallet shows it.
fn url(state: &RelayState) -> String {
    let options = &state.settings.options;
    options.public_url(&options.ingress.domain, state.info.port) + PAGE
}
