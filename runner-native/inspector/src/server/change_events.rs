//! Changes as server-sent events, for pages and programs that follow them.
//!
//! A listener that is slow gets the latest state of what changed, not every state: nothing piles up for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hvym_tunnel_net::concurrency_limit::ConcurrencyPermit;
use hvym_tunnel_net::timer::Timer;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::respond::{self, Content};
use super::session::Session;
use crate::capture::ChangeListener;
use crate::view::ExchangeSummary;

/// Changes within this time are told at once, so that a burst of requests is one event.
const GATHER: Duration = Duration::from_millis(50);
/// The same while there are [`CROWD`] changes at once: nobody reads so fast, and a page that is drawn anew takes the processor from
/// what it shows.
const CROWD_GATHER: Duration = Duration::from_millis(250);
/// More requests than a person sees come one by one.
const CROWD: usize = 20;
/// How often the state of the tunnel is looked at.
const TICK: Duration = Duration::from_secs(1);
/// After so many looks without news a comment is sent, so that a listener that is gone is found out.
const SILENT_TICKS: u32 = 15;

/// One listener.
struct Live {
    session: Arc<Session>,
    watch: ChangeListener,
    /// What was told last.
    status: Value,
    has_begun: bool,
    /// How many changes were told last.
    told: usize,
    silent: u32,
    _place: ConcurrencyPermit,
}

/// All that is kept, and then every change.
pub(super) fn respond(session: &Arc<Session>) -> Response<Content> {
    let Some(place) = session.listeners.take_one() else {
        return respond::error(StatusCode::SERVICE_UNAVAILABLE, "too many pages listen already");
    };
    let live = Live {
        session: Arc::clone(session),
        watch: session.capture.watch(),
        status: Value::Null,
        has_begun: false,
        told: 0,
        silent: 0,
        _place: place,
    };
    let events = stream::unfold(live, |mut live| async move {
        let event = live.next().await;
        Some((Ok(Frame::data(event)), live))
    });
    respond::with_content(StatusCode::OK, "text/event-stream", StreamBody::new(events).boxed_unsync())
}

impl Live {
    async fn next(&mut self) -> Bytes {
        if !std::mem::replace(&mut self.has_begun, true) {
            // What changed until now is in the list.
            let _seen = self.watch.take(|_| ());
            let requests = self.session.capture.list(ExchangeSummary::new);
            return event("requests", &json!({ "cleared": true, "requests": requests }));
        }
        loop {
            let status = self.session.status();
            if status != self.status {
                self.status.clone_from(&status);
                self.silent = 0;
                return event("status", &status);
            }
            let changed = {
                let (changed, tick) = (Box::pin(self.watch.changed()), Timer::after(TICK));
                matches!(select(changed, tick).await, Either::Left(_))
            };
            if changed {
                Timer::after(gather_time(self.told)).await;
                let changes = self.watch.take(ExchangeSummary::new);
                self.told = changes.exchanges.len();
                if changes.is_cleared || !changes.exchanges.is_empty() {
                    self.silent = 0;
                    let (cleared, requests) = (changes.is_cleared, changes.exchanges);
                    return event("requests", &json!({ "cleared": cleared, "requests": requests }));
                }
            }
            self.silent += 1;
            if self.silent >= SILENT_TICKS {
                self.silent = 0;
                return Bytes::from_static(b": still here\n\n");
            }
        }
    }
}

/// How long changes are gathered after an event that told of so many.
const fn gather_time(told: usize) -> Duration {
    if told < CROWD { GATHER } else { CROWD_GATHER }
}

fn event(name: &str, data: &Value) -> Bytes {
    // JSON has no line ends of its own.
    format!("event: {name}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_requests_is_told_less_often() {
        assert_eq!([0, 1, CROWD - 1].map(gather_time), [GATHER; 3]);
        assert_eq!([CROWD, CROWD + 1].map(gather_time), [CROWD_GATHER; 2]);
    }
}
