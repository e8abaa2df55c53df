//! What the agent makes of the events of its links.

use alloc::borrow::ToOwned;
use core::time::Duration;

use super::dialer::Purpose;
use super::states::{AgentAction, AgentInput, AgentPhase};
use super::{Agent, AgentEvent, bind_signal};
use crate::bundle::{BundledLink, MAX_LINKS};
use crate::dialect::{DrainScope, Signal};
use crate::handshake::Endpoint;
use crate::link::LinkEvent;
use crate::reason::DownReason;
use crate::time::Instant;

/// How long streams of a link that was replaced may go on. It works as long as they do; the limit is for those that never
/// end, whose link would be kept for ever.
const REPLACED_LINK_LIMIT: Duration = Duration::from_secs(3600);

impl Agent {
    /// Takes every event of the links, and what it leads to.
    pub(super) fn drain_links(&mut self, now: Instant) {
        while let Some((id, event)) = self.bundle.poll_event() {
            self.on_link(id, event, now);
        }
        self.bundle.forget_spent();
        self.adapt_links(now);
        self.replace_links(now);
    }

    fn on_link(&mut self, id: u32, event: LinkEvent, now: Instant) {
        let event = match event {
            LinkEvent::Sign(input) => AgentEvent::Sign(input),
            LinkEvent::Up(endpoint) => return self.on_up(id, endpoint, now),
            LinkEvent::Stream(event) => AgentEvent::Stream(event),
            LinkEvent::Latency(rtt) => AgentEvent::Latency(rtt),
            LinkEvent::OpenReady => AgentEvent::OpenReady,
            LinkEvent::Down(reason) => return self.on_down(id, reason, now),
            LinkEvent::IdsLow | LinkEvent::GoingAway => return self.retire(id),
            LinkEvent::Signal(Signal::BindOk { service, url, .. }) => AgentEvent::Bound { service, url },
            LinkEvent::Signal(Signal::BindFailed { service, code, error }) => {
                AgentEvent::BindRefused { service, code, error }
            }
            LinkEvent::Signal(Signal::ClaimOk { name, url }) => AgentEvent::Named { name, url },
            LinkEvent::Signal(Signal::ClaimFailed { name, code, error }) => {
                AgentEvent::NameRefused { name, code, error }
            }
            LinkEvent::Signal(Signal::Unbound { service, by, .. }) => {
                // Offered again, it would be taken from the session that has it now, which would take it back.
                self.forget_service(&service);
                AgentEvent::Unbound { service, by }
            }
            LinkEvent::Signal(Signal::RevokeOk { id, persisted }) => AgentEvent::Revoked { id, persisted },
            LinkEvent::Signal(Signal::RevokeFailed { id, code, error }) => {
                AgentEvent::RevokeRefused { id, code, error }
            }
            LinkEvent::Signal(Signal::Drain { reason, deadline_ms, scope }) => {
                self.retire(id);
                if scope == DrainScope::Link {
                    return;
                }
                // The relay goes on with what comes to it until then, which needs this link.
                let mut is_current = true;
                if let Some(member) = self.bundle.get_mut(id) {
                    member.is_left_to_peer = true;
                    is_current = !member.is_of_earlier_session;
                }
                if is_current && self.can_join() {
                    // The session ends with the relay's process: the next link begins another one.
                    self.dialer.purpose = Purpose::NewSession;
                }
                AgentEvent::Draining { reason, deadline: Duration::from_millis(deadline_ms) }
            }
            LinkEvent::Signal(Signal::Links { wanted }) => return self.grow(wanted, now),
            LinkEvent::Signal(Signal::Error { code, message, hint }) => {
                if !self.notices.take(now) {
                    return;
                }
                AgentEvent::Notice { code, message, hint }
            }
            // What only a relay is told.
            LinkEvent::Signal(_) | LinkEvent::Admit(_) | LinkEvent::Join(..) | LinkEvent::Authenticate(_) => {
                return;
            }
        };
        self.events.push_back(event);
    }

    fn on_up(&mut self, id: u32, endpoint: Endpoint, now: Instant) {
        if self.dialer.advance(AgentInput::LoggedIn) != AgentAction::UseLink {
            return;
        }
        self.clock.login_succeeded();
        let Some(member) = self.bundle.get_mut(id) else { return };
        member.up_since = Some(now);
        let session = self.session.as_ref().and_then(|terms| terms.session.as_ref());
        if session.is_some() && session == endpoint.terms.session.as_ref() {
            return self.events.push_back(AgentEvent::Links(self.bundle.up()));
        }
        // Links of an earlier session carry what is under way there, and nothing new.
        for member in self.bundle.iter_mut().filter(|member| member.id != id) {
            (member.is_retiring, member.is_of_earlier_session) = (true, true);
        }
        self.session = Some(endpoint.terms.clone());
        let notice = self.note_relay(&endpoint);
        self.dialer.purpose = if self.can_join() { Purpose::Join } else { Purpose::NewSession };
        self.growth.reset();
        let bound = self.bound_by_login(&endpoint);
        self.events.push_back(AgentEvent::Up(endpoint));
        self.events.extend(notice.into_iter().chain(bound));
        if let Some(member) = self.bundle.get_mut(id) {
            // Ahead of the services, so that their URLs can have the names.
            for name in &self.config.names {
                member.link.send(Signal::Claim { name: name.clone() }, now);
            }
            for service in &self.config.services {
                member.link.send(bind_signal(service), now);
            }
        }
    }

    /// Believes the relay that has proved to be there, and no other from now on; or has a person told, once, that none has.
    fn note_relay(&mut self, endpoint: &Endpoint) -> Option<AgentEvent> {
        let login = &mut self.config.login;
        if endpoint.is_proven && login.relay_address.is_none() {
            (login.relay_address, login.is_remembered) = (endpoint.relay, true);
        }
        if endpoint.is_proven || self.logins.is_some() || core::mem::replace(&mut self.is_warned, true) {
            return None;
        }
        Some(AgentEvent::Notice {
            code: "relay_unproven".to_owned(),
            message: "this relay is of an older system, and nothing proves who it is".to_owned(),
            hint: None,
        })
    }

    /// The service that a login of another protocol has bound: no message does it.
    fn bound_by_login(&self, endpoint: &Endpoint) -> Option<AgentEvent> {
        let service = self.logins.as_ref().and(endpoint.services.first().cloned())?;
        Some(AgentEvent::Bound { service, url: Some(endpoint.url.clone()) })
    }

    fn on_down(&mut self, id: u32, reason: DownReason, now: Instant) {
        let up_since = self.bundle.get(id).and_then(|member| member.up_since);
        if self.dialer.phase == AgentPhase::LoggingIn && id == self.dialer.attempt.0 {
            return self.attempt_failed(reason, now);
        }
        if self.bundle.up() > 0 {
            tracing::debug!(%reason, "lost one of several links");
            // One more is dialled when it is missed, not because there was one.
            self.growth.shrink_to(self.bundle.steady());
            return self.events.push_back(AgentEvent::Links(self.bundle.up()));
        }
        // A link that was being replaced has ended, and those that were to stay are gone: the agent has not finished.
        let reason = match reason {
            DownReason::Finished if !self.is_stopping => DownReason::Lost("no link was left".to_owned()),
            reason => reason,
        };
        if self.dialer.phase == AgentPhase::Settled {
            return self.fail(reason, up_since.map_or(Duration::ZERO, |since| now - since), now);
        }
        self.lose_session(reason, now);
    }

    /// Another link is to take the place of this one, if the relay lets it.
    fn retire(&mut self, id: u32) {
        let is_replaced = self.can_join();
        if let Some(member) = self.bundle.get_mut(id) {
            member.is_retiring |= is_replaced;
        }
    }

    /// So many links are wanted, of which there may be as many as both sides allow.
    fn grow(&mut self, wanted: u32, now: Instant) {
        let allowed = self.session.as_ref().and_then(|terms| terms.links).unwrap_or(1);
        let allowed = allowed.min(self.config.max_links).min(MAX_LINKS);
        let count = |links: u32| usize::try_from(links).unwrap_or(1);
        self.growth.need(count(wanted), count(allowed), now);
    }

    /// Wants one link more while those that there are hold streams back, and one less when they have not for long.
    fn adapt_links(&mut self, now: Instant) {
        if self.can_join() && self.bundle.is_held_back(now) {
            let one_more = u32::try_from(self.bundle.steady()).unwrap_or(MAX_LINKS).saturating_add(1);
            self.grow(one_more, now);
        } else if self.growth.take_surplus(now)
            && let Some(member) = self.bundle.newest_of_several()
        {
            member.is_retiring = true;
        }
    }

    /// Dials for links that are to be replaced, and has those drain that are.
    fn replace_links(&mut self, now: Instant) {
        if self.is_stopping || self.bundle.up() == 0 {
            return;
        }
        if self.bundle.steady() > 0 {
            let until = now + REPLACED_LINK_LIMIT;
            let is_ours = |member: &&mut BundledLink| {
                member.is_retiring && !member.is_left_to_peer && member.link.is_up()
            };
            for member in self.bundle.iter_mut().filter(is_ours) {
                member.link.shutdown(DownReason::Finished, until, now);
            }
        }
        if self.bundle.steady() < self.growth.target()
            && self.can_join()
            && self.dialer.phase == AgentPhase::Settled
        {
            self.dial(now);
        }
    }
}
