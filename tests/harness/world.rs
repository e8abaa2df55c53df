//! Several agents and one relay, and everything that happens to them, from any bytes: visitors, lost links, takeovers,
//! drains, failing dials, stopped processes, wrong wall clocks, late events of earlier sockets and nonsense.
//!
//! The rules that are broken panic with a sentence. Fuzzers and property tests run the same function.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::dialect::{Service, StreamHeader};
use hvym_tunnel_core::handshake::AuthMode;
use hvym_tunnel_core::link::{StreamEvent, Streams};
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::reason::{DownReason, Retry};
use hvym_tunnel_core::relay::{Directory, Name, Newcomer, Owner, Serving, SessionEvent};
use hvym_tunnel_core::time::Instant;

use crate::ends::{AgentEnd, RelayEnd, Signer, agent_config, opening, pair_with, session_config};
use crate::keys::Key;
use crate::pair::{Dials, Pair, wall};
use crate::wire::WireConfig;

/// Acts of one walk. More would repeat what these reach.
const MAX_ACTS: usize = 60;
/// Whose key each agent has: the first two are two processes of one identity.
const IDENTITIES: [[u8; 32]; 3] = [[1; 32], [1; 32], [3; 32]];
/// What visitors write.
const WORDS: &[u8] = b"through the tunnel and back";

/// What happened in one walk; each field counts one kind of event.
#[derive(Copy, Clone, Default, Debug)]
pub struct WalkCounts {
    /// Links that came up.
    pub ups: u32,
    /// Links and dials that ended, with another dial to come.
    pub retries: u32,
    /// Agents that ended for good.
    pub finals: u32,
    /// Services that another session of the same identity took over.
    pub takeovers: u32,
    /// Streams that a visitor opened.
    pub streams: u32,
    /// Streams whose words came back.
    pub echoes: u32,
    /// Streams that an agent opened.
    pub reached: u32,
    /// Tokens that were refused for their times.
    pub clocks: u32,
    /// Services that were bound.
    pub binds: u32,
    /// Events of earlier sockets.
    pub stale: u32,
}

impl WalkCounts {
    /// Each kind by name.
    pub fn all(&self) -> [(&'static str, u32); 10] {
        [
            ("ups", self.ups),
            ("retries", self.retries),
            ("finals", self.finals),
            ("takeovers", self.takeovers),
            ("streams", self.streams),
            ("echoes", self.echoes),
            ("reached", self.reached),
            ("clocks", self.clocks),
            ("binds", self.binds),
            ("stale", self.stale),
        ]
    }
}

/// One agent, its wire and its sessions at the relay.
struct Member {
    pair: Pair<AgentEnd, RelayEnd>,
    owner: Owner,
    /// Events that were looked at.
    seen: (usize, usize),
    /// Streams of visitors, and which session they are of.
    visits: Vec<(u32, StreamId)>,
}

struct World {
    members: Vec<Member>,
    directory: Directory<(usize, u32)>,
    now: Instant,
    counts: WalkCounts,
}

/// Walks as `data` says: two bytes for each act.
///
/// # Panics
/// A rule is broken.
pub fn walk(data: &[u8]) -> WalkCounts {
    let mut world = World::new(data.first().copied().unwrap_or_default());
    for act in data.get(1..).unwrap_or_default().chunks_exact(2).take(MAX_ACTS) {
        world.act(act[0], act[1]);
        world.settle();
    }
    world.heal();
    world.counts
}

impl World {
    fn new(modes: u8) -> Self {
        let member = |(at, seed): (usize, &[u8; 32])| {
            let mut config = agent_config();
            config.login.identity = Key::from_seed(*seed).address();
            config.login.mode = if modes >> at & 1 == 0 { AuthMode::Challenge } else { AuthMode::Bearer };
            let owner = Owner::Identity(config.login.identity);
            let unique = [u8::try_from(at).expect("few"); 32];
            let mut pair = pair_with(config, session_config(), WireConfig::default(), unique);
            pair.agent.signer = Signer::key(*seed);
            Member { pair, owner, seen: (0, 0), visits: Vec::new() }
        };
        let members = IDENTITIES.iter().enumerate().map(member).collect();
        let directory = Directory::new("relay.example");
        Self { members, directory, now: Instant::ZERO, counts: WalkCounts::default() }
    }

    fn act(&mut self, act: u8, argument: u8) {
        let which = usize::from(act >> 4) % self.members.len();
        let pair = &mut self.members[which].pair;
        let amount = u64::from(argument);
        match act & 15 {
            0 | 1 => self.run(Duration::from_millis(amount * 4)),
            2 => self.run(Duration::from_millis(amount * 250)),
            3 | 4 => self.visit(which),
            5 => self.echo(which),
            6 => pair.wire.cut(pair.now),
            7 => {
                pair.dials =
                    [Dials::Succeed, Dials::Succeed, Dials::Fail, Dials::Hang][usize::from(argument & 3)]
            }
            8 => pair.agent.machine.network_changed(pair.now),
            9 => pair.agent.wall_error = [0, 0, 7200, -7200, -59][usize::from(argument % 5)],
            10 => self.rebind(which, argument),
            11 => self.reach(which),
            12 => self.stale(which),
            13 => self.relay_says(which, argument),
            14 => {
                pair.stopped = [None, None, Some(Side::Agent), Some(Side::Relay)][usize::from(argument & 3)]
            }
            _ => self.nonsense(which, argument),
        }
    }

    /// The clock of all members moves, each from event to event.
    fn run(&mut self, time: Duration) {
        self.now = self.now + time;
        for member in &mut self.members {
            let end = self.now;
            member.pair.run_until(end, |_| false);
            member.pair.now = end;
        }
    }

    fn visit(&mut self, which: usize) {
        let name = Name { owner: self.members[which].owner.clone(), service: Some("web".to_owned()) };
        let Serving::By { sessions, .. } = self.directory.serving(&name) else { return };
        let (at, number) = sessions[0];
        let member = &mut self.members[at];
        let now = member.pair.now;
        let Some(session) = member.pair.relay.machine.as_mut() else { return };
        let Ok(id) = session.open(&opening("web"), now) else { return };
        self.counts.streams += 1;
        if let Ok(mut stream) = session.stream(id) {
            let _taken = stream.write(&mut Bytes::from_static(WORDS), now);
        }
        member.visits.push((number, id));
    }

    /// The service answers every stream, and visitors read the answers.
    fn echo(&mut self, which: usize) {
        let member = &mut self.members[which];
        member.pair.settle();
        let now = member.pair.now;
        for (id, _) in member.pair.agent.opened() {
            let Ok(mut stream) = member.pair.agent.machine.stream(id) else { continue };
            while let Ok(Read::Data(mut data)) = stream.read(usize::MAX, now) {
                let _taken = stream.write(&mut data, now);
            }
        }
        let latency = member.pair.wire.config.latency;
        self.run(latency * 3);
        let member = &mut self.members[which];
        let accepted = member.pair.relay.accepted;
        for (_, id) in member.visits.extract_if(.., |(number, _)| *number == accepted) {
            let Some(session) = member.pair.relay.machine.as_mut() else { continue };
            let Ok(mut stream) = session.stream(id) else { continue };
            let mut answer = Vec::new();
            while let Ok(Read::Data(data)) = stream.read(usize::MAX, now) {
                answer.extend_from_slice(&data);
            }
            assert!(WORDS.starts_with(&answer), "a visitor reads what nobody said to them: {answer:?}");
            self.counts.echoes += u32::from(answer == WORDS);
            stream.reset(0, now);
        }
    }

    fn rebind(&mut self, which: usize, argument: u8) {
        let pair = &mut self.members[which].pair;
        match argument % 3 {
            0 => pair.agent.machine.bind(Service::tcp("extra"), pair.now),
            1 => pair.agent.machine.unbind("extra", pair.now),
            _ => pair.agent.machine.bind(Service::http("web"), pair.now),
        }
    }

    fn reach(&mut self, which: usize) {
        let to = Key::from_seed(IDENTITIES[2]).address();
        let pair = &mut self.members[which].pair;
        let header = StreamHeader::reaching(to, "web");
        if let Ok(id) = pair.agent.machine.open(&header, pair.now)
            && let Ok(mut stream) = pair.agent.machine.stream(id)
        {
            let _taken = stream.write(&mut Bytes::from_static(WORDS), pair.now);
            let _ended = stream.finish(pair.now);
        }
    }

    /// What happens to sockets of earlier dials changes nothing.
    fn stale(&mut self, which: usize) {
        let pair = &mut self.members[which].pair;
        let attempts = pair.agent.attempts();
        let Some((_, earlier)) = attempts.split_last() else { return };
        let before =
            (pair.agent.machine.attempt(), pair.agent.machine.is_up(), pair.agent.machine.poll_timeout());
        for attempt in earlier {
            let garbage = Message::Text(Bytes::from_static(b"{"));
            pair.agent.machine.handle_message_from(*attempt, garbage, pair.now);
            pair.agent.machine.handle_close_from(*attempt, Close::abnormal("late"), pair.now);
            if pair.agent.machine.attempt().is_some() {
                assert!(
                    !pair.agent.machine.handle_open(*attempt, wall(pair.now), pair.now),
                    "a late socket is taken"
                );
            }
            self.counts.stale += 1;
        }
        let after =
            (pair.agent.machine.attempt(), pair.agent.machine.is_up(), pair.agent.machine.poll_timeout());
        assert_eq!(before, after, "an earlier socket changes the agent");
    }

    fn relay_says(&mut self, which: usize, argument: u8) {
        let pair = &mut self.members[which].pair;
        let Some(session) = pair.relay.machine.as_mut() else { return };
        match argument % 5 {
            0 => session.refuse(DownReason::GoingAway, pair.now),
            4 => session.refuse(DownReason::NotAllowed("no longer".into()), pair.now),
            1 => session.drain("update", Duration::from_secs(10), pair.now),
            2 => session.refuse(DownReason::Overloaded("later".into()), pair.now),
            _ => session.handle_close(Close::abnormal("reset"), pair.now),
        }
    }

    fn nonsense(&mut self, which: usize, argument: u8) {
        let pair = &mut self.members[which].pair;
        let message = match argument & 3 {
            0 => Message::Text(Bytes::from_static(b"{\"type\":\"ping\",\"id\":1}")),
            1 => Message::Text(Bytes::from_static(b"{\"type\":\"new\"}")),
            2 => Message::Text(Bytes::from_static(b"[]")),
            _ => Message::Binary(Bytes::copy_from_slice(&[argument; 12])),
        };
        if argument & 4 == 0 {
            pair.agent.machine.handle_message(message, pair.now);
        } else if let Some(session) = pair.relay.machine.as_mut() {
            session.handle_message(message, pair.now);
        }
    }

    /// What the relay does about new events, and what is counted of them.
    fn settle(&mut self) {
        for at in 0..self.members.len() {
            self.members[at].pair.settle();
            let member = &mut self.members[at];
            let accepted = member.pair.relay.accepted;
            let (agent, relay) =
                (&member.pair.agent.events[member.seen.0..], &member.pair.relay.events[member.seen.1..]);
            for event in agent {
                match event {
                    AgentEvent::Up(_) => self.counts.ups += 1,
                    AgentEvent::Bound { .. } => self.counts.binds += 1,
                    AgentEvent::Down { reason, retry_at } => {
                        assert_eq!(retry_at.is_none(), reason.retry() == Retry::Never, "{reason:?}");
                        self.counts.finals += u32::from(retry_at.is_none());
                        self.counts.retries += u32::from(retry_at.is_some());
                        self.counts.clocks += u32::from(matches!(reason, DownReason::TokenTime { .. }));
                    }
                    _ => {}
                }
            }
            let now = member.pair.now;
            let mut replaced = Vec::new();
            for event in relay {
                match event {
                    SessionEvent::Admit(_) => {
                        (0..=accepted).for_each(|older| drop(self.directory.remove((at, older), now)));
                        // What the session said is forgotten when it has ended meanwhile.
                        let (owner, instance) = (member.owner.clone(), Some(at.to_string()));
                        let newcomer = Newcomer { owner, instance, keeps_older: false };
                        let admitted = self.directory.admit((at, accepted), newcomer, now).expect("few");
                        assert_eq!(admitted.replaced, None, "another program was taken for this one");
                    }
                    SessionEvent::Bind(service) => {
                        if let Ok(others) = self.directory.bind((at, accepted), service) {
                            let name = &service.name;
                            replaced.extend(others.into_iter().map(|other| (other, name.clone())));
                        }
                    }
                    SessionEvent::Stream(StreamEvent::Opened { header, .. }) => {
                        assert!(
                            header.from.is_some() && header.to.is_some(),
                            "nobody, or to nobody: {header:?}"
                        );
                        self.counts.reached += 1;
                    }
                    _ => {}
                }
            }
            member.seen = (member.pair.agent.events.len(), member.pair.relay.events.len());
            let closings = member.pair.relay.closings().len();
            assert!(closings <= accepted as usize, "{closings} ends of {accepted} sessions");
            for ((other, number), service) in replaced {
                assert_ne!(other, at, "a session took a service from itself");
                let pair = &mut self.members[other].pair;
                if pair.relay.accepted == number && pair.relay.is_up() {
                    self.counts.takeovers += 1;
                    pair.relay.session().replace_service(&service, None, pair.now);
                }
            }
        }
    }

    /// After anything at all, an honest network and a right clock are enough for every agent that has not ended for good.
    fn heal(&mut self) {
        for at in 0..self.members.len() {
            let pair = &mut self.members[at].pair;
            (pair.dials, pair.stopped, pair.agent.wall_error) = (Dials::Succeed, None, 0);
            let end = pair.now + Duration::from_secs(300);
            // A link that still seems up may be dead; its keepalive finds out.
            pair.run(Duration::from_secs(30));
            let up = pair.run_until(end, |pair| pair.agent.machine.is_up() && pair.relay.is_up());
            let has_ended = pair.agent.downs().last().is_some_and(|(_, retry_at)| retry_at.is_none());
            assert!(up != has_ended, "never up again: {:?}", pair.agent.events.last());
            if has_ended {
                assert_eq!(pair.agent.machine.poll_timeout(), None, "an agent that ended has a timer");
            }
        }
    }
}
