//! The page's agent, from its first dial to its end: logins are signed, streams go to their services, and events to
//! JavaScript (`js/tunnel.js` makes DOM events of them).

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::agent::{Agent, AgentEvent};
use hvym_tunnel_core::dialect::{OpenResult, Proto, Service, StreamHeader};
use hvym_tunnel_core::handshake::Endpoint;
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::names::UrlCheck;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::{Address, SigningInput};
use hvym_tunnel_core::time::Instant;
use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;

use crate::clock;
use crate::convert;
use crate::down::{down_code, down_hint};
use crate::driver::{Driver, DriverEvent};
use crate::error::{down_error, tunnel_error, tunnel_error_from, tunnel_error_with_hint};
use crate::http_server::ServerConnection;
use crate::identity::{SignOutcome, Signer};
use crate::peer_stream::PeerStream;
use crate::services::Services;
use crate::stream::TunnelStream;

/// The code of a URL that is not the relay's to give.
const FOREIGN_URL: &str = "foreign_url";
const FOREIGN_URL_TEXT: &str = "it names an address that is not its own";

/// An agent, its services and its signer.
pub(crate) struct PageAgent {
    driver: Driver,
    /// Who the agent is.
    address: Address,
    /// `None` after the end, so that the secret is zeroed.
    signer: RefCell<Option<Signer>>,
    /// Whether the signer has an unanswered request. A wallet must not get a second one.
    is_signing: Cell<bool>,
    /// The signer's error, where it says more than the core's reason.
    signer_error: RefCell<Option<JsValue>>,
    /// `(kind, detail) => void`.
    on_event: Function,
    services: Services,
    /// Which URLs are the relay's to give.
    urls: UrlCheck,
    /// Why the agent ended.
    end: RefCell<Option<JsValue>>,
}

impl PageAgent {
    /// Dials, and calls `on_event(kind, detail)` for each event, from the next microtask on.
    pub(crate) fn start(
        agent: Agent,
        address: Address,
        signer: Signer,
        urls: UrlCheck,
        open_socket: Function,
        on_event: Function,
    ) -> Rc<Self> {
        let driver = Driver::new(agent, open_socket);
        let this = Rc::new(Self {
            driver: driver.clone(),
            address,
            signer: RefCell::new(Some(signer)),
            is_signing: Cell::new(false),
            signer_error: RefCell::new(None),
            on_event,
            services: Services::default(),
            urls,
            end: RefCell::new(None),
        });
        let owner: Weak<Self> = Rc::downgrade(&this);
        driver.start(move |event| {
            if let Some(this) = owner.upgrade() {
                this.on_driver(event);
            }
        });
        this
    }

    /// The agent's driver.
    ///
    /// # Errors
    /// Why the agent ended.
    pub(crate) fn driver(&self) -> Result<&Driver, JsValue> {
        match &*self.end.borrow() {
            Some(error) => Err(error.clone()),
            None => Ok(&self.driver),
        }
    }

    /// Offers a service now and after every reconnection. The promise resolves to its URL, or `undefined` for a private one;
    /// it is rejected with the relay's refusal, or why the agent ended.
    ///
    /// # Errors
    /// `bad_service`, or why the agent ended.
    pub(crate) fn bind(
        &self,
        service: Service,
        access: Access,
        handler: Function,
    ) -> Result<Promise, JsValue> {
        Service::check_name(&service.name).map_err(|error| tunnel_error_from("bad_service", &error))?;
        let (name, proto) = (service.name.clone(), service.proto);
        self.driver()?.with(|agent, now| agent.bind(service, now));
        self.services.add(name.clone(), proto, access, handler);
        Ok(Promise::new(&mut |resolve, reject| self.services.wait(name.clone(), resolve, reject)))
    }

    /// Withdraws a service. Requests in progress continue.
    pub(crate) fn unbind(&self, name: &str) {
        self.services.withdraw(name);
        self.services.resolve(name, &Err(tunnel_error("closed", "the service was withdrawn")));
        self.driver.with(|agent, now| agent.unbind(name, now));
    }

    /// Closes the link for good. Idempotent.
    pub(crate) fn close(&self) {
        self.driver.with(|agent, now| agent.close(now));
    }

    fn on_driver(self: &Rc<Self>, event: DriverEvent) {
        match event {
            DriverEvent::Opened => self.emit_state("authenticating"),
            DriverEvent::Incoming(id, header) => self.on_incoming(id, &header),
            DriverEvent::Agent(AgentEvent::Dial(_)) => self.emit_state("connecting"),
            DriverEvent::Agent(AgentEvent::Sign(input)) => self.on_sign(input),
            DriverEvent::Agent(AgentEvent::Up(endpoint)) => self.on_up(&endpoint),
            DriverEvent::Agent(AgentEvent::Bound { service, url }) => self.on_bound(&service, url),
            DriverEvent::Agent(AgentEvent::BindRefused { service, code, error }) => {
                self.on_bind_refused(&service, &code, &error);
            }
            // Its handler stays, for requests that are on their way.
            DriverEvent::Agent(AgentEvent::Unbound { service, by }) => {
                let by = by.map_or(JsValue::UNDEFINED, JsValue::from);
                self.emit("unbound", &object(&[("service", service.into()), ("by", by)]));
            }
            DriverEvent::Agent(AgentEvent::Notice { code, message, hint }) => {
                self.emit("error", &tunnel_error_with_hint(&code, &message, hint.as_deref()));
            }
            DriverEvent::Agent(AgentEvent::Down { reason, retry_at }) => self.on_down(&reason, retry_at),
            DriverEvent::Agent(AgentEvent::OpenReady) => self.emit("room", &JsValue::UNDEFINED),
            DriverEvent::Agent(AgentEvent::Latency(round_trip)) => {
                let milliseconds = round_trip.as_secs_f64() * 1000.0;
                self.emit("latency", &object(&[("milliseconds", milliseconds.into())]));
            }
            // The driver handles streams. After `Draining` the relay closes the link, and `Down` follows.
            DriverEvent::Agent(_) => {}
        }
    }

    fn on_sign(self: &Rc<Self>, input: SigningInput) {
        let Some(signer) = self.signer.borrow().clone() else { return };
        let input = input.reissued(clock::wall().unix);
        self.is_signing.set(true);
        let this = Rc::clone(self);
        signer.sign(input.clone().as_bytes(), move |outcome| {
            let signature = match outcome {
                SignOutcome::Signed(signature) => Some(signature),
                SignOutcome::Declined => None,
                SignOutcome::Invalid => {
                    let message = "the signer gave something that is no Ed25519 signature of 64 bytes";
                    let hint = Some("sign has to return a Uint8Array of 64 bytes, or null for a no");
                    *this.signer_error.borrow_mut() =
                        Some(tunnel_error_with_hint("signer_invalid", message, hint));
                    None
                }
            };
            this.is_signing.set(false);
            this.driver.with(|agent, now| agent.handle_signature(&input, signature, now));
        });
    }

    fn on_bound(&self, service: &str, url: Option<String>) {
        if url.as_ref().is_some_and(|url| self.urls.check(url, None).is_err()) {
            return self.on_bind_refused(service, FOREIGN_URL, FOREIGN_URL_TEXT);
        }
        self.services.resolve(service, &Ok(url));
    }

    fn on_up(&self, endpoint: &Endpoint) {
        let url = Some(endpoint.url.as_str()).filter(|url| self.urls.check(url, None).is_ok());
        if url.is_none() {
            self.emit(
                "error",
                &tunnel_error(FOREIGN_URL, "the relay names an address of this page that is not its own"),
            );
        }
        let services = endpoint.services.iter().map(|name| JsValue::from_str(name)).collect::<Array>();
        let detail = object(&[
            ("url", convert::optional(url)),
            ("relayAddress", endpoint.relay.map(|relay| relay.to_string()).into()),
            ("services", services.into()),
        ]);
        self.emit_state("connected");
        self.emit("up", &detail);
    }

    fn on_bind_refused(&self, service: &str, code: &str, error: &str) {
        // The agent would bind it again after a reconnection, and be refused again.
        self.services.withdraw(service);
        self.driver.with(|agent, now| agent.unbind(service, now));
        let message = format!("the relay does not take the service {service}: {error}");
        let refusal = tunnel_error(code, &message);
        if !self.services.resolve(service, &Err(refusal.clone())) {
            self.emit("error", &refusal);
        }
    }

    fn on_down(&self, reason: &DownReason, retry_at: Option<Instant>) {
        let is_signing = self.is_signing.get();
        let error = match self.signer_error.take() {
            Some(error) => error,
            None if is_signing && matches!(reason, DownReason::TimedOut(_)) => tunnel_error_with_hint(
                "signer_timeout",
                "the signer did not answer before the login ran out",
                Some("connect again, and answer your wallet within 30 seconds"),
            ),
            None => down_error(reason),
        };
        // Another login would be a second request to a wallet that has not answered the first.
        let retry_at = retry_at.filter(|_| !is_signing);
        if retry_at.is_none() {
            self.end_with(error.clone());
        }
        let retry_in = retry_at.map(|at| (at - clock::now()).as_secs_f64() * 1000.0);
        let detail = object(&[
            ("error", error.clone()),
            ("code", down_code(reason).into()),
            ("message", reason.to_string().into()),
            ("hint", convert::optional(down_hint(reason))),
            ("retryIn", retry_in.map_or(JsValue::UNDEFINED, JsValue::from_f64)),
        ]);
        self.emit_state(match (retry_at, reason) {
            (Some(_), _) => "reconnecting",
            (None, DownReason::Finished) => "disconnected",
            (None, _) => "error",
        });
        self.emit("down", &detail);
        if retry_at.is_none() && !matches!(reason, DownReason::Finished) {
            self.emit("error", &error);
        }
    }

    fn end_with(&self, error: JsValue) {
        self.driver.with(|agent, now| agent.close(now));
        self.driver.detach_owner();
        *self.signer.borrow_mut() = None;
        *self.end.borrow_mut() = Some(error.clone());
        self.services.clear(&error);
    }

    fn on_incoming(&self, id: StreamId, header: &StreamHeader) {
        let mut stream = TunnelStream::new(self.driver.clone(), id);
        let handler = self.services.handler(header, self.address, clock::wall().unix);
        if header.from.is_some() {
            stream.queue(
                match handler {
                    Some(_) => OpenResult::Accepted,
                    None => OpenResult::not_reachable(),
                }
                .encode(),
            );
            // A new stream has room for it, and a lost one needs no answer.
            let _sent = stream.flush();
        }
        let Some((handler, proto)) = handler else {
            // Without a response; the relay then tells the visitor that there is no such service.
            let _lost = stream.finish();
            return;
        };
        let (service, visitor) =
            (header.service.as_str().into(), convert::optional(header.visitor.as_deref()));
        let from = convert::optional(header.from.map(|from| from.to_string()).as_deref());
        self.emit("stream", &object(&[("service", service), ("visitor", visitor), ("from", from.clone())]));
        let stream: JsValue = match proto {
            Proto::Tcp => PeerStream::accepted_stream(stream).into(),
            _ => ServerConnection::new(stream, header.from.is_some()).into(),
        };
        // The package's own function, which catches what the page's handler throws.
        let _called = handler.call2(&JsValue::UNDEFINED, &stream, &from);
    }

    fn emit_state(&self, state: &str) {
        self.emit("state", &object(&[("state", state.into())]));
    }

    fn emit(&self, kind: &str, detail: &JsValue) {
        // The browser reports exceptions of listeners itself.
        let _result = self.on_event.call2(&JsValue::UNDEFINED, &kind.into(), detail);
    }
}

fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // Cannot fail on a plain object.
        let _set = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}
