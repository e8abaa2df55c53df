//! The session of another relay of the cluster: it opens nothing and binds nothing, and streams to its agents go over it.

use std::sync::Arc;

use hvym_tunnel_cluster::NodeId;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::SessionEvent;
use hvym_tunnel_core::stellar::Address;

use super::registration::AgentRegistration;

impl AgentRegistration {
    /// Lets in whoever proved to be `address`, if that is a relay of the cluster. Returns whether it is.
    pub(super) fn admit_peer(&mut self, address: Address) -> bool {
        let state = Arc::clone(&self.state);
        let Some(cluster) = state.cluster.as_ref().filter(|cluster| cluster.is_peer(address)) else {
            return false;
        };
        let Some(instance) = self.live.session.look(|session| session.process().instance.clone()) else {
            self.refuse(DownReason::NotAllowed(
                "this is the identity of a relay, not of an agent".to_owned(),
            ));
            return true;
        };
        let node = NodeId::new(instance);
        if let Err(refusal) = self.occupy_as_peer(address, node.clone()) {
            self.refuse(DownReason::Overloaded(refusal.to_string()));
            return true;
        }
        let url = state.url(&address.into(), None);
        self.live.session.with(|session, now| session.admit(url, now));
        tracing::info!(%node, peer = %self.from.socket, "another relay logged in");
        cluster.handle_link(&state.sessions, &node, self.live.clone());
        true
    }

    /// What happens on the link of another relay.
    pub(super) fn on_peer_event(&self, node: &NodeId, event: &SessionEvent) {
        let Some(cluster) = &self.state.cluster else { return };
        if matches!(event, SessionEvent::OpenReady | SessionEvent::GoingAway | SessionEvent::Links(_)) {
            self.live.wake();
            cluster.wake(node);
        }
    }

    /// The link of another relay is over.
    pub(super) fn on_peer_end(&self, node: &NodeId) {
        if let Some(cluster) = &self.state.cluster {
            cluster.handle_link_end(&self.state.sessions, node, &self.live);
        }
    }

    /// Services of the agent may have changed, which the other relays are to hear.
    pub(super) fn publish(&self) {
        if let (Some(cluster), Some(owner)) = (&self.state.cluster, &self.owner) {
            cluster.touch(owner);
        }
    }
}
