//! Decides who may be an agent of a relay, and which services each may offer: the interface for a database of
//! accounts.

mod error;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;

use crate::config::Policy;
pub use error::AgentListFileError;

/// Timeout of a decision. The agent's login waits for it.
pub const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// The future of a decision.
pub type Decision<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// Decides who may be an agent. Each identity has proved before that it holds its key.
pub trait Registry: Send + Sync {
    /// Whether `agent` may connect. An agent whose decision takes longer than
    /// [`REGISTRY_TIMEOUT`] is refused.
    fn admit(&self, agent: Address) -> Decision<'_, Admission>;

    /// Whether `agent` may offer a service of this name. Called on a worker thread: it must not block.
    ///
    /// # Errors
    /// The reason, which is sent to the agent.
    fn may_offer(&self, agent: &Address, service: &str) -> Result<(), Refusal> {
        let _any = (agent, service);
        Ok(())
    }

    /// Whether `agent` may claim this name, whatever the relay's options say; `None` leaves it to them. Called on a worker
    /// thread: it must not block.
    ///
    /// # Errors
    /// The reason, which is sent to the agent.
    fn may_claim(&self, agent: &Address, name: &str) -> Option<Result<(), Refusal>> {
        let _any = (agent, name);
        None
    }

    /// Reads again what the decisions depend on, if that is a file, and returns how many agents are listed. Sessions of
    /// identities that are not admitted any more are ended then.
    ///
    /// # Errors
    /// The file cannot be used; the decisions stay as they were.
    fn reload(&self) -> Option<Result<usize, AgentListFileError>> {
        None
    }

    /// Called every half minute. As [`Self::reload`] if something has changed, else `None`.
    fn poll(&self) -> Option<Result<usize, AgentListFileError>> {
        None
    }
}

/// An agent's permission to connect.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Admission {
    /// What happens to its older link, if both are of programs that name no instance.
    pub policy: Policy,
    /// Public TCP ports at once; `None` is the share that every agent has.
    pub tcp_ports: Option<usize>,
    /// Requests of its visitors in a second, in the long run; `None` is as many as come.
    pub rate: Option<u32>,
    /// Whether the operator named this agent: places are kept for it.
    pub is_listed: bool,
    /// Services at once, private ones included; `None` is as many as the protocol allows.
    pub max_services: Option<usize>,
}

impl Admission {
    /// Admits an agent under this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Sets [`Self::tcp_ports`].
    #[must_use]
    pub const fn with_tcp_ports(mut self, tcp_ports: Option<usize>) -> Self {
        self.tcp_ports = tcp_ports;
        self
    }

    /// Sets [`Self::rate`].
    #[must_use]
    pub const fn with_rate(mut self, rate: Option<u32>) -> Self {
        self.rate = rate;
        self
    }

    /// Sets [`Self::is_listed`].
    #[must_use]
    pub const fn with_listed(mut self, is_listed: bool) -> Self {
        self.is_listed = is_listed;
        self
    }

    /// Sets [`Self::max_services`].
    #[must_use]
    pub const fn with_max_services(mut self, max_services: Option<usize>) -> Self {
        self.max_services = max_services;
        self
    }
}

/// A refusal, with a text that is sent to the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Admits every identity.
#[derive(Copy, Clone, Debug, Default)]
pub struct OpenRegistry {
    /// What happens when a program that names no instance connects twice.
    pub policy: Policy,
}

impl Registry for OpenRegistry {
    fn admit(&self, _agent: Address) -> Decision<'_, Admission> {
        let admission = Admission::new(self.policy);
        Box::pin(async move { Ok(admission) })
    }
}
