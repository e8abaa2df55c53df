//! What a page does with its agent: passes on what happens, has logins signed, and hands streams to services.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::{Rc, Weak};

use futures_channel::oneshot;
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::agent::{Agent, AgentEvent};
use hvym_tunnel_core::dialect::{OpenResult, Service, StreamHeader};
use hvym_tunnel_core::handshake::Endpoint;
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::SigningInput;
use hvym_tunnel_core::time::Instant;
use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::clock;
use crate::driver::{Driver, Happened};
use crate::fault::{code_of, fault, fault_with_hint, hint_of, of_down};
use crate::identity::{Signed, Signer};
use crate::serve;
use crate::stream::TunnelStream;
use crate::task;

/// A service of the page.
#[derive(Clone)]
struct Offered {
    access: Access,
    /// `exchange => Promise<void>`.
    answer: Function,
}

type Answer = oneshot::Sender<Result<Option<String>, JsValue>>;

/// One page's agent, from its first dial to its end.
pub(crate) struct Tunnel {
    driver: Driver,
    /// Gone at the end, and with it a secret.
    signer: RefCell<Option<Signer>>,
    /// Whether a wallet is being asked. A second question beside the first would only confuse.
    is_asking: Cell<bool>,
    /// What a signer did wrong, in more words than the core has.
    blame: RefCell<Option<JsValue>>,
    /// `(kind, detail) => void`.
    tell: Function,
    services: RefCell<Vec<(String, Offered)>>,
    /// Who waits to hear whether a service is reachable.
    binding: RefCell<Vec<(String, Answer)>>,
    /// Why it is over.
    end: RefCell<Option<JsValue>>,
}

impl Tunnel {
    /// Begins to dial, and tells `tell` from the next turn of the event loop on.
    pub(crate) fn start(agent: Agent, signer: Signer, tell: Function) -> Rc<Self> {
        let driver = Driver::new(agent);
        let tunnel = Rc::new(Self {
            driver: driver.clone(),
            signer: RefCell::new(Some(signer)),
            is_asking: Cell::new(false),
            blame: RefCell::new(None),
            tell,
            services: RefCell::default(),
            binding: RefCell::default(),
            end: RefCell::new(None),
        });
        let owner: Weak<Self> = Rc::downgrade(&tunnel);
        driver.start(move |happened| {
            if let Some(tunnel) = owner.upgrade() {
                tunnel.on(happened);
            }
        });
        tunnel
    }

    /// The agent's driver.
    ///
    /// # Errors
    /// Why the tunnel is over.
    pub(crate) fn driver(&self) -> Result<&Driver, JsValue> {
        match &*self.end.borrow() {
            Some(why) => Err(why.clone()),
            None => Ok(&self.driver),
        }
    }

    /// Offers a service now and after every reconnection, and waits until the relay has said where it is.
    ///
    /// # Errors
    /// Why it is not reachable.
    pub(crate) async fn bind(
        &self,
        name: String,
        access: Access,
        answer: Function,
    ) -> Result<Option<String>, JsValue> {
        Service::check_name(&name).map_err(|error| fault("bad_service", &error.to_string()))?;
        let (sender, answered) = oneshot::channel();
        let service = Service { public: access.is_public(), ..Service::http(name.clone()) };
        self.driver()?.with(|agent, now| agent.bind(service, now));
        self.withdraw(&name);
        self.services.borrow_mut().push((name.clone(), Offered { access, answer }));
        self.binding.borrow_mut().push((name, sender));
        answered.await.unwrap_or_else(|_| Err(fault("closed", "the tunnel was closed")))
    }

    /// Withdraws a service. What is being answered is answered to its end.
    pub(crate) fn unbind(&self, name: &str) {
        self.withdraw(name);
        drop(self.waiting_for(name));
        self.driver.with(|agent, now| agent.unbind(name, now));
    }

    /// Ends everything. A second time does nothing.
    pub(crate) fn close(&self) {
        self.driver.with(|agent, now| agent.close(now));
    }

    fn withdraw(&self, name: &str) {
        self.services.borrow_mut().retain(|(known, _)| known != name);
    }

    /// Those who wait for news of a service, who then wait no more.
    fn waiting_for(&self, name: &str) -> Vec<Answer> {
        let mut binding = self.binding.borrow_mut();
        let (found, rest) = mem::take(&mut *binding).into_iter().partition(|(known, _)| known == name);
        *binding = rest;
        let found: Vec<(String, Answer)> = found;
        found.into_iter().map(|(_, answer)| answer).collect()
    }

    fn on(self: &Rc<Self>, happened: Happened) {
        match happened {
            Happened::Opened => self.tell_state("authenticating"),
            Happened::Incoming(id, opening) => self.on_incoming(id, opening),
            Happened::Event(AgentEvent::Dial(_)) => self.tell_state("connecting"),
            Happened::Event(AgentEvent::Sign(input)) => self.on_sign(input),
            Happened::Event(AgentEvent::Up(endpoint)) => self.on_up(&endpoint),
            Happened::Event(AgentEvent::Bound { service, url }) => {
                for waiting in self.waiting_for(&service) {
                    // Whoever does not wait any more need not know.
                    let _unheard = waiting.send(Ok(url.clone()));
                }
            }
            Happened::Event(AgentEvent::BindRefused { service, code, error }) => {
                self.on_refused(&service, &code, &error);
            }
            Happened::Event(AgentEvent::Notice { code, message, hint }) => {
                self.tell("error", &fault_with_hint(&code, &message, hint.as_deref()));
            }
            Happened::Event(AgentEvent::Down { reason, retry_at }) => self.on_down(&reason, retry_at),
            // Streams are the driver's. A relay that drains also closes, and that is when the agent comes back.
            Happened::Event(AgentEvent::Stream(_) | AgentEvent::Draining { .. }) => {}
            Happened::Event(AgentEvent::Latency(round_trip)) => {
                let milliseconds = round_trip.as_secs_f64() * 1000.0;
                self.tell("latency", &object(&[("milliseconds", milliseconds.into())]));
            }
        }
    }

    fn on_sign(self: &Rc<Self>, input: SigningInput) {
        let Some(signer) = self.signer.borrow().clone() else { return };
        self.is_asking.set(true);
        let tunnel = Rc::clone(self);
        task::spawn(async move {
            let signature = match signer.sign(input.as_bytes()).await {
                Signed::Yes(signature) => Some(signature),
                Signed::No => None,
                Signed::Nonsense => {
                    let message = "the signer gave something that is no Ed25519 signature of 64 bytes";
                    let hint = Some("sign has to return a Uint8Array of 64 bytes, or null for a no");
                    *tunnel.blame.borrow_mut() = Some(fault_with_hint("signer_invalid", message, hint));
                    None
                }
            };
            tunnel.is_asking.set(false);
            tunnel.driver.with(|agent, now| agent.handle_signature(&input, signature, now));
        });
    }

    fn on_up(&self, endpoint: &Endpoint) {
        let detail = object(&[
            ("url", endpoint.url.as_str().into()),
            ("relayAddress", endpoint.relay.map(|relay| relay.to_string()).into()),
            (
                "services",
                endpoint.services.iter().map(|name| JsValue::from_str(name)).collect::<Array>().into(),
            ),
        ]);
        self.tell_state("connected");
        self.tell("up", &detail);
    }

    fn on_refused(&self, service: &str, code: &str, error: &str) {
        // Offered again, it would be refused again.
        self.withdraw(service);
        self.driver.with(|agent, now| agent.unbind(service, now));
        let refusal = fault(code, &format!("the relay does not take the service {service}: {error}"));
        let waiting = self.waiting_for(service);
        if waiting.is_empty() {
            self.tell("error", &refusal);
        }
        for waiting in waiting {
            // Whoever does not wait any more need not know.
            let _unheard = waiting.send(Err(refusal.clone()));
        }
    }

    fn on_down(&self, reason: &DownReason, retry_at: Option<Instant>) {
        let is_asking = self.is_asking.get();
        let why = match self.blame.take() {
            Some(blame) => blame,
            None if is_asking && matches!(reason, DownReason::TimedOut(_)) => fault_with_hint(
                "signer_timeout",
                "the signer did not answer before the login ran out",
                Some("connect again, and answer your wallet within 30 seconds"),
            ),
            None => of_down(reason),
        };
        // Dialling again would put a second question beside the one that is still open.
        let retry_at = retry_at.filter(|_| !is_asking);
        if retry_at.is_none() {
            self.end_with(why.clone());
        }
        let retry_in = retry_at.map(|at| (at - clock::now()).as_secs_f64() * 1000.0);
        let detail = object(&[
            ("error", why.clone()),
            ("code", code_of(reason).into()),
            ("message", reason.to_string().into()),
            ("hint", hint_of(reason).map_or(JsValue::UNDEFINED, JsValue::from_str)),
            ("retryIn", retry_in.map_or(JsValue::UNDEFINED, JsValue::from_f64)),
        ]);
        self.tell_state(match (retry_at, reason) {
            (Some(_), _) => "reconnecting",
            (None, DownReason::Finished) => "disconnected",
            (None, _) => "error",
        });
        self.tell("down", &detail);
        if retry_at.is_none() && !matches!(reason, DownReason::Finished) {
            self.tell("error", &why);
        }
    }

    fn end_with(&self, why: JsValue) {
        self.driver.with(|agent, now| agent.close(now));
        self.driver.abandon();
        *self.signer.borrow_mut() = None;
        self.services.borrow_mut().clear();
        *self.end.borrow_mut() = Some(why.clone());
        for (_, waiting) in mem::take(&mut *self.binding.borrow_mut()) {
            // Whoever does not wait any more need not know.
            let _unheard = waiting.send(Err(why.clone()));
        }
    }

    fn on_incoming(self: &Rc<Self>, id: StreamId, opening: StreamHeader) {
        // Dropped, it is refused: to a visitor that is the relay's page for a service that is not there.
        let stream = TunnelStream::new(self.driver.clone(), id);
        let offered = {
            let services = self.services.borrow();
            let found = services.iter().find(|(name, _)| *name == opening.service);
            found.map(|(_, offered)| offered.clone()).filter(|offered| offered.access.admits(opening.from))
        };
        if offered.is_some() {
            let detail = object(&[
                ("service", opening.service.as_str().into()),
                ("visitor", opening.visitor.as_deref().map_or(JsValue::UNDEFINED, JsValue::from_str)),
                ("from", opening.from.map_or(JsValue::UNDEFINED, |from| from.to_string().into())),
            ]);
            self.tell("stream", &detail);
        }
        let tunnel = Rc::downgrade(self);
        task::spawn(async move {
            if opening.from.is_some() {
                let verdict = match offered {
                    Some(_) => OpenResult::Accepted,
                    None => OpenResult::not_reachable(),
                };
                // A stream that is gone needs no answer.
                let _told = stream.write(verdict.encode()).await;
            }
            let Some(offered) = offered else {
                let _over = stream.finish();
                return;
            };
            let complain = move |error: &JsValue| {
                if let Some(tunnel) = tunnel.upgrade() {
                    tunnel.tell("error", error);
                }
            };
            serve::converse(stream, opening, offered.answer, complain).await;
        });
    }

    fn tell_state(&self, state: &str) {
        self.tell("state", &object(&[("state", state.into())]));
    }

    fn tell(&self, kind: &str, detail: &JsValue) {
        // A listener that throws is the page's business, and its browser reports it.
        let _thrown = self.tell.call2(&JsValue::UNDEFINED, &kind.into(), detail);
    }
}

fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // Cannot fail on an object of our own.
        let _set = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}
