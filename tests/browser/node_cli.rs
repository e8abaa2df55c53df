//! The program of the package, as `npx hvym-tunnel` runs it, and the example with Express.

use std::process::Command;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::Program;
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use rustix::process::Signal;

use super::installed;

fn command(arguments: &[&str]) -> Option<Command> {
    required_tool("node")?;
    let mut command = Command::new(installed::folder()?.join("node_modules/.bin/hvym-tunnel"));
    command
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("HVYM_TUNNEL_RELAY")
        .env_remove("HVYM_TUNNEL_SECRET");
    Some(command)
}

#[test]
fn a_port_gets_a_public_address_until_the_program_is_interrupted() {
    let (key, mut relay, origin) =
        (Key::from_seed([74; 32]), Relay::start(&[]), Origin::saying(b"from the port"));
    let Some(mut command) = command(&[&origin.port.to_string(), "--relay", &relay.url()]) else { return };
    command.env("HVYM_TUNNEL_SECRET", key.secret().trim());
    let mut program = Program::start(command);
    let url = program.line();
    let asked = || {
        let mut visitor = relay.visit();
        visitor.send(request(host_of(&url), "GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        String::from_utf8(visitor.body(&head).expect("a whole answer")).expect("text")
    };
    assert_eq!(asked(), "from the port");
    relay.program.event("agent_joined");
    program.signal(Signal::INT);
    relay.program.event("agent_left");
    assert_eq!(program.code(), 0);
    assert_eq!(program.transcript(), format!("{url}\n"));
}

#[test]
fn an_application_of_express_is_opened_by_the_example() {
    let (relay, Some(node), Some(folder)) = (Relay::start(&[]), required_tool("node"), installed::folder())
    else {
        return;
    };
    let mut command = Command::new(node);
    command.args(["examples/express.mjs", &relay.url()]).current_dir(folder);
    let mut example = Program::start(command);
    let url = example.line();
    let mut visitor = relay.visit();
    visitor.send(request(host_of(&url), "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    assert_eq!(String::from_utf8_lossy(&body), "hello from Express, 127.0.0.1\n");
    example.signal(Signal::INT);
    assert_eq!(example.code(), 0);
}

#[test]
fn mistakes_in_the_arguments_are_said_and_have_their_code() {
    let wrong = |arguments: &[&str], words: &str| {
        let Some(command) = command(arguments) else { return };
        let mut program = Program::start(command);
        let code = program.code();
        assert!(program.transcript().contains(words), "{arguments:?}: {program:?}");
        assert_eq!(code, 2, "{arguments:?}: {program:?}");
    };
    wrong(&["3000"], "no relay is named");
    wrong(&[], "one service is named");
    wrong(&["--relay", "ws://127.0.0.1:9", "3000", "4000"], "one service is named");
    wrong(&["ftp://localhost:21", "--relay", "ws://127.0.0.1:9"], "http://..");
    wrong(&["3000", "--nothing"], "--nothing");
    wrong(&["connect"], "a token is needed");
    wrong(&["connect", "-t", "tun_x", "-r", "soon"], "a number of seconds");
    wrong(&["connect", "-t", "tun_x", "-s", "ftp://localhost"], "serverUrl");
}

#[test]
fn a_secret_that_is_none_is_not_repeated() {
    let Some(mut command) = command(&["3000", "--relay", "ws://127.0.0.1:9"]) else { return };
    command.env("HVYM_TUNNEL_SECRET", "SHUNTER2");
    let mut program = Program::start(command);
    assert_eq!(program.code(), 1);
    assert!(!program.transcript().contains("HUNTER2"), "{program:?}");
    assert!(program.transcript().contains("secret"), "{program:?}");
}
