//! From a public name to the session that serves it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use thiserror::Error;

use crate::names::{ClaimedName, HostParts, OwnerLabel, ShortLabel};
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
    /// The service; `None` is the one at the bare name.
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
    /// Below the relay's domain, but nothing that an agent has or could have as its name.
    #[error("{0} is not the name of an agent")]
    NotAnAddress(String),
    /// The short label of an address that is not connected, so that nobody knows which address it is.
    #[error("no agent is connected for {0}")]
    NotConnected(ShortLabel),
}

/// The live sessions by owner. `K` names a session; the directory never confuses two of the same owner.
#[derive(Debug)]
pub struct Directory<K> {
    domain: String,
    sessions: BTreeMap<Owner, K>,
    /// Names of agents without an identity, connected or not.
    registered: BTreeSet<Arc<str>>,
    /// The addresses that are here, by their short labels.
    short: BTreeMap<ShortLabel, Address>,
    /// Who has a claimed name, connected or not.
    claimed: BTreeMap<ClaimedName, Address>,
    /// Whose a host name outside of the domain is, connected or not.
    hosts: BTreeMap<String, Address>,
}

impl<K: PartialEq> Directory<K> {
    /// An empty directory of a relay that serves `domain` and what is below it.
    pub fn new(domain: &str) -> Self {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        Self {
            domain,
            sessions: BTreeMap::new(),
            registered: BTreeSet::new(),
            short: BTreeMap::new(),
            claimed: BTreeMap::new(),
            hosts: BTreeMap::new(),
        }
    }

    /// Registers the name of an agent without an identity, which must pass [`check_label`](crate::names::check_label). It
    /// resolves even while the agent is not connected.
    pub fn register(&mut self, name: Arc<str>) {
        self.registered.insert(name);
    }

    /// Puts `session` in place; the session it replaces, if any, is the caller's to end.
    pub fn insert(&mut self, owner: Owner, session: K) -> Option<K> {
        if let Owner::Identity(address) = &owner {
            self.short.insert(ShortLabel::new(address), *address);
        }
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

    /// Forgets the short label of an owner that has no session: until then, its host names say whose they are.
    pub fn forget(&mut self, owner: &Owner) {
        if let Owner::Identity(address) = owner
            && !self.sessions.contains_key(owner)
        {
            self.short.remove(&ShortLabel::new(address));
        }
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

    /// What a `Host` header names: by [`HostParts`], or as the name of an agent without an identity; in any case, with or
    /// without a port and a final dot.
    ///
    /// # Errors
    /// Why it leads to no agent.
    pub fn parse(&self, host: &str) -> Result<Name, NameError> {
        let host = without_port(host);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if host == self.domain {
            return Err(NameError::Bare);
        }
        let Some(labels) = host.strip_suffix(&self.domain).and_then(|rest| rest.strip_suffix('.')) else {
            return match self.hosts.get(&host) {
                Some(address) => Ok(Name { owner: (*address).into(), service: None }),
                None => Err(NameError::OtherDomain { domain: self.domain.clone(), host }),
            };
        };
        // What the relay's operator has named goes ahead of what agents are called by themselves.
        if let Some(registered) = self.registered.get(labels) {
            return Ok(Name { owner: Owner::Named(Arc::clone(registered)), service: None });
        }
        let parts = HostParts::parse(labels);
        let found = parts.as_ref().and_then(|parts| self.owner(&parts.owner));
        if let (Some(owner), Some(parts)) = (found, parts) {
            return Ok(Name { owner: owner.into(), service: parts.service.map(ToString::to_string) });
        }
        if let Some(owner) = self.named(labels) {
            return Ok(Name { owner, service: None });
        }
        Err(match parts {
            Some(HostParts { owner: OwnerLabel::Short(short), .. }) => NameError::NotConnected(short),
            _ => NameError::NotAnAddress(labels.to_string()),
        })
    }

    fn owner(&self, label: &OwnerLabel<'_>) -> Option<Address> {
        match label {
            OwnerLabel::Address(address) => Some(*address),
            OwnerLabel::Short(short) => self.short.get(short).copied(),
            OwnerLabel::Claimed(name) => self.claimed.get(*name).copied(),
        }
    }

    /// The host name of an agent's service `web`, or its first.
    pub fn host(&self, owner: &Owner) -> String {
        match owner {
            Owner::Identity(address) => format!("{}.{}", ShortLabel::new(address), self.domain),
            Owner::Named(name) => format!("{name}.{}", self.domain),
        }
    }

    /// The host name of a service. An agent without an identity has one service, at its bare name.
    pub fn service_host(&self, owner: &Owner, service: &str) -> String {
        match owner {
            Owner::Identity(_) => format!("{service}--{}", self.host(owner)),
            Owner::Named(_) => self.host(owner),
        }
    }

    /// The host name of an agent by its whole address, as programs of older systems expect it.
    pub fn long_host(&self, owner: &Owner) -> String {
        match owner {
            Owner::Identity(address) => format!("{}.{}", address.label(), self.domain),
            Owner::Named(_) => self.host(owner),
        }
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
