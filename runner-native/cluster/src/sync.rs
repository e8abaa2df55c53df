//! One exchange with the store: what a relay asks for, and what it is answered. It is atomic: all of it is done before another
//! relay's.

use std::time::Duration;

use crate::record::{NodeId, RelayRecord, ServiceKey, ServiceRecord};

/// Services that one exchange claims or releases, each: a thousandth of a second of the store, which serves all relays in turn.
pub(crate) const MAX_CHANGES: usize = 256;

/// What a relay asks of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncRequest {
    /// Who asks.
    pub node: NodeId,
    /// What the others are told of it.
    pub about: RelayRecord,
    /// How long it counts as alive from now on.
    pub lease: Duration,
    /// The highest epoch that it has seen. A store that has lost its data goes on from there.
    pub seen: u64,
    /// Whether all services are wanted, and not only those that have changed since `seen`.
    pub wants_all: bool,
    /// What it serves, and is not known to the store.
    pub claims: Vec<ServiceClaim>,
    /// What it serves no longer.
    pub releases: Vec<ServiceRelease>,
}

/// A service that a relay serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceClaim {
    /// Which.
    pub key: ServiceKey,
    /// What the others are told of it.
    pub record: ServiceRecord,
    /// Whether it is taken from another relay. If not, it is claimed only if no other relay that is alive has it.
    pub takes_over: bool,
}

/// A service that a relay serves no longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceRelease {
    /// Which.
    pub key: ServiceKey,
    /// The epoch by which the relay had it: with another one it is somebody else's by now.
    pub epoch: u64,
}

/// What the store answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SyncReply {
    /// The highest epoch given so far.
    pub epoch: u64,
    /// Whether the relay was not known, or its lease was over: it has lost what it had claimed.
    pub is_new: bool,
    /// Whether `changes` are all services.
    pub is_complete: bool,
    /// The relays that are alive, the asking one too.
    pub relays: Vec<(NodeId, RelayRecord)>,
    /// The services that have changed.
    pub changes: Vec<ServiceChange>,
    /// For each claim, in their order, its epoch; 0 if another relay has the service.
    pub claims: Vec<u64>,
}

/// A service as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceChange {
    /// Which.
    pub key: ServiceKey,
    /// The relay that serves it, by which epoch; `None`: none does.
    pub holder: Option<(NodeId, u64, ServiceRecord)>,
}
