//! An agent that may have few files open: its relay lets visitors wait, and none is refused for want of a descriptor.
#![cfg(unix)]

use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use hvym_tunnel_tests::http::{Origin, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};

/// Streams that are left of the files below, behind what the agent keeps for itself.
const STREAMS: usize = 8;
const FILES: usize = 64 + STREAMS;
const VISITORS: usize = 2 * STREAMS;

#[test]
fn visitors_wait_for_an_agent_that_may_have_few_files_open_and_all_are_served() {
    let (begun, begins) = channel();
    let (go_on, goes_on) = channel::<()>();
    let (begun, goes_on) = (Mutex::new(begun), Mutex::new(goes_on));
    let origin = Origin::start(move |mut connection| {
        loop {
            connection.head()?;
            begun.lock().expect("no panic").send(()).expect("the test waits");
            goes_on.lock().expect("no panic").recv_timeout(PATIENCE).expect("the test goes on");
            connection.send(ok(b"served"))?;
        }
    });
    let relay = Relay::start(&[]);
    let (home, target) = (Home::new(), origin.port.to_string());
    let inner = home.command(&["expose", &target, "--json", "--relay", &relay.url()]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {FILES} && exec \"$@\""), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut agent = Program::start(command);
    let ready = agent.event("ready");
    let host = host_of(ready["url"].as_str().expect("a URL"));
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS)
            .map(|_| {
                let mut visitor = relay.visit();
                visitor.send(request(host, "GET", "/", &[])).expect("the relay reads");
                scope.spawn(move || visitor.head().expect("an answer").status())
            })
            .collect();
        for _ in 0..STREAMS {
            begins.recv_timeout(PATIENCE).expect("a request");
        }
        for answered in 0..VISITORS {
            // As many as have a stream are under way, and one more for each that is answered.
            assert!(begins.try_recv().is_err(), "more are under way after {answered}");
            go_on.send(()).expect("the service waits");
            if answered + STREAMS < VISITORS {
                begins.recv_timeout(PATIENCE).expect("the next one");
            }
        }
        let statuses: Vec<u16> =
            visitors.into_iter().map(|visitor| visitor.join().expect("no panic")).collect();
        assert_eq!(statuses, [200; VISITORS]);
    });
    assert!(agent.descriptors() <= FILES);
}
