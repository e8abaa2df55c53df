//! Agents that reach their relay through a proxy: HTTP and SOCKS proxies of the test's own, and what people are told.
#![cfg(unix)]

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};

/// A name that leads nowhere: whoever wants to go there needs a proxy that knows better.
const NOWHERE: &str = "ws://relay.invalid:4896";
/// An address of documentation (RFC 5737): nobody has it.
const NOBODYS: &str = "ws://192.0.2.1:4896";

/// A proxy, and what it was asked.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    asked: Receiver<String>,
}

impl Proxy {
    /// Serves each connection on a thread of its own.
    fn start(
        serve: impl Fn(Conversation, &Sender<String>) -> io::Result<()> + Send + Clone + 'static,
    ) -> Self {
        let (ask, asked) = channel();
        let ask = Mutex::new((ask, serve));
        let origin = Origin::start(move |connection| {
            let (ask, serve) = ask.lock().expect("nobody panics here").clone();
            serve(connection, &ask)
        });
        Proxy { port: origin.port, asked }
    }

    /// Speaks HTTP, and answers with this; after a 200 it leads to the relay at `port`.
    pub(crate) fn http(answer: &'static str, port: u16) -> Self {
        Self::start(move |mut agent, asked| {
            let head = agent.head()?;
            let login = head.field("proxy-authorization").unwrap_or("nobody");
            let _unheard = asked.send(format!("{} {login}", head.first));
            agent.send(answer)?;
            if answer.starts_with("HTTP/1.1 200") { join(agent, port) } else { Ok(()) }
        })
    }

    /// Speaks SOCKS 5, wants this login, and answers with this; after a 0 it leads to the relay at `port`.
    fn socks(login: Option<(&'static str, &'static str)>, reply: u8, port: u16) -> Self {
        Self::start(move |mut agent, asked| {
            let count = agent.take(2)?[1];
            let methods = agent.take(count.into())?;
            let wanted = if login.is_some() { 2 } else { 0 };
            if !methods.contains(&wanted) {
                return agent.send([5, 0xff]);
            }
            agent.send([5, wanted])?;
            if let Some((user, password)) = login {
                let expected =
                    [&[1, user.len() as u8], user.as_bytes(), &[password.len() as u8], password.as_bytes()];
                let right = agent.take(expected.concat().len())? == expected.concat();
                agent.send([1, u8::from(!right)])?;
                if !right {
                    return Ok(());
                }
            }
            let [_, _, _, kind] = agent.take(4)?[..] else { unreachable!("four bytes") };
            let place = match kind {
                1 => agent.take(4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
                3 => {
                    let count = agent.take(1)?[0];
                    String::from_utf8_lossy(&agent.take(count.into())?).into_owned()
                }
                other => format!("kind {other}"),
            };
            let asked_port = u16::from_be_bytes(agent.take(2)?.try_into().expect("two bytes"));
            let _unheard = asked.send(format!("{place}:{asked_port}"));
            agent.send([5, reply, 0, 3, 4, b'h', b'e', b'r', b'e', 1, 2])?;
            if reply == 0 { join(agent, port) } else { Ok(()) }
        })
    }

    /// The next thing it was asked.
    fn asked(&self) -> String {
        self.asked.recv_timeout(PATIENCE).expect("the agent comes by the proxy")
    }
}

/// Leads an agent to the relay at `port`.
fn join(agent: Conversation, port: u16) -> io::Result<()> {
    let relay = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let copy = |mut from: TcpStream, mut to: TcpStream| -> io::Result<()> {
        io::copy(&mut from, &mut to)?;
        to.shutdown(Shutdown::Write)
    };
    let (there, back) = (relay.try_clone()?, agent.writer());
    thread::spawn(move || copy(there, back));
    copy(agent.writer(), relay)
}

/// `expose` of a service that says `ok`, with these variables around it.
fn expose(home: &Home, relay: &str, variables: &[(&str, &str)], more: &[&str]) -> Program {
    let service = Origin::saying(b"ok").port.to_string();
    let arguments = ["expose", &service, "--json", "--plain-relay", "--relay", relay];
    let mut command = home.command(&[&arguments, more].concat());
    command.envs(variables.iter().copied());
    Program::start(command)
}

/// A visitor of `agent` is served.
fn serves(agent: &mut Program, relay: &Relay) {
    let ready = agent.event("ready");
    let mut visitor = relay.visit();
    let host = host_of(ready["url"].as_str().expect("a URL"));
    visitor.send(request(host, "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!(visitor.body(&head).expect("a whole answer"), b"ok");
}

/// What a person is told who may not try again.
fn failure(relay: &str, variables: &[(&str, &str)]) -> String {
    let home = Home::new();
    let mut agent = expose(&home, relay, variables, &["--no-retry"]);
    let message = agent.event("error")["message"].as_str().expect("a message").to_owned();
    assert_eq!(agent.code(), 6, "{agent:?}");
    message
}

/// A relay that goes by the name and the address that only the proxies know.
fn relay() -> Relay {
    Relay::start(&["--domain", "relay.invalid", "--also-name", "relay.invalid:4896,192.0.2.1:4896"])
}

#[test]
fn an_http_proxy_leads_to_the_relay() {
    let relay = relay();
    for (answer, variable) in [
        ("HTTP/1.1 200 Connection established\r\n\r\n", "HTTP_PROXY"),
        ("HTTP/1.1 200\r\nVia: x\r\n\r\n", "all_proxy"),
    ] {
        let proxy = Proxy::http(answer, relay.port);
        let home = Home::new();
        let value = format!("http://127.0.0.1:{}", proxy.port);
        let mut agent = expose(&home, NOWHERE, &[(variable, &value)], &[]);
        assert_eq!(proxy.asked(), "CONNECT relay.invalid:4896 HTTP/1.1 nobody");
        serves(&mut agent, &relay);
    }
}

#[test]
fn a_socks_proxy_leads_to_the_relay_by_name_or_by_address() {
    let relay = relay();
    for (scheme, to, asked, login) in [
        ("socks5h", NOWHERE, "relay.invalid:4896", None),
        ("socks5h", NOWHERE, "relay.invalid:4896", Some(("me", "hunter2"))),
        ("socks5", NOBODYS, "192.0.2.1:4896", None),
        ("socks5h", NOBODYS, "192.0.2.1:4896", Some(("me", "hunter2"))),
    ] {
        let proxy = Proxy::socks(login, 0, relay.port);
        let home = Home::new();
        let user = login.map_or(String::new(), |(user, password)| format!("{user}:{password}@"));
        let value = format!("{scheme}://{user}127.0.0.1:{}", proxy.port);
        // Dialled by an address, it names its domain in URLs: that is for a relay that is known.
        let pin = ["--relay-address", &relay.address.to_string()];
        let mut agent = expose(&home, to, &[("ALL_PROXY", &value)], &pin);
        assert_eq!(proxy.asked(), asked);
        serves(&mut agent, &relay);
    }
}

#[test]
fn a_proxy_is_told_who_asks_and_nobody_else_is() {
    let relay = relay();
    let proxy = Proxy::http("HTTP/1.1 200 OK\r\n\r\n", relay.port);
    let home = Home::new();
    let value = format!("http://me:hunter%32@127.0.0.1:{}", proxy.port);
    let mut agent = expose(&home, NOWHERE, &[("HTTP_PROXY", &value), ("RUST_LOG", "trace")], &["-vvv"]);
    // "me:hunter2" in base64.
    assert_eq!(proxy.asked(), "CONNECT relay.invalid:4896 HTTP/1.1 Basic bWU6aHVudGVyMg==");
    serves(&mut agent, &relay);
    agent.kill();
    let transcript = agent.transcript();
    assert!(transcript.contains("dialling through a proxy"), "{transcript}");
    for hidden in ["hunter", "bWU6aHVudGVyMg"] {
        assert!(!transcript.contains(hidden), "{hidden} was shown: {transcript}");
    }
}

#[test]
fn a_proxy_that_says_no_is_named_with_its_reason() {
    let wanted = "wants a user name and a password";
    let refused = "does not accept the user name and password";
    let http = |answer, user: &str, words: &str| {
        let proxy = Proxy::http(answer, nobody());
        let message = failure(NOWHERE, &[("HTTP_PROXY", &format!("http://{user}127.0.0.1:{}", proxy.port))]);
        let place = format!("the proxy 127.0.0.1:{} (from HTTP_PROXY)", proxy.port);
        assert!(message.contains(words) && message.contains(&place), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    };
    let login = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    http(login, "", wanted);
    http(login, "me:hunter2@", refused);
    http("HTTP/1.1 403 Forbidden\r\n\r\n", "", "does not connect to relay.invalid:4896: HTTP 403 Forbidden");
    http("SSH-2.0-OpenSSH_9.2\r\n", "", "is no such proxy: its answer is no HTTP");
    http("", "", "is no such proxy: it closed the connection");
    http("HTTP/1.1 200 OK\r\n\r\nearly", "", "is no such proxy: it sent more than the answer");

    let socks = |proxy: &Proxy, user: &str, words: &str| {
        let value = format!("socks5h://{user}127.0.0.1:{}", proxy.port);
        let message = failure(NOWHERE, &[("all_proxy", &value)]);
        assert!(message.contains(words) && message.contains("(from all_proxy)"), "{message}");
    };
    let wants = Proxy::socks(Some(("me", "hunter2")), 0, nobody());
    socks(&wants, "", wanted);
    socks(&wants, "me:hunter3@", refused);
    socks(
        &Proxy::socks(None, 5, nobody()),
        "",
        "relay.invalid:4896: the connection was refused (SOCKS reply 5)",
    );
    socks(&Proxy::socks(None, 99, nobody()), "", "it failed (SOCKS reply 99)");
    let other = Proxy::start(|mut agent, _| agent.send("HTTP/1.1 400 Bad Request\r\n\r\n"));
    socks(&other, "", "is no such proxy: its answer is no SOCKS 5");
}

#[test]
fn a_proxy_that_says_nothing_is_given_up_and_named() {
    // It waits for real: the agent's patience with a proxy is no setting.
    let try_one = |variable: &str, scheme: &str| {
        let proxy = Proxy::start(|mut agent, _| agent.rest().map(drop));
        let value = format!("{scheme}://127.0.0.1:{}", proxy.port);
        let message = failure(NOWHERE, &[(variable, &value)]);
        let expected =
            format!("the proxy 127.0.0.1:{} (from {variable}) did not answer within 15 s", proxy.port);
        assert!(message.contains(&expected), "{message}");
    };
    thread::scope(|scope| {
        scope.spawn(|| try_one("HTTP_PROXY", "http"));
        scope.spawn(|| try_one("ALL_PROXY", "socks5h"));
    });
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let value = format!("127.0.0.1:{}", nobody());
    let message = failure(NOWHERE, &[("HTTP_PROXY", &value)]);
    assert!(message.contains(&format!("the proxy {value} (from HTTP_PROXY) cannot be reached")), "{message}");
    assert!(message.to_lowercase().contains("refused"), "{message}");
}

#[test]
fn what_is_excepted_and_what_is_on_this_machine_is_dialled_directly() {
    let relay = Relay::start(&["--also-name", "0.0.0.0"]);
    let dead = format!("http://127.0.0.1:{}", nobody());
    let all = [("HTTP_PROXY", dead.as_str()), ("ALL_PROXY", &dead), ("all_proxy", &dead)];
    let home = Home::new();
    serves(&mut expose(&home, &relay.url(), &all, &[]), &relay);
    // This machine too, by an address that does not say so.
    let unnamed = format!("ws://0.0.0.0:{}", relay.port);
    for excepted in ["0.0.0.0", "other.example, 0.0.0.0/8", &format!("0.0.0.0:{}", relay.port), "*"] {
        let home = Home::new();
        let variables = [&all, [("NO_PROXY", excepted)].as_slice()].concat();
        let pin = ["--relay-address", &relay.address.to_string()];
        serves(&mut expose(&home, &unnamed, &variables, &pin), &relay);
    }
    let message = failure(&unnamed, &[&all, [("NO_PROXY", "0.0.0.0:1")].as_slice()].concat());
    assert!(message.contains("cannot be reached"), "{message}");
}

#[test]
fn tls_begins_behind_the_proxy() {
    let (heard, hearing) = channel();
    let proxy = Proxy::start(move |mut agent, asked| {
        let _unheard = asked.send(agent.head()?.first);
        agent.send("HTTP/1.1 200 OK\r\n\r\n")?;
        let _unheard = heard.send(agent.take(3)?);
        Ok(())
    });
    let value = format!("http://127.0.0.1:{}", proxy.port);
    let message = failure("wss://relay.invalid", &[("https_proxy", &value), ("HTTP_PROXY", "nonsense://")]);
    assert_eq!(proxy.asked(), "CONNECT relay.invalid:443 HTTP/1.1");
    // A handshake record of TLS (RFC 8446 section 5.1).
    assert_eq!(hearing.recv_timeout(PATIENCE).expect("the agent goes on"), [22, 3, 1]);
    assert!(message.contains("TLS with relay.invalid"), "{message}");
}

#[test]
fn a_variable_that_names_no_proxy_is_a_mistake_to_correct() {
    let home = Home::new();
    let variables = [("HTTP_PROXY", "ftp://me:hunter2@proxy.example")];
    let mut agent = expose(&home, NOWHERE, &variables, &[]);
    let error = agent.event("error");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("HTTP_PROXY names no proxy") && !message.contains("hunter2"), "{error}");
    assert_eq!(agent.code(), 3);
}

#[test]
fn a_proxy_on_this_machine_does_not_make_a_relay_local() {
    let home = Home::new();
    let mut command = home.command(&["expose", "1", "--relay", NOWHERE]);
    command.env("HTTP_PROXY", format!("http://127.0.0.1:{}", nobody()));
    let mut agent = Program::start(command);
    agent.says("is not encrypted and leads away from this machine");
    assert_eq!(agent.code(), 3);
}
