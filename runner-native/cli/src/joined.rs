//! A command beside a manager of the same user: what it wants is had of the link that runs, instead of one of its own. What a
//! person sees is the same as of an agent of one's own; the manager tells it line by line.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use http::Method;
use http_body_util::{BodyExt, Limited};
use hvym_tunnel_agent::AgentError;
use hvym_tunnel_manager::client::ApiAddress;
use hvym_tunnel_manager::places;
use hyper::body::Incoming;
use serde_json::Value;

use crate::agent_reports::{AgentReports, Subject};
use crate::exit::{Exit, ExitError};
use crate::keys;
use crate::report::{Report, Reporter, told};
use crate::signals::{HangupSignal, StopSignals};
use crate::supervisor;

/// The longest line of the manager.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The longest answer that says why it cannot be.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// What a command wants of a manager.
pub(crate) struct Wish {
    /// As the API of the manager takes it.
    pub(crate) request: Value,
    /// Whether it is one service, whose end is that of the command.
    pub(crate) is_one_service: bool,
    /// What to do if the manager does not take it.
    pub(crate) hint: &'static str,
}

/// What a manager does for us.
struct Joined {
    body: Incoming,
    line: Vec<u8>,
    events: VecDeque<Value>,
}

/// Why a manager does it no more.
enum JoinedEnd {
    /// A person ended it here.
    Asked,
    /// The manager ended, or let go.
    Left,
}

/// Why [`Joined::follow`] woke.
enum Woke {
    Event(Option<Value>),
    Asked,
    HungUp,
}

/// Has it from a manager, as long as one runs that can. `false`: there is none, or none any more.
///
/// # Errors
/// Why it is not had, unless a person ended it.
pub(crate) async fn while_it_runs(
    wish: &Wish,
    subject: impl Fn() -> Subject,
    reporter: &Reporter,
    signals: &mut StopSignals,
) -> Result<bool, ExitError> {
    let mut was_joined = false;
    while let Some(joined) = join(wish).await? {
        was_joined = true;
        match joined.run(wish, subject(), reporter, signals).await? {
            JoinedEnd::Asked => return Ok(true),
            // It may have another place for its API, and go on.
            JoinedEnd::Left => {}
        }
    }
    if was_joined {
        let message = "the manager has ended; this goes on alone".to_owned();
        reporter.tell(&Report::Notice { code: "manager_ended".to_owned(), message, hint: None });
    }
    Ok(false)
}

/// `None`: no manager runs, or none with such a link.
async fn join(wish: &Wish) -> Result<Option<Joined>, ExitError> {
    let Some(manager) = places::api_socket().map(ApiAddress::Socket) else { return Ok(None) };
    let response = match manager.open(Method::POST, "/api/v1/join", Some(&wish.request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, "no manager is joined");
            return Ok(None);
        }
    };
    match response.status().as_u16() {
        200 => Ok(Some(Joined::new(response.into_body()))),
        status @ (400 | 409) => {
            let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            let text =
                answer["error"].as_str().unwrap_or("the manager that runs does not take it").to_owned();
            let exit = if status == 409 { Exit::NameConflict } else { Exit::Config };
            Err(ExitError::new(exit, text).with_hint(wish.hint))
        }
        status => {
            tracing::info!(status, "the manager that runs has no such link");
            Ok(None)
        }
    }
}

impl Joined {
    fn new(body: Incoming) -> Self {
        Self { body, line: Vec::new(), events: VecDeque::new() }
    }

    /// Tells what the manager tells, until one of both ends it. What it does for us ends with `self`.
    ///
    /// # Errors
    /// The relay does not take the only service, or gave it to another agent; or a person ended it before anybody could come.
    async fn run(
        mut self,
        wish: &Wish,
        subject: Subject,
        reporter: &Reporter,
        signals: &mut StopSignals,
    ) -> Result<JoinedEnd, ExitError> {
        let has_url = subject.has_url();
        let reports = Arc::new(AgentReports::new(reporter.clone(), subject));
        let keys =
            (has_url && !reporter.is_json()).then(|| keys::listen(&reports, reporter, false)).flatten();
        supervisor::ready();
        let outcome = self.follow(&reports, wish.is_one_service, reporter, signals).await;
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
        is_one_service: bool,
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
                    if let Some(error) = report.as_ref().and_then(end).filter(|_| is_one_service) {
                        return Err(error);
                    }
                    match report {
                        Some(report @ Report::Ready { .. }) => {
                            was_ready = true;
                            reports.ready(&report);
                        }
                        Some(report) => {
                            was_ready |= matches!(report, Report::Forwarding { .. });
                            reporter.tell(&report);
                        }
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
