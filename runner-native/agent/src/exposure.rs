//! One run of `expose` or `forward`: drives the agent, dials for it, signs for it, and ends it as a person wishes.
//!
//! Knows nothing of the protocol; what the agent machine asks for is done here, and what it says is passed on.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, Either, FutureExt};
use hvym_tunnel_core::agent::{Agent, AgentEvent, AttemptId};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Close;
use hvym_tunnel_core::time::{Instant, earliest};

use super::serve::Services;
use super::standing::Standing;
use super::surroundings::{Change, Surroundings};
use hvym_tunnel_net::clock::{Clock, within};
use hvym_tunnel_net::executor::spawn;
use hvym_tunnel_net::exit::Failure;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::link_driver::{Driver, DriverEvent, LinkHandle};
use hvym_tunnel_net::report::{Report, Reporter};
use hvym_tunnel_net::signals::{DRAIN_LIMIT, Stop, StopSignals};
use hvym_tunnel_net::socket::{self, DialOptions, Socket};

/// How often a countdown on the screen is updated.
const COUNTDOWN: Duration = Duration::from_secs(1);
/// How long the last words to the relay may take. They are on the way already; a network that is gone never says so.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

type Dial = Pin<Box<dyn Future<Output = Result<Box<Socket>, Close>> + Send>>;

/// One run of `expose`, or of `forward`, which exposes nothing.
pub(crate) struct Exposure {
    identity: Arc<Identity>,
    agent: LinkHandle<Agent>,
    driver: Driver<Agent>,
    services: Arc<Services>,
    standing: Standing,
    reporter: Reporter,
    clock: Clock,
    surroundings: Surroundings,
    dial_options: DialOptions,
    dial: Option<(AttemptId, Dial)>,
    /// Set while finishing: when to stop waiting.
    drain_until: Option<Instant>,
}

/// Why the loop woke.
enum Woke {
    Stop(Stop),
    Dialled(AttemptId, Result<Box<Socket>, Close>),
    DriverEvent(DriverEvent<AgentEvent>),
    Changed(Change),
    Finished,
    CoarseTimer,
}

/// Whether the loop goes on.
enum Next {
    On,
    End,
}

impl Exposure {
    /// Nothing runs yet; `agent` is about to dial.
    pub(crate) fn new(
        identity: Arc<Identity>,
        agent: Agent,
        services: Arc<Services>,
        standing: Standing,
        reporter: Reporter,
        dial_options: DialOptions,
    ) -> Self {
        let clock = Clock::new();
        let agent = LinkHandle::new(agent, clock);
        Self {
            identity,
            driver: Driver::new(agent.clone()),
            agent,
            services,
            standing,
            reporter,
            clock,
            surroundings: Surroundings::new(clock),
            dial_options,
            dial: None,
            drain_until: None,
        }
    }

    /// The machine, for those who open streams.
    pub(crate) fn agent(&self) -> LinkHandle<Agent> {
        self.agent.clone()
    }

    /// Runs until a person or the relay ends it.
    ///
    /// # Errors
    /// The reason, unless a person asked for the end after visitors could come.
    pub(crate) async fn run(mut self, mut signals: StopSignals) -> Result<(), Failure> {
        let outcome = loop {
            let woke = self.wait(&mut signals).await;
            match self.handle(woke) {
                Ok(Next::On) => {}
                Ok(Next::End) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        self.leave().await;
        outcome
    }

    async fn wait(&mut self, signals: &mut StopSignals) -> Woke {
        let now = self.clock.now();
        let alarm = self.alarm(now);
        let alarm = async {
            match alarm {
                Some(at) => drop(smol::Timer::after(at - now).await),
                None => future::pending().await,
            }
            Woke::CoarseTimer
        };
        let dialled = async {
            match &mut self.dial {
                Some((attempt, dial)) => Woke::Dialled(*attempt, dial.await),
                None => future::pending().await,
            }
        };
        let finished = async {
            match self.drain_until {
                Some(_) => self.services.drain().idle().await,
                None => future::pending().await,
            }
            Woke::Finished
        };
        let happened = self.driver.next().map(Woke::DriverEvent);
        let changed = self.surroundings.changed().map(Woke::Changed);
        let asked = signals.next().map(Woke::Stop);
        // In this order when several are ready: a person first.
        or(asked, or(dialled, or(alarm, or(finished, or(changed, happened))))).await
    }

    /// The nearest moment at which something must be done or shown.
    fn alarm(&self, now: Instant) -> Option<Instant> {
        let countdown = self.standing.is_waiting(now).then(|| now + COUNTDOWN);
        earliest(self.drain_until, earliest(self.standing.give_up_at(), countdown))
    }

    fn handle(&mut self, woke: Woke) -> Result<Next, Failure> {
        match woke {
            Woke::Stop(stop) => return self.on_stop(stop),
            Woke::CoarseTimer => return self.on_alarm(),
            Woke::Finished => return Ok(Next::End),
            Woke::Dialled(attempt, Ok(socket)) => {
                self.dial = None;
                let wall = self.clock.wall();
                if self.agent.with(|agent, now| agent.handle_open(attempt, wall, now)) {
                    self.driver.attach(attempt, *socket);
                }
            }
            Woke::Dialled(attempt, Err(close)) => {
                self.dial = None;
                self.agent.with(|agent, now| agent.handle_close_from(attempt, close, now));
            }
            Woke::Changed(change) => {
                tracing::info!(?change, "looking whether the link is still there");
                self.agent.with(|agent, now| agent.network_changed(now));
            }
            Woke::DriverEvent(DriverEvent::Opened { stream, opening }) => {
                tracing::debug!(stream = ?stream.id(), ?opening, "opened");
                self.services.serve(stream, *opening);
            }
            Woke::DriverEvent(DriverEvent::Event(event)) => return self.on_event(event),
        }
        Ok(Next::On)
    }

    fn on_event(&mut self, event: AgentEvent) -> Result<Next, Failure> {
        let now = self.clock.now();
        match event {
            AgentEvent::Dial(target) => {
                let (attempt, options) = (target.attempt, self.dial_options.clone());
                // On the executor, so that a slow resolver or handshake never holds up the loop.
                let dial = spawn(async move { socket::dial(&target, &options).await.map(Box::new) });
                self.dial = Some((attempt, Box::pin(dial)));
            }
            AgentEvent::Sign(input) => {
                let signature = self.identity.sign(&input);
                self.agent.with(|agent, now| agent.handle_signature(&input, Some(signature), now));
            }
            AgentEvent::Up(endpoint) => {
                let protocol = self.agent.look(Agent::plane).map(|plane| plane.protocol);
                tracing::info!(?protocol, "logged in");
                self.standing.handle_up(endpoint, protocol, now)?;
            }
            AgentEvent::Bound { service, url } => {
                let was_ready = self.standing.was_ready();
                self.standing.handle_bound(service, url, now)?;
                if self.standing.was_ready() && !was_ready {
                    self.look_for_services();
                }
            }
            AgentEvent::BindRefused { service, code, error } => {
                self.standing.handle_refused(service, code, error, now)?;
            }
            AgentEvent::Latency(round_trip) => tracing::debug!(?round_trip, "the relay answered a ping"),
            AgentEvent::Draining { reason, deadline } => {
                tracing::info!(reason, ?deadline, "the relay is going away");
                let message = "it is going away; I connect again".to_owned();
                self.reporter.tell(&Report::Told { code: "drain".to_owned(), message, hint: None });
            }
            AgentEvent::Notice { code, message, hint } => {
                self.reporter.tell(&Report::Told { code, message, hint })
            }
            AgentEvent::Down { reason, retry_at } => {
                self.dial = None;
                if self.drain_until.is_some() {
                    // What was under way went with the link.
                    return Ok(Next::End);
                }
                self.standing.handle_down(&reason, retry_at, now)?;
            }
            AgentEvent::Stream(_) => {}
        }
        Ok(Next::On)
    }

    /// Tells a person at once, and not only when a visitor comes, that a service is not there.
    fn look_for_services(&self) {
        let services = Arc::clone(&self.services);
        spawn(async move { services.probe().await }).detach();
    }

    /// The first wish to stop lets running streams finish; the second does not.
    fn on_stop(&mut self, stop: Stop) -> Result<Next, Failure> {
        if !self.standing.was_ready() {
            return Err(Failure::interrupted());
        }
        let drain = self.services.drain();
        // Before anything finishes, so that the relay sends nothing more to what is about to end.
        self.agent.with(|agent, now| self.services.names().for_each(|name| agent.unbind(name, now)));
        drain.begin();
        if stop == Stop::Now || drain.running() == 0 || !self.agent.look(|agent| agent.is_up()) {
            return Ok(Next::End);
        }
        self.drain_until = Some(self.clock.now() + DRAIN_LIMIT);
        // What is between two requests ends within a round trip, and is not worth a word.
        if drain.busy() > 0 {
            self.reporter.tell(&Report::Draining { reason: "stopping".to_owned(), deadline: DRAIN_LIMIT });
        }
        Ok(Next::On)
    }

    fn on_alarm(&mut self) -> Result<Next, Failure> {
        let now = self.clock.now();
        if self.drain_until.is_some_and(|until| now >= until) {
            return Ok(Next::End);
        }
        if self.drain_until.is_none() && self.standing.give_up_at().is_some_and(|at| now >= at) {
            return Err(self.standing.gave_up());
        }
        self.standing.tell_waiting(now);
        Ok(Next::On)
    }

    /// Closes the link and waits until that is said, so that the relay knows before the process is gone.
    async fn leave(mut self) {
        self.agent.with(|agent, now| agent.close(now));
        within(GOODBYE_LIMIT, self.driver.closed()).await;
    }
}

/// Whichever is done first, and of two that are done the first one.
async fn or<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    match future::select(std::pin::pin!(one), std::pin::pin!(other)).await {
        Either::Left((done, _)) | Either::Right((done, _)) => done,
    }
}
