//! The state of the link to the relay and of the services there, and the events that follow from its changes.
//!
//! Pure: it is given what the core's agent says and the time, opens nothing and waits for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use hvym_tunnel_core::dialect::MUX_YAMUX;
use hvym_tunnel_core::handshake::Endpoint;
use hvym_tunnel_core::names::check_label;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::dial_error::DialProblem;

use crate::compat::CompatServer;
use crate::error::AgentError;
use crate::event::{AgentEvent, BoundService, LinkState, ServiceStatus};
use crate::public_urls::PublicUrls;
use crate::settings::{Feature, RetrySettings, needed_feature};
use crate::spec::{ConflictPolicy, ServiceSpec};

/// What the link is for.
pub(crate) enum Purpose {
    /// To offer services; `server` is set where the relay is a server of an older system.
    Expose {
        /// That server.
        server: Option<CompatServer>,
    },
    /// To reach the service of another identity.
    Forward {
        /// Where local connections are taken.
        listen: SocketAddr,
    },
    /// To revoke a delegation.
    Revoke,
}

/// The relay, and the services there.
pub(crate) struct LinkStatus {
    address: Address,
    purpose: Purpose,
    urls: PublicUrls,
    retry: RetrySettings,
    services: Vec<Arc<ServiceSpec>>,
    /// What the relay granted, while there is a link.
    endpoint: Option<Endpoint>,
    /// What the relay answered for each service on this link: its URL, or a refusal.
    answers: BTreeMap<String, Option<String>>,
    /// The services of which an event said that they are bound.
    announced: BTreeSet<String>,
    online: Online,
    /// Attempts since the link was lost.
    attempt: u32,
    /// Why the last one failed, and when the next comes.
    waiting: Option<(DownReason, Option<DialProblem>, Instant)>,
    events: Vec<AgentEvent>,
}

/// Whether visitors can come.
#[derive(Copy, Clone)]
struct Online {
    now: bool,
    /// If not now: whether a WebSocket is open for the login.
    logging_in: bool,
    /// At some time.
    once: bool,
    /// If not now: since when, counted from the start or the loss of the link.
    away_since: Instant,
}

impl LinkStatus {
    /// Nothing is dialled yet.
    pub(crate) fn new(
        address: Address,
        purpose: Purpose,
        urls: PublicUrls,
        services: Vec<Arc<ServiceSpec>>,
        retry: RetrySettings,
        now: Instant,
    ) -> Self {
        Self {
            address,
            purpose,
            urls,
            retry,
            services,
            endpoint: None,
            answers: BTreeMap::new(),
            announced: BTreeSet::new(),
            online: Online { now: false, logging_in: false, once: false, away_since: now },
            attempt: 0,
            waiting: None,
            events: Vec::new(),
        }
    }

    /// The events since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<AgentEvent> {
        std::mem::take(&mut self.events)
    }

    /// The server of an older system that the agent is of, if it is.
    pub(crate) fn compat_server(&self) -> Option<CompatServer> {
        match &self.purpose {
            Purpose::Expose { server } => server.clone(),
            Purpose::Forward { .. } | Purpose::Revoke => None,
        }
    }

    /// Whether visitors could come at some time.
    pub(crate) fn was_online(&self) -> bool {
        self.online.once
    }

    /// The state of the link.
    pub(crate) fn link_state(&self, now: Instant) -> LinkState {
        match &self.waiting {
            _ if self.online.now => LinkState::Online,
            _ if self.online.logging_in => LinkState::Authenticating,
            Some((.., at)) if *at > now => LinkState::Waiting,
            _ => LinkState::Connecting,
        }
    }

    /// What the relay granted, while there is a link.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// Where the bare address leads; empty before the relay said it.
    fn bare_url(&self) -> String {
        self.endpoint.as_ref().map(|endpoint| endpoint.url.clone()).unwrap_or_default()
    }

    /// The services, in the order they were given.
    pub(crate) fn service_statuses(&self) -> Vec<ServiceStatus> {
        let status = |spec: &Arc<ServiceSpec>| ServiceStatus {
            service: spec.name.to_string(),
            target: spec.target.clone(),
            url: self.answers.get(spec.name.as_str()).cloned().flatten(),
        };
        self.services.iter().map(status).collect()
    }

    /// A service is added, or replaced under its name.
    pub(crate) fn put_service(&mut self, spec: Arc<ServiceSpec>) {
        self.answers.remove(spec.name.as_str());
        match self.services.iter_mut().find(|known| known.name == spec.name) {
            Some(known) => *known = spec,
            None => self.services.push(spec),
        }
    }

    /// A service is removed. If it was the last one that the relay had not answered, visitors can come now.
    pub(crate) fn remove_service(&mut self, name: &str, now: Instant) {
        self.services.retain(|spec| spec.name.as_str() != name);
        self.answers.remove(name);
        self.announced.remove(name);
        if self.endpoint.is_some() {
            let _without_refusal = self.settle(None, now);
        }
    }

    /// A WebSocket is open, over which the agent logs in.
    pub(crate) fn handle_open(&mut self) {
        self.online.logging_in = !self.online.now;
    }

    /// Logged in; the services, if there are any, are not bound yet. `protocol` is what the data plane speaks.
    ///
    /// # Errors
    /// If the relay does not have what the services need, or names a URL that it may not.
    pub(crate) fn handle_up(
        &mut self,
        endpoint: Endpoint,
        protocol: Option<&'static str>,
        now: Instant,
    ) -> Result<(), AgentError> {
        if let Some(feature) = self.missing_feature(protocol) {
            return Err(AgentError::Unsupported(feature));
        }
        for name in self.urls.begin(protocol.is_some_and(|protocol| protocol != MUX_YAMUX)) {
            let (code, message) = ("not_offered".to_owned(), "this relay gives no names".to_owned());
            self.events.push(AgentEvent::NameRefused { name, code, message });
        }
        if matches!(self.purpose, Purpose::Expose { server: None }) {
            self.urls.check(&endpoint.url)?;
        }
        self.endpoint = Some(endpoint);
        self.answers.clear();
        self.waiting = None;
        self.settle(None, now)
    }

    /// What the services need and a relay of this protocol does not have.
    fn missing_feature(&self, protocol: Option<&'static str>) -> Option<Feature> {
        let is_ours = protocol.is_none_or(|protocol| protocol == MUX_YAMUX);
        match &self.purpose {
            _ if is_ours => None,
            Purpose::Forward { .. } => Some(Feature::Forward),
            Purpose::Revoke => Some(Feature::Delegation),
            // Their settings were checked against the server before the dial.
            Purpose::Expose { server: Some(_) } => None,
            Purpose::Expose { server: None } => needed_feature(self.services.iter().map(AsRef::as_ref)),
        }
    }

    /// The relay took a service.
    ///
    /// # Errors
    /// It names a URL that it may not.
    pub(crate) fn handle_bound(
        &mut self,
        service: String,
        url: Option<String>,
        now: Instant,
    ) -> Result<(), AgentError> {
        let Some(spec) = self.services.iter().find(|spec| spec.name.as_str() == service) else {
            return Ok(());
        };
        let url = match (&self.purpose, url) {
            // Whatever a relay says: visitors are refused here.
            _ if !spec.access.is_public() => format!("{}/{service}", self.address),
            (Purpose::Expose { server: Some(server) }, name) => {
                // One that is no label would be something else in a host name.
                server.url(name.as_deref().filter(|name| is_label(name)).unwrap_or_default())
            }
            (_, url) => {
                let url = url.unwrap_or_else(|| self.bare_url());
                self.urls.check(&url)?;
                url
            }
        };
        let bound = bound_service(spec, url.clone());
        self.answers.insert(service.clone(), Some(url));
        if self.online.now && self.announced.insert(service) {
            self.events.push(AgentEvent::ServiceBound(bound));
        }
        self.settle(None, now)
    }

    /// The relay gave a name.
    ///
    /// # Errors
    /// It leads to a URL that is not the relay's.
    pub(crate) fn handle_named(&mut self, name: String, url: String, now: Instant) -> Result<(), AgentError> {
        if self.urls.grant(&name, &url)? {
            self.events.push(AgentEvent::Named { name, url });
        }
        self.settle(None, now)
    }

    /// The relay did not give a name.
    ///
    /// # Errors
    /// As for [`Self::handle_refused`].
    pub(crate) fn handle_name_refused(
        &mut self,
        name: String,
        code: String,
        message: String,
        now: Instant,
    ) -> Result<(), AgentError> {
        if self.urls.refuse(&name) {
            self.events.push(AgentEvent::NameRefused { name, code, message });
        }
        self.settle(None, now)
    }

    /// The relay did not take a service.
    ///
    /// # Errors
    /// If that ends the agent: see [`ConflictPolicy`].
    pub(crate) fn handle_refused(
        &mut self,
        service: String,
        code: String,
        message: String,
        now: Instant,
    ) -> Result<(), AgentError> {
        let Some(spec) = self.services.iter().find(|spec| spec.name.as_str() == service) else {
            return Ok(());
        };
        let policy = spec.conflict;
        self.answers.insert(service.clone(), None);
        let error = AgentError::ServiceRefused {
            service: service.clone(),
            code: code.clone(),
            message: message.clone(),
        };
        self.events.push(AgentEvent::ServiceRefused { service, code, message });
        match policy {
            ConflictPolicy::Stop => Err(error),
            ConflictPolicy::StopIfLast => self.settle(Some(error), now),
            ConflictPolicy::Stay => self.settle(None, now),
        }
    }

    /// Another agent serves a service from now on.
    ///
    /// # Errors
    /// If that ends the agent, which has no other service: see [`ConflictPolicy`].
    pub(crate) fn handle_taken_over(
        &mut self,
        service: &str,
        by: Option<String>,
        now: Instant,
    ) -> Result<(), AgentError> {
        let Some(spec) = self.services.iter().find(|spec| spec.name.as_str() == service).cloned() else {
            return Ok(());
        };
        self.events.push(AgentEvent::ServiceTakenOver { service: service.to_owned(), by: by.clone() });
        self.remove_service(service, now);
        if self.services.is_empty() && spec.conflict != ConflictPolicy::Stay {
            return Err(AgentError::TakenOver { service: service.to_owned(), by });
        }
        Ok(())
    }

    /// The link, or the attempt, ended; `problem` is why there was no connection.
    ///
    /// # Errors
    /// If that is the end of the agent.
    pub(crate) fn handle_down(
        &mut self,
        reason: DownReason,
        problem: Option<DialProblem>,
        retry_at: Option<Instant>,
        now: Instant,
    ) -> Result<(), AgentError> {
        if self.online.now {
            self.online = Online { now: false, away_since: now, ..self.online };
            self.attempt = 0;
        }
        self.online.logging_in = false;
        self.endpoint = None;
        // An agent that was never taken may have the wrong token. One that was may meet its own link, not yet missed.
        let is_final = matches!(reason, DownReason::TokenInUse { .. }) && !self.online.once;
        let Some(retry_at) = retry_at.filter(|_| !is_final) else { return Err(AgentError::Ended(reason)) };
        if self.retry.no_retry {
            return Err(AgentError::Unreachable { reason, problem });
        }
        self.attempt = self.attempt.saturating_add(1);
        self.waiting = Some((reason.clone(), problem.clone(), retry_at));
        let (retry_in, attempt) = (retry_at - now, self.attempt);
        self.events.push(AgentEvent::Disconnected { reason, problem, retry_in, attempt });
        Ok(())
    }

    /// When to give up for good, unless visitors can come before.
    pub(crate) fn give_up_at(&self) -> Option<Instant> {
        let limit = self.retry.timeout.filter(|_| !self.online.now)?;
        Some(self.online.away_since + limit)
    }

    /// The error when [`Self::give_up_at`] is past.
    pub(crate) fn gave_up(&self) -> AgentError {
        let limit = self.retry.timeout.unwrap_or_default();
        let (last, problem) = match &self.waiting {
            Some((reason, problem, _)) => (Some(reason.clone()), problem.clone()),
            None => (None, None),
        };
        AgentError::GaveUp { limit, last, problem }
    }

    /// When every service has its answer, visitors can come, or none ever will.
    fn settle(&mut self, refusal: Option<AgentError>, now: Instant) -> Result<(), AgentError> {
        let is_answered = |spec: &Arc<ServiceSpec>| self.answers.contains_key(spec.name.as_str());
        if self.online.now || !self.services.iter().all(is_answered) || !self.urls.is_settled() {
            return Ok(());
        }
        let services = self.bound();
        let url = match (&self.purpose, services.first()) {
            (Purpose::Forward { listen }, _) => listen.to_string(),
            (Purpose::Revoke, _) => self.bare_url(),
            (Purpose::Expose { .. }, Some(first)) => first.url.clone(),
            (Purpose::Expose { .. }, None) if self.services.is_empty() => self.bare_url(),
            (Purpose::Expose { .. }, None) => return refusal.map_or(Ok(()), Err),
        };
        self.announced.extend(services.iter().map(|bound| bound.service.clone()));
        self.events.push(match &self.purpose {
            _ if self.online.once => AgentEvent::Reconnected { url, after: now - self.online.away_since },
            Purpose::Forward { listen } => AgentEvent::ForwardOnline { listen: *listen },
            Purpose::Expose { .. } | Purpose::Revoke => AgentEvent::Online { services },
        });
        self.online = Online { now: true, logging_in: false, once: true, ..self.online };
        self.attempt = 0;
        Ok(())
    }

    /// The services that the relay took.
    fn bound(&self) -> Vec<BoundService> {
        let bound = |spec: &Arc<ServiceSpec>| {
            let name = spec.name.as_str();
            let url = self.answers.get(name)?.clone()?;
            let named = self.urls.named(name).filter(|_| spec.access.is_public());
            let url = named.map_or(url, str::to_owned);
            Some(bound_service(spec, url))
        };
        self.services.iter().filter_map(bound).collect()
    }
}

fn is_label(name: &str) -> bool {
    check_label(&name.to_ascii_lowercase()).is_ok()
}

fn bound_service(spec: &ServiceSpec, url: String) -> BoundService {
    let (service, private) = (spec.name.to_string(), !spec.access.is_public());
    BoundService { service, url, target: spec.target.clone(), private }
}

#[cfg(test)]
mod tests;
