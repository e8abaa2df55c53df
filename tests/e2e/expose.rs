//! `expose` as somebody meets it who has never heard of a relay: the real program, a local service, a browser's request.
#![cfg(unix)]

use std::fs;
use std::process::Command;

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_tests::http::{Conversation, Head, Origin, nobody, ok};
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, Program, python};
use hvym_tunnel_tests::tunnel::{host_of, request};
use rustix::process::Signal;

/// What a visitor of `url` gets who asks for `target`.
fn get(url: &str, target: &str) -> (Head, String) {
    let host = host_of(url);
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut visitor = Conversation::dial(port);
    visitor.send(request(host, "GET", target, &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    (head, String::from_utf8(body).expect("text"))
}

/// Python's own web server over a folder of `home`, and its port.
fn web_server(home: &Home) -> (Program, u16) {
    let folder = home.path("site");
    fs::create_dir(&folder).expect("a folder takes a folder");
    fs::write(folder.join("index.html"), "<p>hello from here").expect("a folder takes a file");
    let folder = folder.to_str().expect("text").to_owned();
    let mut server = python(&["-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", &folder]);
    let line = server.line();
    let port = line.split("port ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    (server, port.unwrap_or_else(|| panic!("no port: {line}")))
}

#[test]
fn the_first_line_is_a_url_and_whoever_opens_it_is_at_the_service() {
    let home = Home::new();
    let (_server, port) = web_server(&home);
    let mut agent = home.start(&["expose", &port.to_string()]);
    let url = agent.line();
    assert!(url.starts_with("http://") && url.ends_with('/') && !url.contains(' '), "{url:?}");
    agent.says("only this machine can visit");
    agent.says(&format!("http://localhost:{port} is service web of "));

    let (head, body) = get(&url, "/");
    assert_eq!((head.status(), body.as_str()), (200, "<p>hello from here"));
    let told = agent.line();
    assert!(told.contains("GET") && told.contains("200"), "{told:?}");
    assert_eq!(get(&url, "/missing").0.status(), 404);
    let told = agent.line();
    assert!(told.contains("/missing") && told.contains("404"), "{told:?}");

    if let Some(curl) = required_tool("curl") {
        let fetched = Command::new(curl).args(["--silent", "--show-error", "--noproxy", "*", &url]).output();
        let fetched = fetched.expect("curl starts");
        // curl knows itself that every name below localhost is this machine.
        assert_eq!(String::from_utf8_lossy(&fetched.stdout), "<p>hello from here", "{fetched:?}");
    }
    agent.signal(Signal::INT);
    assert_eq!(agent.code(), 0, "{agent:?}");
}

#[test]
fn scripts_find_the_url_in_an_event_and_in_a_file() {
    let home = Home::new();
    let file = home.path("url.txt");
    let (port, api) = (Origin::saying(b"web").port.to_string(), Origin::saying(b"api").port);
    let bind = format!("api={api}");
    let path = file.to_str().expect("text");
    let mut agent = home.start(&["expose", &port, "--bind", &bind, "--json", "--url-file", path]);
    let ready = agent.event("ready");
    let url = ready["url"].as_str().expect("a URL");
    assert_eq!(fs::read_to_string(&file).expect("the file is there before the event"), format!("{url}\n"));
    assert_eq!(ready["target"], format!("http://localhost:{port}"));
    let address = ready["address"].as_str().expect("an address");
    let short = ShortLabel::new(&address.parse().expect("an address"));
    assert!(url.starts_with(&format!("http://{short}.localhost:")), "{ready}");
    assert_eq!(get(url, "/").1, "web");

    let bound = agent.event("bound");
    assert_eq!(bound["service"], "api");
    let bound = bound["url"].as_str().expect("a URL");
    assert_eq!(bound, url.replace("http://", "http://api--"));
    assert_eq!(get(bound, "/").1, "api");

    let told = agent.event("request");
    assert_eq!(
        (&told["method"], &told["status"], &told["service"]),
        (&"GET".into(), &200.into(), &"web".into())
    );
    agent.signal(Signal::TERM);
    agent.event("stopped");
    assert_eq!(agent.code(), 0);
    assert!(!file.exists(), "the file outlived the URL");
}

#[test]
fn a_service_that_is_not_there_is_missed_in_words_and_served_once_it_is() {
    let home = Home::new();
    let port = nobody();
    let mut agent = home.start(&["expose", &port.to_string(), "--json"]);
    let url = agent.event("ready")["url"].as_str().expect("a URL").to_owned();
    let place = format!("localhost:{port}");
    let told = agent.event("upstream_unreachable");
    let message = told["message"].as_str().expect("words");
    assert!(message.contains(&format!("nothing is listening on {place}")), "{message}");

    let (head, page) = get(&url, "/");
    assert_eq!(head.status(), 502);
    assert!(page.contains("Nothing is listening"), "{page}");
    assert!(!page.contains(&port.to_string()), "a page says where the service is: {page}");
    // From the relay's own machine it is the owner who looks.
    assert!(page.contains("expose the port that it listens at"), "{page}");
    assert!(page.contains("http-equiv=\"refresh\"") && page.contains("HT-502-refused"), "{page}");
    assert_eq!(head.field("hvym-tunnel-error"), Some("HT-502-refused"));
    assert!(head.field("content-type").is_some_and(|value| value.starts_with("text/html")), "{head:?}");
    assert_eq!(agent.event("request")["status"], 502);

    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("nobody took it");
    let service = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept()?;
        let _request = stream.read(&mut [0; 4096])?;
        stream.write_all(&ok(b"here now"))
    });
    assert_eq!(get(&url, "/").1, "here now");
    service.join().expect("no panic").expect("no error");
}

#[test]
fn a_person_is_told_on_the_screen_that_nothing_listens() {
    let home = Home::new();
    let port = nobody();
    let mut agent = home.start(&["expose", &port.to_string()]);
    assert!(agent.line().starts_with("http://"));
    agent.says(&format!("nothing is listening on localhost:{port} (start it; I keep trying)"));
}
