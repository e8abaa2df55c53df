//! The task that tells the store what agents of this relay serve, and takes over what it tells of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, pending, select};
use hvym_tunnel_cluster::{
    ClusterDirectory, ClusterEvent, DomainPage, NodeId, RelayRecord, ServiceKey, ServiceRecord, Store,
    SyncError, SyncReply, SyncRequest, TunnelBatch, TunnelKeys,
};
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_net::tls::Trust;

use super::dialer;
use super::recorded_domains::RecordedDomains;
use crate::api;
use crate::cluster::Cluster;
use crate::config::CutOffPolicy;
use crate::error::RelayError;
use crate::event::RelayEvent;
use crate::relay_state::RelayState;
use crate::settings::RelaySettings;

/// The store of a cluster, and how its relays are dialled.
pub(crate) struct ClusterStore {
    store: Store,
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
    let store = Store::new(&url).map_err(|error| RelayError::Cluster(error.to_string()))?;
    let trust = match &options.cluster_ca {
        Some(path) => Trust::with_authorities(path)
            .map_err(|error| RelayError::Cluster(format!("cannot use {}: {error}", path.display())))?,
        None => Trust::Verify,
    };
    let about = RelayRecord { url: dialer::url(own), address };
    let cluster = Cluster::new(about, options.cluster_peers.clone(), settings.pool(), Clock::new());
    Ok(Some((cluster, ClusterStore { store, trust })))
}

/// What an exchange came to.
struct Exchanged {
    store: Store,
    reply: Result<SyncReply, SyncError>,
    /// The records of tunnels that were written.
    written: Option<TunnelBatch>,
    /// The part of the custom domains that was read.
    domains: Option<DomainPage>,
}

impl ClusterStore {
    /// Keeps the relay of `state` and the others informed until it is dropped.
    pub(crate) async fn run(self, state: Arc<RelayState>) {
        let Some(cluster) = &state.cluster else { return };
        let ClusterStore { store, trust } = self;
        let mut task = ClusterTask::new(&state, cluster, trust);
        task._listening = listen(&state, cluster, &store);
        let mut idle = Some(store);
        let mut under_way: Option<Task<Exchanged>> = None;
        loop {
            task.take_over();
            if let Some(request) = task.directory.poll_request(state.clock.now())
                && let Some(store) = idle.take()
            {
                under_way = Some(spawn(exchange(store, request, task.poll_keys())));
            }
            let done = async {
                match &mut under_way {
                    Some(exchange) => exchange.await,
                    None => pending().await,
                }
            };
            // A link that is lost counts while the store is asked.
            let woke = match select(pin!(done), pin!(task.wait())).await {
                Either::Left((exchanged, _)) => Some(exchanged),
                Either::Right(((), _)) => None,
            };
            let Some(Exchanged { store, reply, written, domains }) = woke else { continue };
            under_way = None;
            let was_away = !task.directory.is_available();
            task.handle_exchanged(reply, written.as_ref());
            if let (Some(recorded), Some(page)) = (&mut task.domains, &domains) {
                recorded.handle_page(&state, page);
            }
            if was_away && task.directory.is_available() {
                // The connection may be one of which nobody has heard since.
                task._listening = listen(&state, cluster, &store);
            }
            idle = Some(store);
        }
    }
}

/// What is to be done beside an exchange with records of HVYM's server.
struct KeyWork {
    batch: Option<TunnelBatch>,
    /// Where the part of the custom domains begins.
    cursor: Option<u64>,
}

async fn exchange(store: Store, request: SyncRequest, KeyWork { batch, cursor }: KeyWork) -> Exchanged {
    let (store, reply) = store.sync(request).await;
    let mut exchanged = Exchanged { store, reply, written: None, domains: None };
    if exchanged.reply.is_err() {
        return exchanged;
    }
    if let Some(batch) = batch {
        let (store, written) = exchanged.store.write_tunnels(batch).await;
        let written =
            written.inspect_err(|error| tracing::debug!(%error, "records of tunnels were not written"));
        exchanged = Exchanged { store, written: written.ok(), ..exchanged };
    }
    if let Some(cursor) = cursor {
        let (store, page) = exchanged.store.read_domains(cursor).await;
        let page = page.inspect_err(|error| tracing::debug!(%error, "custom domains were not read"));
        exchanged = Exchanged { store, domains: page.ok(), ..exchanged };
    }
    exchanged
}

/// Has changes heard of at once, if the store tells them.
fn listen(state: &Arc<RelayState>, cluster: &Cluster, store: &Store) -> Option<Task<()>> {
    let (listener, state, node) = (store.listener()?, Arc::clone(state), cluster.node.clone());
    let hear = move || {
        if let Some(cluster) = &state.cluster {
            cluster.handle_news();
        }
    };
    Some(spawn(listener.run(node, hear)))
}

struct ClusterTask<'a> {
    state: &'a Arc<RelayState>,
    cluster: &'a Cluster,
    trust: Trust,
    directory: ClusterDirectory,
    /// What keeps a link to each of the others.
    dialers: BTreeMap<NodeId, Task<()>>,
    /// The records of tunnels, if programs look for them in the store.
    tunnels: Option<TunnelKeys>,
    /// Custom domains, if HVYM's server records them in the store.
    domains: Option<RecordedDomains>,
    /// Hears of changes.
    _listening: Option<Task<()>>,
}

impl<'a> ClusterTask<'a> {
    fn new(state: &'a Arc<RelayState>, cluster: &'a Cluster, trust: Trust) -> Self {
        let now = state.clock.now();
        let directory = ClusterDirectory::new(cluster.node.clone(), cluster.about.clone(), now);
        let has_keys = state.settings.options.cluster.cluster_hvym_keys;
        let tunnels = has_keys.then(|| TunnelKeys::new(cluster.node.clone()));
        let domains = has_keys.then(|| RecordedDomains::new(now));
        let dialers = BTreeMap::new();
        Self { state, cluster, trust, directory, dialers, tunnels, domains, _listening: None }
    }

    /// Takes over what has changed here and at the others.
    fn take_over(&mut self) {
        let now = self.state.clock.now();
        if self.cluster.take_news() {
            self.directory.handle_news(now);
        }
        for owner in self.cluster.take_touched() {
            let served = self.served(&owner);
            if let (Some(tunnels), Owner::Identity(address)) = (&mut self.tunnels, &owner) {
                let public = served.iter().find(|(_, record)| record.is_public);
                let key =
                    public.map(|(service, _)| ServiceKey { owner: owner.clone(), service: service.clone() });
                tunnels.set_own(*address, key.zip(api::tunnel_record(self.state, *address)), now);
            }
            self.directory.set_own(&owner, served);
        }
        self.drain_events();
        if self.state.settings.options.cluster.cluster_cut_off == CutOffPolicy::Refuse {
            let missing = self.dialers.keys().filter(|node| self.cluster.is_missing(node));
            let missing: BTreeSet<NodeId> = missing.cloned().collect();
            self.directory.handle_unlinked(&missing, now);
            self.drain_events();
        }
        self.cluster.note_lease(self.directory.lease_until(), self.directory.is_available());
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.directory.poll_event() {
            self.handle_event(event);
        }
    }

    fn poll_keys(&self) -> KeyWork {
        let now = self.state.clock.now();
        KeyWork {
            batch: self.tunnels.as_ref().and_then(|tunnels| tunnels.poll_batch(now)),
            cursor: self.domains.as_ref().and_then(|domains| domains.poll_cursor(now)),
        }
    }

    fn handle_exchanged(&mut self, reply: Result<SyncReply, SyncError>, written: Option<&TunnelBatch>) {
        let now = self.state.clock.now();
        match reply {
            Ok(reply) => self.directory.handle_reply(reply, now),
            Err(error) => {
                tracing::debug!(%error, "no exchange with the other relays");
                self.directory.handle_failure(error, now);
            }
        }
        if let (Some(tunnels), Some(written)) = (&mut self.tunnels, written) {
            tunnels.handle_written(written, now);
        }
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
                self.cluster.handle_relay_found(&node, &record);
                let dialling = dialer::run(Arc::clone(self.state), node.clone(), record, self.trust.clone());
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
                if let (Some(tunnels), Owner::Identity(address)) = (&mut self.tunnels, &key.owner) {
                    tunnels.handle_withdrawn(*address, self.state.clock.now());
                }
            }
            ClusterEvent::StoreLost(error) => self.state.emit(RelayEvent::Cluster(Err(error))),
            ClusterEvent::CutOff => self.state.emit(RelayEvent::CutOff),
            ClusterEvent::StoreBack => self.state.emit(RelayEvent::Cluster(Ok(()))),
        }
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
