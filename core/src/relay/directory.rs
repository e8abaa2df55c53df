//! From a public name to the session that serves it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use thiserror::Error;

use crate::dialect::Service;
use crate::stellar::Address;

/// The owner of a public name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// Whoever proves to be this identity.
    Identity(Address),
    /// An agent without an identity, known to the relay's operator by this name: one DNS label, lower case.
    Named(Arc<str>),
}

impl From<Address> for Owner {
    fn from(address: Address) -> Self {
        Owner::Identity(address)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Identity(address) => address.fmt(f),
            Owner::Named(name) => f.write_str(name),
        }
    }
}

/// What a visitor's host name names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Name {
    /// The agent.
    pub owner: Owner,
    /// The service; `None` is the agent's first.
    pub service: Option<String>,
}

/// Why a host name cannot be resolved.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NameError {
    /// Neither the relay's domain nor below it.
    #[error("this relay serves {domain}, not {host}")]
    OtherDomain {
        /// The relay's domain.
        domain: String,
        /// What was asked for.
        host: String,
    },
    /// The relay's own name: no agent is meant.
    #[error("no agent is named")]
    Bare,
    /// Below the relay's domain, but neither `[service.]address` nor a registered name.
    #[error("{0} is not the name of an agent")]
    NotAnAddress(String),
}

/// The live sessions by owner. `K` names a session; the directory never confuses two of the same owner.
#[derive(Debug)]
pub struct Directory<K> {
    domain: String,
    sessions: BTreeMap<Owner, K>,
    /// Names of agents without an identity, connected or not.
    registered: BTreeSet<Arc<str>>,
}

impl<K: PartialEq> Directory<K> {
    /// An empty directory of a relay that serves `domain` and what is below it.
    pub fn new(domain: &str) -> Self {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        Self { domain, sessions: BTreeMap::new(), registered: BTreeSet::new() }
    }

    /// Registers the name of an agent without an identity, which must pass [`Service::check_name`]. It resolves even while
    /// the agent is not connected.
    pub fn register(&mut self, name: Arc<str>) {
        self.registered.insert(name);
    }

    /// Puts `session` in place; the session it replaces, if any, is the caller's to end.
    pub fn insert(&mut self, owner: Owner, session: K) -> Option<K> {
        self.sessions.insert(owner, session)
    }

    /// Removes `session`, unless another one has replaced it. Returns whether it was there.
    ///
    /// Without the comparison, the clean-up of a replaced session would remove the one that replaced it.
    pub fn remove(&mut self, owner: &Owner, session: &K) -> bool {
        let there = self.sessions.get(owner) == Some(session);
        if there {
            self.sessions.remove(owner);
        }
        there
    }

    /// The session of this owner.
    pub fn lookup(&self, owner: &Owner) -> Option<&K> {
        self.sessions.get(owner)
    }

    /// The agent without an identity of this name, in any case, if it is registered or connected.
    pub fn named(&self, name: &str) -> Option<Owner> {
        let name = name.to_ascii_lowercase();
        if let Some(expected) = self.registered.get(name.as_str()) {
            return Some(Owner::Named(Arc::clone(expected)));
        }
        Some(Owner::Named(name.into())).filter(|owner| self.sessions.contains_key(owner))
    }

    /// What a `Host` header names: `<address>.<domain>`, `<service>.<address>.<domain>` or `<name>.<domain>`, in any
    /// case, with or without a port and a final dot.
    pub fn parse(&self, host: &str) -> Result<Name, NameError> {
        let host = without_port(host);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if host == self.domain {
            return Err(NameError::Bare);
        }
        let Some(label) = host.strip_suffix(&format!(".{}", self.domain)) else {
            return Err(NameError::OtherDomain { domain: self.domain.clone(), host });
        };
        let (service, address) = match label.rsplit_once('.') {
            Some((service, address)) => (Some(service), address),
            None => (None, label),
        };
        let wrong = || NameError::NotAnAddress(label.to_string());
        if service.is_some_and(|name| Service::check_name(name).is_err()) {
            return Err(wrong());
        }
        let owner = match Address::from_label(address) {
            Ok(address) => Owner::Identity(address),
            Err(_) => self.named(label).ok_or_else(wrong)?,
        };
        Ok(Name { owner, service: service.map(ToString::to_string) })
    }

    /// The host name of an agent's first service.
    pub fn host(&self, owner: &Owner) -> String {
        match owner {
            Owner::Identity(address) => format!("{}.{}", address.label(), self.domain),
            Owner::Named(name) => format!("{name}.{}", self.domain),
        }
    }

    /// The host name of a service.
    pub fn service_host(&self, owner: &Owner, service: &str) -> String {
        format!("{service}.{}", self.host(owner))
    }

    /// How many sessions are live.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

/// A port is what follows a `:` that is not inside an IPv6 literal.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}
