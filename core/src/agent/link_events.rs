//! What the agent makes of the events of its link.

use core::time::Duration;

use super::{Agent, AgentEvent, bind_signal};
use crate::dialect::Signal;
use crate::handshake::Endpoint;
use crate::link::LinkEvent;
use crate::machine::Machine;
use crate::reason::DownReason;
use crate::time::Instant;

impl Agent {
    /// Takes every event of the link, and what it leads to.
    pub(super) fn drain_link(&mut self, now: Instant) {
        while let Some(connection) = &mut self.connection
            && let Some(event) = connection.link.poll_event()
        {
            self.on_link(event, now);
        }
    }

    fn on_link(&mut self, event: LinkEvent, now: Instant) {
        let event = match event {
            LinkEvent::Sign(input) => AgentEvent::Sign(input),
            LinkEvent::Up(endpoint) => return self.on_up(endpoint, now),
            LinkEvent::Stream(event) => AgentEvent::Stream(event),
            LinkEvent::Latency(rtt) => AgentEvent::Latency(rtt),
            LinkEvent::Down(reason) => return self.on_down(reason, now),
            LinkEvent::Signal(Signal::BindOk { service, url, .. }) => AgentEvent::Bound { service, url },
            LinkEvent::Signal(Signal::BindFailed { service, code, error }) => {
                AgentEvent::BindRefused { service, code, error }
            }
            LinkEvent::Signal(Signal::Drain { reason, deadline_ms }) => {
                AgentEvent::Draining { reason, deadline: Duration::from_millis(deadline_ms) }
            }
            LinkEvent::Signal(Signal::Error { code, message, hint }) => {
                AgentEvent::Notice { code, message, hint }
            }
            // What only a relay is told, and what the relay of an agent says by messages of its own.
            LinkEvent::Signal(_)
            | LinkEvent::GoingAway
            | LinkEvent::IdsLow
            | LinkEvent::Admit(_)
            | LinkEvent::Authenticate(_)
            | LinkEvent::OpenReady => {
                return;
            }
        };
        self.events.push_back(event);
    }

    fn on_up(&mut self, endpoint: Endpoint, now: Instant) {
        let bound = self.bound_by_login(&endpoint);
        self.events.push_back(AgentEvent::Up(endpoint));
        self.events.extend(bound);
        self.clock.login_succeeded();
        let Some(connection) = &mut self.connection else { return };
        connection.up_since = Some(now);
        for service in &self.config.services {
            connection.link.send(bind_signal(service), now);
        }
    }

    /// The service that a login of another protocol has bound: no message does it.
    fn bound_by_login(&self, endpoint: &Endpoint) -> Option<AgentEvent> {
        let service = self.logins.as_ref().and(endpoint.services.first().cloned())?;
        Some(AgentEvent::Bound { service, url: Some(endpoint.url.clone()) })
    }

    fn on_down(&mut self, reason: DownReason, now: Instant) {
        if let Some(connection) = &mut self.connection {
            while let Some(transmit) = connection.link.poll_transmit() {
                self.pending.push_back(transmit);
            }
        }
        self.fail(reason, now);
    }
}
