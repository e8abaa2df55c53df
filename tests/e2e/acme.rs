//! Certificates by themselves: a relay that is the DNS server of its domain, or that answers challenges by handshakes, against
//! a real certificate authority.
#![cfg(unix)]

mod pebble;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, answer, nobody, ok};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::Relay;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use smol::net::TcpStream;

use crate::names::{Dns, TXT, text};
use crate::proxy::Proxy;
use pebble::{Pebble, Visitor, Whims, resolver};

/// As long as no renewal should happen.
const DAY: u64 = 86_400;

/// A relay with certificates by ACME, and one of a file for `localhost`.
struct Site {
    relay: Relay,
    pebble: Pebble,
    files: Home,
    http: u16,
}

/// The ports of a site, before it starts.
struct Places {
    tls: u16,
    http: u16,
    dns: u16,
}

impl Places {
    fn new() -> Self {
        Places { tls: nobody(), http: nobody(), dns: nobody() }
    }
}

impl Site {
    fn start(places: &Places, pebble: Pebble, more: &[&str]) -> Self {
        let files = Home::new();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(files.path("cert.pem"), own.cert.pem()).expect("a folder takes a file");
        fs::write(files.path("key.pem"), own.key_pair.serialize_pem()).expect("a folder takes a file");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(files.path("key.pem"), private).expect("it is ours");
        let relay = Self::relay(places, &pebble, &files, more);
        Site { relay, pebble, files, http: places.http }
    }

    fn relay(places: &Places, pebble: &Pebble, files: &Home, more: &[&str]) -> Relay {
        let http = places.http.to_string();
        let [cert, key, state] =
            ["cert.pem", "key.pem", "state"].map(|name| files.path(name).display().to_string());
        let acme = pebble.options();
        let own = ["--domain", "t.test", "--http-listen", &http, "--tls-cert", &cert, "--tls-key", &key];
        let state = ["--state-dir", &state];
        let arguments: Vec<&str> =
            own.into_iter().chain(state).chain(acme.iter().map(String::as_str)).collect();
        Relay::start_in(Home::new(), places.tls, &[&arguments[..], more].concat())
    }

    /// An agent that trusts the authority, and the host of its service. It finds the relay's name by a proxy.
    fn agent(&self, target: u16) -> (Program, Home, String) {
        let home = Home::new();
        let (agent, host) = self.agent_of(&home, target, &[]);
        (agent, home, host)
    }

    /// The same with the identity of `home`.
    fn agent_of(&self, home: &Home, target: u16, more: &[&str]) -> (Program, String) {
        let ca = self.files.path("root.pem").display().to_string();
        fs::write(&ca, self.pebble.root_pem()).expect("a folder takes a file");
        let proxy = Proxy::http("HTTP/1.1 200 OK\r\n\r\n", self.relay.port);
        let (relay, target) = (format!("wss://t.test:{}", self.relay.port), target.to_string());
        let arguments = ["expose", &target, "--json", "--relay", &relay, "--relay-ca", &ca];
        let mut command = home.command(&[&arguments[..], more].concat());
        command.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port));
        let mut agent = Program::start(command);
        let ready = agent.event("ready");
        let url = ready["url"].as_str().expect("a URL").trim_end_matches('/');
        let host = url.strip_prefix("https://").expect("an https URL").to_owned();
        (agent, host)
    }

    fn visitor(&self) -> Visitor {
        Visitor::new(self.pebble.root(), self.relay.port)
    }
}

/// The name in front of a port.
fn name(host: &str) -> &str {
    host.split(':').next().expect("a name")
}

async fn ask(visitor: &Visitor, host: &str, path: &str) -> String {
    let mut tls = visitor.open(name(host)).await.expect("a good certificate");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await.expect("the relay reads");
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.expect("a whole answer");
    answer
}

fn names(event: &Value) -> Vec<&str> {
    event["names"].as_array().expect("names").iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_domain_whose_dns_server_is_the_relay_has_one_certificate_for_all_names() {
    let places = Places::new();
    let whims = Whims { dns: places.dns, tls: places.tls, validity: DAY, refused_nonces: "50" };
    let Some(pebble) = Pebble::start(&whims) else { return };
    let dns = format!("127.0.0.1:{}", places.dns);
    let more = ["--dns-listen", &dns, "--public-ip", "127.0.0.1", "--hsts", "31536000"];
    let mut site = Site::start(&places, pebble, &more);
    let issued = site.relay.program.event("certificate_issued");
    assert_eq!(names(&issued), ["t.test", "*.t.test"]);

    let service = Origin::answering(|head, _| ok(head.target().as_bytes()));
    let (_agent, _home, host) = site.agent(service.port);
    let visitor = site.visitor();
    smol::block_on(async {
        for host in [host.as_str(), "t.test", "nobody.t.test"] {
            let told = ask(&visitor, host, "/health").await;
            assert!(told.contains("\r\nStrict-Transport-Security: max-age=31536000\r\n"), "{told}");
        }
        assert!(ask(&visitor, &host, "/a?b").await.ends_with("\r\n\r\n/a?b"));
        assert!(visitor.open("a.b.t.test").await.is_err(), "no wildcard is for two labels");
    });

    // A certificate of a file is shown for its own names.
    let file = CertificateDer::from_pem_file(site.files.path("cert.pem")).expect("a certificate");
    let local = Visitor::new(file.clone(), site.relay.port);
    assert_eq!(smol::block_on(local.shown("localhost")), file);

    // Plain HTTP is led to HTTPS, except for what certificate authorities ask of a service.
    let plain = |path: &str| {
        let mut plain = Conversation::dial(site.http);
        plain.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("the relay reads");
        let head = plain.head().expect("an answer");
        assert_eq!(head.field("strict-transport-security"), None);
        (head.status(), head.field("location").map(str::to_owned))
    };
    let port = site.relay.port;
    assert_eq!(plain("/a?b"), (308, Some(format!("https://{}:{port}/a?b", name(&host)))));
    assert_eq!(plain("/.well-known/acme-challenge/x"), (200, None));

    // After a restart the certificate is still there, and no authority is asked.
    site.pebble.program.kill();
    let shown = smol::block_on(visitor.shown("t.test"));
    site.relay.program.kill();
    site.relay = Site::relay(&places, &site.pebble, &site.files, &more);
    assert_eq!(smol::block_on(visitor.shown("t.test")), shown);
    assert!(!site.relay.program.transcript().contains("certificate_"), "{:?}", site.relay.program);
}

#[test]
fn a_certificate_is_renewed_while_connections_go_on() {
    let places = Places::new();
    let whims = Whims { dns: places.dns, tls: places.tls, validity: 24, refused_nonces: "5" };
    let Some(pebble) = Pebble::start(&whims) else { return };
    let dns = format!("127.0.0.1:{}", places.dns);
    let mut site = Site::start(&places, pebble, &["--dns-listen", &dns, "--public-ip", "127.0.0.1"]);
    site.relay.program.event("certificate_issued");
    // Half of an answer, and the rest when it is wanted.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let service = Origin::start(move |mut visitor| {
        while let Ok(head) = visitor.head() {
            if head.target() == "/download" {
                visitor.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")?;
                let _released = held.lock().expect("one download").recv();
                visitor.send("more")?;
            } else {
                visitor.send(ok(b"kept"))?;
            }
        }
        Ok(())
    });
    let (_agent, _home, host) = site.agent(service.port);
    let visitor = site.visitor();
    smol::block_on(async {
        let before = visitor.shown("t.test").await;
        let mut kept = visitor.open(name(&host)).await.expect("a good certificate");
        let mut download = visitor.open(name(&host)).await.expect("a good certificate");
        let request = format!("GET /download HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        download.write_all(request.as_bytes()).await.expect("the relay reads");
        ask_kept(&mut kept, &host).await;

        site.relay.program.event("certificate_issued");
        assert_ne!(visitor.shown("t.test").await, before);
        ask_kept(&mut kept, &host).await;
        release.send(()).expect("the service waits");
        let mut whole = String::new();
        download.read_to_string(&mut whole).await.expect("a whole answer");
        assert!(whole.ends_with("\r\n\r\nhalfmore"), "{whole}");
    });
}

async fn ask_kept(kept: &mut futures_rustls::client::TlsStream<TcpStream>, host: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    kept.write_all(request.as_bytes()).await.expect("the relay reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nkept") {
        let mut byte = [0];
        kept.read_exact(&mut byte).await.expect("the connection goes on");
        answer.push(byte[0]);
    }
}

#[test]
fn a_name_that_is_in_use_gets_a_certificate_when_somebody_comes_and_another_does_not() {
    let places = Places::new();
    let Some((_resolver, dns)) = resolver() else { return };
    let whims = Whims { dns, tls: places.tls, validity: DAY, refused_nonces: "5" };
    let Some(pebble) = Pebble::start(&whims) else { return };
    let mut site = Site::start(&places, pebble, &[]);
    assert_eq!(names(&site.relay.program.event("certificate_issued")), ["t.test"]);
    let service = Origin::answering(|head, _| answer("200 OK", &[], head.target().as_bytes()));
    let (_agent, _home, host) = site.agent(service.port);
    let visitor = site.visitor();
    smol::block_on(async {
        assert!(visitor.open("nobody.t.test").await.is_err(), "a name that nobody has");
        // The handshake waits for the certificate.
        assert!(ask(&visitor, &host, "/first").await.ends_with("\r\n\r\n/first"));
        assert!(visitor.open("nobody.t.test").await.is_err(), "a name that nobody has");
    });
    let issued = site.relay.program.event("certificate_issued");
    assert_eq!(names(&issued), [name(&host)]);
    assert!(!site.relay.program.transcript().contains("nobody.t.test"));
    // No authority takes db--abc.t.test: -- in this place is reserved.
    let home = Home::new();
    let (_agent, host) = site.agent_of(&home, service.port, &["--service", "db"]);
    assert!(name(&host).starts_with("db.g") && name(&host).ends_with(".t.test"), "{host}");
    assert!(smol::block_on(ask(&visitor, &host, "/two")).ends_with("\r\n\r\n/two"));
    assert_eq!(names(&site.relay.program.event("certificate_issued")), [name(&host)]);
}

#[test]
fn a_host_name_of_its_owners_gets_a_certificate_of_its_own() {
    const HOST: &str = "app.other.test";
    let (places, records, key) = (Places::new(), Dns::start(), Key::from_seed([71; 32]));
    records.set(&format!("_hvym-tunnel.{HOST}"), TXT, text(&key.address().to_string()));
    let Some((_resolver, dns)) = resolver() else { return };
    let whims = Whims { dns, tls: places.tls, validity: DAY, refused_nonces: "5" };
    let Some(pebble) = Pebble::start(&whims) else { return };
    let mut site = Site::start(&places, pebble, &["--claim-names", "--dns-server", &records.at]);
    site.relay.program.event("certificate_issued");
    let visitor = site.visitor();
    assert!(smol::block_on(visitor.open(HOST)).is_err(), "nobody has it yet");
    let service = Origin::answering(|head, _| ok(head.target().as_bytes()));
    let home = Home::of(&key);
    let (_agent, host) = site.agent_of(&home, service.port, &["--name", HOST]);
    assert_eq!(name(&host), HOST);
    assert!(smol::block_on(ask(&visitor, &host, "/own")).ends_with("\r\n\r\n/own"));
    assert_eq!(names(&site.relay.program.event("certificate_issued")), [HOST]);
}

#[test]
fn a_domain_that_is_not_proven_is_told_and_tried_again_later_or_when_the_operator_says() {
    let places = Places::new();
    // It has no record of the challenge.
    let Some((_resolver, dns)) = resolver() else { return };
    let whims = Whims { dns, tls: places.tls, validity: DAY, refused_nonces: "5" };
    let Some(pebble) = Pebble::start(&whims) else { return };
    let listen = format!("127.0.0.1:{}", places.dns);
    let mut site = Site::start(&places, pebble, &["--dns-listen", &listen, "--public-ip", "127.0.0.1"]);
    for _ in 0..2 {
        let failed = site.relay.program.event("certificate_failed");
        assert_eq!(names(&failed), ["t.test", "*.t.test"]);
        let message = failed["message"].as_str().expect("a text");
        assert!(message.starts_with("the certificate authority could not verify t.test: "), "{message}");
        assert!(failed["retry_at"].as_u64() > Some(1_700_000_000));
        site.relay.program.signal(rustix::process::Signal::HUP);
    }
}

#[test]
fn a_visitor_whom_a_trusted_proxy_saw_without_tls_is_led_to_https() {
    let arguments = ["--domain", "t.test", "--public-scheme", "https", "--hsts", "600"];
    let trusted = Relay::start(&[&arguments[..], &["--trusted-proxy", "127.0.0.1"]].concat());
    let strange = Relay::start(&arguments);
    let visit = |relay: &Relay, fields: &str, path: &str| {
        let mut visitor = relay.visit();
        let request = format!("GET {path} HTTP/1.1\r\nHost: t.test:80\r\n{fields}\r\n");
        visitor.send(request).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        assert_eq!(head.field("strict-transport-security"), Some("max-age=600"));
        (head.status(), head.field("location").map(str::to_owned))
    };
    let location = Some("https://t.test/health?a".to_owned());
    for (fields, is_led) in [
        ("X-Forwarded-Proto: http\r\n", true),
        ("X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\n", true),
        ("Forwarded: for=9.9.9.9;proto=http\r\n", true),
        ("X-Forwarded-Proto: https\r\n", false),
        ("", false),
    ] {
        let expected = if is_led { (308, location.clone()) } else { (200, None) };
        assert_eq!(visit(&trusted, fields, "/health?a"), expected, "{fields}");
        // What strangers say of themselves does not count.
        assert_eq!(visit(&strange, fields, "/health?a").0, 200, "{fields}");
        let challenge = visit(&trusted, fields, "/.well-known/acme-challenge/x");
        assert_eq!(challenge, (404, None), "{fields}");
    }
}
