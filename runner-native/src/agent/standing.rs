//! How things stand with the relay, and what a person is told when that changes.
//!
//! Pure but for the reporter: it is told events and times, opens nothing and waits for nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use hvym_tunnel_core::handshake::Endpoint;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use crate::cli::exit::{Exit, Failure};
use crate::cli::report::{Report, Reporter};
use crate::config::Retry;
use crate::target::Binding;

/// The relay, the services there, and what was told of them.
pub(crate) struct Standing {
    reporter: Reporter,
    address: Address,
    relay: String,
    bindings: Vec<Binding>,
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
        relay: String,
        bindings: Vec<Binding>,
        retry: Retry,
        now: Instant,
    ) -> Self {
        Self {
            reporter,
            address,
            relay,
            bindings,
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

    /// Logged in; the services are not bound yet.
    pub(crate) fn handle_up(&mut self, endpoint: Endpoint) {
        self.endpoint = Some(endpoint.url);
        self.answers.clear();
        self.waiting = None;
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
        let url = url.or_else(|| self.endpoint.clone()).unwrap_or_default();
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
        if self.bindings.len() > 1 {
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
        let Some(retry_at) = retry_at else { return Err(ended(reason)) };
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
        if self.is_ready || self.bindings.iter().any(|b| !self.answers.contains_key(b.service.as_str())) {
            return Ok(());
        }
        let bound: Vec<(&Binding, &String)> = self
            .bindings
            .iter()
            .filter_map(|b| Some((b, self.answers.get(b.service.as_str())?.as_ref()?)))
            .collect();
        let [(first, url), others @ ..] = bound.as_slice() else {
            return refusal.map_or(Ok(()), Err);
        };
        if self.was_ready {
            let after = now - self.away_since;
            self.reporter.tell(&Report::Reconnected { url: (*url).clone(), after });
        } else {
            self.reporter.tell(&Report::Ready {
                url: (*url).clone(),
                target: first.target.to_string(),
                service: first.service.to_string(),
                address: self.address,
                relay: self.relay.clone(),
            });
            for (binding, url) in others {
                self.reporter.tell(&Report::Bound {
                    service: binding.service.to_string(),
                    url: (*url).clone(),
                    target: binding.target.to_string(),
                });
            }
        }
        (self.is_ready, self.was_ready, self.attempt) = (true, true, 0);
        Ok(())
    }
}

/// The end of an agent that must not dial again.
fn ended(reason: &DownReason) -> Failure {
    let exit = match reason {
        DownReason::Replaced => Exit::NameConflict,
        DownReason::Authentication(_)
        | DownReason::NotAllowed(_)
        | DownReason::WrongRelay { .. }
        | DownReason::SignerRefused
        | DownReason::SignerMismatch => Exit::Refused,
        _ => Exit::Unexpected,
    };
    with_hint(Failure::new(exit, reason.to_string()), reason.hint())
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
