//! The browser runner: an agent in a tab, driven over the browser's own WebSocket.
//!
//! The link, the login and the way back after a loss are the core's. Here are the browser's socket, timers and
//! entropy, and the edge to JavaScript: `js/` builds `Request`, `Response` and streams from what is exported here, and
//! is what a page imports. Nothing is ever written to the console.
#![forbid(unsafe_code)]

mod clock;
mod driver;
mod fault;
mod fields;
mod identity;
mod reach;
mod serve;
mod socket;
#[cfg(feature = "story")]
mod story;
mod stream;
mod task;
mod tunnel;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::agent::{Agent, AgentConfig};
use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::handshake::{AgentLogin, AuthMode};
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::stellar::Address;
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use fault::fault;
use identity::Signer;
use task::promise;
use tunnel::Tunnel;

pub use identity::Identity;
pub use reach::{ByteStream, Call};
pub use serve::Exchange;

/// How long a token is good for. It is used within seconds, but clocks differ.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// An agent in this page.
#[wasm_bindgen]
pub struct Runner {
    tunnel: Rc<Tunnel>,
    address: Address,
}

#[wasm_bindgen]
impl Runner {
    /// An agent that signs with its own key, and dials at once. Its copy of the key is wiped at its end.
    ///
    /// # Errors
    /// `bad_relay_address`.
    #[wasm_bindgen(js_name = withIdentity)]
    pub fn with_identity(
        relay: String,
        relay_address: Option<String>,
        identity: &Identity,
        tell: Function,
    ) -> Result<Runner, JsValue> {
        Self::start(relay, relay_address, Signer::Own(identity.clone()), tell)
    }

    /// An agent whose logins `sign` signs: `bytes => Promise<Uint8Array | null>`.
    ///
    /// # Errors
    /// `bad_relay_address` or `bad_address`.
    #[wasm_bindgen(js_name = withSigner)]
    pub fn with_signer(
        relay: String,
        relay_address: Option<String>,
        address: String,
        sign: Function,
        tell: Function,
    ) -> Result<Runner, JsValue> {
        let address = parse("bad_address", &address)?;
        Self::start(relay, relay_address, Signer::Wallet { address, sign }, tell)
    }

    /// Who this agent is.
    #[wasm_bindgen(getter)]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Offers an HTTP service: `answer(exchange)` is called for each request. Its URL, which a private one does not have.
    /// Rejected with why it is not reachable.
    pub fn bind(&self, name: String, public: bool, allow: Vec<String>, answer: Function) -> Promise {
        let tunnel = Rc::clone(&self.tunnel);
        promise(async move {
            let access = if public {
                Access::Public
            } else {
                let mut addresses = BTreeSet::new();
                for address in &allow {
                    addresses.insert(parse("bad_address", address)?);
                }
                Access::Private(addresses)
            };
            let url = tunnel.bind(name, access, answer).await?;
            Ok(url.map_or(JsValue::UNDEFINED, JsValue::from))
        })
    }

    /// Withdraws a service.
    pub fn unbind(&self, name: &str) {
        self.tunnel.unbind(name);
    }

    /// A stream to a service of another identity.
    ///
    /// # Errors
    /// The address is none, there is no link, or no room on it.
    pub fn open(&self, address: &str, service: &str) -> Result<ByteStream, JsValue> {
        reach::open(self.tunnel.driver()?, address, service)
    }

    /// A request to a service of another identity; nothing is sent yet. `headers` is flat: name, value, name, value.
    /// `length` is that of the body: 0 for none, nothing for one that comes as it comes.
    ///
    /// # Errors
    /// As for [`Self::open`], and a head that cannot be written.
    pub fn call(
        &self,
        address: &str,
        service: &str,
        method: &str,
        target: &str,
        headers: Vec<String>,
        length: Option<f64>,
    ) -> Result<Call, JsValue> {
        Call::new(&self.open(address, service)?, method, target, &headers, length)
    }

    /// The network changed, or the page was asleep: looks whether the link is still there, or dials at once.
    pub fn wake(&self) {
        if let Ok(driver) = self.tunnel.driver() {
            driver.with(|agent, now| agent.network_changed(now));
        }
    }

    /// Ends the link and everything on it, for good.
    pub fn close(&self) {
        self.tunnel.close();
    }
}

impl Runner {
    fn start(
        relay: String,
        relay_address: Option<String>,
        signer: Signer,
        tell: Function,
    ) -> Result<Runner, JsValue> {
        let address = signer.address();
        let relay_address = relay_address.map(|address| parse("bad_relay_address", &address)).transpose()?;
        let config = AgentConfig {
            relay,
            login: AgentLogin {
                identity: address,
                relay_address,
                services: Vec::new(),
                token_lifetime: TOKEN_LIFETIME,
                // A page cannot send a field with its upgrade.
                mode: AuthMode::Challenge,
            },
            services: Vec::new(),
            link: LinkConfig {
                keepalive: KeepaliveConfig::default(),
                mux: MuxConfig::low_memory(),
                fallback: None,
            },
            backoff: BackoffConfig::default(),
        };
        let agent = Agent::new(config, clock::wall(), clock::seed()?, clock::now());
        Ok(Runner { tunnel: Tunnel::start(agent, signer, tell), address })
    }
}

fn parse(code: &str, address: &str) -> Result<Address, JsValue> {
    address.parse().map_err(|error| fault(code, &format!("{error}")))
}

/// What a test compares with its own machine; no part of the package.
#[cfg(feature = "story")]
#[wasm_bindgen]
pub fn story(seed: u8) -> String {
    story::tell(seed)
}
