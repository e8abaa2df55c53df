//! The access log of a relay: one line for each request, in its two formats.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use rustix::process::Signal;
use serde_json::Value;

/// Asks once over a connection of its own. Returns the status and the length of the whole answer, head included.
fn ask(relay: &Relay, host: &str, text: &str) -> u16 {
    let mut visitor: Conversation = relay.visit();
    visitor.send(text.replace("HOST", host)).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    visitor.body(&head).expect("a whole answer");
    head.status()
}

/// The lines that a relay with this format has written when it has ended.
fn lines(format: &str, more: &[&str], visit: impl FnOnce(&Relay, &str)) -> Vec<String> {
    let origin = Origin::answering(|head, body| ok(format!("{} {}", head.method(), body.len()).as_bytes()));
    let home = Home::new();
    let path = home.path("access.log");
    let file = path.to_str().expect("a path").to_owned();
    let own = ["--access-log", &file, "--access-log-format", format];
    let mut relay = Relay::start_in(home, 0, &[&own, more].concat());
    let agent = Agent::start(&relay, origin.port, &["--service", "web"]);
    visit(&relay, agent.host());
    drop(agent);
    relay.program.signal(Signal::TERM);
    assert_eq!(relay.program.code(), 0);
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("text");
    // Its agent came by a request too.
    text.lines().filter(|line| !line.contains("/connect")).map(str::to_owned).collect()
}

#[test]
fn each_request_has_one_line_with_what_the_visitor_got_and_no_query() {
    let visit = |relay: &Relay, host: &str| {
        let fields =
            "User-Agent: probe \"1\"\r\nReferer: https://a.example/?code=hush\r\nAuthorization: Bearer hush";
        let get =
            format!("GET /a?token=hush HTTP/1.1\r\nHost: HOST\r\n{fields}\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(relay, host, &get), 200);
        let post = "POST /b HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndata";
        assert_eq!(ask(relay, host, post), 200);
        assert_eq!(
            ask(relay, "localhost", "GET /health HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"),
            200
        );
        assert_eq!(
            ask(relay, "nobody.localhost", "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"),
            404
        );
        assert_eq!(ask(relay, host, "NONSENSE\r\n\r\n"), 400);
    };
    let host = std::cell::RefCell::new(String::new());
    let lines = lines("combined", &[], |relay, at| {
        host.replace(at.to_owned());
        visit(relay, at);
    });
    let host = host.into_inner();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(!lines.concat().contains("hush"), "{lines:#?}");
    for (line, (asked, status, after)) in lines.iter().zip([
        ("GET /a HTTP/1.1", 200, format!("\"https://a.example/\" \"probe \\x221\\x22\" \"{host}\"")),
        ("POST /b HTTP/1.1", 200, format!("\"-\" \"-\" \"{host}\"")),
        ("GET /health HTTP/1.1", 200, "\"-\" \"-\" \"localhost\"".to_owned()),
        ("GET / HTTP/1.1", 404, "\"-\" \"-\" \"nobody.localhost\"".to_owned()),
        ("- - -", 400, "\"-\" \"-\" \"-\"".to_owned()),
    ]) {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.contains(&format!("\"{asked}\" {status} ")), "{line}");
        assert!(line.contains(&after), "{line} has no {after}");
    }
}

#[test]
fn requests_of_one_connection_have_lines_of_their_own_with_the_bytes_of_each() {
    let expected = std::cell::RefCell::new(Vec::new());
    let lines = lines("json", &["--access-log-query"], |relay, host| {
        let mut visitor = relay.visit();
        for path in ["/one?x=1", "/two"] {
            visitor.send(request(host, "GET", path, &[])).expect("the relay reads");
            let head = visitor.head().expect("an answer");
            let body = visitor.body(&head).expect("a whole answer");
            let fields: usize = head.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
            expected.borrow_mut().push(head.first.len() + 2 + fields + 2 + body.len());
        }
        // One that is given up before its answer is complete.
        let mut visitor = relay.visit();
        visitor
            .send(format!("POST /left HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nx"))
            .expect("it reads");
        drop(visitor);
    });
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, (path, bytes)) in lines.iter().zip([("/one?x=1", 0), ("/two", 1)]) {
        assert_eq!((&line["path"], &line["status"]), (&path.into(), &200.into()));
        assert_eq!(line["bytes"], expected.borrow()[bytes], "{line}");
        assert!(line["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{line}");
    }
    assert_eq!((&lines[2]["path"], &lines[2]["method"]), (&"/left".into(), &"POST".into()));
}

#[test]
fn standard_output_and_a_file_that_was_moved_away_are_written_too() {
    let home = Home::new();
    let path = home.path("access.log");
    let file = path.to_str().expect("a path").to_owned();
    let mut relay = Relay::start_in(home, 0, &["--access-log", &file]);
    let get = "GET /health HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n";
    ask(&relay, "localhost", get);
    let moved = path.with_extension("1");
    let written = || fs::read_to_string(&path).map_or(0, |text| text.lines().count());
    wait(|| written() == 1);
    fs::rename(&path, &moved).expect("it is ours");
    relay.program.signal(Signal::HUP);
    wait(|| {
        ask(&relay, "localhost", get);
        written() > 0
    });
    relay.program.signal(Signal::TERM);
    assert_eq!(relay.program.code(), 0);

    let home = Home::new();
    let program = home.start(&["relay", "--listen", "0", "--access-log", "-"]);
    let mut program = program;
    let first = program.line();
    let port =
        first.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok()).expect("a port");
    let mut visitor = Conversation::dial(port);
    visitor.send(get.replace("HOST", "localhost")).expect("the relay reads");
    visitor.head().expect("an answer");
    assert!(
        program.tells("\"GET /health HTTP/1.1\" 200 ", hvym_tunnel_tests::program::PATIENCE),
        "{program:?}"
    );
}

/// Waits until something is so.
fn wait(mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + hvym_tunnel_tests::program::PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "it does not come");
        std::thread::yield_now();
    }
}
