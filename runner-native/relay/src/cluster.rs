//! The other relays behind the same domain, as far as requests and sessions have to do with them: the services that they serve, which
//! visitors reach here too, and links to their relays.
//!
//! To each of the others a relay is an agent that serves what its own agents do. So a service of another relay is one of the table of
//! sessions, and takes over and is taken over by the rules of those; a stream to it goes over the link of its relay. Who serves what, it is
//! told by [`crate::peers`].

mod remote;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hvym_proxy::pool::PoolConfig;
use hvym_tunnel_cluster::{NodeId, RelayRecord};
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::{self, Clock};
use smol::channel::{Receiver, Sender, bounded};

use remote::Remotes;

/// No end of the lease: the relay does not depend on the others.
const NO_END: u64 = u64::MAX;
/// Random bytes of a name, as of the instance of an agent.
const NODE_BYTES: usize = 16;

/// The part of a cluster that one relay is.
pub(crate) struct Cluster {
    /// The name of this relay among them.
    pub(crate) node: NodeId,
    /// What the others are told of it.
    pub(crate) about: RelayRecord,
    /// Whose relays are of the cluster.
    peers: Vec<Address>,
    /// The others.
    found: Mutex<BTreeMap<NodeId, RelayRecord>>,
    remotes: Mutex<Remotes>,
    /// Owners whose services may have changed here.
    touched: Mutex<BTreeSet<Owner>>,
    /// A message waits if there are some.
    changed: (Sender<()>, Receiver<()>),
    /// When the lease of this relay ends, in microseconds of the relay's clock.
    lease_until: AtomicU64,
    is_available: AtomicBool,
    /// Another relay has told that something has changed.
    has_news: AtomicBool,
}

/// Another relay.
pub(crate) struct OtherRelay {
    pub(crate) node: NodeId,
    pub(crate) record: RelayRecord,
    /// Whether visitors here reach its agents.
    pub(crate) is_linked: bool,
    /// Who is logged in there.
    pub(crate) owners: Vec<Owner>,
}

impl Cluster {
    /// The relay of this record, together with others of its identity and of `peers`. Nothing is known of them yet.
    pub(crate) fn new(about: RelayRecord, mut peers: Vec<Address>, pool: PoolConfig, clock: Clock) -> Self {
        peers.push(about.address);
        Self {
            node: NodeId::new(Rng::new(clock::seed()).token::<NODE_BYTES>()),
            about,
            peers,
            found: Mutex::default(),
            remotes: Mutex::new(Remotes::new(pool, clock)),
            touched: Mutex::default(),
            changed: bounded(1),
            lease_until: AtomicU64::new(NO_END),
            is_available: AtomicBool::new(false),
            has_news: AtomicBool::new(false),
        }
    }

    /// Whether whoever proved to be `address` is a relay of the cluster.
    pub(crate) fn is_peer(&self, address: Address) -> bool {
        self.peers.contains(&address)
    }

    /// The services of `owner` may have changed here.
    pub(crate) fn touch(&self, owner: &Owner) {
        lock(&self.touched).insert(owner.clone());
        self.wake_task();
    }

    /// Another relay has told that something has changed.
    pub(crate) fn handle_news(&self) {
        self.has_news.store(true, Ordering::Release);
        self.wake_task();
    }

    /// Whether another relay has told so since the last time.
    pub(crate) fn take_news(&self) -> bool {
        self.has_news.swap(false, Ordering::AcqRel)
    }

    fn wake_task(&self) {
        // A full channel means that the task will look anyway.
        let _told_already = self.changed.0.try_send(());
    }

    /// Whether others may have taken the services of this relay, and it cannot know: it stood still, or is cut off.
    pub(crate) fn is_fenced(&self, now: Instant) -> bool {
        now.as_micros() >= self.lease_until.load(Ordering::Acquire)
    }

    /// Whether the others can be told and heard of.
    pub(crate) fn is_available(&self) -> bool {
        self.is_available.load(Ordering::Relaxed)
    }

    /// How many of the others have a link to this relay.
    pub(crate) fn links(&self) -> usize {
        self.remotes().links()
    }

    /// Another relay is of the cluster.
    pub(crate) fn handle_relay_found(&self, node: &NodeId, record: &RelayRecord) {
        self.found_mut().insert(node.clone(), record.clone());
    }

    /// The other relays, as far as this one knows.
    pub(crate) fn others(&self) -> Vec<OtherRelay> {
        let (found, remotes) = (self.found_mut().clone(), self.remotes());
        let other = |(node, record): (NodeId, RelayRecord)| {
            let (is_linked, owners) = remotes.at(&node);
            OtherRelay { node, record, is_linked, owners }
        };
        found.into_iter().map(other).collect()
    }

    /// The lease ends then, unless the store answers again; `None`: the relay goes on with what it has.
    pub(crate) fn note_lease(&self, until: Option<Instant>, is_available: bool) {
        let until = until.map_or(NO_END, |until| until.as_micros());
        self.lease_until.store(until, Ordering::Release);
        self.is_available.store(is_available, Ordering::Relaxed);
    }

    /// The owners whose services may have changed since the last time.
    pub(crate) fn take_touched(&self) -> BTreeSet<Owner> {
        std::mem::take(&mut *lock(&self.touched))
    }

    /// Waits until services may have changed here.
    pub(crate) async fn changed(&self) {
        let _change = self.changed.1.recv().await;
    }

    fn found_mut(&self) -> MutexGuard<'_, BTreeMap<NodeId, RelayRecord>> {
        lock(&self.found)
    }

    fn remotes(&self) -> MutexGuard<'_, Remotes> {
        lock(&self.remotes)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
