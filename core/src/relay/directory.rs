//! From a public name to the sessions that serve it: the names here, who serves what in [`bindings`](super::bindings).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use thiserror::Error;

use super::bindings::{AdmitError, Admitted, Bindings, Newcomer, Serving};
use super::owner::Owner;
use crate::dialect::Service;
use crate::names::{ClaimedName, HostParts, OwnerLabel, PublicName, ShortLabel};
use crate::stellar::Address;
use crate::time::Instant;

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

impl NameError {
    /// Whether the relay itself is meant: by its domain, by an IP address, or as this machine.
    pub fn means_relay(&self) -> bool {
        match self {
            NameError::Bare => true,
            NameError::OtherDomain { host, .. } => {
                host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            }
            NameError::NotAnAddress(_) | NameError::NotConnected(_) => false,
        }
    }
}

/// The live sessions and their services, by owner. `K` names a session; the directory never confuses two of the same owner.
pub struct Directory<K> {
    domain: String,
    bindings: Bindings<K>,
    /// Names of agents without an identity, connected or not.
    registered: BTreeSet<Arc<str>>,
    /// The addresses that are here, by their short labels.
    short: BTreeMap<ShortLabel, Address>,
    /// Who has a claimed name, connected or not.
    claimed: BTreeMap<ClaimedName, Address>,
    /// Whose a host name outside of the domain is, connected or not.
    hosts: BTreeMap<String, Address>,
}

impl<K: Copy + Ord> Directory<K> {
    /// An empty directory of a relay that serves `domain` and what is below it.
    pub fn new(domain: &str) -> Self {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        Self {
            domain,
            bindings: Bindings::new(),
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

    /// Registers these names and no others. Sessions that have another one keep it until they end.
    pub fn set_registered(&mut self, names: impl IntoIterator<Item = Arc<str>>) {
        self.registered = names.into_iter().collect();
    }

    /// Admits a session that logged in, in place of an older one of the same program. Services of that one are
    /// [`Serving::Expected`], as after [`Directory::remove`].
    ///
    /// # Errors
    /// [`AdmitError`]; nothing has changed then.
    pub fn admit(&mut self, session: K, newcomer: Newcomer, now: Instant) -> Result<Admitted<K>, AdmitError> {
        let owner = newcomer.owner.clone();
        let admitted = self.bindings.admit(session, newcomer, now)?;
        if let Owner::Identity(address) = owner {
            self.short.insert(ShortLabel::new(&address), address);
        }
        Ok(admitted)
    }

    /// Gives a name to an address, until [`Self::withdraw_name`].
    pub fn assign_name(&mut self, name: PublicName, owner: Address) {
        match name {
            PublicName::Label(name) => drop(self.claimed.insert(name, owner)),
            PublicName::Host(host) => drop(self.hosts.insert(host.as_str().to_string(), owner)),
        }
    }

    /// Takes a name back.
    pub fn withdraw_name(&mut self, name: &PublicName) {
        match name {
            PublicName::Label(name) => drop(self.claimed.remove(name)),
            PublicName::Host(host) => drop(self.hosts.remove(host.as_str())),
        }
    }

    /// The host name of a service by a claimed name of its owner; `None` is the one at the bare name.
    pub fn claimed_host(&self, name: &ClaimedName, service: Option<&str>) -> String {
        match service {
            Some(service) => format!("{service}--{name}.{}", self.domain),
            None => format!("{name}.{}", self.domain),
        }
    }

    /// Binds a service for a session that was admitted. Returns the sessions that serve it no longer, whose agents are to be
    /// told.
    ///
    /// # Errors
    /// The session that has the service and keeps it, if there is one; without one, `session` is not admitted.
    pub fn bind(&mut self, session: K, service: &Service) -> Result<Vec<K>, Option<K>> {
        self.bindings.bind(session, service)
    }

    /// A session withdraws a service. Returns whether no other one has it.
    pub fn unbind(&mut self, session: K, service: &str) -> bool {
        self.bindings.unbind(session, service)
    }

    /// The agent of this session goes away in good order: it serves nobody new.
    pub fn set_leaving(&mut self, session: K) {
        self.bindings.set_leaving(session);
    }

    /// Removes a session; another one of the same owner stays. Returns the services that nobody has any more. Where the agent
    /// went away in good order, they are [`Serving::Expected`] until [`Directory::expire`] is called after
    /// [`SUCCESSOR_LIMIT`](super::SUCCESSOR_LIMIT).
    pub fn remove(&mut self, session: K, now: Instant) -> Vec<Arc<str>> {
        let owner = self.bindings.owner(session).cloned();
        let vacant = self.bindings.remove(session, now);
        owner.iter().for_each(|owner| self.forget_label(owner));
        vacant
    }

    /// Forgets services of this owner that nobody has bound in time.
    pub fn expire(&mut self, owner: &Owner, now: Instant) {
        self.bindings.expire(owner, now);
        self.forget_label(owner);
    }

    /// The short label of an owner is kept while visitors may wait for its next session: only it says whose it is.
    fn forget_label(&mut self, owner: &Owner) {
        if let Owner::Identity(address) = owner
            && !self.bindings.is_known(owner)
        {
            self.short.remove(&ShortLabel::new(address));
        }
    }

    /// Who serves visitors of `name`.
    pub fn serving(&self, name: &Name) -> Serving<K> {
        self.bindings.serving(&name.owner, name.service.as_deref())
    }

    /// Who serves this service, private or not, to identities.
    pub fn serving_for_identities(&self, owner: &Owner, service: &str) -> Serving<K> {
        self.bindings.serving_for_identities(owner, service)
    }

    /// The sessions of this owner, oldest first.
    pub fn sessions_of(&self, owner: &Owner) -> &[K] {
        self.bindings.sessions_of(owner)
    }

    /// The agent without an identity of this name, in any case, if it is registered or connected.
    pub fn named(&self, name: &str) -> Option<Owner> {
        let name = name.to_ascii_lowercase();
        if let Some(expected) = self.registered.get(name.as_str()) {
            return Some(Owner::Named(Arc::clone(expected)));
        }
        Some(Owner::Named(name.into())).filter(|owner| !self.bindings.sessions_of(owner).is_empty())
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
        self.bindings.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.bindings.len() == 0
    }
}

/// A port is what follows a `:` that is not inside an IPv6 literal.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}
