//! When a person is told of a link: when it is connected, and when it has been lost for longer than a person should have to find
//! out alone. A short break is no news.
//!
//! Reads no clock and shows nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use hvym_tunnel_core::time::{Instant, earliest};

use super::{Notification, Urgency};
use crate::shapes::{LinkReport, TunnelState};

/// How long a link that somebody wants may be away before it is told: most breaks of a network are over by then.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// How long it is shown that a link is connected: nobody has to do anything.
const CONNECTED_LASTS: Duration = Duration::from_secs(3);

/// What was told of a link last.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum LastNews {
    #[default]
    Nothing,
    Connected,
    Lost,
}

#[derive(Default)]
struct WatchedLink {
    last: LastNews,
    away_since: Option<Instant>,
}

/// What was told of each link.
#[derive(Default)]
pub(crate) struct NotificationBook {
    links: BTreeMap<String, WatchedLink>,
}

impl NotificationBook {
    /// How a link is; `url` is where its first service is reached. Returns what a person is to be told.
    pub(crate) fn handle_link(
        &mut self,
        link: &LinkReport,
        url: Option<&str>,
        now: Instant,
    ) -> Option<Notification> {
        let watched = self.links.entry(link.name.clone()).or_default();
        let about = format!("link {}", link.name);
        match link.state {
            // Somebody stopped it, and knows.
            TunnelState::Disconnected => {
                *watched = WatchedLink::default();
                None
            }
            TunnelState::Connected => {
                watched.away_since = None;
                let before = std::mem::replace(&mut watched.last, LastNews::Connected);
                (before != LastNews::Connected).then(|| Notification {
                    about,
                    summary: format!("{} is connected", link.name),
                    body: url.unwrap_or(&link.relay).to_owned(),
                    urgency: Urgency::Low,
                    lasts: Some(CONNECTED_LASTS),
                })
            }
            TunnelState::Connecting
            | TunnelState::Authenticating
            | TunnelState::Reconnecting
            | TunnelState::Error => {
                let since = *watched.away_since.get_or_insert(now);
                let is_news = watched.last != LastNews::Lost && now >= since + LOST_AFTER;
                is_news.then(|| {
                    watched.last = LastNews::Lost;
                    Notification {
                        about,
                        summary: format!("{} is not connected", link.name),
                        body: link.last_error.clone().unwrap_or_else(|| link.relay.clone()),
                        urgency: Urgency::Normal,
                        lasts: None,
                    }
                })
            }
        }
    }

    /// Forgets links that are gone.
    pub(crate) fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.links.retain(|name, _| is_known(name));
    }

    /// When a link has been away for so long that it is told.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self.links.values().filter(|link| link.last != LastNews::Lost);
        waiting
            .filter_map(|link| Some(link.away_since? + LOST_AFTER))
            .fold(None, |nearest, at| earliest(nearest, Some(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(state: TunnelState) -> LinkReport {
        LinkReport {
            name: "home".to_owned(),
            relay: "wss://relay.example".to_owned(),
            relay_address: None,
            address: String::new(),
            state,
            since: String::new(),
            attempts: 0,
            retry_in_ms: None,
            round_trip_ms: None,
            last_error: Some("no route".to_owned()),
        }
    }

    /// What is told, in one line.
    fn tell(book: &mut NotificationBook, state: TunnelState, at: Duration) -> Option<String> {
        let told = book.handle_link(&link(state), Some("https://home.example"), Instant::ZERO + at);
        told.map(|told| format!("{}: {}", told.summary, told.body))
    }

    const NEARLY: Duration = LOST_AFTER.saturating_sub(Duration::from_nanos(1));

    #[test]
    fn a_link_is_told_when_it_is_connected_and_when_it_is_lost_for_long() {
        let mut book = NotificationBook::default();
        let connected = Some("home is connected: https://home.example".to_owned());
        let lost = Some("home is not connected: no route".to_owned());
        assert_eq!(tell(&mut book, TunnelState::Connecting, Duration::ZERO), None);
        assert_eq!(tell(&mut book, TunnelState::Connected, Duration::from_secs(1)), connected);
        assert_eq!(tell(&mut book, TunnelState::Connected, Duration::from_secs(2)), None);
        assert_eq!(book.deadline(), None);

        let left = Duration::from_secs(100);
        assert_eq!(tell(&mut book, TunnelState::Reconnecting, left), None);
        assert_eq!(book.deadline(), Some(Instant::ZERO + left + LOST_AFTER));
        assert_eq!(tell(&mut book, TunnelState::Authenticating, left + NEARLY), None);
        assert_eq!(tell(&mut book, TunnelState::Connected, left + LOST_AFTER), None, "a short break");

        let left = Duration::from_secs(200);
        assert_eq!(tell(&mut book, TunnelState::Reconnecting, left), None);
        assert_eq!(tell(&mut book, TunnelState::Reconnecting, left + LOST_AFTER), lost);
        assert_eq!(book.deadline(), None, "once");
        assert_eq!(tell(&mut book, TunnelState::Error, left + 2 * LOST_AFTER), None);
        assert_eq!(tell(&mut book, TunnelState::Connected, left + 3 * LOST_AFTER), connected);
    }

    #[test]
    fn a_link_that_is_never_connected_is_told_once_and_one_that_was_stopped_is_not() {
        let mut book = NotificationBook::default();
        assert_eq!(tell(&mut book, TunnelState::Connecting, Duration::ZERO), None);
        assert!(tell(&mut book, TunnelState::Reconnecting, LOST_AFTER).is_some());
        assert_eq!(tell(&mut book, TunnelState::Disconnected, LOST_AFTER), None);
        assert_eq!(tell(&mut book, TunnelState::Disconnected, 3 * LOST_AFTER), None);
        assert_eq!(book.deadline(), None);
        // Started again, it has its time again.
        assert_eq!(tell(&mut book, TunnelState::Connecting, 4 * LOST_AFTER), None);
        assert_eq!(tell(&mut book, TunnelState::Connecting, 4 * LOST_AFTER + NEARLY), None);
        assert!(tell(&mut book, TunnelState::Connecting, 5 * LOST_AFTER).is_some());
        book.retain(|name| name != "home");
        assert!(book.links.is_empty());
    }
}
