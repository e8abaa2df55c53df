//! The services that other relays serve, as sessions of the table: they are there while the link of their relay is.

use std::collections::{BTreeMap, BTreeSet};

use hvym_proxy::pool::PoolConfig;
use hvym_tunnel_cluster::{NodeId, ServiceKey, ServiceRecord};
use hvym_tunnel_core::dialect::{OnConflict, Service};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Newcomer, Owner};
use hvym_tunnel_net::clock::Clock;

use super::Cluster;
use crate::sessions::{AgentSession, SessionKey, SessionTable};

/// A running program at another relay.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct RemoteId {
    node: NodeId,
    owner: Owner,
    instance: Option<String>,
}

/// What it serves.
#[derive(Default)]
struct RemoteAgent {
    services: BTreeMap<String, ServiceRecord>,
    /// Its place in the table of sessions, while there is a link to its relay.
    entry: Option<(SessionKey, AgentSession)>,
}

/// The other relays and their agents.
pub(super) struct Remotes {
    pool: PoolConfig,
    clock: Clock,
    links: BTreeMap<NodeId, AgentSession>,
    /// Those at which this relay is logged in.
    logins: BTreeSet<NodeId>,
    /// Those that have said that they end.
    leaving: BTreeSet<NodeId>,
    agents: BTreeMap<RemoteId, RemoteAgent>,
}

impl Remotes {
    /// None yet. Connections over their links are pooled in this way.
    pub(super) fn new(pool: PoolConfig, clock: Clock) -> Self {
        Self {
            pool,
            clock,
            links: BTreeMap::new(),
            logins: BTreeSet::new(),
            leaving: BTreeSet::new(),
            agents: BTreeMap::new(),
        }
    }

    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    /// Whether there is a link to this relay, and who is at it.
    pub(super) fn at(&self, node: &NodeId) -> (bool, Vec<Owner>) {
        let owners = self.agents.keys().filter(|id| id.node == *node).map(|id| id.owner.clone());
        let mut owners: Vec<Owner> = owners.collect();
        owners.dedup();
        (self.links.contains_key(node), owners)
    }

    /// Another relay serves this.
    fn serve(&mut self, sessions: &SessionTable, key: &ServiceKey, node: &NodeId, record: ServiceRecord) {
        let id = RemoteId { node: node.clone(), owner: key.owner.clone(), instance: record.instance.clone() };
        // The same relay may have it from another program now.
        self.withdraw_except(sessions, key, node, Some(&id));
        let takes_over = matches!(record.on_conflict, OnConflict::Takeover | OnConflict::Reject);
        if takes_over && !self.links.contains_key(node) {
            release(sessions, key);
        }
        self.agents.entry(id.clone()).or_default().services.insert(key.service.clone(), record);
        self.bind(sessions, &id);
    }

    fn withdraw_except(
        &mut self,
        sessions: &SessionTable,
        key: &ServiceKey,
        node: &NodeId,
        kept: Option<&RemoteId>,
    ) {
        let is_meant = |id: &RemoteId| id.node == *node && id.owner == key.owner && Some(id) != kept;
        for (id, agent) in self.agents.iter_mut().filter(|(id, _)| is_meant(id)) {
            if agent.services.remove(&key.service).is_none() {
                continue;
            }
            let Some((session, live)) = &agent.entry else { continue };
            live.pool.clear(&key.service);
            sessions.unbind(*session, &key.service);
            if agent.services.is_empty() {
                sessions.leave(*session, Some(&id.owner), self.clock.now());
            }
        }
        self.agents.retain(|_, agent| !agent.services.is_empty());
    }

    /// Has visitors of the services of `id` led there, if there is a link to its relay.
    fn bind(&mut self, sessions: &SessionTable, id: &RemoteId) {
        let (Some(link), Some(agent)) = (self.links.get(&id.node), self.agents.get_mut(id)) else { return };
        let RemoteAgent { services, entry } = agent;
        let (session, _) = match entry {
            Some(entry) => entry,
            None => match enter(sessions, link, id, (self.pool, self.clock)) {
                Some(entered) => entry.insert(entered),
                None => return,
            },
        };
        for (name, record) in services {
            // Who has it was decided by the order of logins; one that lets others go first has it because none was there.
            let on_conflict = match record.on_conflict {
                OnConflict::Reject => OnConflict::Takeover,
                other => other,
            };
            let service = Service {
                name: name.clone(),
                proto: record.proto,
                local_port: None,
                public: record.is_public,
                on_conflict,
            };
            let replaced = sessions.bind(*session, &id.owner, &service).unwrap_or_default();
            for other in replaced {
                tracing::info!(owner = %id.owner, service = name, node = %id.node, "taken over at another relay");
                other.session.with(|session, now| session.replace_service(name, None, now));
                other.pool.clear(name);
            }
        }
    }

    /// The agents of a relay can be reached no longer.
    fn detach(&mut self, sessions: &SessionTable, node: &NodeId) {
        for (id, agent) in self.agents.iter_mut().filter(|(id, _)| id.node == *node) {
            if let Some((session, live)) = agent.entry.take() {
                sessions.leave(session, Some(&id.owner), self.clock.now());
                live.wake();
            }
        }
    }
}

/// Agents of this relay serve it no longer, though nobody can be led yet to the relay that has it.
fn release(sessions: &SessionTable, key: &ServiceKey) {
    for live in sessions.release(&key.owner, &key.service) {
        live.session.with(|session, now| session.replace_service(&key.service, None, now));
        live.pool.clear(&key.service);
    }
}

/// Gives an agent of another relay a place in the table. An older session of the same program is its ghost.
fn enter(
    sessions: &SessionTable,
    link: &AgentSession,
    id: &RemoteId,
    (pool, clock): (PoolConfig, Clock),
) -> Option<(SessionKey, AgentSession)> {
    let live = link.through(&id.owner, pool, clock);
    let session = sessions.enter_remote(live.clone());
    let newcomer = Newcomer { owner: id.owner.clone(), instance: id.instance.clone(), keeps_older: false };
    match sessions.admit(session, newcomer, clock.now()) {
        Ok(entry) => {
            if let Some(older) = entry.replaced.filter(|older| !older.is_leaving()) {
                older.session.with(|session, now| session.refuse(DownReason::GoingAway, now));
            }
            Some((session, live))
        }
        Err(error) => {
            tracing::warn!(owner = %id.owner, node = %id.node, %error, "an agent of another relay is not led to");
            sessions.leave(session, None, clock.now());
            None
        }
    }
}

impl Cluster {
    /// Another relay serves this, and nobody else.
    pub(crate) fn handle_served(
        &self,
        sessions: &SessionTable,
        key: &ServiceKey,
        node: &NodeId,
        record: ServiceRecord,
    ) {
        self.remotes().serve(sessions, key, node, record);
        self.touch(&key.owner);
    }

    /// Another relay serves this no longer.
    pub(crate) fn handle_withdrawn(&self, sessions: &SessionTable, key: &ServiceKey, node: &NodeId) {
        self.remotes().withdraw_except(sessions, key, node, None);
        self.touch(&key.owner);
    }

    /// Another relay has logged in over `link`.
    pub(crate) fn handle_link(&self, sessions: &SessionTable, node: &NodeId, link: AgentSession) {
        let mut remotes = self.remotes();
        remotes.detach(sessions, node);
        if let Some(older) = remotes.links.insert(node.clone(), link) {
            older.session.with(|session, now| session.refuse(DownReason::Replaced, now));
        }
        let ids: Vec<RemoteId> = remotes.agents.keys().filter(|id| id.node == *node).cloned().collect();
        ids.iter().for_each(|id| remotes.bind(sessions, id));
        drop(remotes);
        self.wake_task();
    }

    /// This relay is logged in at another one, or is no longer.
    pub(crate) fn handle_login(&self, node: &NodeId, is_up: bool) {
        let mut remotes = self.remotes();
        match is_up {
            true => drop(remotes.logins.insert(node.clone())),
            false => drop(remotes.logins.remove(node)),
        }
        drop(remotes);
        self.wake_task();
    }

    /// Another relay says over the link to it that it ends.
    pub(crate) fn handle_leaving(&self, node: &NodeId) {
        self.remotes().leaving.insert(node.clone());
    }

    /// Whether a relay may serve names that this one cannot know of: there is no link in both directions, and it has not said that it ends. One
    /// that is cut off while it ends refuses by itself what it still serves. Only the relay that dialled notices silence within its lease, and
    /// only the other one hears that the store has given it up.
    pub(crate) fn is_missing(&self, node: &NodeId) -> bool {
        let remotes = self.remotes();
        let is_linked = remotes.logins.contains(node) && remotes.links.contains_key(node);
        !is_linked && !remotes.leaving.contains(node)
    }

    /// The link of another relay has ended.
    pub(crate) fn handle_link_end(&self, sessions: &SessionTable, node: &NodeId, link: &AgentSession) {
        let mut remotes = self.remotes();
        if remotes.links.get(node).is_some_and(|known| known.is(link)) {
            remotes.links.remove(node);
            remotes.detach(sessions, node);
            drop(remotes);
            self.wake_task();
        }
    }

    /// Another relay is gone: nobody waits for what it was asked.
    pub(crate) fn handle_relay_lost(&self, node: &NodeId) {
        self.found_mut().remove(node);
        let mut remotes = self.remotes();
        remotes.logins.remove(node);
        remotes.leaving.remove(node);
        let link = remotes.links.get(node).cloned();
        drop(remotes);
        if let Some(link) = link {
            link.session.with(|session, now| session.refuse(DownReason::Silent, now));
        }
    }

    /// There may be room for streams on the link of another relay.
    pub(crate) fn wake(&self, node: &NodeId) {
        let remotes = self.remotes();
        let agents = remotes.agents.iter().filter(|(id, _)| id.node == *node);
        let lives: Vec<AgentSession> =
            agents.filter_map(|(_, agent)| agent.entry.as_ref().map(|(_, live)| live.clone())).collect();
        drop(remotes);
        lives.iter().for_each(AgentSession::wake);
    }
}
