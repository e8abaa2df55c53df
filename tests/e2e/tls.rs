//! A relay that speaks TLS itself: with visitors of both protocols, with agents, and with certificates that are renewed.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::h2_visitor::H2;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use hvym_tunnel_tests::guests::write_private;
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::Relay;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use smol::net::TcpStream;

/// A certificate authority of this test alone.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut wishes = CertificateParams::new(Vec::new()).expect("no names");
        wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = wishes.self_signed(&key).expect("a certificate");
        Authority { certificate, key }
    }

    /// A certificate for `localhost` and what is below it, that ends with `last_year`, and its key.
    pub(crate) fn issue(&self, last_year: i32) -> (Certificate, KeyPair) {
        let names = ["localhost", "*.localhost"].map(str::to_owned);
        let mut wishes = CertificateParams::new(names).expect("names");
        wishes.not_before = date_time_ymd(2020, 1, 1);
        wishes.not_after = date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = wishes.signed_by(&key, &self.certificate, &self.key).expect("a certificate");
        (certificate, key)
    }

    /// TLS with whoever listens at `port`, by the first of these protocols that it speaks.
    pub(crate) async fn visit(&self, port: u16, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a good certificate")
    }
}

/// A relay with a certificate of its own authority.
pub(crate) struct Place {
    authority: Authority,
    files: Home,
    pub(crate) relay: Relay,
    certificate: Certificate,
}

impl Place {
    pub(crate) fn new(last_year: i32) -> Self {
        let (authority, files) = (Authority::new(), Home::new());
        let (certificate, key) = authority.issue(last_year);
        fs::write(files.path("ca.pem"), authority.certificate.pem()).expect("a folder takes a file");
        fs::write(files.path("cert.pem"), certificate.pem()).expect("a folder takes a file");
        write_private(&files, "key.pem", &key.serialize_pem());
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| files.path(name).display().to_string());
        let relay = Relay::start(&["--tls-cert", &cert, "--tls-key", &key]);
        Place { authority, files, relay, certificate }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    /// `expose`, with this home and these further arguments.
    fn agent(&self, home: &Home, target: u16, more: &[&str]) -> Program {
        let (relay, target) = (format!("wss://localhost:{}", self.relay.port), target.to_string());
        home.start(&[&["expose", &target, "--json", "--relay", &relay], more].concat())
    }

    /// TLS with the relay, by the first of these protocols that it speaks.
    async fn visit(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        self.authority.visit(self.relay.port, protocols).await
    }

    /// The certificate that a new handshake shows.
    async fn shown(&self) -> CertificateDer<'static> {
        let visitor = self.visit(&[b"http/1.1"]).await;
        visitor.get_ref().1.peer_certificates().expect("certificates")[0].clone().into_owned()
    }
}

#[test]
fn both_protocols_pass_through_tls_to_an_agent_that_trusts_the_authority() {
    let place = Place::new(2099);
    let service = Origin::answering(|head, _| ok(head.field("x-forwarded-proto").unwrap_or("?").as_bytes()));
    let (home, ca) = (Home::new(), place.path("ca.pem").display().to_string());
    let mut agent = place.agent(&home, service.port, &["--relay-ca", &ca]);
    let ready = agent.event("ready");
    let url = ready["url"].as_str().expect("a URL").trim_end_matches('/').to_owned();
    let host = url.strip_prefix("https://").expect("an https URL").to_owned();
    smol::block_on(async {
        let tls = place.visit(&[b"h2", b"http/1.1"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (status, body) = H2::over(tls).await.get(&format!("{url}/")).await.expect("an answer");
        assert_eq!((status, &body[..]), (200, &b"https"[..]));

        let mut tls = place.visit(&[b"http/1.1"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let ask = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        tls.write_all(ask.as_bytes()).await.expect("the relay reads");
        let mut answer = String::new();
        tls.read_to_string(&mut answer).await.expect("a whole answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhttps"), "{answer}");
    });
    // Who speaks plain HTTP there is told.
    let mut plain = Conversation::dial(place.relay.port);
    plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the relay reads");
    let head = plain.head().expect("an answer");
    assert_eq!(head.status(), 400);
    assert!(String::from_utf8(plain.body(&head).expect("a page")).expect("text").contains("https://"));
}

#[test]
fn a_renewed_certificate_is_read_on_sighup_and_a_broken_one_is_not_used() {
    let mut place = Place::new(2099);
    smol::block_on(async {
        let first = place.certificate.der().clone();
        assert_eq!(place.shown().await, first);
        let mut before = place.visit(&[b"http/1.1"]).await;

        fs::write(place.path("cert.pem"), "-----BEGIN CERTIFICATE-----\n!\n").expect("a file");
        place.relay.program.signal(Signal::HUP);
        let kept: Value = place.relay.program.event("certificate_kept");
        assert!(kept["message"].as_str().is_some_and(|text| text.contains("cert.pem")), "{kept}");
        assert_eq!(place.shown().await, first);

        // A certificate whose key is another one is no better.
        let (second, key) = place.authority.issue(2098);
        fs::write(place.path("cert.pem"), second.pem()).expect("a file");
        place.relay.program.signal(Signal::HUP);
        place.relay.program.event("certificate_kept");
        assert_eq!(place.shown().await, first);

        write_private(&place.files, "key.pem", &key.serialize_pem());
        fs::set_permissions(place.path("key.pem"), fs::Permissions::from_mode(0o640)).expect("it is ours");
        place.relay.program.signal(Signal::HUP);
        let kept = place.relay.program.event("certificate_kept");
        assert!(
            kept["message"].as_str().is_some_and(|text| text.contains("can be read by others (mode 0640)")),
            "{kept}"
        );
        fs::set_permissions(place.path("key.pem"), fs::Permissions::from_mode(0o600)).expect("it is ours");
        place.relay.program.signal(Signal::HUP);
        place.relay.program.event("certificate_loaded");
        assert_eq!(place.shown().await, *second.der());

        // Connections from before go on.
        let ask = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        before.write_all(ask).await.expect("the relay reads");
        let mut answer = String::new();
        before.read_to_string(&mut answer).await.expect("a whole answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    });
}

#[test]
fn an_agent_says_what_is_wrong_with_a_certificate() {
    let (good, expired) = (Place::new(2099), Place::new(2021));
    let ca = expired.path("ca.pem").display().to_string();
    let cases: [(&Place, &[&str], &str); 2] = [
        (&good, &["--no-retry"], "UnknownIssuer"),
        (&expired, &["--no-retry", "--relay-ca", &ca], "expired"),
    ];
    for (place, arguments, words) in cases {
        let home = Home::new();
        let mut agent = place.agent(&home, 1, arguments);
        assert_eq!(agent.code(), 6, "{agent:?}");
        assert!(agent.transcript().contains(words), "{words}: {agent:?}");
    }
}
