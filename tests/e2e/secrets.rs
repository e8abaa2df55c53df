//! Whatever is logged, and however loudly: no secret, no token, no visitor's query.
#![cfg(unix)]

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{host_of, request};
use rustix::process::Signal;

/// How every token begins: `{"alg":` in base64url.
const TOKEN: &str = "eyJhbGci";

fn loudly(home: &Home, arguments: &[&str]) -> Program {
    let mut command = home.command(arguments);
    command.args(["-vvv", "--json"]).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    Program::start(command)
}

#[test]
fn no_log_holds_a_secret_a_token_or_what_a_visitor_asked_for() {
    let [agent_key, relay_key] = [[71; 32], [72; 32]].map(Key::from_seed);
    let service = Origin::saying(b"the body of an answer").port.to_string();
    let relay_home = Home::of(&relay_key);
    let mut relay = loudly(&relay_home, &["relay", "--listen", "0"]);
    let listening = relay.event("listening");
    let port: u16 =
        listening["listen"].as_str().and_then(|at| at.rsplit(':').next()?.parse().ok()).expect("a port");
    let (url, address) = (format!("ws://127.0.0.1:{port}"), relay_key.address().to_string());
    let mut transcripts = Vec::new();
    for auth in ["challenge", "bearer"] {
        let home = Home::of(&agent_key);
        let arguments = ["expose", &service, "--relay", &url, "--relay-address", &address, "--auth", auth];
        let mut agent = loudly(&home, &arguments);
        let ready = agent.event("ready");
        let host = host_of(ready["url"].as_str().expect("a URL"));
        let mut visitor = hvym_tunnel_tests::http::Conversation::dial(port);
        let lines = ["Authorization: Bearer of-bad-news", "Cookie: session=crumbs", "Content-Length: 12"];
        let asked = request(host, "POST", "/path?password=hunter2", &lines) + "typed-secret";
        visitor.send(asked).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        assert_eq!(visitor.body(&head).expect("a whole answer"), b"the body of an answer");
        assert_eq!(agent.event("request")["path"], "/path");
        agent.signal(Signal::INT);
        assert_eq!(agent.code(), 0);
        transcripts.push(agent.transcript());
    }
    relay.signal(Signal::INT);
    assert_eq!(relay.code(), 0);
    transcripts.push(relay.transcript());
    for transcript in transcripts {
        assert!(
            transcript.contains("TRACE") || transcript.contains("DEBUG"),
            "nothing was logged: {transcript}"
        );
        let secrets = [agent_key.secret(), relay_key.secret()];
        let others = [TOKEN, "hunter2", "of-bad-news", "crumbs", "typed-secret", "body of an answer"];
        for hidden in secrets.iter().map(String::as_str).chain(others) {
            let shown = transcript.lines().find(|line| line.contains(hidden));
            assert_eq!(shown, None, "{hidden} was shown");
        }
    }
}
