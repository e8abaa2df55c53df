//! A caller, an owner, and a relay between them that joins their streams as the protocol says.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::agent::AgentConfig;
use hvym_tunnel_core::dialect::{OpenResult, OpenResultReader, Service, StreamHeader};
use hvym_tunnel_core::link::{StreamEvent, Streams};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::relay::{Session, SessionEvent};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{
    AgentEnd, Outcome, RelayEnd, Signer, agent_config, finish, pair_with, read, session_config, write,
};
use hvym_tunnel_tests::pair::Pair;
use hvym_tunnel_tests::wire::WireConfig;

const SECOND: Duration = Duration::from_secs(1);
const CALLER: [u8; 32] = [30; 32];
const OWNER: [u8; 32] = [31; 32];

/// Two agents at one relay, the relay itself, and the lists of the owner.
struct World {
    caller: Pair<AgentEnd, RelayEnd>,
    owner: Pair<AgentEnd, RelayEnd>,
    access: BTreeMap<&'static str, Access>,
    /// The streams that are joined: the caller's, the owner's.
    joined: Vec<(StreamId, StreamId)>,
    seen: usize,
    served: usize,
    /// Who knocked, as the owner was told.
    knocks: Vec<(String, Option<Address>)>,
}

fn logged_in(seed: [u8; 32], services: Vec<Service>) -> Pair<AgentEnd, RelayEnd> {
    let mut config = AgentConfig { services, ..agent_config() };
    config.login.identity = Key::from_seed(seed).address();
    let mut pair = pair_with(config, session_config(), WireConfig::default(), seed);
    pair.agent.signer = Signer::key(seed);
    pair.up();
    pair
}

fn private(name: &str) -> Service {
    Service { public: false, ..Service::http(name) }
}

impl World {
    fn new() -> Self {
        let caller = Key::from_seed(CALLER).address();
        World {
            caller: logged_in(CALLER, Vec::new()),
            owner: logged_in(OWNER, vec![private("db"), private("secret"), Service::http("web")]),
            access: BTreeMap::from([
                ("db", Access::Private([caller].into())),
                ("secret", Access::Private([Key::from_seed([32; 32]).address()].into())),
                ("web", Access::Public),
            ]),
            joined: Vec::new(),
            seen: 0,
            served: 0,
            knocks: Vec::new(),
        }
    }

    /// Opens a stream and says something at once, without waiting for the verdict.
    fn call(&mut self, to: Address, service: &str, words: &[u8]) -> StreamId {
        let now = self.caller.now;
        let agent = &mut self.caller.agent.machine;
        let id = agent.open(&StreamHeader::reaching(to, service), now).expect("room");
        write(agent, id, words, now);
        id
    }

    fn run(&mut self) {
        for _ in 0..20 {
            self.caller.run(SECOND);
            self.owner.run(SECOND);
            self.join();
            self.serve();
            self.pump();
        }
    }

    /// The relay: looks for the owner, and says the same to everybody who is not served.
    fn join(&mut self) {
        let opened: Vec<_> = self.caller.relay.events[self.seen..].iter().filter_map(opened).collect();
        self.seen = self.caller.relay.events.len();
        for (id, opening) in opened {
            let known = opening.to == Some(Key::from_seed(OWNER).address());
            let now = self.owner.now;
            let session = self.owner.relay.session();
            let service = session.service_for_identities(&opening.service).filter(|_| known).cloned();
            match (service, opening.from) {
                (Some(service), Some(from)) => {
                    let opening = StreamHeader::reached(from, &service, None);
                    self.joined.push((id, session.open(&opening, now).expect("room")));
                }
                _ => say_no(self.caller.relay.session(), id, self.caller.now),
            }
        }
    }

    /// The owner: its lists decide.
    fn serve(&mut self) {
        let now = self.owner.now;
        let opened = self.owner.agent.opened();
        for (id, opening) in &opened[self.served..] {
            self.knocks.push((opening.service.clone(), opening.from));
            let agent = &mut self.owner.agent.machine;
            match self.access.get(opening.service.as_str()) {
                Some(access) if access.admits(opening.from) => {
                    write(agent, *id, &OpenResult::Accepted.encode(), now);
                    let (asked, _) = read(agent, *id, now);
                    write(agent, *id, &[b"you said ", asked.as_slice()].concat(), now);
                    finish(agent, *id, now);
                }
                _ => say_no(agent, *id, now),
            }
        }
        self.served = opened.len();
    }

    /// The relay: everything that arrived at one of two joined streams goes to the other.
    fn pump(&mut self) {
        for (near, far) in self.joined.clone() {
            copy(
                (self.caller.relay.session(), near, self.caller.now),
                (self.owner.relay.session(), far, self.owner.now),
            );
            copy(
                (self.owner.relay.session(), far, self.owner.now),
                (self.caller.relay.session(), near, self.caller.now),
            );
        }
    }

    fn answer(&mut self, id: StreamId) -> (Vec<u8>, Outcome) {
        read(&mut self.caller.agent.machine, id, self.caller.now)
    }
}

type Half<'a> = (&'a mut Session, StreamId, hvym_tunnel_core::time::Instant);

fn copy((from, near, now): Half<'_>, (to, far, then): Half<'_>) {
    let (data, outcome) = read(from, near, now);
    if let Ok(mut stream) = to.stream(far) {
        if !data.is_empty() {
            stream.write(&mut Bytes::from(data), then).expect("open");
        }
        if outcome == Outcome::Finished {
            stream.finish(then).expect("open");
        }
    }
}

fn opened(event: &SessionEvent) -> Option<(StreamId, StreamHeader)> {
    match event {
        SessionEvent::Stream(StreamEvent::Opened { id, header: opening }) => Some((*id, (**opening).clone())),
        _ => None,
    }
}

fn say_no(machine: &mut impl Streams, id: StreamId, now: hvym_tunnel_core::time::Instant) {
    write(machine, id, &OpenResult::not_reachable().encode(), now);
    finish(machine, id, now);
    machine.stream(id).expect("live").stop(now);
}

#[test]
fn an_allowed_caller_gets_through_and_the_owner_sees_its_address() {
    let (mut world, owner) = (World::new(), Key::from_seed(OWNER).address());
    let id = world.call(owner, "db", b"early");
    world.run();
    assert_eq!(world.knocks, [("db".to_owned(), Some(Key::from_seed(CALLER).address()))]);
    let (bytes, outcome) = world.answer(id);
    let mut data = Bytes::from(bytes);
    assert_eq!(OpenResultReader::new().handle_data(&mut data), Ok(Some(OpenResult::Accepted)));
    assert_eq!((&data[..], outcome), (&b"you said early"[..], Outcome::Finished));
}

#[test]
fn a_public_service_serves_whoever_is_logged_in_and_knows_who_it_is() {
    let (mut world, owner) = (World::new(), Key::from_seed(OWNER).address());
    let id = world.call(owner, "web", b"");
    world.run();
    assert_eq!(world.knocks, [("web".to_owned(), Some(Key::from_seed(CALLER).address()))]);
    assert!(world.answer(id).0.starts_with(&OpenResult::Accepted.encode()));
}

#[test]
fn a_stranger_learns_the_same_whether_owner_or_service_is_missing_or_closed_to_it() {
    let (mut world, owner) = (World::new(), Key::from_seed(OWNER).address());
    let nobody = Key::from_seed([99; 32]).address();
    let calls = [(nobody, "db"), (owner, "none"), (owner, "secret")]
        .map(|(to, service)| world.call(to, service, b"hello?"));
    world.run();
    let answers = calls.map(|id| world.answer(id));
    for answer in &answers {
        assert_eq!(*answer, (OpenResult::not_reachable().encode().to_vec(), Outcome::Finished));
    }
    assert_eq!(world.knocks.len(), 1, "only what is bound is knocked at");
}

#[test]
fn an_agent_may_call_itself() {
    let mut pair = logged_in(OWNER, vec![private("db")]);
    let own = Key::from_seed(OWNER).address();
    let now = pair.now;
    pair.agent.machine.open(&StreamHeader::reaching(own, "db"), now).expect("room");
    pair.run(SECOND);
    let (_, heard) = pair.relay.events.iter().find_map(opened).expect("heard");
    assert_eq!((heard.to, heard.from), (Some(own), Some(own)));
    let now = pair.now;
    let session = pair.relay.session();
    let service = session.service_for_identities("db").expect("bound").clone();
    session.open(&StreamHeader::reached(own, &service, None), now).expect("room");
    pair.run(SECOND);
    assert_eq!(pair.agent.opened()[0].1.from, Some(own));
}

#[test]
fn visitors_do_not_find_a_private_service_and_it_has_no_url() {
    let mut pair = logged_in(OWNER, vec![private("db"), Service::http("web")]);
    let session = pair.relay.session();
    assert!(session.service(Some("db")).is_none());
    assert_eq!(session.service(None).map(|service| service.name.as_str()), Some("web"));
    assert!(session.service_for_identities("db").is_some());
    let urls: BTreeMap<_, _> = pair.agent.events.iter().filter_map(bound).collect();
    assert_eq!(urls["db"], None);
    assert!(urls["web"].is_some());
    pair.agent.machine.bind(private("web"), pair.now);
    pair.run(SECOND);
    assert!(pair.relay.session().service(None).is_none());
}

fn bound(event: &hvym_tunnel_core::agent::AgentEvent) -> Option<(String, Option<String>)> {
    match event {
        hvym_tunnel_core::agent::AgentEvent::Bound { service, url } => Some((service.clone(), url.clone())),
        _ => None,
    }
}

#[test]
fn only_a_listed_address_is_admitted_to_a_private_service() {
    let (listed, other) = (Key::from_seed([1; 32]).address(), Key::from_seed([2; 32]).address());
    let access = Access::Private([listed].into());
    assert!(access.admits(Some(listed)) && !access.admits(Some(other)) && !access.admits(None));
    assert!(!Access::Private([].into()).admits(Some(listed)));
    assert!(Access::Public.admits(None) && Access::Public.admits(Some(other)));
}

#[test]
fn a_relay_of_an_earlier_version_sees_nothing_new_in_the_bind_of_a_public_service() {
    let mut pair = logged_in(OWNER, vec![private("db"), Service::http("web")]);
    pair.run(SECOND);
    let binds: Vec<_> = pair.transcript.lines().filter(|line| line.contains(r#""type":"bind""#)).collect();
    assert!(binds[0].contains(r#""public":false"#), "{binds:?}");
    assert!(!binds[1].contains("public"), "{binds:?}");
}
