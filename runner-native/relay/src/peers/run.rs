//! The task that tells the store what agents of this relay serve, and takes over what it tells of the others.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;
use hvym_tunnel_cluster::{
    ClusterDirectory, ClusterEvent, NodeId, RedisStore, RelayRecord, ServiceRecord, SyncError,
};
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_net::tls::Trust;

use super::dialer;
use crate::cluster::Cluster;
use crate::error::RelayError;
use crate::event::RelayEvent;
use crate::relay_state::RelayState;
use crate::settings::RelaySettings;

/// The store of a cluster, and how its relays are dialled.
pub(crate) struct ClusterStore {
    redis: RedisStore,
    trust: Trust,
}

/// This relay's part of a cluster, and its store; `None` if the relay is alone.
///
/// # Errors
/// The URL of the store, or the file of authorities, cannot be used.
pub(crate) fn join(
    settings: &RelaySettings,
    address: Address,
) -> Result<Option<(Cluster, ClusterStore)>, RelayError> {
    let options = &settings.options.cluster;
    let (Some(url), Some(own)) = (options.store()?, &options.cluster_address) else { return Ok(None) };
    let redis = RedisStore::new(&url).map_err(|error| RelayError::Cluster(error.to_string()))?;
    let trust = match &options.cluster_ca {
        Some(path) => Trust::with_authorities(path)
            .map_err(|error| RelayError::Cluster(format!("cannot use {}: {error}", path.display())))?,
        None => Trust::Verify,
    };
    let about = RelayRecord { url: dialer::url(own), address };
    let cluster = Cluster::new(about, options.cluster_peers.clone(), settings.pool(), Clock::new());
    Ok(Some((cluster, ClusterStore { redis, trust })))
}

impl ClusterStore {
    /// Keeps the relay of `state` and the others informed until it is dropped.
    pub(crate) async fn run(self, state: Arc<RelayState>) {
        let Some(cluster) = &state.cluster else { return };
        let ClusterStore { redis, trust } = self;
        let directory = ClusterDirectory::new(cluster.node.clone(), cluster.about.clone(), state.clock.now());
        let mut task = ClusterTask { state: &state, cluster, trust, directory, dialers: BTreeMap::new() };
        let mut store = Some(redis);
        loop {
            task.take_over();
            let Some(request) = task.directory.poll_request(state.clock.now()) else {
                task.wait().await;
                continue;
            };
            // Its calls block.
            let Some(mut redis) = store.take() else { return };
            let (redis, outcome) = smol::unblock(move || {
                let outcome = redis.sync(&request);
                (redis, outcome)
            })
            .await;
            store = Some(redis);
            match outcome {
                Ok(reply) => task.directory.handle_reply(reply, state.clock.now()),
                Err(error) => task.handle_failure(&error),
            }
        }
    }
}

struct ClusterTask<'a> {
    state: &'a Arc<RelayState>,
    cluster: &'a Cluster,
    trust: Trust,
    directory: ClusterDirectory,
    /// What keeps a link to each of the others.
    dialers: BTreeMap<NodeId, Task<()>>,
}

impl ClusterTask<'_> {
    /// Takes over what has changed here and at the others.
    fn take_over(&mut self) {
        for owner in self.cluster.take_touched() {
            self.directory.set_own(&owner, self.served(&owner));
        }
        while let Some(event) = self.directory.poll_event() {
            self.handle_event(event);
        }
        self.cluster.note_lease(self.directory.lease_until());
    }

    /// What agents of this relay serve of `owner`. Ports of TCP services are a relay's own.
    fn served(&self, owner: &Owner) -> Vec<(String, ServiceRecord)> {
        let own = self.state.sessions.own_services(owner).into_iter();
        own.filter(|(service, _)| service.proto != Proto::Tcp || !service.public)
            .map(|(service, instance)| {
                let record = ServiceRecord {
                    instance,
                    proto: service.proto,
                    is_public: service.public,
                    on_conflict: service.on_conflict,
                };
                (service.name, record)
            })
            .collect()
    }

    fn handle_event(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::RelayFound { node, record } => {
                if !self.cluster.is_peer(record.address) {
                    return tracing::warn!(%node, address = %record.address, "a relay that is none of --cluster-peer");
                }
                tracing::info!(%node, url = record.url, "another relay");
                let dialling = dialer::run(Arc::clone(self.state), record, self.trust.clone());
                self.dialers.insert(node, spawn(dialling));
            }
            ClusterEvent::RelayLost { node } => {
                tracing::info!(%node, "another relay is gone");
                self.dialers.remove(&node);
                self.cluster.handle_relay_lost(&node);
            }
            ClusterEvent::Serves { key, node, record } => {
                tracing::debug!(%key, %node, "served by another relay");
                self.cluster.handle_served(&self.state.sessions, &key, &node, record);
                self.state.hold.handle_bound(&key.owner);
            }
            ClusterEvent::Withdrawn { key, node } => {
                tracing::debug!(%key, %node, "no longer served by another relay");
                self.cluster.handle_withdrawn(&self.state.sessions, &key, &node);
            }
            ClusterEvent::StoreLost(error) => self.state.emit(RelayEvent::Cluster(Err(error))),
            ClusterEvent::StoreBack => self.state.emit(RelayEvent::Cluster(Ok(()))),
        }
    }

    fn handle_failure(&mut self, error: &SyncError) {
        tracing::debug!(%error, "no exchange with the other relays");
        self.directory.handle_failure(error, self.state.clock.now());
    }

    /// Waits until there is something to do.
    async fn wait(&self) {
        let changed = pin!(self.cluster.changed());
        match self.directory.poll_timeout() {
            Some(at) => {
                let _woke = select(changed, pin!(Timer::at(at))).await;
            }
            None => changed.await,
        }
    }
}
