//! Notifications on the desktop of the person whose manager this is: what is told, and the task that shows it.
//!
//! Where there is no desktop, nothing is shown, and nothing else changes.

mod book;
#[cfg(unix)]
mod dbus_message;
#[cfg(unix)]
mod session_bus;

#[cfg(unix)]
use std::collections::BTreeMap;
use std::time::Duration;

use smol::channel::Receiver;

pub(crate) use self::book::NotificationBook;
use crate::alerts::Alert;

/// Notifications that wait to be shown; what comes while they do is not: nobody reads so many.
pub(crate) const MAX_WAITING: usize = 16;
/// Notifications that are remembered so that a later one takes their place.
#[cfg(unix)]
const MAX_REMEMBERED: usize = 64;

/// How much it matters to a person who does something else.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Urgency {
    Low = 0,
    Normal = 1,
}

/// What a person is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Notification {
    /// What it is about. It takes the place of an earlier one about the same.
    pub(crate) about: String,
    /// One line.
    pub(crate) summary: String,
    /// More of it.
    pub(crate) body: String,
    pub(crate) urgency: Urgency,
    /// How long it is shown; `None` as long as the desktop shows others.
    pub(crate) lasts: Option<Duration>,
}

impl Notification {
    /// What a person is told of an alert.
    pub(crate) fn of_alert(alert: &Alert) -> Self {
        Self {
            about: format!("alert {}", alert.id),
            summary: format!("{} needs attention", alert.subject),
            body: alert.message.clone(),
            urgency: Urgency::Normal,
            lasts: None,
        }
    }
}

/// Shows what comes, one after the other, until nobody can send any more.
#[cfg(unix)]
pub(crate) async fn show(notifications: Receiver<Notification>) {
    let Some(bus) = session_bus::SessionBus::find() else {
        return tracing::debug!("there is no desktop: no notification is shown");
    };
    let (mut shown, mut has_failed) = (BTreeMap::<String, u32>::new(), false);
    while let Ok(notification) = notifications.recv().await {
        let (bus, before) = (bus.clone(), shown.get(&notification.about).copied().unwrap_or(0));
        let about = notification.about.clone();
        match smol::unblock(move || bus.notify(&notification, before)).await {
            Ok(id) => {
                if shown.len() >= MAX_REMEMBERED {
                    shown.clear();
                }
                shown.insert(about, id);
                has_failed = false;
            }
            // Once: whoever has no desktop at the moment has none for a while.
            Err(error) if !has_failed => {
                tracing::info!(%error, "a notification is not shown");
                has_failed = true;
            }
            Err(_) => {}
        }
    }
}

/// Shows nothing: there is no such service.
#[cfg(not(unix))]
pub(crate) async fn show(_notifications: Receiver<Notification>) {}
