//! Who is where: from a public name to the session that serves it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use thiserror::Error;

use crate::dialect::Service;
use crate::stellar::Address;

/// What a visitor's host name names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The agent.
    pub address: Address,
    /// The service; `None` is the agent's first.
    pub service: Option<String>,
}

/// Why a host name names nothing here.
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
    /// Below the relay's domain, but not `[service.]address`.
    #[error("{0} is not the name of an agent")]
    NotAnAddress(String),
}

/// The live sessions by address. `K` names a session; the directory never confuses two of the same address.
#[derive(Debug)]
pub struct Directory<K> {
    domain: String,
    sessions: BTreeMap<Address, K>,
}

impl<K: PartialEq> Directory<K> {
    /// An empty directory of a relay that serves `domain` and what is below it.
    pub fn new(domain: &str) -> Self {
        Self { domain: domain.trim_end_matches('.').to_ascii_lowercase(), sessions: BTreeMap::new() }
    }

    /// Puts `session` in place; the session it replaces, if any, is the caller's to end.
    pub fn insert(&mut self, address: Address, session: K) -> Option<K> {
        self.sessions.insert(address, session)
    }

    /// Takes `session` out, unless another one has taken its place meanwhile. Whether it was there.
    ///
    /// Without the comparison, the clean-up of a replaced session would remove the one that replaced it.
    pub fn remove(&mut self, address: &Address, session: &K) -> bool {
        let there = self.sessions.get(address) == Some(session);
        if there {
            self.sessions.remove(address);
        }
        there
    }

    /// The session of this address.
    pub fn lookup(&self, address: &Address) -> Option<&K> {
        self.sessions.get(address)
    }

    /// What a `Host` header names: `<address>.<domain>` or `<service>.<address>.<domain>`, in any case, with or
    /// without a port and a final dot.
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
        let address = Address::from_label(address).map_err(|_| wrong())?;
        Ok(Name { address, service: service.map(ToString::to_string) })
    }

    /// The host name of an agent's first service.
    pub fn host(&self, address: &Address) -> String {
        format!("{}.{}", address.label(), self.domain)
    }

    /// The host name of a service.
    pub fn service_host(&self, address: &Address, service: &str) -> String {
        format!("{service}.{}", self.host(address))
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
