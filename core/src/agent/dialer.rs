//! How the agent gets its next link: tokens that are signed ahead, dials, and what becomes of those that fail.

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use super::states::{AgentAction, AgentInput, AgentPhase};
use super::{Agent, AgentEvent, AttemptId, DialTarget};
use crate::backoff::{Backoff, Outage};
use crate::dialect::Service;
use crate::handshake::{AuthMode, Dialled, LinkRequest, NONCE_BYTES, dialled_authority, url_with_nonce};
use crate::link::Link;
use crate::machine::Side;
use crate::reason::{DownReason, Retry};
use crate::stellar::{SigningInput, Token};
use crate::time::{Instant, Wall};

/// How long a dial may take before the agent counts it as failed: DNS, TCP, TLS and the upgrade together.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Agents that a relay sends away come back within this, each at its own moment.
const GOING_AWAY_DELAY: Duration = Duration::from_secs(1);

/// What the next link is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// A session of its own.
    NewSession,
    /// The session that there is.
    Join,
}

/// The dial that is under way, or the next one.
pub(super) struct Dialer {
    pub(super) phase: AgentPhase,
    /// The latest dial. Its number is also that of its link and of the link's streams.
    pub(super) attempt: AttemptId,
    pub(super) purpose: Purpose,
    /// When the signature or the WebSocket is given up, or the next dial is due.
    pub(super) timer: Option<Instant>,
    /// The claims of the token of the next dial, while they are being signed.
    pub(super) token_request: Option<SigningInput>,
    /// What the relay of the latest dial has to sign.
    pub(super) nonce: String,
    pub(super) backoff: Backoff,
}

impl Dialer {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            phase: AgentPhase::Initial,
            attempt: AttemptId(0),
            purpose: Purpose::NewSession,
            timer: None,
            token_request: None,
            nonce: String::new(),
            backoff,
        }
    }

    /// Takes the transition for `input`. The caller performs the action.
    pub(super) fn advance(&mut self, input: AgentInput) -> AgentAction {
        let (to, action) = self.phase.on(input);
        self.phase = to;
        action
    }
}

impl Agent {
    /// The link over a WebSocket that just opened.
    pub(super) fn new_link(&mut self, wall: Wall, now: Instant) -> Link {
        let (config, seed) = (self.config.link.clone(), self.rng.fork());
        let epoch = self.dialer.attempt.0;
        if let Some(logins) = &self.logins {
            let service = self.config.services.first().cloned().unwrap_or_else(|| Service::http(""));
            let login = logins.login(&service, now);
            return Link::with_login(Side::Agent, config, login, epoch, seed, now);
        }
        let mut login = self.config.login.clone();
        let session = self.session.as_ref().and_then(|terms| terms.session.clone());
        let join = session.filter(|_| self.dialer.purpose == Purpose::Join);
        if join.is_some() {
            // No token goes ahead: who joins a session answers a challenge.
            login.mode = AuthMode::Challenge;
        }
        let dialled = Dialled { host: self.dialled_host(), nonce: self.dialer.nonce.clone() };
        let request = LinkRequest { join, streams: None, process: self.config.process.clone(), dialled };
        Link::agent(config, login, request, wall, epoch, seed, now)
    }

    /// The authority of the relay's URL; of one that cannot be dialled, nothing.
    fn dialled_host(&self) -> String {
        dialled_authority(&self.config.relay).unwrap_or_default()
    }

    pub(super) fn dial(&mut self, now: Instant) {
        // Without an audience there can be no token ahead of the dial: the relay's challenge names it.
        let is_ahead =
            self.config.login.mode == AuthMode::Bearer && self.dialer.purpose == Purpose::NewSession;
        let audience = self.config.login.relay_address.filter(|_| is_ahead);
        let Some(relay) = audience else { return self.request_dial(AgentInput::DialDue, None, now) };
        if self.dialer.advance(AgentInput::TokenDue) == AgentAction::RequestSignature {
            let host = self.dialled_host();
            let input = self.config.login.claims(relay, &host, self.clock.wall, now).signing_input();
            self.events.push_back(AgentEvent::Sign(input.clone()));
            self.dialer.token_request = Some(input);
            self.dialer.timer = Some(now + DIAL_TIMEOUT);
        }
    }

    pub(super) fn request_dial(&mut self, input: AgentInput, bearer: Option<Token>, now: Instant) {
        if self.dialer.advance(input) == AgentAction::RequestDial {
            self.dialer.token_request = None;
            self.dialer.timer = Some(now + DIAL_TIMEOUT);
            self.dialer.attempt = AttemptId(self.dialer.attempt.0.wrapping_add(1));
            let (attempt, host) = (self.dialer.attempt, self.dialled_host());
            self.dialer.nonce = self.rng.token::<NONCE_BYTES>();
            let relay = match &self.logins {
                Some(_) => self.config.relay.clone(),
                None => url_with_nonce(&self.config.relay, &self.dialer.nonce),
            };
            let process = self.config.process.clone();
            self.events.push_back(AgentEvent::Dial(DialTarget { attempt, relay, host, bearer, process }));
        }
    }

    /// Begins the login over the WebSocket of the current dial.
    pub(super) fn start_link(&mut self, wall: Wall, now: Instant) {
        self.clock.wall = wall;
        self.dialer.timer = None;
        // A socket that does not take the close of its link is not waited for.
        self.bundle.forget_ended();
        let link = Box::new(self.new_link(wall, now));
        self.bundle.push(self.dialer.attempt.0, link);
        self.drain_links(now);
    }

    /// The dial, or the login over its WebSocket, failed.
    pub(super) fn attempt_failed(&mut self, reason: DownReason, now: Instant) {
        if self.bundle.up() == 0 {
            return self.fail(reason, Duration::ZERO, now);
        }
        tracing::debug!(%reason, "no further link");
        self.dialer.token_request = None;
        self.dialer.timer = None;
        if self.bundle.steady() > 0 {
            self.growth.pause(self.bundle.steady(), now);
            self.dialer.advance(AgentInput::GrowthFailed);
            return;
        }
        self.dialer.advance(AgentInput::HandOverFailed);
        if self.dialer.purpose == Purpose::Join && matches!(reason, DownReason::UnknownSession(_)) {
            // Another process answers for the relay: the services move there.
            self.dialer.purpose = Purpose::NewSession;
            return self.dial(now);
        }
        let (backoff, rng) = (&mut self.dialer.backoff, &mut self.rng);
        let delay = backoff.next_delay(outage(&reason), Duration::ZERO, rng, now);
        self.dialer.timer = Some(now + delay);
    }

    /// Nothing is up: the attempt, or the last link, which had been up for `lived`, ended for `reason`.
    pub(super) fn fail(&mut self, reason: DownReason, lived: Duration, now: Instant) {
        let reason = if self.is_stopping { DownReason::Finished } else { reason };
        let retry = reason.retry();
        let input = match retry {
            Retry::Never => AgentInput::FinalFailure,
            Retry::Soon | Retry::Backoff => AgentInput::TransientFailure,
        };
        if self.dialer.advance(input) != AgentAction::ReportDown {
            return;
        }
        let was_join = self.dialer.purpose == Purpose::Join;
        let (backoff, rng) = (&mut self.dialer.backoff, &mut self.rng);
        let retry_at = match retry {
            Retry::Never => None,
            Retry::Soon => Some(now + backoff.soon(GOING_AWAY_DELAY, lived, rng, now)),
            // Another process answers for the relay, or the session ended meanwhile: one of its own is no failure.
            Retry::Backoff if was_join && matches!(reason, DownReason::UnknownSession(_)) => Some(now),
            Retry::Backoff => Some(now + backoff.next_delay(outage(&reason), lived, rng, now)),
        };
        self.dialer.timer = retry_at;
        self.dialer.token_request = None;
        let notice = self.clock.notice(&reason, now);
        self.events.extend(notice);
        self.report_down(reason, retry_at);
    }

    /// The last link ended while another one is on its way, which then begins a session.
    pub(super) fn lose_session(&mut self, reason: DownReason, now: Instant) {
        // Who replaced it is most likely the session that this agent is logging in to: the two tell on links of their own.
        let is_by_itself = reason == DownReason::Replaced && self.dialer.phase == AgentPhase::LoggingIn;
        if self.is_stopping || (reason.retry() == Retry::Never && !is_by_itself) {
            return self.fail(reason, Duration::ZERO, now);
        }
        let planned = self.dialer.timer.filter(|_| self.dialer.phase == AgentPhase::Waiting);
        if self.dialer.advance(AgentInput::LastLinkLost) == AgentAction::ReportDown {
            self.dialer.token_request = None;
            self.dialer.timer = Some(planned.unwrap_or(now));
            self.report_down(reason, self.dialer.timer);
        }
    }

    fn report_down(&mut self, reason: DownReason, retry_at: Option<Instant>) {
        self.session = None;
        self.growth.reset();
        self.dialer.purpose = Purpose::NewSession;
        self.events.push_back(AgentEvent::Down { reason, retry_at });
    }

    /// Nothing is left to dial for, or to wait for.
    pub(super) fn stop_dialing(&mut self) {
        if self.dialer.advance(AgentInput::Stop) == AgentAction::ReportDown {
            self.dialer.timer = None;
            self.dialer.token_request = None;
            self.report_down(DownReason::Finished, None);
        }
    }
}

/// What the relay did when an attempt or a link ended for `reason`.
fn outage(reason: &DownReason) -> Outage {
    match reason {
        DownReason::RateLimited(_) => Outage::RateLimited,
        DownReason::Unreachable(_) | DownReason::Lost(_) | DownReason::Silent => Outage::Silent,
        _ => Outage::Answered,
    }
}
