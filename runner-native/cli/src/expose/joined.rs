//! What a person sees of services that a manager offers: the same as of an agent of one's own. The manager tells it line by line.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use http_body_util::BodyExt;
use hvym_tunnel_agent::{AgentError, Signer};
use hyper::body::Incoming;
use serde_json::Value;

use super::ExposeOptions;
use crate::agent_reports::AgentReports;
use crate::exit::ExitError;
use crate::keys;
use crate::report::{Report, Reporter, told};
use crate::signals::{HangupSignal, StopSignals};
use crate::supervisor;

/// The longest line of the manager.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Services that a manager offers for us.
pub(super) struct Joined {
    body: Incoming,
    line: Vec<u8>,
    events: VecDeque<Value>,
}

/// Why a manager offers them no more.
pub(super) enum JoinedEnd {
    /// A person ended it here.
    Asked,
    /// The manager ended, or let go.
    Left,
}

/// Why [`Joined::run`] woke.
enum Woke {
    Event(Option<Value>),
    Asked,
    HungUp,
}

impl Joined {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, line: Vec::new(), events: VecDeque::new() }
    }

    /// Tells what the manager tells, until one of both ends it. The services go with `self`.
    ///
    /// # Errors
    /// The relay does not take the only service, or gave it to another agent; or a person ended it before visitors could come.
    pub(super) async fn run(
        mut self,
        signer: &Signer,
        options: &ExposeOptions,
        reporter: &Reporter,
        signals: &mut StopSignals,
    ) -> Result<JoinedEnd, ExitError> {
        let relay = options.link.relay.clone();
        let reports = Arc::new(AgentReports::new(reporter.clone(), super::subject(signer, options, relay)));
        let keys = (!reporter.is_json()).then(|| keys::listen(&reports, reporter, false)).flatten();
        supervisor::ready();
        let outcome = self.follow(&reports, options.services.len(), reporter, signals).await;
        if !matches!(outcome, Ok(JoinedEnd::Left)) {
            supervisor::stopping();
        }
        if let Some(keys) = keys {
            // Waits until the terminal is as it was.
            keys.cancel().await;
        }
        outcome
    }

    async fn follow(
        &mut self,
        reports: &AgentReports,
        services: usize,
        reporter: &Reporter,
        signals: &mut StopSignals,
    ) -> Result<JoinedEnd, ExitError> {
        let (mut hangup, mut was_ready) = (HangupSignal::new(), false);
        loop {
            let woke = {
                let told = pin!(async { Woke::Event(self.next().await) });
                let asked = pin!(async {
                    signals.next().await;
                    Woke::Asked
                });
                let hung_up = pin!(async {
                    hangup.next().await;
                    Woke::HungUp
                });
                match select(told, select(asked, hung_up)).await {
                    Either::Left((woke, _)) => woke,
                    Either::Right((either, _)) => either.factor_first().0,
                }
            };
            match woke {
                Woke::Event(Some(event)) => {
                    let report = told::report(&event);
                    if let Some(error) = report.as_ref().and_then(end).filter(|_| services == 1) {
                        return Err(error);
                    }
                    match report {
                        Some(report @ Report::Ready { .. }) => {
                            was_ready = true;
                            reports.ready(&report);
                        }
                        Some(report) => reporter.tell(&report),
                        None => told::request(&event, reporter),
                    }
                }
                Woke::Event(None) => return Ok(JoinedEnd::Left),
                Woke::Asked if was_ready => return Ok(JoinedEnd::Asked),
                Woke::Asked => return Err(ExitError::interrupted()),
                Woke::HungUp => return Err(ExitError::hung_up()),
            }
        }
    }

    /// The next event; `None` when none will come. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            for byte in self.body.frame().await?.ok()?.into_data().unwrap_or_default() {
                if byte == b'\n' {
                    self.events.extend(serde_json::from_slice::<Value>(&self.line).ok());
                    self.line.clear();
                } else if self.line.len() < MAX_LINE_BYTES {
                    self.line.push(byte);
                }
            }
        }
    }
}

/// What a report means for a program whose only service it is about.
fn end(report: &Report) -> Option<ExitError> {
    let error = match report.clone() {
        Report::BindFailed { service, code, message } => {
            AgentError::ServiceRefused { service, code, message }
        }
        Report::Unbound { service, by, .. } => AgentError::TakenOver { service, by },
        _ => return None,
    };
    Some(error.into())
}
