//! The browser runner: an agent in a page, driven over the browser's WebSocket.
//!
//! Link, login and reconnection are the core's. This crate adds the browser's socket, timers and entropy, and what the
//! scripts in `js/` build `Request`, `Response` and Web streams on. Those scripts are the package that pages import; the
//! classes exported here are internal to it. Nothing is logged to the console.
#![forbid(unsafe_code)]

mod clock;
mod convert;
mod delegation;
mod down;
mod driver;
mod error;
mod frames;
mod http_server;
mod identity;
mod microtask;
mod page_agent;
mod peer_stream;
mod services;
mod socket;
mod stream;
#[cfg(feature = "transcript")]
mod transcript;
mod wakers;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hvym_tunnel_core::access::{Access, AddressSet};
use hvym_tunnel_core::agent::{Agent, AgentConfig};
use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::dialect::{OnConflict, Process, Proto, Service, SessionRole, StreamHeader};
use hvym_tunnel_core::handshake::{AgentLogin, AuthMode};
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::names::UrlCheck;
use hvym_tunnel_core::relay::ReachRate;
use hvym_tunnel_core::stellar::{Address, Scope};
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use error::{open_error, tunnel_error, tunnel_error_from};
use identity::Signer;
use page_agent::PageAgent;
use stream::TunnelStream;

pub use delegation::{address_of, check_delegation};
pub use frames::Frames;
pub use http_server::ServerConnection;
pub use identity::Identity;
pub use peer_stream::PeerStream;

/// The lifetime of a login token. It is used within seconds; the rest allows for clocks that differ.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// The longest wait between two dials. Somebody may be looking at the page, and a page that is not visible hardly runs.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// Streams to services of others that are opened at once. A relay allows an identity 128; the rest is for its other pages.
const OPEN_BURST: usize = 96;

/// What a stream may hold that is not read, before its window has grown (Yamux specification, "Flow Control").
const FIRST_WINDOW: usize = 256 * 1024;

/// An agent in this page.
#[wasm_bindgen]
pub struct Runner {
    agent: Rc<PageAgent>,
    address: Address,
    rate: RefCell<ReachRate>,
}

/// Where an agent connects to, and what it tells about itself.
#[wasm_bindgen]
pub struct Connection {
    relay: String,
    urls: UrlCheck,
    relay_address: Option<Address>,
    inbound: usize,
    outbound: usize,
    /// Whether its logins are good for calls alone.
    only_calls: bool,
    open_socket: Function,
}

#[wasm_bindgen]
impl Connection {
    /// A connection to the relay at the URL `relay`, of which `host` is the host name. `inbound` and `outbound` are the
    /// streams that the relay may, and the page will, have open at once; with `only_calls` it may offer no services, ever.
    /// `open_socket(url)` gives a WebSocket.
    ///
    /// # Errors
    /// `bad_relay_address`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        relay: String,
        host: &str,
        relay_address: Option<String>,
        inbound: usize,
        outbound: usize,
        only_calls: bool,
        open_socket: Function,
    ) -> Result<Connection, JsValue> {
        let relay_address =
            relay_address.map(|address| parse_address("bad_relay_address", &address)).transpose()?;
        let urls = UrlCheck::new(host.trim_matches(['[', ']']), relay_address.is_some());
        Ok(Self { relay, urls, relay_address, inbound, outbound, only_calls, open_socket })
    }
}

#[wasm_bindgen]
impl Runner {
    /// An agent that signs with a copy of `identity`, zeroed at its end. It dials at once. `on_event(kind, detail)` is
    /// called for each event.
    ///
    /// # Errors
    /// The browser's exception if it has no entropy.
    #[wasm_bindgen(js_name = withIdentity)]
    pub fn with_identity(
        connection: Connection,
        identity: &Identity,
        on_event: Function,
    ) -> Result<Runner, JsValue> {
        Self::start(connection, Signer::Local(identity.clone()), on_event)
    }

    /// An agent whose logins are signed by `sign`: `(bytes, done) => void`, which calls `done(signature)` once, with `null` for a
    /// no. `delegation` is its text, signature and form, where another key than that of `address` signs.
    ///
    /// # Errors
    /// `bad_address`, `bad_delegation`, and as for [`Self::with_identity`].
    #[wasm_bindgen(js_name = withSigner)]
    pub fn with_signer(
        connection: Connection,
        address: String,
        sign: Function,
        delegation: Option<Vec<String>>,
        on_event: Function,
    ) -> Result<Runner, JsValue> {
        let address = parse_address("bad_address", &address)?;
        let delegation = match delegation.as_deref() {
            Some([text, signature, form]) => Some(Rc::new(delegation::verified(text, signature, form)?)),
            _ => None,
        };
        Self::start(connection, Signer::Wallet { address, sign, delegation }, on_event)
    }

    /// The agent's address, `G...`.
    #[wasm_bindgen(getter)]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Offers a service of HTTP, or of bytes: `handler(connection, from)` is called for each connection, of which `from` is the
    /// identity that opened it. Resolves to the service's URL, or `undefined` for a private one; rejected with the relay's
    /// refusal, or why the agent ended.
    ///
    /// # Errors
    /// `bad_address`, `bad_conflict_mode`, `bad_service`, or why the agent ended.
    pub fn bind(
        &self,
        name: String,
        is_http: bool,
        allow: Option<Vec<String>>,
        on_conflict: &str,
        handler: Function,
    ) -> Result<Promise, JsValue> {
        let access = match allow {
            None => Access::Public,
            Some(addresses) => {
                let mut allowed = AddressSet::default();
                for address in &addresses {
                    allowed.insert(parse_address("bad_address", address)?);
                }
                Access::Private(allowed)
            }
        };
        let on_conflict = OnConflict::named(on_conflict).ok_or_else(|| {
            tunnel_error("bad_conflict_mode", "onConflict is takeover, reject, pool or standby")
        })?;
        let proto = if is_http { Proto::Http } else { Proto::Tcp };
        let public = access.is_public();
        let service = Service { name, proto, local_port: None, public, on_conflict };
        self.agent.bind(service, access, handler)
    }

    /// Withdraws a service. Requests in progress continue.
    pub fn unbind(&self, name: &str) {
        self.agent.unbind(name);
    }

    /// Opens a stream to a service of another identity.
    ///
    /// # Errors
    /// `bad_target`, `not_connected`, `too_many`, or why the agent ended.
    pub fn open(&self, address: &str, service: &str) -> Result<PeerStream, JsValue> {
        let driver = self.agent.driver()?;
        let header = StreamHeader::reaching(parse_address("bad_target", address)?, service);
        let id = driver.with(|agent, now| agent.open(&header, now)).map_err(|error| open_error(&error))?;
        self.rate.borrow_mut().take(clock::now());
        Ok(PeerStream::opened(TunnelStream::new(driver.clone(), id)))
    }

    /// How long to wait before the next [`Self::open`], so that the relay does not refuse it for its rate; milliseconds.
    #[wasm_bindgen(getter, js_name = openDelay)]
    pub fn open_delay(&self) -> f64 {
        self.rate.borrow().delay(clock::now()).as_secs_f64() * 1000.0
    }

    /// Sends what waited for the WebSocket, which has room again. Browsers do not say so.
    pub fn resume(&self) {
        if let Ok(driver) = self.agent.driver() {
            driver.with(|_, _| ());
        }
    }

    /// Checks the link, or dials at once if it is down. For when the network changed or the page was suspended.
    pub fn wake(&self) {
        if let Ok(driver) = self.agent.driver() {
            driver.with(|agent, now| agent.network_changed(now));
        }
    }

    /// Closes the link and all its streams for good.
    pub fn close(&self) {
        self.agent.close();
    }
}

impl Runner {
    fn start(connection: Connection, signer: Signer, on_event: Function) -> Result<Runner, JsValue> {
        let Connection { relay, urls, relay_address, inbound, outbound, only_calls, open_socket } =
            connection;
        let mut login = AgentLogin {
            relay_address,
            token_lifetime: TOKEN_LIFETIME,
            // A page cannot set header fields of its WebSocket upgrade.
            mode: AuthMode::Challenge,
            ..signer.login()
        };
        if only_calls {
            login.scope = Scope::Call;
        }
        let address = login.identity;
        let config = AgentConfig {
            relay,
            login,
            services: Vec::new(),
            link: LinkConfig {
                keepalive: KeepaliveConfig::default(),
                mux: MuxConfig::low_memory().with(|config| {
                    (config.max_inbound_streams, config.accept_backlog) = (inbound, inbound);
                    // So that no stream goes because others are not read.
                    config.max_unread = (inbound + outbound) * FIRST_WINDOW + config.window_growth_budget;
                }),
                fallback: None,
            },
            backoff: BackoffConfig { max: MAX_BACKOFF, ..BackoffConfig::default() },
            // A page has one socket.
            names: Vec::new(),
            max_links: 1,
            // Until it offers something.
            process: Process { role: SessionRole::Caller, ..Process::default() },
        };
        let agent = Agent::new(config, clock::wall(), clock::seed()?, clock::now());
        let agent = PageAgent::start(agent, address, signer, urls, open_socket, on_event);
        Ok(Runner { agent, address, rate: RefCell::new(ReachRate::new(OPEN_BURST)) })
    }
}

fn parse_address(code: &str, address: &str) -> Result<Address, JsValue> {
    address.parse().map_err(|error| tunnel_error_from(code, &error))
}

/// The transcript of a simulated link, which a test compares with that of a native build. Not part of the package.
#[cfg(feature = "transcript")]
#[wasm_bindgen]
pub fn transcript(seed: u8) -> String {
    transcript::record(seed)
}
