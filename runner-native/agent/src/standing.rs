//! How things stand with the relay, and what a person is told when that changes.
//!
//! Pure but for the reporter: it is told events and times, opens nothing and waits for nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hvym_tunnel_core::handshake::Endpoint;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use super::foreign::{self, Server};
use crate::config::Retry;
use hvym_tunnel_net::exit::{Exit, Failure};
use hvym_tunnel_net::report::{Report, Reporter};
use hvym_tunnel_net::target::{Binding, ServiceAddress};

/// What the agent is there for.
pub(crate) enum Purpose {
    /// To offer these, all of them public or all of them private.
    Expose {
        /// What is offered, in order.
        bindings: Vec<Binding>,
        /// Whether only identities that were named reach it.
        private: bool,
    },
    /// To reach what another identity offers.
    Forward {
        /// What is reached.
        to: ServiceAddress,
        /// Where local connections are taken.
        listen: SocketAddr,
    },
}

impl Purpose {
    /// What is offered.
    pub(crate) fn bindings(&self) -> &[Binding] {
        match self {
            Purpose::Expose { bindings, .. } => bindings,
            Purpose::Forward { .. } => &[],
        }
    }

    /// Whether only identities that were named reach it.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Purpose::Expose { private: true, .. })
    }
}

/// Whom the agent dials.
pub(crate) struct Relay {
    /// As a person named it.
    pub(crate) shown: String,
    /// If it is a server that knows the agent by a token.
    pub(super) server: Option<Server>,
    /// What was asked for and only a relay of ours has.
    pub(super) only_ours: Option<&'static str>,
}

/// The relay, the services there, and what was told of them.
pub(crate) struct Standing {
    reporter: Reporter,
    address: Address,
    relay: Relay,
    purpose: Purpose,
    retry: Retry,
    /// Where visitors reach the bare address, once the relay said so.
    endpoint: Option<String>,
    /// What the relay said to each service on this link: its URL, or no.
    answers: BTreeMap<String, Option<String>>,
    /// Visitors could come once.
    was_ready: bool,
    /// Visitors can come now.
    is_ready: bool,
    /// Since when they cannot: the start, or the loss of the link.
    away_since: Instant,
    /// Attempts since then.
    attempt: u32,
    /// Why the last one failed, and when the next comes.
    waiting: Option<(String, Instant)>,
}

impl Standing {
    /// Nothing is dialled yet.
    pub(crate) fn new(
        reporter: Reporter,
        address: Address,
        relay: Relay,
        purpose: Purpose,
        retry: Retry,
        now: Instant,
    ) -> Self {
        Self {
            reporter,
            address,
            relay,
            purpose,
            retry,
            endpoint: None,
            answers: BTreeMap::new(),
            was_ready: false,
            is_ready: false,
            away_since: now,
            attempt: 0,
            waiting: None,
        }
    }

    /// Whether visitors could come at some time.
    pub(crate) fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// Logged in; the services, if there are any, are not bound yet. `protocol` is what the data plane speaks.
    ///
    /// # Errors
    /// See [`Self::handle_refused`], and when the relay does not have what was asked for.
    pub(crate) fn handle_up(
        &mut self,
        endpoint: Endpoint,
        protocol: Option<&'static str>,
        now: Instant,
    ) -> Result<(), Failure> {
        if let (Some(option), Some(protocol)) = (self.relay.only_ours, protocol)
            && let Some(failure) = foreign::unkept(option, protocol)
        {
            return Err(failure);
        }
        self.endpoint = Some(endpoint.url);
        self.answers.clear();
        self.waiting = None;
        self.settle(None, now)
    }

    /// The relay took a service.
    ///
    /// # Errors
    /// See [`Self::handle_refused`].
    pub(crate) fn handle_bound(
        &mut self,
        service: String,
        url: Option<String>,
        now: Instant,
    ) -> Result<(), Failure> {
        let url = match url {
            // Whatever a relay says: visitors are turned away here.
            _ if self.purpose.is_private() => format!("{}/{service}", self.address),
            name if let Some(server) = &self.relay.server => server.url(name.as_deref().unwrap_or_default()),
            url => url.or_else(|| self.endpoint.clone()).unwrap_or_default(),
        };
        self.answers.insert(service, Some(url));
        self.settle(None, now)
    }

    /// The relay did not take a service.
    ///
    /// # Errors
    /// When it took none at all: there is nothing to stay for.
    pub(crate) fn handle_refused(
        &mut self,
        service: String,
        code: String,
        message: String,
        now: Instant,
    ) -> Result<(), Failure> {
        let failure = refused(&service, &code, &message);
        self.answers.insert(service.clone(), None);
        if self.purpose.bindings().len() > 1 {
            self.reporter.tell(&Report::BindFailed { service, code, message });
        }
        self.settle(Some(failure), now)
    }

    /// The link, or the attempt, ended.
    ///
    /// # Errors
    /// When that is the end of the agent.
    pub(crate) fn handle_down(
        &mut self,
        reason: &DownReason,
        retry_at: Option<Instant>,
        now: Instant,
    ) -> Result<(), Failure> {
        if self.is_ready {
            self.is_ready = false;
            self.away_since = now;
            self.attempt = 0;
        }
        // One that is new here may well be told the truth: the token is wrong, or somebody else's turn.
        let is_final = matches!(reason, DownReason::TokenInUse { .. }) && !self.was_ready;
        let Some(retry_at) = retry_at.filter(|_| !is_final) else { return Err(self.ended(reason)) };
        if !self.retry.again {
            return Err(unreachable(reason.to_string(), reason.hint()));
        }
        self.attempt = self.attempt.saturating_add(1);
        self.waiting = Some((reason.to_string(), retry_at));
        self.tell_waiting(now);
        Ok(())
    }

    /// Updates what is shown of the next attempt; call it every second while [`Self::is_waiting`].
    pub(crate) fn tell_waiting(&self, now: Instant) {
        let Some((reason, retry_at)) = &self.waiting else { return };
        // Whole seconds, rounded up, so that a countdown ends with 1.
        let left = (*retry_at - now).as_millis().div_ceil(1000);
        self.reporter.tell(&Report::Disconnected {
            reason: reason.clone(),
            retry_in: Some(Duration::from_secs(u64::try_from(left).unwrap_or(u64::MAX))),
            attempt: self.attempt,
        });
    }

    /// Whether the next attempt is still to come.
    pub(crate) fn is_waiting(&self, now: Instant) -> bool {
        self.waiting.as_ref().is_some_and(|(_, at)| *at > now)
    }

    /// When to give up for good, unless visitors can come before.
    pub(crate) fn give_up_at(&self) -> Option<Instant> {
        let limit = self.retry.give_up_after.filter(|_| !self.is_ready)?;
        Some(self.away_since + limit)
    }

    /// The end that [`Self::give_up_at`] announces.
    pub(crate) fn gave_up(&self) -> Failure {
        let last = self.waiting.as_ref().map_or("the relay did not answer", |(reason, _)| reason.as_str());
        let limit = self.retry.give_up_after.unwrap_or_default().as_secs_f64();
        unreachable(format!("not connected within {limit} s: {last}"), None)
    }

    /// When every service has its answer, visitors can come, or nobody will.
    fn settle(&mut self, refusal: Option<Failure>, now: Instant) -> Result<(), Failure> {
        let bindings = self.purpose.bindings();
        if self.is_ready || bindings.iter().any(|b| !self.answers.contains_key(b.service.as_str())) {
            return Ok(());
        }
        let (place, news) = match &self.purpose {
            Purpose::Forward { to, listen } => (listen.to_string(), vec![self.forwarding(to, *listen)]),
            Purpose::Expose { .. } => match self.bound() {
                Some(bound) => bound,
                None => return refusal.map_or(Ok(()), Err),
            },
        };
        if self.was_ready {
            self.reporter.tell(&Report::Reconnected { url: place, after: now - self.away_since });
        } else {
            news.iter().for_each(|report| self.reporter.tell(report));
        }
        (self.is_ready, self.was_ready, self.attempt) = (true, true, 0);
        Ok(())
    }

    /// The end of an agent that must not dial again.
    fn ended(&self, reason: &DownReason) -> Failure {
        let exit = match reason {
            DownReason::Replaced | DownReason::TokenInUse { known: true } => Exit::NameConflict,
            DownReason::Authentication(_)
            | DownReason::NotAllowed(_)
            | DownReason::TokenInUse { .. }
            | DownReason::WrongRelay { .. }
            | DownReason::SignerRefused
            | DownReason::SignerMismatch => Exit::Refused,
            _ => Exit::Unexpected,
        };
        let hint = self.relay.server.as_ref().and_then(|server| server.hint(reason));
        with_hint(Failure::new(exit, reason.to_string()), hint.or(reason.hint()))
    }

    fn forwarding(&self, to: &ServiceAddress, listen: SocketAddr) -> Report {
        Report::Forwarding {
            service: to.to_string(),
            listen: listen.to_string(),
            address: self.address,
            relay: self.relay.shown.clone(),
        }
    }

    /// Where the first service is that the relay took, and what is to be told of all of them. `None`: it took none.
    fn bound(&self) -> Option<(String, Vec<Report>)> {
        let answered = |b: &Binding| Some((b.clone(), self.answers.get(b.service.as_str())?.clone()?));
        let mut bound = self.purpose.bindings().iter().filter_map(answered);
        let (first, place) = bound.next()?;
        let ready = Report::Ready {
            url: place.clone(),
            target: first.target.to_string(),
            service: first.service.to_string(),
            address: self.relay.server.is_none().then_some(self.address),
            relay: self.relay.shown.clone(),
            private: self.purpose.is_private(),
            note: self.relay.server.as_ref().map(Server::note),
        };
        let others = bound.map(|(binding, url)| Report::Bound {
            service: binding.service.to_string(),
            url,
            target: binding.target.to_string(),
        });
        Some((place, std::iter::once(ready).chain(others).collect()))
    }
}

fn refused(service: &str, code: &str, message: &str) -> Failure {
    let exit = if code == "conflict" { Exit::NameConflict } else { Exit::Refused };
    Failure::new(exit, format!("the relay does not take the service {service}: {message}"))
        .with_hint("choose another name with --service, or ask the relay's operator")
}

fn unreachable(message: String, hint: Option<&str>) -> Failure {
    with_hint(Failure::new(Exit::RelayUnreachable, message), hint)
}

fn with_hint(failure: Failure, hint: Option<&str>) -> Failure {
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
