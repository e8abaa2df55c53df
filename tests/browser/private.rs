//! A private application behind an agent and a relay, and a browser that opens it.

use std::fs;
use std::sync::Arc;

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::{Delegation, DelegationId, Scopes, ShareLink, SignatureForm};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::chromium::{Chromium, RELAY_DOMAIN, Tab};
use hvym_tunnel_tests::guests::write_private;
use hvym_tunnel_tests::program::{Home, Program, python};
use hvym_tunnel_tests::tunnel::{Agent, Relay};

/// The key in a share link, if a test has one link.
const KEY: u8 = 72;

/// Who is let in nowhere.
pub(crate) fn nobody() -> Address {
    Key::from_seed([73; 32]).address()
}

/// A relay with TLS and a domain.
struct Tls {
    files: Home,
}

/// Private services of one owner, and a browser.
pub(crate) struct Private {
    pub(crate) chromium: Arc<Chromium>,
    pub(crate) relay: Relay,
    pub(crate) owner: Key,
    /// The service `app`.
    pub(crate) agent: Option<Agent>,
    port: u16,
    tls: Option<Tls>,
    _application: Option<Program>,
}

impl Private {
    /// The small application as the service `app` of the owner with this seed, for nobody but `friend`; `None` without a browser.
    pub(crate) fn start(seed: u8, friend: Address) -> Option<Self> {
        let chromium = Chromium::shared()?;
        Some(Self::with(chromium, seed, Relay::start(&[]), None, friend))
    }

    /// The same at a relay that has a domain and a certificate.
    pub(crate) fn start_with_tls(seed: u8, friend: Address) -> Option<Self> {
        let chromium = Chromium::shared()?;
        let files = Home::new();
        let names = [RELAY_DOMAIN.to_owned(), format!("*.{RELAY_DOMAIN}"), "localhost".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).expect("a certificate");
        fs::write(files.path("cert.pem"), own.cert.pem()).expect("a folder takes a file");
        write_private(&files, "key.pem", &own.key_pair.serialize_pem());
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| files.path(name).display().to_string());
        let relay =
            Relay::start(&["--domain", RELAY_DOMAIN, "--open", "--tls-cert", &cert, "--tls-key", &key]);
        Some(Self::with(chromium, seed, relay, Some(Tls { files }), friend))
    }

    /// Whatever listens at `port` as the service `app`.
    pub(crate) fn of(seed: u8, port: u16) -> Option<Self> {
        let chromium = Chromium::shared()?;
        let owner = Key::from_seed([seed; 32]);
        let relay = Relay::start(&[]);
        let mut private = Self { chromium, relay, owner, agent: None, port, tls: None, _application: None };
        private.let_in(&nobody().to_string());
        Some(private)
    }

    fn with(chromium: Arc<Chromium>, seed: u8, relay: Relay, tls: Option<Tls>, friend: Address) -> Self {
        let mut application = python(&["application.py"]);
        let port = application.line().parse().expect("a port");
        let owner = Key::from_seed([seed; 32]);
        let mut private =
            Self { chromium, relay, owner, agent: None, port, tls, _application: Some(application) };
        private.let_in(&friend.to_string());
        private
    }

    /// Exposes the application for `friend` alone.
    pub(crate) fn let_in(&mut self, friend: &str) {
        self.agent = None;
        self.agent = Some(self.expose("app", self.port, friend));
    }

    /// Exposes what listens at `port` for `friend` alone.
    pub(crate) fn expose(&self, service: &str, port: u16, friend: &str) -> Agent {
        let (home, port, address) = (Home::of(&self.owner), port.to_string(), self.relay.address.to_string());
        let ca = self.tls.as_ref().map(|tls| tls.files.path("cert.pem").display().to_string());
        let relay = match ca {
            Some(_) => format!("wss://localhost:{}", self.relay.port),
            None => self.relay.url(),
        };
        let mut arguments = vec!["expose", &port, "--json", "--relay", &relay];
        arguments.extend(["--service", service, "--private", "--allow", friend]);
        if let Some(ca) = &ca {
            arguments.extend(["--relay-ca", ca, "--relay-address", &address]);
        }
        let mut program = home.start(&arguments);
        let ready = program.event("ready");
        Agent { program, ready, home }
    }

    /// The domain of the relay, with its port.
    pub(crate) fn authority(&self) -> String {
        let domain = if self.tls.is_some() { RELAY_DOMAIN } else { "localhost" };
        format!("{domain}:{}", self.relay.port)
    }

    /// The host name of a service, with its port.
    pub(crate) fn host(&self, service: &str) -> String {
        format!("{service}--{}.{}", ShortLabel::new(&self.owner.address()), self.authority())
    }

    /// The origin of a service.
    pub(crate) fn origin(&self, service: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host(service))
    }

    /// A share link to the service, for an hour.
    pub(crate) fn link(&self, service: &str) -> String {
        self.link_of(KEY, service)
    }

    /// The same with the key of this seed.
    pub(crate) fn link_of(&self, seed: u8, service: &str) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let delegation = Delegation {
            owner: self.owner.address(),
            key: Key::from_seed([seed; 32]).address(),
            may: Scopes::CALL,
            services: vec![service.to_owned()],
            relay: Some(self.authority()),
            from: UnixTime::from_secs(now),
            until: UnixTime::from_secs(now + 3600),
            id: DelegationId([seed; 16]),
        };
        let signature = self.owner.sign_bytes(delegation.to_string().as_bytes());
        let signed = delegation.signed(signature, SignatureForm::Raw);
        let link = ShareLink::new([seed; 32], signed, self.tls.is_some());
        link.expect("a link").url(&self.host(service))
    }

    /// Takes the link of this seed back.
    pub(crate) fn revoke(&self, seed: u8) {
        let (home, id) = (Home::of(&self.owner), DelegationId([seed; 16]).to_string());
        let revoked = home.command(&["identity", "revoke", &id, "--relay", &self.relay.url()]).output();
        assert!(revoked.expect("the program starts").status.success());
    }

    /// A tab in the application, opened by a share link.
    pub(crate) fn opened(&self) -> Tab {
        let tab = self.chromium.open("about:blank");
        tab.follow(&self.link("app"));
        tab.until("document.title === 'application' && document.readyState === 'complete'");
        tab
    }
}
