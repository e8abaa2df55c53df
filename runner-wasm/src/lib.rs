//! The browser runner: an agent in a page, driven over the browser's WebSocket.
//!
//! Link, login and reconnection are the core's. This crate adds the browser's socket, timers and entropy, and what the
//! scripts in `js/` build `Request`, `Response` and Web streams on. Those scripts are the package that pages import; the
//! classes exported here are internal to it. Nothing is logged to the console.
#![forbid(unsafe_code)]

mod clock;
mod convert;
mod delegation;
mod driver;
mod error;
mod http_client;
mod http_exchange;
mod http_server;
mod identity;
mod page_agent;
mod peer_stream;
mod services;
mod socket;
mod stream;
mod task;
#[cfg(feature = "transcript")]
mod transcript;

use std::rc::Rc;
use std::time::Duration;

use hvym_tunnel_core::access::{Access, AddressSet};
use hvym_tunnel_core::agent::{Agent, AgentConfig};
use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::dialect::{OnConflict, Process};
use hvym_tunnel_core::handshake::{AgentLogin, AuthMode};
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::stellar::Address;
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use error::{tunnel_error, tunnel_error_from};
use identity::Signer;
use page_agent::PageAgent;
use task::promise;

pub use delegation::{address_of, check_delegation};
pub use http_client::ClientRequest;
pub use http_exchange::HttpExchange;
pub use identity::Identity;
pub use peer_stream::ByteStream;

/// The lifetime of a login token. It is used within seconds; the rest allows for clocks that differ.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// An agent in this page.
#[wasm_bindgen]
pub struct Runner {
    agent: Rc<PageAgent>,
    address: Address,
}

#[wasm_bindgen]
impl Runner {
    /// An agent that signs with a copy of `identity`, zeroed at its end. It dials at once. `on_event(kind, detail)` is
    /// called for each event.
    ///
    /// # Errors
    /// `bad_relay_address`.
    #[wasm_bindgen(js_name = withIdentity)]
    pub fn with_identity(
        relay: String,
        relay_address: Option<String>,
        identity: &Identity,
        on_event: Function,
    ) -> Result<Runner, JsValue> {
        Self::start(relay, relay_address, Signer::Local(identity.clone()), on_event)
    }

    /// An agent whose logins are signed by `sign`: `bytes => Promise<Uint8Array | null>`. `delegation` is its text, signature
    /// and form, where another key than that of `address` signs.
    ///
    /// # Errors
    /// `bad_relay_address`, `bad_address` or `bad_delegation`.
    #[wasm_bindgen(js_name = withSigner)]
    pub fn with_signer(
        relay: String,
        relay_address: Option<String>,
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
        Self::start(relay, relay_address, Signer::Wallet { address, sign, delegation }, on_event)
    }

    /// The agent's address, `G...`.
    #[wasm_bindgen(getter)]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Offers an HTTP service: `handler(exchange)` is called for each request. Resolves to the service's URL, or
    /// `undefined` for a private one. Rejected with `bad_address`, `bad_conflict_mode`, `bad_service`, the relay's refusal, or
    /// why the agent ended.
    pub fn bind(
        &self,
        name: String,
        public: bool,
        allow: Vec<String>,
        on_conflict: String,
        handler: Function,
    ) -> Promise {
        let agent = Rc::clone(&self.agent);
        promise(async move {
            let access = if public {
                Access::Public
            } else {
                let mut addresses = AddressSet::default();
                for address in &allow {
                    addresses.insert(parse_address("bad_address", address)?);
                }
                Access::Private(addresses)
            };
            let on_conflict = OnConflict::named(&on_conflict).ok_or_else(|| {
                let known = "onConflict is takeover, reject, pool or standby";
                tunnel_error("bad_conflict_mode", known)
            })?;
            let url = agent.bind(name, access, on_conflict, handler).await?;
            Ok(url.map_or(JsValue::UNDEFINED, JsValue::from))
        })
    }

    /// Withdraws a service. Requests in progress continue.
    pub fn unbind(&self, name: &str) {
        self.agent.unbind(name);
    }

    /// Opens a stream to a service of another identity.
    ///
    /// # Errors
    /// `bad_target`, `not_connected`, `too_many`, or why the agent ended.
    pub fn open(&self, address: &str, service: &str) -> Result<ByteStream, JsValue> {
        peer_stream::open(self.agent.driver()?, address, service)
    }

    /// A request to a service of another identity; nothing is sent yet. `headers` is flat: name, value, name, value.
    /// `length` is that of the body in bytes: 0 for none, `undefined` for unknown.
    ///
    /// # Errors
    /// As for [`Self::open`], and `bad_request` if the head is invalid.
    pub fn request(
        &self,
        address: &str,
        service: &str,
        method: &str,
        target: &str,
        headers: Vec<String>,
        length: Option<f64>,
    ) -> Result<ClientRequest, JsValue> {
        ClientRequest::new(&self.open(address, service)?, method, target, &headers, length)
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
    fn start(
        relay: String,
        relay_address: Option<String>,
        signer: Signer,
        on_event: Function,
    ) -> Result<Runner, JsValue> {
        let login = signer.login();
        let address = login.identity;
        let relay_address =
            relay_address.map(|address| parse_address("bad_relay_address", &address)).transpose()?;
        let config = AgentConfig {
            relay,
            login: AgentLogin {
                relay_address,
                token_lifetime: TOKEN_LIFETIME,
                // A page cannot set header fields of its WebSocket upgrade.
                mode: AuthMode::Challenge,
                ..login
            },
            services: Vec::new(),
            link: LinkConfig {
                keepalive: KeepaliveConfig::default(),
                mux: MuxConfig::low_memory(),
                fallback: None,
            },
            backoff: BackoffConfig::default(),
            // A page has one socket.
            names: Vec::new(),
            max_links: 1,
            process: Process::default(),
        };
        let agent = Agent::new(config, clock::wall(), clock::seed()?, clock::now());
        Ok(Runner { agent: PageAgent::start(agent, address, signer, on_event), address })
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
