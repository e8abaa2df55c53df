//! What the connections of one inspector share.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use hvym_tunnel_agent::{AgentView, ReplayRefusal};
use hvym_tunnel_net::clock;
use hvym_tunnel_net::concurrency_limit::ConcurrencyLimit;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::capture::Capture;
use crate::capture::body::MAX_BODY_BYTES;
use crate::capture::ring::{MAX_EXCHANGES, MAX_HELD_BYTES};

/// The most connections at once. A browser has six for each page that is open.
const MAX_CLIENTS: usize = 128;
/// The most listeners to changes at once, each a page.
const MAX_LISTENERS: usize = 64;
/// The most replays at once: a service under development may take its time for each.
const MAX_REPLAYS: usize = 8;

/// The agents whose requests are shown, as they are now.
type Agents = Box<dyn Fn() -> Vec<AgentView> + Send + Sync>;

/// What is kept, of whom, and who may change it.
pub(super) struct Session {
    pub(super) capture: Arc<Capture>,
    agents: Agents,
    token: Token,
    pub(super) connections: ConcurrencyLimit,
    pub(super) listeners: ConcurrencyLimit,
    pub(super) replays: ConcurrencyLimit,
}

/// What proves that a request was made by the page, or by somebody who can read it.
struct Token(String);

impl Session {
    /// One with a new token.
    pub(super) fn new(capture: Arc<Capture>, agents: Agents) -> Self {
        let token = Token(HEXLOWER.encode(&clock::seed()));
        let places = ConcurrencyLimit::new;
        Self {
            capture,
            agents,
            token,
            connections: places(MAX_CLIENTS),
            listeners: places(MAX_LISTENERS),
            replays: places(MAX_REPLAYS),
        }
    }

    /// The token, for the page.
    pub(super) fn token(&self) -> &str {
        &self.token.0
    }

    /// Whether these are the words of somebody who knows the token.
    pub(super) fn is_authorized(&self, authorization: Option<&[u8]>) -> bool {
        let shown = authorization.and_then(|value| value.strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| shown.ct_eq(self.token.0.as_bytes()).into())
    }

    /// Whether visitors can come.
    pub(super) fn is_open(&self) -> bool {
        (self.agents)().iter().any(AgentView::is_online)
    }

    /// Where visitors reach the services.
    pub(super) fn urls(&self) -> Vec<String> {
        let online = (self.agents)().into_iter().filter(AgentView::is_online);
        online.flat_map(|agent| agent.services()).filter_map(|service| service.url).collect()
    }

    /// How things stand.
    pub(super) fn status(&self) -> Value {
        let services = (self.agents)().into_iter().flat_map(|agent| agent.services()).map(|service| {
            json!({ "service": service.service, "target": service.target.to_string(), "url": service.url })
        });
        let losses = self.capture.losses();
        json!({
            "open": self.is_open(),
            "services": services.collect::<Vec<_>>(),
            "private": self.capture.takes_private(),
            "dropped": losses.dropped,
            "skipped": losses.skipped,
            "version": env!("CARGO_PKG_VERSION"),
            "limits": {
                "requests": MAX_EXCHANGES, "body_bytes": MAX_BODY_BYTES, "held_bytes": MAX_HELD_BYTES,
            },
        })
    }

    /// The agent that has this service; of several the first.
    ///
    /// # Errors
    /// None has.
    pub(super) fn agent(&self, service: &str) -> Result<AgentView, ReplayRefusal> {
        let has = |agent: &AgentView| agent.services().iter().any(|known| known.service == service);
        (self.agents)().into_iter().find(has).ok_or_else(|| ReplayRefusal::UnknownService(service.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_alone_opens() {
        let session = Session::new(Capture::new(false), Box::new(Vec::new));
        let token = session.token().to_owned();
        let shown = |text: String| session.is_authorized(Some(text.as_bytes()));
        assert!(shown(format!("Bearer {token}")));
        let without_its_last = &token[..token.len() - 1];
        for wrong in [
            "Bearer ".to_owned(),
            format!("Bearer {without_its_last}"),
            format!("Bearer {token}0"),
            token.clone(),
        ] {
            assert!(!shown(wrong));
        }
        assert!(!session.is_authorized(None));
    }
}
