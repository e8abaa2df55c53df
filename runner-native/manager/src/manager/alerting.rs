//! What a manager does about alerts: tells listeners, the log and the desktop, runs what is set, and starts a link anew.

use std::sync::Arc;

use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::runtime::spawn;

use super::{Inner, STOP_LIMIT};
use crate::alerts::{Alert, AlertEvent, AlertKind};
use crate::feed::UpdateKind;
use crate::hooks;
use crate::manager::supervisor::members;
use crate::notifications::Notification;
use crate::shapes::AlertReport;
use crate::timestamp;

impl Inner {
    /// Measures this process.
    pub(super) fn measure_process(self: &Arc<Self>, now: Instant) {
        let usage = self.lock_meters().process.measure(now);
        self.lock_alerts().handle_resources(usage.memory_mb, usage.cpu_percent, timestamp::unix_now());
        self.tell_alerts();
    }

    /// Tells what became of alerts since the last call.
    pub(super) fn tell_alerts(self: &Arc<Self>) {
        loop {
            let Some(event) = self.lock_alerts().poll_event() else { return };
            match &event {
                AlertEvent::Raised(alert) => {
                    let reason = self.reason_of(&alert.subject);
                    let (subject, message) = (&alert.subject, &alert.message);
                    tracing::warn!(kind = ?alert.kind, error = reason, "alert about {subject}: {message}");
                    self.act_on(alert);
                    if !self.is_told_of_link(alert) {
                        self.notify(Notification::of_alert(alert));
                    }
                }
                AlertEvent::Escalated(alert) => {
                    tracing::warn!(kind = ?alert.kind, "the alert about {} lasts: {}", alert.subject, alert.message);
                    self.restart_relay(&alert.subject);
                }
                AlertEvent::Acknowledged(_) => {}
                AlertEvent::Cleared(alert) => {
                    tracing::info!(kind = ?alert.kind, "the alert about {} is over", alert.subject);
                }
            }
            self.context.journal.set_alert(event.alert());
            let report = serde_json::to_value(alert_report(event.alert())).unwrap_or_default();
            self.context.feed.publish(UpdateKind::Alert, members([("alert", report)]));
        }
    }

    /// Why the last check of this connection failed.
    fn reason_of(&self, subject: &str) -> Option<String> {
        self.lock_connections().get(subject)?.health.error().map(str::to_owned)
    }

    fn act_on(&self, alert: &Alert) {
        for action in self.policy().on_alert {
            let kind = serde_json::to_value(alert.kind).unwrap_or_default();
            let values = vec![
                ("kind", kind.as_str().unwrap_or_default().to_owned()),
                ("subject", alert.subject.clone()),
                ("message", alert.message.clone()),
            ];
            spawn(async move {
                if let Err(error) = hooks::run(&action, &values).await {
                    tracing::warn!(error, "what an alert should run failed");
                }
            })
            .detach();
        }
    }

    /// Has the desktop show it, unless it shows too much already.
    pub(super) fn notify(&self, notification: Notification) {
        if self.policy().show_notifications {
            let _dropped = self.notifications.try_send(notification);
        }
    }

    /// Whether a person is told the same of the link itself.
    fn is_told_of_link(&self, alert: &Alert) -> bool {
        matches!(alert.kind, AlertKind::Disconnected | AlertKind::Failures)
            && self.link_of_relay(&alert.subject).is_some()
    }

    /// The link whose relay `subject` is.
    fn link_of_relay(&self, subject: &str) -> Option<String> {
        let connections = self.lock_connections();
        let relay = connections.get(subject).filter(|connection| connection.service.is_none());
        relay.map(|connection| connection.link.clone())
    }

    /// If `subject` is the relay of a link that somebody wants, starts that link anew.
    fn restart_relay(self: &Arc<Self>, subject: &str) {
        if !self.policy().reconnect {
            return;
        }
        let link = self.link_of_relay(subject).and_then(|name| self.link(&name));
        let Some(link) = link.filter(|link| link.is_wanted()) else { return };
        spawn(async move {
            if let Err(error) = link.restart(STOP_LIMIT).await {
                tracing::error!(link = link.name(), %error, "cannot start a link again");
            }
        })
        .detach();
    }
}

/// As the API has it.
pub(super) fn alert_report(alert: &Alert) -> AlertReport {
    AlertReport {
        id: alert.id,
        kind: alert.kind,
        subject: alert.subject.clone(),
        message: alert.message.clone(),
        raised_at: timestamp::at_unix(alert.raised_at),
        cleared_at: alert.cleared_at.map(timestamp::at_unix),
        acknowledged: alert.acknowledged,
        escalated: alert.escalated,
    }
}
