//! A relay that starts its next process on SIGUSR2: no request is lost, and nothing that ends in time is cut.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicUsize, Ordering};

use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::load::{ask, under_load};

/// What a download has, in pieces whose times the test decides.
const PIECE: usize = 64 * 1024;

/// The process that took over, ended with the test.
pub(crate) struct NextProcess(pub(crate) Pid);

impl NextProcess {
    /// Has `program` start it, and waits until it serves.
    pub(crate) fn of(program: &mut Program) -> Self {
        program.signal(Signal::USR2);
        let event = program.event("upgraded");
        let pid = event["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        NextProcess(pid.unwrap_or_else(|| panic!("no process: {event}")))
    }
}

impl Drop for NextProcess {
    fn drop(&mut self) {
        let _gone = kill_process(self.0, Signal::KILL);
    }
}

/// A service whose `/download` and `/socket` go on while the test wants them to, and that answers everything else at once.
fn service(go_on: &'static AtomicUsize) -> Origin {
    let wait_for = |count: usize| {
        while go_on.load(Ordering::Acquire) < count {
            std::thread::yield_now();
        }
    };
    Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            let body = connection.body(&head)?;
            match head.target() {
                "/download" => {
                    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * PIECE))?;
                    connection.send(vec![b'1'; PIECE])?;
                    wait_for(1);
                    connection.send(vec![b'2'; PIECE])?;
                }
                "/socket" => {
                    connection.send(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n",
                    )?;
                    for _ in 0..2 {
                        let bytes = connection.take(4)?;
                        connection.send(bytes)?;
                    }
                    return Ok(());
                }
                _ => connection.send(ok(format!("{} {}", head.method(), body.len()).as_bytes()))?,
            }
        }
    })
}

#[test]
fn a_relay_that_is_upgraded_under_load_loses_no_request_and_cuts_no_download_and_no_websocket() {
    static GO_ON: AtomicUsize = AtomicUsize::new(0);
    let origin = service(&GO_ON);
    let mut relay = Relay::start(&["--hold", "30", "--drain-timeout", "60"]);
    let agent = Agent::start(&relay, origin.port, &[]);
    let (host, port) = (agent.host(), relay.port);
    let mut download = relay.visit();
    download.send(request(host, "GET", "/download", &[])).expect("the relay reads");
    let head = download.head().expect("its beginning");
    assert_eq!((head.status(), download.take(PIECE).expect("its first half")), (200, vec![b'1'; PIECE]));
    let mut socket = relay.visit();
    socket
        .send(request(host, "GET", "/socket", &["Upgrade: echo", "Connection: Upgrade"]))
        .expect("the relay reads");
    assert_eq!(socket.head().expect("an answer").status(), 101);
    socket.send("one ").expect("it is open");
    assert_eq!(socket.take(4).expect("its echo"), b"one ");

    let next = under_load(port, host, (8, 4), |some_more| {
        some_more();
        let next = NextProcess::of(&mut relay.program);
        some_more();
        next
    });
    // What was under way at the process before is over when it is over.
    socket.send("two ").expect("it is open still");
    assert_eq!(socket.take(4).expect("its echo"), b"two ");
    assert!(socket.rest().expect("its end").is_empty());
    // Its visitor's half is open until then.
    drop(socket);
    GO_ON.store(1, Ordering::Release);
    assert_eq!(download.take(PIECE).expect("its second half"), vec![b'2'; PIECE]);
    relay.program.event("stopped");
    // What an operator asks, the next process answers, and it is upgraded in its turn.
    assert_eq!(relay.home.start(&["admin", "agents"]).code(), 0);
    kill_process(next.0, Signal::USR2).expect("it is there");
    let event = relay.program.event("upgraded");
    let third = Pid::from_raw(event["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("an id"));
    let third = NextProcess(third.expect("an id"));
    ask(&mut Conversation::dial(port), host, "GET");
    assert!(test_kill_process(third.0).is_ok());
}

#[test]
fn a_relay_whose_next_process_does_not_come_up_goes_on() {
    let origin = Origin::answering(|head, body| ok(format!("{} {}", head.method(), body.len()).as_bytes()));
    let home = Home::new();
    let config = home.path("relay.toml");
    std::fs::write(&config, "max_agents = 100\n").expect("a folder takes a file");
    let mut relay = Relay::start_in(home, 0, &["--config", config.to_str().expect("a path"), "--hold", "30"]);
    let agent = Agent::start(&relay, origin.port, &[]);
    std::fs::write(&config, "max_agents = \"all\"\n").expect("it is ours");
    relay.program.signal(Signal::USR2);
    let event = relay.program.event("upgrade_failed");
    assert!(
        event["message"].as_str().is_some_and(|message| message.contains("ended before it served")),
        "{event}"
    );
    assert!(ask(&mut relay.visit(), agent.host(), "POST"));
    std::fs::write(&config, "max_agents = 200\n").expect("it is ours");
    let next = NextProcess::of(&mut relay.program);
    relay.program.event("stopped");
    assert!(ask(&mut Conversation::dial(relay.port), agent.host(), "POST"));
    drop(next);
}

#[test]
fn a_service_at_a_tcp_port_keeps_it_over_an_upgrade() {
    let mut relay = Relay::start(&["--tcp-ports", hvym_tunnel_tests::tunnel::PORTS, "--hold", "30"]);
    let agent = Agent::carrying(&relay, Origin::echo().port, &[]);
    let port = agent.port();
    let talk = || {
        let mut visitor = Conversation::dial(port);
        visitor.send("hello").expect("it reads");
        visitor.finish().expect("it is open");
        visitor.rest()
    };
    assert_eq!(talk().expect("an echo"), b"hello");
    let next = NextProcess::of(&mut relay.program);
    relay.program.event("stopped");
    assert_eq!(talk().expect("an echo"), b"hello");
    drop(next);
}
