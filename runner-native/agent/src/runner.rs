//! Runs one agent: drives the core's machine, dials and has logins signed for it, serves its streams, and ends it.
//!
//! Knows nothing of the protocol. It does what the machine asks for, and turns what it says into events.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{self, Either, FutureExt};
use hvym_tunnel_core::agent::{Agent as AgentMachine, AgentEvent as MachineEvent, AttemptId, DialTarget};
use hvym_tunnel_core::dialect::MUX_YAMUX;
use hvym_tunnel_core::handshake::Endpoint;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::{Address, SigningInput};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::dial_error::{DialError, DialProblem};
use hvym_tunnel_net::link_driver::{DriverEvent, LinkHandle};
use hvym_tunnel_net::link_task::LinkTask;
use hvym_tunnel_net::runtime::Task;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::socket::{self, DialOptions, Socket};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use smol::channel::Receiver;

use crate::error::AgentError;
use crate::event::AgentEvent;
use crate::event_sink::EventSink;
use crate::link_status::LinkStatus;
use crate::network_monitor::{Change, NetworkMonitor};
use crate::registration_check::RegistrationCheck;
use crate::relay_memory::RelayMemory;
use crate::service::{Dispatcher, ServiceTable};
use crate::signatures::{Answer, Signatures};

/// How long the close of the link may take. It is queued already; a network that is gone never confirms it.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// How long requests that are under way may take when others have taken all services.
const TAKEN_OVER_LIMIT: Duration = Duration::from_secs(10);

type Dial = Pin<Box<dyn Future<Output = Result<Box<Socket>, DialError>> + Send>>;

/// What a runner shares with the handle of its agent.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) agent: LinkHandle<AgentMachine>,
    pub(crate) table: Arc<ServiceTable>,
    pub(crate) status: Arc<Mutex<LinkStatus>>,
    pub(crate) sink: EventSink,
    pub(crate) clock: Clock,
}

impl Shared {
    /// Changes the status, and emits the events that follow once it is unlocked.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut LinkStatus, Instant) -> R) -> R {
        let now = self.clock.now();
        let (result, events) = {
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            (change(&mut status, now), status.take_events())
        };
        events.into_iter().for_each(|event| self.sink.emit(event));
        result
    }
}

/// The task of one agent.
pub(crate) struct AgentRunner {
    shared: Shared,
    signatures: Signatures,
    driver: LinkTask<AgentMachine>,
    dispatcher: Arc<Dispatcher>,
    monitor: NetworkMonitor,
    dial_options: DialOptions,
    /// Set until the relay's address is known.
    memory: Option<RelayMemory>,
    registration_check: RegistrationCheck,
    /// What listens for the handle's wishes: a deadline asks to drain, the end of the channel to stop.
    commands: Receiver<Duration>,
    dialling: Dialling,
    /// Set while draining: when to stop waiting.
    drain_until: Option<Instant>,
    /// Why the agent ends once what is under way is over, if not because the handle asked for it.
    ended_by: Option<AgentError>,
}

/// The way to the relay.
#[derive(Default)]
struct Dialling {
    /// What is under way.
    attempt: Option<(AttemptId, Dial)>,
    /// Why the last attempt failed, until the machine says what follows.
    problem: Option<DialProblem>,
    /// The relays that may be dialled, and which of them is.
    relays: Vec<String>,
    at: usize,
}

impl Dialling {
    /// The relay after the one that is away, if there are several.
    fn next_relay(&mut self) -> Option<String> {
        self.at = (self.at + 1) % self.relays.len().max(1);
        self.relays.get(self.at).filter(|_| self.relays.len() > 1).cloned()
    }
}

/// Why the loop woke.
enum Woke {
    /// Finish what is under way within this.
    Drain(Duration),
    Stop,
    Dialled(AttemptId, Result<Box<Socket>, DialError>),
    Signed(Answer),
    Driver(DriverEvent<MachineEvent>),
    Changed(Change),
    Drained,
    Deadline,
}

/// Whether the loop goes on.
enum Next {
    Continue,
    End,
}

impl AgentRunner {
    /// Nothing runs yet; the machine is about to dial, and to log in as `address` by what `signer` signs.
    pub(crate) fn new(
        shared: Shared,
        signer: Signer,
        address: Address,
        (relays, dial_options): (Vec<String>, DialOptions),
        memory: Option<RelayMemory>,
        commands: Receiver<Duration>,
    ) -> Self {
        Self {
            signatures: Signatures::new(signer),
            driver: LinkTask::spawn(shared.agent.clone()),
            dispatcher: Dispatcher::new(
                Arc::clone(&shared.table),
                address,
                shared.sink.clone(),
                shared.clock,
            ),
            monitor: NetworkMonitor::new(shared.clock),
            shared,
            dial_options,
            memory,
            registration_check: RegistrationCheck::new(address),
            commands,
            dialling: Dialling { relays, ..Dialling::default() },
            drain_until: None,
            ended_by: None,
        }
    }

    /// Runs until the handle or the relay ends it; then `listener`, which takes local connections, is stopped too.
    ///
    /// # Errors
    /// The reason, unless the handle asked for the end.
    pub(crate) async fn run(mut self, listener: Option<Task<()>>) -> Result<(), AgentError> {
        let outcome = loop {
            let woke = self.wait().await;
            match self.handle(woke) {
                Ok(Next::Continue) => {}
                Ok(Next::End) => break self.ended_by.take().map_or(Ok(()), Err),
                Err(error) => break Err(error),
            }
        };
        self.shared.agent.with(|agent, now| agent.close(now));
        // Until the close is sent, so that the relay knows before the process is gone.
        within(CLOSE_LIMIT, self.driver.closed()).await;
        if let Some(listener) = listener {
            listener.cancel().await;
        }
        self.shared.sink.close();
        outcome
    }

    /// Whether the relay can be told that the agent goes away.
    fn speaks_native(&self) -> bool {
        self.shared.agent.look(|agent| agent.plane().is_some_and(|plane| plane.protocol == MUX_YAMUX))
    }

    async fn wait(&mut self) -> Woke {
        let deadline = self.deadline();
        let is_native = self.drain_until.is_some() && self.speaks_native();
        let now = self.shared.clock.now();
        let deadline = async {
            match deadline {
                Some(at) => Timer::after(at - now).await,
                None => future::pending().await,
            }
            Woke::Deadline
        };
        let dialled = async {
            match &mut self.dialling.attempt {
                Some((attempt, dial)) => Woke::Dialled(*attempt, dial.await),
                None => future::pending().await,
            }
        };
        let drained = async {
            match self.drain_until {
                // The machine knows better when nothing is left where the relay has its part in it.
                Some(_) if !is_native => self.shared.table.drain().idle().await,
                Some(_) | None => future::pending().await,
            }
            Woke::Drained
        };
        let signed = self.signatures.next().map(Woke::Signed);
        let driver = self.driver.next().map(Woke::Driver);
        let changed = self.monitor.changed().map(Woke::Changed);
        let command = self.commands.recv().map(|command| command.map_or(Woke::Stop, Woke::Drain));
        // In this order when several are ready: the owner first.
        or(command, or(dialled, or(signed, or(deadline, or(drained, or(changed, driver)))))).await
    }

    /// The nearest moment at which something must be done.
    fn deadline(&self) -> Option<Instant> {
        match self.drain_until {
            Some(until) => Some(until),
            None => self.shared.update(|status, _| status.give_up_at()),
        }
    }

    fn handle(&mut self, woke: Woke) -> Result<Next, AgentError> {
        match woke {
            Woke::Drain(limit) => return Ok(self.drain(limit)),
            Woke::Stop | Woke::Drained => return Ok(Next::End),
            Woke::Deadline => return self.on_deadline(),
            Woke::Dialled(attempt, Ok(socket)) => {
                self.dialling.attempt = None;
                let wall = self.shared.clock.wall();
                if self.shared.agent.with(|agent, now| agent.handle_open(attempt, wall, now)) {
                    self.driver.attach(attempt, *socket);
                    self.shared.update(|status, _| status.handle_open());
                }
            }
            Woke::Dialled(attempt, Err(error)) => {
                self.dialling.attempt = None;
                self.dialling.problem = Some(error.problem);
                self.shared.agent.with(|agent, now| agent.handle_close_from(attempt, error.close, now));
            }
            Woke::Signed(answer) => self.handle_signature(answer),
            Woke::Changed(change) => {
                tracing::info!(?change, "probing the link");
                self.shared.agent.with(|agent, now| agent.network_changed(now));
            }
            Woke::Driver(DriverEvent::Opened { stream, opening }) => {
                tracing::debug!(stream = ?stream.id(), ?opening, "opened");
                self.dispatcher.serve(stream, *opening);
            }
            Woke::Driver(DriverEvent::Event(event)) => return self.on_event(event),
        }
        Ok(Next::Continue)
    }

    /// Dials in a task of its own, so that a slow resolver or handshake never holds up the loop.
    fn dial(&self, target: DialTarget) -> Dial {
        let mut options = self.dial_options.clone();
        let server = self.shared.update(|status, _| status.compat_server());
        Box::pin(spawn(async move {
            if let Some(server) = &server {
                server.renew_token(&mut options).await;
            }
            let socket = socket::dial(&target, &options).await?;
            if let Some(server) = server {
                server.handle_dialled(&target, &options).await;
            }
            Ok(Box::new(socket))
        }))
    }

    fn sign(&mut self, input: &SigningInput) {
        if let Some(answer) = self.signatures.ask(input.reissued(self.shared.clock.wall().unix)) {
            self.handle_signature(answer);
        }
    }

    fn handle_signature(&self, (input, signature): Answer) {
        self.shared.agent.with(|agent, now| agent.handle_signature(&input, signature, now));
    }

    fn on_up(&mut self, endpoint: Endpoint) -> Result<(), AgentError> {
        let protocol = self.shared.agent.look(AgentMachine::plane).map(|plane| plane.protocol);
        tracing::info!(?protocol, "logged in");
        let is_older = protocol.is_some_and(|protocol| protocol != MUX_YAMUX);
        self.registration_check.handle_up(
            is_older && endpoint.relay.is_some(),
            &self.shared.agent,
            &self.dial_options,
        );
        let proven = endpoint.relay.filter(|_| endpoint.is_proven);
        self.shared.update(|status, now| status.handle_up(endpoint, protocol, now))?;
        // Not before: a relay whose URL was refused would be known to the next process, and believed there.
        if let Some(address) = proven
            && let Some(memory) = self.memory.take()
        {
            memory.note(address);
        }
        Ok(())
    }

    fn on_event(&mut self, event: MachineEvent) -> Result<Next, AgentError> {
        match event {
            MachineEvent::Dial(target) => {
                self.registration_check.handle_dial(target.clone());
                let dial = self.dial(target.clone());
                (self.dialling.attempt, self.dialling.problem) = (Some((target.attempt, dial)), None);
            }
            MachineEvent::Sign(input) => self.sign(&input),
            MachineEvent::Up(endpoint) => self.on_up(endpoint)?,
            MachineEvent::Bound { service, url } => {
                self.answered(|status, now| status.handle_bound(service, url, now))?;
            }
            MachineEvent::Named { name, url } => {
                self.answered(|status, now| status.handle_named(name, url, now))?;
            }
            MachineEvent::NameRefused { name, code, error } => {
                self.answered(|status, now| status.handle_name_refused(name, code, error, now))?;
            }
            MachineEvent::BindRefused { service, code, error } => {
                self.shared.update(|status, now| status.handle_refused(service, code, error, now))?;
            }
            MachineEvent::Revoked { persisted, .. } => self.on_revoke_answer(Ok(persisted)),
            MachineEvent::RevokeRefused { code, error, .. } => self.on_revoke_answer(Err((code, error))),
            MachineEvent::Unbound { service, by } => {
                let outcome = self.shared.update(|status, now| status.handle_taken_over(&service, by, now));
                if let Err(error) = outcome {
                    self.ended_by = Some(error);
                    return Ok(self.drain(TAKEN_OVER_LIMIT));
                }
            }
            MachineEvent::Latency(round_trip) => {
                tracing::debug!(?round_trip, "the relay answered a ping");
                self.shared.sink.emit(AgentEvent::Latency(round_trip));
            }
            MachineEvent::Draining { reason, deadline } => {
                tracing::info!(reason, ?deadline, "the relay is going away");
                self.shared.sink.emit(AgentEvent::RelayDraining);
            }
            MachineEvent::Notice { code, message, hint } => {
                self.shared.sink.emit(AgentEvent::Notice { code, message, hint });
            }
            MachineEvent::Down { reason, retry_at } => {
                self.dialling.attempt = None;
                self.registration_check.handle_down(&reason);
                if self.drain_until.is_some() {
                    // What was under way ended with the link.
                    return Ok(Next::End);
                }
                if self.signatures.is_waiting() && matches!(reason, DownReason::TimedOut(_)) {
                    // Another login would be a second question beside the one that nobody answered.
                    return Err(AgentError::Ended(DownReason::SignerRefused));
                }
                let problem = self.dialling.problem.take();
                self.turn_to_next_relay();
                self.shared.update(|status, now| status.handle_down(reason, problem, retry_at, now))?;
            }
            // Streams are the driver's.
            _ => {}
        }
        Ok(Next::Continue)
    }

    /// Has the next dial go to another relay, if there are several.
    fn turn_to_next_relay(&mut self) {
        if let Some(relay) = self.dialling.next_relay() {
            tracing::info!(relay, "the next dial goes to another relay");
            self.shared.agent.with(|agent, _| agent.set_relay(relay));
        }
    }

    /// The relay answered, by which visitors may be able to come.
    fn answered(
        &self,
        change: impl FnOnce(&mut LinkStatus, Instant) -> Result<(), AgentError>,
    ) -> Result<(), AgentError> {
        let came_online = self.shared.update(|status, now| {
            let was_online = status.was_online();
            change(status, now)?;
            Ok::<_, AgentError>(status.was_online() && !was_online)
        })?;
        if came_online {
            self.probe_services();
        }
        Ok(())
    }

    /// The relay's answer to a revocation: whether it survives a restart, or a code and a text.
    fn on_revoke_answer(&self, answer: Result<bool, (String, String)>) {
        self.shared.sink.emit(match answer {
            Ok(persisted) => AgentEvent::Revoked { persisted },
            Err((code, message)) => AgentEvent::RevokeRefused { code, message },
        });
    }

    /// Reports services that do not answer now, and not only when a visitor comes.
    fn probe_services(&self) {
        let dispatcher = Arc::clone(&self.dispatcher);
        spawn(async move { dispatcher.probe().await }).detach();
    }

    /// Takes nothing new, and waits for what is under way.
    fn drain(&mut self, limit: Duration) -> Next {
        let Shared { agent, table, sink, clock, .. } = &self.shared;
        let drain = table.drain();
        if limit.is_zero() || !agent.look(AgentMachine::is_up) {
            return Next::End;
        }
        if self.speaks_native() {
            // The relay opens no more streams then, and ends those that are idle; what it has opened meanwhile is served.
            agent.with(|agent, now| agent.drain(limit, now));
        } else {
            // Before anything finishes, so that the relay opens no stream that is about to end.
            let unbind_all = |agent: &mut AgentMachine, now| {
                table.specs().iter().for_each(|spec| agent.unbind(spec.name.as_str(), now));
            };
            agent.with(unbind_all);
            table.begin_drain();
            if drain.running() == 0 {
                return Next::End;
            }
        }
        self.drain_until = Some(clock.now() + limit);
        // Streams between two requests end within a round trip, which is not worth an event.
        if drain.busy() > 0 {
            sink.emit(AgentEvent::Draining { deadline: limit });
        }
        Next::Continue
    }

    fn on_deadline(&mut self) -> Result<Next, AgentError> {
        let now = self.shared.clock.now();
        if let Some(until) = self.drain_until {
            return Ok(if now >= until { Next::End } else { Next::Continue });
        }
        self.shared.update(|status, now| match status.give_up_at() {
            Some(at) if now >= at => Err(status.gave_up()),
            _ => Ok(Next::Continue),
        })
    }
}

/// Whichever is done first, and of two that are done the first one.
async fn or<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    match future::select(std::pin::pin!(one), std::pin::pin!(other)).await {
        Either::Left((done, _)) | Either::Right((done, _)) => done,
    }
}
