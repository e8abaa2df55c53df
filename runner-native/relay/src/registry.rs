//! Decides who may be an agent of a relay, and which services each may offer: the interface for a database of
//! accounts.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;

use crate::config::Policy;

/// Timeout of a decision. The agent's login waits for it.
pub const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// The future of a decision.
pub type Decision<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// Decides who may be an agent. Each identity has proved before that it holds its key.
pub trait Registry: Send + Sync {
    /// Whether `agent` may connect, and what happens if it is connected already. An agent whose decision takes longer than
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
}

/// An agent's permission to connect.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Admission {
    /// What happens to its older link, if there is one.
    pub policy: Policy,
}

impl Admission {
    /// Admits an agent under this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy }
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

/// The default registry: admits every identity.
#[derive(Copy, Clone, Debug, Default)]
pub struct OpenRegistry {
    /// What happens when an identity connects twice.
    pub policy: Policy,
}

impl Registry for OpenRegistry {
    fn admit(&self, _agent: Address) -> Decision<'_, Admission> {
        let admission = Admission::new(self.policy);
        Box::pin(async move { Ok(admission) })
    }
}
