//! Who may be an agent of a relay, and which services each may offer: the seam for a database of accounts.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;

use crate::config::Policy;

/// How long a decision may take. The agent's login waits for it.
pub const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// A decision that may take its time.
pub type Decision<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// Decides who may be an agent. Every identity that is asked about has proved that it holds its key.
pub trait Registry: Send + Sync {
    /// Whether `agent` may connect, and what happens if it is connected already. An agent whose decision takes longer than
    /// [`REGISTRY_TIMEOUT`] is refused.
    fn admit(&self, agent: Address) -> Decision<'_, Admission>;

    /// Whether `agent` may offer a service of this name. Called on a worker thread: it must not block.
    ///
    /// # Errors
    /// Why not; the agent's owner is told.
    fn may_offer(&self, agent: &Address, service: &str) -> Result<(), Refusal> {
        let _any = (agent, service);
        Ok(())
    }
}

/// What is granted to an agent.
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

/// A `no`, with a text for the agent's owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The local registry: every identity may be an agent.
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
