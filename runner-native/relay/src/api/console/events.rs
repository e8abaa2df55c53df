//! What the console is told while it is open: server-sent events (HTML section 9.2) about the relay as a whole, and which lists have
//! changed. The page asks for those itself.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hvym_tunnel_net::coarse_timer::CoarseTimer;
use hvym_tunnel_net::concurrency_limit::ConcurrencyPermit;
use hvym_tunnel_registry::TunnelRegistry;
use hyper::body::Frame;
use zeroize::Zeroizing;

use super::{is_signed_in, json};
use crate::management;
use crate::relay_state::RelayState;
use crate::upstream::response_body::{Answer, ResponseBody};

/// Between two looks at what has changed: what a person takes for at once.
const TICK: Duration = Duration::from_secs(1);
/// Looks without a change before something is said all the same. Proxies end a response that is silent for a minute.
const SILENT_TICKS: u32 = 15;
/// What the lists of the console depend on.
#[derive(Clone, PartialEq, Eq, Default)]
struct ConsoleState {
    status: String,
    sessions: u64,
    tunnels: i64,
    audit: (usize, Option<SystemTime>),
}

impl ConsoleState {
    fn current(state: &RelayState) -> Self {
        let latest = state.audit.latest();
        let audit = (latest.len(), latest.back().map(|(at, _)| *at));
        drop(latest);
        Self {
            status: management::status(state),
            sessions: state.sessions.generation(),
            tunnels: state.plugins.tunnels.as_ref().map_or(0, TunnelRegistry::revision),
            audit,
        }
    }

    /// The events of what is other than `before`.
    fn events_since(&self, before: &ConsoleState) -> String {
        let mut text = String::new();
        if self.status != before.status {
            let _in_memory = write!(text, "event: status\ndata: {}\n\n", self.status);
        }
        let lists = [
            ("agents", self.sessions != before.sessions),
            ("tunnels", self.tunnels != before.tunnels || self.sessions != before.sessions),
            ("audit", self.audit != before.audit),
        ];
        let changed: Vec<&str> = lists.iter().filter(|(_, differ)| *differ).map(|(name, _)| *name).collect();
        if !changed.is_empty() {
            let _in_memory = write!(text, "event: changed\ndata: {}\n\n", changed.join(" "));
        }
        text
    }
}

/// One page that is told.
struct EventStream {
    state: Arc<RelayState>,
    /// Of its session, which ends what is told.
    secret: Zeroizing<String>,
    seen: Option<ConsoleState>,
    is_over: bool,
    _permit: ConcurrencyPermit,
}

impl EventStream {
    /// What is told next; `None`: nothing more.
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        // So that the page knows that it is told.
        let Some(mut seen) = self.seen.take() else {
            self.seen = Some(ConsoleState::current(&self.state));
            return Some(": open\n\n".to_owned());
        };
        let mut silent = 0;
        let told = loop {
            let parting = pin!(self.state.lifecycle.parting.cancelled());
            if let Either::Right(_) = select(CoarseTimer::after(TICK), parting).await {
                // It would hold up the end of the relay.
                return None;
            }
            if !is_signed_in(&self.state, &self.secret) {
                self.is_over = true;
                break "event: signed_out\ndata:\n\n".to_owned();
            }
            let now = ConsoleState::current(&self.state);
            let events = now.events_since(&seen);
            seen = now;
            silent += 1;
            if !events.is_empty() {
                break events;
            }
            if silent >= SILENT_TICKS {
                break ":\n\n".to_owned();
            }
        };
        self.seen = Some(seen);
        Some(told)
    }
}

/// Tells the page of the session with this secret what happens from now on.
pub(super) fn answer(state: &Arc<RelayState>, secret: &str) -> Answer {
    let Some(permit) = state.console.streams.take_one() else {
        return json::detail(StatusCode::SERVICE_UNAVAILABLE, "too many pages are told: ask now and then");
    };
    let secret = Zeroizing::new(secret.to_owned());
    let stream =
        EventStream { state: Arc::clone(state), secret, seen: None, is_over: false, _permit: permit };
    let events = unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), stream))
    });
    let mut answer = Response::new(ResponseBody::Streamed(StreamBody::new(events).boxed_unsync()));
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_told() {
        let before = ConsoleState { status: "{}".to_owned(), ..ConsoleState::default() };
        let since = |after: ConsoleState| after.events_since(&before);
        assert_eq!(since(before.clone()), "");
        let status = ConsoleState { status: "{\"a\":1}".to_owned(), ..before.clone() };
        assert_eq!(since(status), "event: status\ndata: {\"a\":1}\n\n");
        let agents = ConsoleState { sessions: 1, ..before.clone() };
        assert_eq!(since(agents), "event: changed\ndata: agents tunnels\n\n");
        let tunnels = ConsoleState { tunnels: 1, audit: (1, None), ..before.clone() };
        assert_eq!(since(tunnels), "event: changed\ndata: tunnels audit\n\n");
    }
}
