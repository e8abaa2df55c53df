//! The services that a client exposes, each with an agent and a link of its own, until they are stopped.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hvym_tunnel_agent::event::LinkState;
use hvym_tunnel_agent::{Agent, AgentEvent, AgentHandle, Inspection, RelayUrl, ServiceSpec, Signer};
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_inspector::Capture;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_net::target::{ServiceName, Target, is_loopback_host};
use hvym_tunnel_net::timeout::within;
use serde_json::{Value, json};

use super::McpOptions;
use super::tools::{Call, ToolScope, WantedAccess};
use crate::embedded::{self, Embedded, OwnRelay};

/// Services at once, each with a link: more than a conversation needs.
const MAX_SERVICES: usize = 16;
/// How long a service may take to be reached for the first time: some attempts with their delays.
const ONLINE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests that are under way may take when a service is stopped.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of each body that are shown: a page of text, and little of what an assistant can hold.
const BODY_BYTES: usize = 4096;

/// The services of one client.
pub(super) struct Tunnels {
    signer: Signer,
    options: McpOptions,
    capture: Arc<Capture>,
    state: Mutex<TunnelState>,
}

#[derive(Default)]
struct TunnelState {
    services: BTreeMap<String, Exposed>,
    /// Where no relay is named.
    own_relay: Option<Embedded>,
}

/// One service. Dropped, it ends.
struct Exposed {
    agent: Arc<AgentHandle>,
    target: Target,
    is_public: bool,
    /// Where it is reached, once it is.
    url: Option<String>,
    _inspection: Inspection,
}

impl Tunnels {
    /// Nothing is exposed yet.
    pub(super) fn new(signer: Signer, options: McpOptions) -> Self {
        // What the client exposes, it may look at.
        let capture = Capture::new(true);
        Self { signer, options, capture, state: Mutex::default() }
    }

    /// How far what is exposed reaches.
    pub(super) fn scope(&self) -> ToolScope {
        let relay = self.options.link.relay.as_ref().map(ToString::to_string);
        let permissions = self.options.permissions;
        ToolScope { relay, any_target: permissions.any_target, private_only: permissions.private_only }
    }

    /// Does what the client asks for.
    ///
    /// # Errors
    /// Why not, in words for the client.
    pub(super) async fn call(&self, call: Call) -> Result<Value, String> {
        match call {
            Call::Expose { name, target, access } => self.expose(&name, target, access).await,
            Call::List => Ok(json!({ "services": self.list() })),
            Call::Inspect { service, limit } => {
                let requests = self.capture.summaries(service.as_deref(), limit);
                Ok(json!({ "requests": requests }))
            }
            Call::InspectOne { id } => self
                .capture
                .detail(id, BODY_BYTES)
                .ok_or_else(|| format!("there is no request {id}, or it had to make room for later ones")),
            Call::Stop { name } => self.stop(name.as_deref()).await,
        }
    }

    /// Ends everything.
    pub(super) async fn shutdown(&self) {
        let (services, own_relay) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.services), state.own_relay.take())
        };
        join_all(services.into_values().map(end)).await;
        if let Some(own) = own_relay {
            own.stop().await;
        }
    }

    async fn expose(
        &self,
        name: &ServiceName,
        target: Target,
        access: WantedAccess,
    ) -> Result<Value, String> {
        let permissions = self.options.permissions;
        if !permissions.any_target && !is_port_of_this_machine(&target) {
            return Err(format!(
                "{target} is no port of this machine: the person who started this server allows no other target (--any-target)"
            ));
        }
        let is_public = access == WantedAccess::Public;
        if is_public && permissions.private_only {
            return Err(
                "the person who started this server allows no public address (--private-only)".to_owned()
            );
        }
        let mut spec = ServiceSpec::new(name.clone(), target);
        if let WantedAccess::Private(allowed) = access {
            spec.access = Access::Private(allowed.into_iter().collect());
        }
        let agent = self.start(spec, is_public)?;
        let outcome = match within(ONLINE_TIMEOUT, online(&agent)).await {
            Some(outcome) => outcome,
            None => Err("the relay was not reached in time; list and expose again later".to_owned()),
        };
        let mut state = self.lock();
        let relay = self.relay_of(&state);
        // It may have been stopped meanwhile, and the name have been taken again.
        let own = state.services.get_mut(name.as_str()).filter(|own| Arc::ptr_eq(&own.agent, &agent));
        match (outcome, own) {
            (Ok(url), Some(own)) => {
                own.url = Some(url);
                Ok(described(name.as_str(), own, &relay))
            }
            (Ok(_), None) => Err("it was stopped before it was reached".to_owned()),
            (Err(reason), own) => {
                if own.is_some() {
                    state.services.remove(name.as_str());
                }
                Err(reason)
            }
        }
    }

    /// Starts the agent of a service, which has its name from then on.
    fn start(&self, spec: ServiceSpec, is_public: bool) -> Result<Arc<AgentHandle>, String> {
        let (name, target) = (spec.name.to_string(), spec.target.clone());
        let mut state = self.lock();
        if state.services.contains_key(&name) {
            return Err(format!("there is a service {name} already: stop it, or choose another name"));
        }
        if state.services.len() >= MAX_SERVICES {
            return Err(format!("{MAX_SERVICES} services are exposed already: stop one of them"));
        }
        let mut builder = Agent::builder(self.signer.clone())
            .link(self.options.link.clone())
            .known_relays(self.options.known_relays.clone())
            .service(spec);
        if self.options.link.relay.is_none() {
            let (relay, address) = self.own_relay(&mut state)?;
            builder = builder.relay(relay).relay_address(address);
        }
        let agent = Arc::new(builder.start(&RuntimeHandle::current()).map_err(text)?);
        let inspection = agent.inspect(self.capture.observer());
        let exposed =
            Exposed { agent: Arc::clone(&agent), target, is_public, url: None, _inspection: inspection };
        state.services.insert(name, exposed);
        Ok(agent)
    }

    /// The relay of its own, started if it does not run.
    fn own_relay(&self, state: &mut TunnelState) -> Result<(RelayUrl, Address), String> {
        if state.own_relay.is_none() {
            let own = OwnRelay { is_reaching: true, ..OwnRelay::default() };
            let started = embedded::start(own, self.options.link.keepalive, self.signer.address());
            state.own_relay = Some(started.map_err(text)?);
        }
        let own = state.own_relay.as_ref().ok_or("there is no relay")?;
        Ok((own.url(), own.address()))
    }

    async fn stop(&self, name: Option<&str>) -> Result<Value, String> {
        let stopped = {
            let mut state = self.lock();
            match name {
                None => std::mem::take(&mut state.services),
                Some(name) => match state.services.remove_entry(name) {
                    Some(service) => BTreeMap::from([service]),
                    None => return Err(format!("there is no service {name}; list says which there are")),
                },
            }
        };
        let names: Vec<String> = stopped.keys().cloned().collect();
        join_all(stopped.into_values().map(end)).await;
        Ok(json!({ "stopped": names }))
    }

    fn list(&self) -> Vec<Value> {
        let state = self.lock();
        let relay = self.relay_of(&state);
        state.services.iter().map(|(name, exposed)| described(name, exposed, &relay)).collect()
    }

    /// Where the services are exposed.
    fn relay_of(&self, state: &TunnelState) -> String {
        let own = state.own_relay.as_ref().map(Embedded::url);
        self.options.link.relay.as_ref().or(own.as_ref()).map(ToString::to_string).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, TunnelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service, for the client; of a private one, what those who may reach it type.
fn described(name: &str, exposed: &Exposed, relay: &str) -> Value {
    let state = match exposed.agent.closed().now_or_never() {
        Some(outcome) => format!("ended: {}", outcome.err().map_or_else(|| "as asked".to_owned(), text)),
        None if exposed.agent.status().link == LinkState::Online => "online".to_owned(),
        None => "connecting".to_owned(),
    };
    let mut described = json!({
        "name": name,
        "target": exposed.target.to_string(),
        "public": exposed.is_public,
        "state": state,
    });
    match &exposed.url {
        Some(url) if exposed.is_public => described["url"] = json!(url),
        Some(address) => {
            described["reached_by"] = json!(format!("hvym-tunnel forward {address} --relay {relay}"));
        }
        None => {}
    }
    described
}

/// Waits until the service is reached: where it is.
async fn online(agent: &AgentHandle) -> Result<String, String> {
    let events = agent.events();
    while let Some(event) = events.next().await {
        match event {
            AgentEvent::Online { services } => {
                return services.into_iter().next().map(|service| service.url).ok_or_else(not_taken);
            }
            AgentEvent::ServiceRefused { message, .. } => return Err(message),
            _ => {}
        }
    }
    Err(agent.closed().await.err().map_or_else(|| "it was stopped".to_owned(), text))
}

fn not_taken() -> String {
    "the relay has not taken the service".to_owned()
}

/// Lets what is under way finish.
async fn end(exposed: Exposed) {
    exposed.agent.drain(DRAIN_LIMIT);
    // Why it ended before it was asked to is nobody's concern any more.
    let _outcome = exposed.agent.closed().await;
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Whether nothing is exposed but what listens at a port here.
fn is_port_of_this_machine(target: &Target) -> bool {
    matches!(target, Target::Origin(origin) if is_loopback_host(&origin.host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_this_machine_is_no_folder_no_socket_and_no_other_machine() {
        let is_own = |text: &str| is_port_of_this_machine(&text.parse().expect("a target"));
        for own in
            ["3000", "localhost:3000", "https://LOCALHOST:8443", "tcp://127.0.0.1:22", "http://[::1]:80"]
        {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "./site",
            "/etc",
            "unix:/run/app.sock",
            "http://10.0.0.1:80",
            "tcp://db:5432",
            "localhost.example:1",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
