//! Agents and forwards through their handles, with a relay in the same process.

mod world;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hvym_tunnel_agent::event::{AgentEvent, LinkState};
use hvym_tunnel_agent::settings::SettingsError;
use hvym_tunnel_agent::{AgentError, Forward, ServiceAddress};
use hvym_tunnel_core::access::Access;
use hvym_tunnel_net::copy::Direction;
use hvym_tunnel_net::observer::{Observer, Piece};
use world::{PATIENCE, World, identity, read_head, service, spec};

#[test]
fn a_service_can_be_visited_and_the_agent_started_again_after_it_was_stopped() {
    let (world, me) = (World::new(), Arc::new(identity()));
    let at = service("hello");
    for _ in 0..2 {
        let builder = hvym_tunnel_agent::Agent::builder(Arc::clone(&me)).relay(world.url());
        let agent = builder.service(spec("web", at)).start(world.runtime.handle()).expect("it starts");
        let services = world.online(&agent.events());
        assert_eq!(services.len(), 1);
        assert_eq!(world.visit(&services[0].url, "/"), (200, "hello".to_owned()));
        let status = agent.status();
        assert_eq!(
            (status.link, status.services[0].url.as_ref()),
            (LinkState::Online, Some(&services[0].url))
        );
        assert_eq!(world.runtime.block_on(agent.shutdown(PATIENCE)), Ok(()));
        assert_eq!(world.visit(&services[0].url, "/").0, 503);
    }
    world.end();
}

#[test]
fn a_service_comes_and_goes_while_a_stream_of_another_one_runs() {
    let world = World::new();
    let slow = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let agent = world.agent().service(spec("slow", slow.local_addr().expect("an address")));
    let agent = agent.start(world.runtime.handle()).expect("it starts");
    let events = agent.events();
    let url = world.online(&events)[0].url.clone();
    // A response of which the first half was sent stays open over all that follows.
    let (mut visitor, host) = world.connect(&url);
    write!(visitor, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("a request");
    let (mut probe, _) = slow.accept().expect("the agent probes");
    let mut serving = match read_head(&mut probe) {
        Ok(_) => probe,
        Err(_) => slow
            .accept()
            .map(|(mut tcp, _)| read_head(&mut tcp).map(|_| tcp))
            .expect("a stream")
            .expect("a head"),
    };
    serving.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").expect("the agent reads");
    let head = read_head(&mut visitor).expect("a head");
    assert!(head.starts_with(b"HTTP/1.1 200"));

    agent.add_service(spec("api", service("one"))).expect("a new name");
    let bound = |event| match event {
        AgentEvent::ServiceBound(bound) => Some(bound.url),
        _ => None,
    };
    let api = world.next(&events, bound);
    assert_eq!(world.visit(&api, "/"), (200, "one".to_owned()));
    assert!(matches!(
        agent.add_service(spec("api", service("two"))),
        Err(AgentError::Settings(SettingsError::DuplicateService(_)))
    ));
    agent.update_service(spec("api", service("two"))).expect("it is there");
    assert_eq!(world.visit(&api, "/"), (200, "two".to_owned()));
    agent.remove_service(&"api".parse().expect("a name")).expect("it is there");
    assert_ne!(world.visit(&api, "/").0, 200);
    assert!(matches!(
        agent.remove_service(&"api".parse().expect("a name")),
        Err(AgentError::UnknownService(_))
    ));

    serving.write_all(b"half").expect("the agent still reads");
    let mut body = String::new();
    visitor.read_to_string(&mut body).expect("the rest");
    assert_eq!(body, "halfhalf");
    assert_eq!(world.runtime.block_on(agent.shutdown(PATIENCE)), Ok(()));
    world.end();
}

#[test]
fn each_service_has_its_own_credentials_and_access_list() {
    let world = World::new();
    let at = service("hello");
    let mut asked = spec("asked", at);
    asked.filter.credentials = vec!["ann:secret".into()];
    let mut closed = spec("closed", at);
    closed.access = Access::Private([identity().address()].into());
    let agent = world.agent().service(spec("open", at)).service(asked).service(closed);
    let agent = agent.start(world.runtime.handle()).expect("it starts");
    let services = world.online(&agent.events());
    let bare = services[0].url.clone();
    let named = |name: &str| bare.replacen("://", &format!("://{name}-"), 1);
    assert_eq!(world.visit(&bare, "/").0, 200);
    assert_eq!(world.visit(&services[1].url, "/").0, 401, "{services:?}");
    assert_ne!(world.visit(&named("closed"), "/").0, 200);
    assert!(services[2].private && services[2].url.starts_with(&agent.address().to_string()));
    drop(agent);
    world.end();
}

#[test]
fn a_service_asks_for_the_accounts_of_its_file() {
    let world = World::new();
    let path = std::env::temp_dir().join(format!("hvym-tunnel-library-accounts-{}", std::process::id()));
    let mut asked = spec("web", service("hello"));
    asked.filter.credentials_file = Some(path.clone());
    let builder = || world.agent().service(asked.clone());
    assert!(builder().check().is_err(), "there is no file yet");
    std::fs::write(&path, "ann:secret\n").expect("a file");
    #[cfg(unix)]
    for (mode, is_taken) in [(0o640, false), (0o604, false), (0o600, true)] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("ours");
        assert_eq!(builder().check().is_ok(), is_taken, "{mode:o}");
    }
    std::fs::write(&path, "secret\n").expect("a file");
    assert!(builder().check().is_err(), "a line without a colon is no account");
    std::fs::write(&path, "ann:secret\n").expect("a file");
    let agent = builder().start(world.runtime.handle()).expect("it starts");
    std::fs::remove_file(&path).expect("it was ours");
    let services = world.online(&agent.events());
    assert_eq!(world.visit(&services[0].url, "/").0, 401, "{services:?}");
    drop(agent);
    world.end();
}

/// What comes to the local port of a forward, to its end.
fn ask(at: std::net::SocketAddr) -> std::io::Result<String> {
    let mut tcp = TcpStream::connect(at).expect("it listens");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut response = String::new();
    let asked = tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    asked.and_then(|()| tcp.read_to_string(&mut response)).map(|_| response)
}

#[test]
fn a_forward_reaches_a_private_service_and_reports_a_refusal() {
    let world = World::new();
    let (friend, stranger) = (identity(), identity());
    let mut closed = spec("web", service("secret"));
    closed.access = Access::Private([friend.address()].into());
    let agent = world.agent().service(closed).start(world.runtime.handle()).expect("it starts");
    world.online(&agent.events());
    let to: ServiceAddress = format!("{}/web", agent.address()).parse().expect("a service");
    let forward =
        |identity| Forward::builder(identity).relay(world.url()).to(to.clone()).start(world.runtime.handle());
    let online = |event| match event {
        AgentEvent::ForwardOnline { listen } => Some(listen),
        _ => None,
    };
    let allowed = forward(friend).expect("it starts");
    assert_eq!(world.next(&allowed.events(), online), allowed.local_addr());
    assert!(ask(allowed.local_addr()).expect("a response").ends_with("secret"));

    let refused = forward(stranger).expect("it starts");
    let events = refused.events();
    world.next(&events, online);
    let answer = ask(refused.local_addr());
    assert!(answer.as_ref().is_ok_and(String::is_empty) || answer.is_err(), "{answer:?}");
    let code = world.next(&events, |event| match event {
        AgentEvent::ForwardFailed(error) => Some(error.code().to_owned()),
        _ => None,
    });
    assert_eq!(code, hvym_tunnel_core::dialect::OpenResult::NOT_REACHABLE);
    assert_eq!(world.runtime.block_on(allowed.shutdown(PATIENCE)), Ok(()));
    assert_eq!(world.runtime.block_on(refused.shutdown(PATIENCE)), Ok(()));
    drop(agent);
    world.end();
}

#[test]
fn a_private_service_without_a_list_is_its_owners_alone() {
    let (world, me) = (World::new(), Arc::new(identity()));
    let mut closed = spec("web", service("secret"));
    closed.access = Access::Private([].into());
    let builder = hvym_tunnel_agent::Agent::builder(Arc::clone(&me)).relay(world.url());
    let agent = builder.service(closed).start(world.runtime.handle()).expect("it starts");
    world.online(&agent.events());
    let to: ServiceAddress = format!("{}/web", agent.address()).parse().expect("a service");
    for (who, is_owner) in [(me, true), (Arc::new(identity()), false)] {
        let builder = Forward::builder(who).relay(world.url()).to(to.clone());
        let forward = builder.start(world.runtime.handle()).expect("it starts");
        world
            .next(&forward.events(), |event| matches!(event, AgentEvent::ForwardOnline { .. }).then_some(()));
        let answer = ask(forward.local_addr());
        let is_answered = answer.as_ref().is_ok_and(|answer| answer.ends_with("secret"));
        assert_eq!(is_answered, is_owner, "{answer:?}");
    }
    drop(agent);
    world.end();
}

#[test]
fn events_that_nobody_reads_are_dropped_and_counted() {
    let world = World::new();
    let agent = world.agent().service(spec("web", service("hello"))).event_capacity(2);
    let agent = agent.start(world.runtime.handle()).expect("it starts");
    let events = agent.events();
    let url = world.online(&events)[0].url.clone();
    for _ in 0..5 {
        assert_eq!(world.visit(&url, "/").0, 200);
    }
    assert_eq!(world.runtime.block_on(agent.shutdown(PATIENCE)), Ok(()));
    let read = std::iter::from_fn(|| world.runtime.block_on(events.next())).count();
    assert_eq!((read, events.lagged()), (2, 3));
    world.end();
}

/// Gathers the bytes of responses.
#[derive(Default)]
struct Gathered(Mutex<Vec<u8>>);

impl Observer<AgentEvent> for Gathered {
    fn handle_bytes(&self, piece: &Piece<'_>) {
        if let (Direction::ToTunnel, Some(bytes)) = (piece.direction, piece.bytes) {
            assert_eq!(&*piece.stream.service, "web");
            self.0.lock().expect("no panic").extend_from_slice(bytes);
        }
    }
}

#[test]
fn an_inspector_sees_bytes_for_as_long_as_it_is_wanted() {
    let world = World::new();
    let agent = world
        .agent()
        .service(spec("web", service("hello")))
        .start(world.runtime.handle())
        .expect("it starts");
    let url = world.online(&agent.events())[0].url.clone();
    let gathered = Arc::new(Gathered::default());
    let inspection = agent.inspect(Arc::clone(&gathered) as _);
    world.visit(&url, "/");
    drop(inspection);
    let seen = gathered.0.lock().expect("no panic").clone();
    assert!(seen.ends_with(b"\r\n\r\nhello"), "{}", String::from_utf8_lossy(&seen));
    world.visit(&url, "/");
    assert_eq!(*gathered.0.lock().expect("no panic"), seen);
    drop(agent);
    world.end();
}

#[test]
fn an_agent_whose_relay_is_not_there_gives_up_after_its_limit() {
    let world = World::new();
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let relay = Some(format!("ws://{nobody}").parse().expect("a URL"));
    let mut link = hvym_tunnel_agent::settings::LinkSettings { relay, ..Default::default() };
    link.retry.timeout = Some(Duration::from_millis(50));
    let agent = world.agent().link(link).service(spec("web", nobody)).start(world.runtime.handle());
    let ended = world.runtime.block_on(agent.expect("it starts").closed());
    assert!(matches!(ended, Err(AgentError::GaveUp { .. })), "{ended:?}");
    world.end();
}

#[test]
fn a_relay_that_stops_waits_for_its_agents_to_answer_and_not_for_its_limit() {
    /// Half of what a relay waits for an agent that does not answer. A busy machine is slow, but not every time.
    const MOST: Duration = Duration::from_millis(500);
    const ROUNDS: usize = 5;
    for agent_stops_too in [false, true] {
        let stop = |_| {
            let world = World::new();
            let agent = world.agent().service(spec("web", service("hello")));
            let agent = agent.start(world.runtime.handle()).expect("it starts");
            world.online(&agent.events());
            let begun = Instant::now();
            if agent_stops_too {
                agent.stop();
            }
            world.end();
            begun.elapsed()
        };
        let fastest = (0..ROUNDS).map(stop).min().expect("a round");
        assert!(fastest < MOST, "{fastest:?}, agent stops too: {agent_stops_too}");
    }
}

/// Threads and descriptors of this process.
#[cfg(target_os = "linux")]
fn resources() -> [usize; 2] {
    ["/proc/self/task", "/proc/self/fd"].map(|folder| std::fs::read_dir(folder).expect("/proc").count())
}

/// In a process of its own, since other tests of this one have threads and descriptors too.
#[cfg(target_os = "linux")]
#[test]
fn agents_that_are_dropped_leave_no_thread_and_no_descriptor() {
    const CHILD: &str = "HVYM_TUNNEL_TEST_COUNTS";
    if std::env::var_os(CHILD).is_none() {
        let program = std::env::current_exe().expect("this program");
        let name = "agents_that_are_dropped_leave_no_thread_and_no_descriptor";
        let status = std::process::Command::new(program).args(["--exact", name]).env(CHILD, "1").status();
        assert!(status.expect("it runs").success());
        return;
    }
    let at = service("hello");
    let round = || {
        let world = World::new();
        let agents: Vec<_> = (0..3)
            .map(|_| world.agent().service(spec("web", at)).start(world.runtime.handle()).expect("it starts"))
            .collect();
        for agent in &agents {
            let url = world.online(&agent.events())[0].url.clone();
            assert_eq!(world.visit(&url, "/").0, 200);
        }
        drop(agents);
        world.end();
    };
    round();
    let before = resources();
    (0..20).for_each(|_| round());
    assert_eq!(resources(), before);
}
