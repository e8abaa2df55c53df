//! Names that agents claim at a relay, and host names of their own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};

const NAMES: [&str; 1] = ["--claim-names"];

fn key(byte: u8) -> Key {
    Key::from_seed([byte; 32])
}

/// An agent of this key that asks for these names.
fn agent(relay: &Relay, byte: u8, says: &'static [u8], arguments: &[&str]) -> Agent {
    Agent::start_in(Home::of(&key(byte)), relay, Origin::saying(says).port, arguments)
}

/// What the relay answers at this host: the status and the body.
fn visit(relay: &Relay, host: &str) -> (u16, Vec<u8>) {
    let mut visitor = Conversation::dial(relay.port);
    visitor.send(request(host, "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    (head.status(), visitor.body(&head).expect("a body"))
}

#[test]
fn a_free_name_leads_to_who_asked_first_and_to_each_of_its_services() {
    let relay = Relay::start(&NAMES);
    let api = format!("api=localhost:{}", Origin::saying(b"api").port);
    let mut first = agent(&relay, 61, b"first", &["--name", "Cool-App", "--bind", &api]);
    let port = relay.port;
    assert_eq!(first.url(), format!("http://cool-app.localhost:{port}/"));
    assert_eq!(first.program.event("bound")["url"], format!("http://api--cool-app.localhost:{port}/"));
    let short = ShortLabel::new(&key(61).address());
    for (host, says) in [
        ("cool-app.localhost".to_owned(), &b"first"[..]),
        ("COOL-APP.localhost".to_owned(), b"first"),
        ("api--cool-app.localhost".to_owned(), b"api"),
        (format!("{short}.localhost"), b"first"),
    ] {
        assert_eq!(visit(&relay, &host), (200, says.to_vec()), "{host}");
    }
    // The second comes too late, and is reached by its own name all the same.
    let home = Home::of(&key(62));
    let target = Origin::saying(b"second").port.to_string();
    let mut second =
        home.start(&["expose", &target, "--json", "--relay", &relay.url(), "--name", "cool-app"]);
    let refused = second.event("name_refused");
    assert_eq!((&refused["name"], &refused["code"]), (&"cool-app".into(), &"taken".into()), "{refused}");
    let url = second.event("ready")["url"].as_str().expect("a URL").to_owned();
    assert_eq!(url, format!("http://{}.localhost:{port}/", ShortLabel::new(&key(62).address())));
    assert_eq!(visit(&relay, "cool-app.localhost").1, b"first");
    // While its owner is away the name is still its own.
    first.program.kill();
    let mut second =
        home.start(&["expose", &target, "--json", "--relay", &relay.url(), "--name", "cool-app"]);
    assert_eq!(second.event("name_refused")["code"], "taken");
}

#[test]
fn a_relay_gives_names_only_if_its_operator_says_so() {
    let relay = Relay::start(&[]);
    let home = Home::of(&key(61));
    let target = Origin::saying(b"here").port.to_string();
    let mut agent = home.start(&["expose", &target, "--json", "--relay", &relay.url(), "--name", "cool-app"]);
    let refused = agent.event("name_refused");
    assert_eq!(refused["code"], "not_offered", "{refused}");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("--claim-names")), "{refused}");
    agent.event("ready");
    assert_eq!(visit(&relay, "cool-app.localhost").0, 404);
}

fn state<'a>(folder: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["--claim-names", "--state-dir", folder.to_str().expect("text")], more].concat()
}

#[test]
fn a_relay_does_not_promise_names_that_it_cannot_keep() {
    let home = Home::new();
    let folder = home.path("state");
    std::fs::write(&folder, "").expect("a folder takes a file");
    let mut relay = home.start(&[&["relay", "--listen", "0"][..], &state(&folder, &[])].concat());
    assert_eq!(relay.code(), 3, "{relay:?}");
    assert!(relay.transcript().contains("nothing can be kept in "), "{relay:?}");
}

#[test]
fn names_outlive_the_relay_and_a_damaged_file_is_set_aside() {
    let home = Home::new();
    let folder = home.path("state");
    let file = folder.join("names.json");
    let relay = Relay::start(&state(&folder, &[]));
    let owner = agent(&relay, 61, b"owner", &["--name", "cool-app"]);
    assert_eq!(visit(&relay, "cool-app.localhost").1, b"owner");
    // It was there before the agent was told.
    let written = std::fs::read_to_string(&file).expect("the names");
    assert!(written.contains("cool-app") && written.contains(&key(61).address().to_string()), "{written}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(&file).expect("it is there").mode() & 0o777, 0o600);
    }
    drop(owner);
    let relay = relay.restart(&state(&folder, &[]));
    let (status, page) = visit(&relay, "cool-app.localhost");
    let page = String::from_utf8(page).expect("text");
    assert!(status == 503 && page.contains(&key(61).address().to_string()), "{page}");
    let target = Origin::saying(b"other").port.to_string();
    let other = Home::of(&key(62));
    let mut refused =
        other.start(&["expose", &target, "--json", "--relay", &relay.url(), "--name", "cool-app"]);
    assert_eq!(refused.event("name_refused")["code"], "taken");
    refused.kill();

    // Who is sooner than the owner waits for it.
    let relay = relay.restart(&state(&folder, &["--hold", "600"]));
    let mut visitor = relay.visit();
    visitor.send(request("cool-app.localhost", "GET", "/", &[])).expect("the relay reads");
    let owner = agent(&relay, 61, b"owner", &["--name", "cool-app"]);
    let head = visitor.head().expect("an answer");
    assert_eq!((head.status(), visitor.body(&head).expect("a body")), (200, b"owner".to_vec()));
    drop(owner);

    std::fs::write(&file, "{\"version\":1,\"names\":[{").expect("the folder takes a file");
    let mut relay = relay.restart(&state(&folder, &[]));
    relay.program.says("was set aside");
    let names =
        std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    assert!(names.into_iter().any(|name| name.to_string_lossy().starts_with("names.json.damaged")));
    let other = agent(&relay, 62, b"other", &["--name", "cool-app"]);
    assert_eq!(other.url(), format!("http://cool-app.localhost:{}/", relay.port));
}

/// A resolver with these texts and aliases.
pub(crate) struct Dns {
    pub(crate) at: String,
    records: Arc<Mutex<DnsRecords>>,
}

/// The data of records by their name and type.
type DnsRecords = BTreeMap<(String, u8), Vec<u8>>;

pub(crate) const TXT: u8 = 16;
const CNAME: u8 = 5;

impl Dns {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let at = socket.local_addr().expect("bound").to_string();
        let records = Arc::<Mutex<DnsRecords>>::default();
        let known = Arc::clone(&records);
        std::thread::spawn(move || {
            let mut room = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut room) {
                let question = &room[..length];
                let _gone = socket
                    .send_to(&reply(question, &known.lock().unwrap_or_else(PoisonError::into_inner)), from);
            }
        });
        Dns { at, records }
    }

    pub(crate) fn set(&self, name: &str, kind: u8, data: Option<Vec<u8>>) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.remove(&(name.to_owned(), kind));
        records.extend(data.map(|data| ((name.to_owned(), kind), data)));
    }
}

/// The answer of RFC 1035 with the record that is known, or that there is no such name.
fn reply(question: &[u8], records: &DnsRecords) -> Vec<u8> {
    let (mut name, mut at) = (Vec::new(), 12);
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        name.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
        at = end;
    }
    let kind = question[at + 2];
    let mut message = question.to_vec();
    message[2] = 0x81;
    match records.get(&(name.join("."), kind)) {
        Some(data) => {
            message[7] = 1;
            message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            message.extend(data);
        }
        None => message[3] = 3,
    }
    message
}

pub(crate) fn text(of: &str) -> Option<Vec<u8>> {
    Some([&[of.len() as u8], of.as_bytes()].concat())
}

fn labels(name: &str) -> Option<Vec<u8>> {
    let label = |label: &str| [&[label.len() as u8], label.as_bytes()].concat();
    Some(name.split('.').flat_map(label).chain([0]).collect())
}

#[test]
fn a_host_name_of_its_owners_leads_here_as_long_as_dns_says_so() {
    let dns = Dns::start();
    let relay = Relay::start(&["--claim-names", "--dns-server", &dns.at]);
    let (home, target) = (Home::of(&key(61)), Origin::saying(b"owner").port.to_string());
    let ask = |home: &Home, target: &str| {
        home.start(&["expose", target, "--json", "--relay", &relay.url(), "--name", "app.example.org"])
    };
    let mut refused = ask(&home, &target);
    let told = refused.event("name_refused");
    assert_eq!(told["code"], "not_proven", "{told}");
    let short = ShortLabel::new(&key(61).address());
    let message = told["message"].as_str().expect("text");
    assert!(
        message.contains("_hvym-tunnel.app.example.org") && message.contains(&format!("{short}.localhost")),
        "{message}"
    );
    refused.kill();
    assert_eq!(visit(&relay, "app.example.org").0, 421, "no name of this relay");

    dns.set("_hvym-tunnel.app.example.org", TXT, text(&key(61).address().to_string()));
    let mut owner = ask(&home, &target);
    assert_eq!(owner.event("ready")["url"], format!("http://app.example.org:{}/", relay.port));
    assert_eq!(visit(&relay, "App.example.org"), (200, b"owner".to_vec()));
    owner.kill();

    // DNS names another owner: whoever was first.
    dns.set("_hvym-tunnel.app.example.org", TXT, None);
    let other = ShortLabel::new(&key(62).address());
    dns.set("app.example.org", CNAME, labels(&format!("{other}.localhost")));
    let other_home = Home::of(&key(62));
    let mut newer = ask(&other_home, &Origin::saying(b"newer").port.to_string());
    let ready = newer.event("ready");
    assert_eq!(ready["url"], format!("http://app.example.org:{}/", relay.port), "{newer:?}");
    assert_eq!(visit(&relay, "app.example.org"), (200, b"newer".to_vec()));
    let mut older = ask(&home, &target);
    assert_eq!(older.event("name_refused")["code"], "not_proven");
}
