//! One agent with any number of WebSockets, and the processes of a relay that they lead to, on one clock that jumps.

use std::time::Duration;

use hvym_tunnel_core::agent::{AgentConfig, AttemptId};
use hvym_tunnel_core::link::{OpenStreamError, Streams};
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::{Close, Transmit};
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{LinkId, Session, SessionConfig, SessionEvent};
use hvym_tunnel_core::time::{Instant, earliest};

use crate::ends::{AgentEnd, Outcome, opening, read, upgrade, write};
use crate::pair::{Dials, End, wall, wall_off_by};
use crate::wire::{Arrival, Wire, WireConfig};

/// More turns than this without the clock moving is a machine that never comes to rest.
const MAX_TURNS: usize = 200_000;

/// One WebSocket.
struct Cable {
    attempt: AttemptId,
    process: usize,
    session: usize,
    link: LinkId,
    wire: Wire,
}

/// A session, and everything that it told.
pub struct Hosted {
    /// The machine.
    pub session: Session,
    /// Everything that it told, oldest first.
    pub events: Vec<SessionEvent>,
}

impl Hosted {
    /// Why it ended, if it did.
    pub fn closed(&self) -> Option<&DownReason> {
        self.events.iter().find_map(|event| match event {
            SessionEvent::Closed(reason) => Some(reason),
            _ => None,
        })
    }
}

/// One process of a relay: its sessions, oldest first.
#[derive(Default)]
pub struct Process {
    /// Those that joined another are empty.
    pub hosted: Vec<Hosted>,
    /// It takes no connections any more.
    pub is_closed: bool,
}

impl Process {
    /// The session that visitors reach: the newest that is up.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.hosted.iter_mut().rev().map(|hosted| &mut hosted.session).find(|session| session.is_up())
    }
}

/// A stream of a visitor.
#[derive(Copy, Clone, Debug)]
pub struct Visit {
    process: usize,
    session: usize,
    /// The stream, by the session's name for it.
    pub id: StreamId,
}

/// The agent, the relay's processes, and what is between them.
pub struct Net {
    /// The agent.
    pub agent: AgentEnd,
    /// The relay's processes. A dial reaches the last that takes connections.
    pub processes: Vec<Process>,
    /// The clock.
    pub now: Instant,
    /// What becomes of dials.
    pub dials: Dials,
    /// What new WebSockets are like.
    pub wire: WireConfig,
    /// An end that is stopped: it neither reads nor thinks.
    pub stopped: Option<Side>,
    config: SessionConfig,
    cables: Vec<Cable>,
    seed: [u8; 32],
    accepted: u32,
}

impl Net {
    /// An agent that is about to dial one process.
    pub fn new(agent: AgentConfig, config: SessionConfig, wire: WireConfig, seed: [u8; 32]) -> Self {
        Self {
            agent: AgentEnd::new(agent, seed, Instant::ZERO),
            processes: vec![Process::default()],
            now: Instant::ZERO,
            dials: Dials::Succeed,
            wire,
            stopped: None,
            config,
            cables: Vec::new(),
            seed,
            accepted: 0,
        }
    }

    /// WebSockets that both ends have.
    pub fn open_sockets(&self) -> usize {
        let is_open =
            |cable: &&Cable| [Side::Agent, Side::Relay].iter().all(|side| cable.wire.is_open(*side));
        self.cables.iter().filter(is_open).count()
    }

    /// Breaks the WebSocket with this number, oldest first. Whether there was one.
    pub fn cut(&mut self, number: usize) -> bool {
        let now = self.now;
        let open = self.cables.iter_mut().filter(|cable| cable.wire.is_open(Side::Agent));
        match open.into_iter().nth(number) {
            Some(cable) => cable.wire.cut(now),
            None => return false,
        }
        true
    }

    /// Breaks all of them.
    pub fn cut_all(&mut self) {
        while self.open_sockets() > 0 && self.cut(0) {
            self.settle();
            let latency = self.wire.latency;
            self.run(latency);
        }
    }

    /// The session that visitors reach, at the newest process that has one.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.processes.iter_mut().rev().find_map(Process::session)
    }

    /// A visitor opens a stream to the service `web` and writes.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn visit(&mut self, words: &[u8]) -> Result<Visit, OpenStreamError> {
        let now = self.now;
        for (process, Process { hosted, .. }) in self.processes.iter_mut().enumerate().rev() {
            for (number, hosted) in hosted.iter_mut().enumerate().rev() {
                if hosted.session.is_up() {
                    let id = hosted.session.open(&opening("web"), now)?;
                    write(&mut hosted.session, id, words, now);
                    return Ok(Visit { process, session: number, id });
                }
            }
        }
        Err(OpenStreamError::NotUp)
    }

    /// The session that a visitor's stream belongs to.
    pub fn session_of(&mut self, visit: Visit) -> &mut Session {
        &mut self.processes[visit.process].hosted[visit.session].session
    }

    /// The service sends back what it reads, and ends what its visitor ended.
    pub fn serve(&mut self) {
        let now = self.now;
        for (id, _) in self.agent.opened() {
            let Ok(mut stream) = self.agent.machine.stream(id) else { continue };
            loop {
                match stream.read(usize::MAX, now) {
                    Ok(Read::Data(mut data)) => {
                        let _taken = stream.write(&mut data, now);
                    }
                    Ok(Read::Finished) => {
                        let _ended = stream.finish(now);
                        break;
                    }
                    Ok(Read::Empty) | Err(_) => break,
                }
            }
        }
    }

    /// What a visitor reads.
    pub fn read(&mut self, visit: Visit) -> (Vec<u8>, Outcome) {
        let now = self.now;
        read(self.session_of(visit), visit.id, now)
    }

    /// Runs until nothing is left to do at this moment.
    ///
    /// # Panics
    /// When it never comes to rest.
    pub fn settle(&mut self) {
        for _ in 0..MAX_TURNS {
            let mut moved = false;
            if self.stopped != Some(Side::Agent) {
                moved |= self.turn_agent();
                moved |= self.dial();
            }
            if self.stopped != Some(Side::Relay) {
                moved |= self.turn_relay();
            }
            if !moved {
                self.cables
                    .retain(|cable| cable.wire.is_open(Side::Agent) || cable.wire.is_open(Side::Relay));
                return;
            }
        }
        panic!("never comes to rest at {} µs", self.now.as_micros());
    }

    /// Runs for `time`, jumping from event to event.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
        self.settle();
    }

    /// Runs until `done`, at the latest to `end`. Whether it was done.
    ///
    /// # Panics
    /// When the clock does not move.
    pub fn run_until(&mut self, end: Instant, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        for _ in 0..MAX_TURNS {
            self.settle();
            if done(self) {
                return true;
            }
            match self.next_at() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => return false,
            }
        }
        panic!("the clock never gets past {} µs", self.now.as_micros());
    }

    /// Runs until the agent has so many links that take streams.
    ///
    /// # Panics
    /// When that takes longer than two minutes.
    pub fn up(&mut self, links: usize) {
        let end = self.now + Duration::from_secs(120);
        let up = self.run_until(end, |net| {
            net.agent.machine.links() == links
                && net.session().is_some_and(|session| session.links() == links)
        });
        assert!(up, "never {links} links: {:?}", self.agent.events);
        let latency = self.wire.latency;
        self.run(latency * 3);
    }

    fn next_at(&self) -> Option<Instant> {
        let mut next = None;
        for cable in &self.cables {
            for side in [Side::Agent, Side::Relay] {
                let at = cable.wire.next_arrival(side).filter(|_| self.stopped != Some(side));
                next = earliest(next, at);
            }
        }
        if self.stopped != Some(Side::Agent) {
            next = earliest(next, self.agent.machine.poll_timeout());
        }
        if self.stopped != Some(Side::Relay) {
            let hosted = self.processes.iter().flat_map(|process| &process.hosted);
            next = hosted.fold(next, |next, hosted| earliest(next, hosted.session.poll_timeout()));
        }
        next
    }

    fn agent_events(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.agent.machine.poll_event() {
            self.agent.on_event(event, self.now);
            moved = true;
        }
        moved
    }

    fn turn_agent(&mut self) -> bool {
        let now = self.now;
        let mut moved = self.agent_events();
        for at in 0..self.cables.len() {
            let attempt = self.cables[at].attempt;
            while self.cables[at].wire.has_room(Side::Agent) {
                let Some(transmit) = self.agent.machine.poll_transmit_to(attempt) else { break };
                moved = true;
                send(&mut self.cables[at].wire, Side::Agent, transmit, now);
            }
            while let Some(arrival) = self.cables[at].wire.receive(Side::Agent, now) {
                moved = true;
                match arrival {
                    Arrival::Message(message) => {
                        self.agent.machine.handle_message_from(attempt, message, now)
                    }
                    Arrival::Close(close) => self.agent.machine.handle_close_from(attempt, close, now),
                }
                self.agent_events();
            }
        }
        if self.agent.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.machine.handle_timeout(now);
            self.agent_events();
            moved = true;
        }
        moved
    }

    fn turn_relay(&mut self) -> bool {
        let now = self.now;
        let mut moved = self.relay_events();
        for at in 0..self.cables.len() {
            moved |= self.turn_cable(at);
        }
        for process in 0..self.processes.len() {
            for number in 0..self.processes[process].hosted.len() {
                let session = &mut self.processes[process].hosted[number].session;
                if session.poll_timeout().is_some_and(|at| at <= now) {
                    session.handle_timeout(now);
                    moved = true;
                }
            }
        }
        moved | self.relay_events()
    }

    fn turn_cable(&mut self, at: usize) -> bool {
        let now = self.now;
        let mut moved = false;
        loop {
            let Cable { process, session, link, wire, .. } = &mut self.cables[at];
            let machine = &mut self.processes[*process].hosted[*session].session;
            if wire.has_room(Side::Relay)
                && let Some(transmit) = machine.poll_transmit_to(*link)
            {
                send(wire, Side::Relay, transmit, now);
            } else if let Some(arrival) = wire.receive(Side::Relay, now) {
                match arrival {
                    Arrival::Message(message) => machine.handle_message_from(*link, message, now),
                    Arrival::Close(close) => machine.handle_close_from(*link, close, now),
                }
                // A join gives the socket to another session.
                self.relay_events();
            } else {
                return moved;
            }
            moved = true;
        }
    }

    fn relay_events(&mut self) -> bool {
        let mut moved = false;
        for process in 0..self.processes.len() {
            for number in 0..self.processes[process].hosted.len() {
                while let Some(event) = self.processes[process].hosted[number].session.poll_event() {
                    moved = true;
                    self.processes[process].hosted[number].events.push(event.clone());
                    self.on_session(process, number, event);
                }
            }
        }
        moved
    }

    fn on_session(&mut self, process: usize, number: usize, event: SessionEvent) {
        let now = self.now;
        let hosted = &mut self.processes[process].hosted;
        match event {
            SessionEvent::Admit(_) => {
                for older in hosted[..number].iter_mut().filter(|older| older.session.is_up()) {
                    older.session.refuse(DownReason::Replaced, now);
                }
                hosted[number].session.admit("https://a.relay.example".into(), now);
            }
            SessionEvent::Join(..) => self.join(process, number),
            SessionEvent::Bind(service) => {
                let url = format!("https://{}.relay.example", service.name);
                hosted[number].session.confirm(service, url, now);
            }
            _ => {}
        }
    }

    fn join(&mut self, process: usize, number: usize) {
        let now = self.now;
        let (older, newer) = self.processes[process].hosted.split_at_mut(number);
        let newcomer = &mut newer[0].session;
        let mut refusal = DownReason::UnknownSession("none".into());
        for (at, hosted) in older.iter_mut().enumerate() {
            match hosted.session.join(newcomer, now) {
                Ok(link) => {
                    let mine = |cable: &&mut Cable| (cable.process, cable.session) == (process, number);
                    let cable = self.cables.iter_mut().find(mine).expect("it came over one");
                    (cable.session, cable.link) = (at, link);
                    return;
                }
                Err(reason) => refusal = reason,
            }
        }
        newcomer.refuse(refusal, now);
    }

    /// What the runner does with a dial that the agent asked for.
    fn dial(&mut self) -> bool {
        if self.dials == Dials::Hang {
            return false;
        }
        let Some(target) = self.agent.dialing.take() else { return false };
        let process = self.processes.iter().rposition(|process| !process.is_closed);
        let Some(process) = process.filter(|_| self.dials == Dials::Succeed) else {
            let close = Close::abnormal("connection refused");
            self.agent.machine.handle_close_from(target.attempt, close, self.now);
            return true;
        };
        self.accepted += 1;
        let mut seed = self.seed;
        seed[..4].copy_from_slice(&self.accepted.to_be_bytes());
        let upgrade = upgrade(&target, seed);
        let session = Session::new(self.config.clone(), upgrade, wall(self.now), seed, self.now);
        self.processes[process].hosted.push(Hosted { session, events: Vec::new() });
        let wall = wall_off_by(self.agent.wall_error, self.now);
        if self.agent.machine.handle_open(target.attempt, wall, self.now) {
            let mut wire = Wire::new(self.wire, seed);
            wire.connect();
            let session = self.processes[process].hosted.len() - 1;
            let (attempt, link) = (target.attempt, LinkId::FIRST);
            self.cables.push(Cable { attempt, process, session, link, wire });
        }
        true
    }
}

fn send(wire: &mut Wire, from: Side, transmit: Transmit, now: Instant) {
    match transmit {
        Transmit::Send(message) => wire.send(from, message, now),
        Transmit::Close(close) => wire.close(from, close, now),
    }
}
