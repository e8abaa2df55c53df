//! Sockets that a supervisor opens for the program (sd_listen_fds(3)): for a relay, and for the API of a manager.
#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use rustix::process::{Pid, Signal, kill_process};

use crate::upgrade::NextProcess;

/// Starts a program as systemd does, with its standard input as the only socket that is passed, under the name `$1`.
const SUPERVISOR: &str = r#"exec 3<&0 0</dev/null; name=$1; shift
LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$name exec "$@""#;
/// Where nobody is to listen: the socket that is passed wins.
const ELSEWHERE: &str = "127.0.0.1:1";

/// The program in this home, which is passed a socket under this name.
fn passed(home: &Home, name: &str, socket: impl Into<OwnedFd>, arguments: &[&str]) -> Program {
    let inner = home.command(arguments);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SUPERVISOR, "sh", name]).arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Program::start_with_input(command, Stdio::from(socket.into()))
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    (listener, port)
}

fn copy(listener: &TcpListener) -> TcpListener {
    listener.try_clone().expect("a descriptor")
}

fn ask(visitor: &mut Conversation, host: &str) -> u16 {
    visitor.send(request(host, "GET", "/", &[])).expect("somebody reads");
    let head = visitor.head().expect("an answer");
    visitor.body(&head).expect("its body");
    head.status()
}

#[test]
fn visitors_wait_and_are_not_refused_while_a_relay_with_a_passed_socket_starts_anew() {
    let ((listener, port), origin) = (listener(), Origin::saying(b"hello"));
    let arguments = ["relay", "--json", "--listen", ELSEWHERE, "--hold", "30", "--reuse-port"];
    let home = Home::new();
    let mut relay = Relay::started(passed(&home, "listen", copy(&listener), &arguments), home);
    assert_eq!(relay.port, port);
    let agent = Agent::start(&relay, origin.port, &[]);
    assert_eq!(ask(&mut relay.visit(), agent.host()), 200);
    relay.program.signal(Signal::TERM);
    assert_eq!(relay.program.code(), 0, "{relay:?}");

    let mut waiting = Conversation::dial(port);
    waiting.send(request(agent.host(), "GET", "/", &[])).expect("the socket listens");
    let next = Relay::started(passed(&relay.home, "listen", listener, &arguments), Home::new());
    assert_eq!(next.port, port);
    let head = waiting.head().expect("an answer");
    assert_eq!((head.status(), waiting.body(&head).expect("its body")), (200, b"hello".to_vec()));
}

#[test]
fn the_next_process_of_an_upgrade_has_the_passed_socket_whatever_the_options_say() {
    let ((listener, port), home) = (listener(), Home::new());
    let config = home.path("relay.toml");
    std::fs::write(&config, "max_agents = 100\n").expect("a folder takes a file");
    let arguments = ["relay", "--json", "--listen", ELSEWHERE, "--config", config.to_str().expect("text")];
    let mut relay = Relay::started(passed(&home, "hvym-tunnel-relay.socket", listener, &arguments), home);
    assert_eq!(relay.port, port);
    let next = NextProcess::of(&mut relay.program);
    relay.program.event("stopped");
    assert_eq!(ask(&mut Conversation::dial(port), "localhost"), 200);
    // Its options say the same as before, sockets apart.
    kill_process(next.0, Signal::HUP).expect("it is there");
    let loaded = relay.program.event("config_loaded");
    assert!(loaded["restart"].as_array().is_none_or(Vec::is_empty), "{loaded}");
    // And so does the process after it.
    kill_process(next.0, Signal::USR2).expect("it is there");
    let pid = relay.program.event("upgraded")["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let third = NextProcess(pid.and_then(Pid::from_raw).expect("an id"));
    relay.program.event("stopped");
    assert_eq!(ask(&mut Conversation::dial(port), "localhost"), 200);
    drop((third, next));
}

#[test]
fn a_relay_is_started_by_its_first_visitor_and_has_each_socket_by_its_name() {
    let Some(activate) = required_tool("systemd-socket-activate") else { return };
    let ([visitors, operators], home) = ([nobody(), nobody()], Home::new());
    let inner = home.command(&["relay", "--json", "--listen", ELSEWHERE]);
    let mut command = Command::new(activate);
    command.args([visitors, operators].map(|port| format!("--listen=127.0.0.1:{port}")));
    command.arg("--fdname=listen:admin").env_clear();
    for (name, value) in inner.get_envs() {
        let (name, value) = (name.to_str().expect("text"), value.and_then(|value| value.to_str()));
        command.arg(format!("--setenv={name}={}", value.expect("text")));
    }
    command.arg(inner.get_program()).args(inner.get_args());
    let mut program = Program::start(command);
    program.says("Listening on");
    program.says("Listening on");
    let mut first = Conversation::dial(visitors);
    first.send(request("localhost", "GET", "/", &[])).expect("the socket listens");
    assert_eq!(first.head().expect("an answer").status(), 200);
    assert_eq!(ask_path(operators, "/readyz"), 200);
    let event = program.event("listening");
    assert_eq!(event["listen"], format!("127.0.0.1:{visitors}"));
    assert_eq!(event["admin"], format!("127.0.0.1:{operators}"));
}

#[test]
fn a_passed_socket_is_held_to_the_rules_of_any_other() {
    // Everybody reaches it, and nobody has said who may be an agent.
    let open = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let home = Home::new();
    for (socket, said) in
        [(OwnedFd::from(open), "--allow-agent"), (udp.into(), "no TCP or Unix socket that listens")]
    {
        let mut program = passed(&home, "listen", socket, &["relay"]);
        assert_eq!(program.code(), 3, "{program:?}");
        assert!(program.transcript().contains(said), "{program:?}");
    }
}

#[test]
fn a_manager_serves_its_api_at_the_sockets_that_it_is_passed() {
    let ((listener, port), home) = (listener(), Home::new());
    let manager =
        ["manager", "--json", "--bind", "web=9", "--relay", &format!("ws://127.0.0.1:{}", nobody())];
    let mut by_tcp = passed(&home, "api", listener, &manager);
    assert_eq!(by_tcp.event("api")["url"], format!("http://127.0.0.1:{port}"));
    assert_eq!(ask_path(port, "/api/health"), 200);
    // Its other socket is where commands look for one.
    assert_eq!(home.start(&["status"]).code(), 0);
    by_tcp.signal(Signal::TERM);
    assert_eq!(by_tcp.code(), 0, "{by_tcp:?}");

    let path = home.path(".local/state/hvym-tunnel/api.sock");
    let socket = UnixListener::bind(&path).expect("the folder is there, and the socket of before is not");
    let mode =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    let copy = || socket.try_clone().expect("a descriptor");
    let manager = [&manager[..], &["--api-port", "0"]].concat();
    mode(0o666);
    let mut refused = passed(&home, "api", copy(), &manager);
    assert_eq!(refused.code(), 3, "{refused:?}");
    assert!(refused.transcript().contains("other users can connect there"), "{refused:?}");
    mode(0o600);
    let mut by_socket = passed(&home, "api", copy(), &manager);
    by_socket.event("api");
    assert_eq!(home.start(&["status"]).code(), 0);
    by_socket.signal(Signal::TERM);
    assert_eq!(by_socket.code(), 0, "{by_socket:?}");
    assert!(path.exists(), "whoever made the socket removes it");
}

fn ask_path(port: u16, path: &str) -> u16 {
    let mut visitor = Conversation::dial(port);
    visitor.send(request("localhost", "GET", path, &[])).expect("somebody reads");
    visitor.head().expect("an answer").status()
}
