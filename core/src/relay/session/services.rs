//! The services of a session: what its agent may bind, and what it is told of them.

use alloc::string::{String, ToString};

use super::{BindRefusal, Session};
use crate::dialect::{OnConflict, Proto, Service, Signal};
use crate::names::BARE_SERVICE;
use crate::time::Instant;

/// Services that one session may bind. A person offers a few; each costs the relay a name.
const MAX_SERVICES: usize = 64;
/// Code of a service that another session has taken.
const REPLACED: &str = "replaced";

impl Session {
    /// Answers [`SessionEvent::Bind`](super::SessionEvent::Bind): the service is reachable, for visitors at `url`. A private
    /// one has none. Returns whether it is: there may be too many by now.
    pub fn confirm(&mut self, service: Service, url: String, now: Instant) -> bool {
        self.confirm_at(service, url, None, now)
    }

    /// The same, for a service that has a public port of its own.
    pub fn confirm_at(&mut self, service: Service, url: String, port: Option<u16>, now: Instant) -> bool {
        let (name, url) = (service.name.clone(), Some(url).filter(|_| service.public));
        let local_port = service.local_port;
        match self.services.iter().position(|known| known.name == name) {
            Some(at) => self.services[at] = service,
            // Several binds may have arrived before the first was confirmed.
            None if self.services.len() >= MAX_SERVICES => {
                self.decline(&name, &too_many(), now);
                return false;
            }
            None => self.services.push(service),
        }
        self.send(Signal::BindOk { service: name, local_port, url, port }, now);
        self.drain_links();
        true
    }

    /// Answers [`SessionEvent::Bind`](super::SessionEvent::Bind): it is not.
    pub fn decline(&mut self, service: &str, refusal: &BindRefusal, now: Instant) {
        self.send(Signal::bind_failed(service, refusal.code, &refusal.error), now);
        self.drain_links();
    }

    /// The bound service of this name that visitors may reach; `None` asks for the one at the bare name: [`BARE_SERVICE`],
    /// else the first that browsers can visit.
    pub fn service(&self, name: Option<&str>) -> Option<&Service> {
        let mut public = self.services.iter().filter(|service| service.public);
        if let Some(name) = name {
            return public.find(|service| service.name == name);
        }
        let mut visited = public.filter(|service| service.proto != Proto::Tcp);
        visited.clone().find(|service| service.name == BARE_SERVICE).or_else(|| visited.next())
    }

    /// The bound service of this name, private or not: for identities, of whom the owner decides.
    pub fn service_for_identities(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Every bound service, in the order in which they were bound; private ones too.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Another session serves this service from now on; `by` is that program, if it allows to tell. Streams go on.
    pub fn replace_service(&mut self, service: &str, by: Option<String>, now: Instant) {
        let Some(at) = self.services.iter().position(|known| known.name == service) else { return };
        self.services.remove(at);
        let (service, code) = (service.to_string(), REPLACED.to_string());
        self.send(Signal::Unbound { service, code, by }, now);
        self.drain_links();
    }

    /// Whether a service may be bound at all, before the relay is asked.
    pub(super) fn check_bind(
        &self,
        service: &str,
        proto: Option<Proto>,
        on_conflict: Option<OnConflict>,
    ) -> Result<(Proto, OnConflict), BindRefusal> {
        if self.peer.only_calls {
            let error = String::from("a session that only calls binds no service");
            return Err(BindRefusal { code: "not_allowed", error });
        }
        Service::check_name(service).map_err(|e| BindRefusal { code: "bad_name", error: e.to_string() })?;
        if self.allowed_services.as_ref().is_some_and(|allowed| !allowed.iter().any(|name| name == service)) {
            let error = String::from("this relay does not allow a service of this name");
            return Err(BindRefusal { code: "not_allowed", error });
        }
        self.peer.check_bind(service)?;
        let known = self.services.iter().any(|bound| bound.name == service);
        if !known && self.services.len() >= MAX_SERVICES {
            return Err(too_many());
        }
        proto.zip(on_conflict).ok_or_else(|| {
            let error =
                String::from("this relay is too old for what this service carries or for its on_conflict");
            BindRefusal { code: "not_offered", error }
        })
    }
}

fn too_many() -> BindRefusal {
    let error = alloc::format!("at most {MAX_SERVICES} services can be bound at once");
    BindRefusal { code: "too_many", error }
}
