//! The events of a relay, and where they are sent.

use std::net::SocketAddr;
use std::sync::Arc;

use hvym_tunnel_acme::AcmeEvent;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::DelegationId;
use hvym_tunnel_net::events::{EventSender, Events};
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_registry::RegistryError;

use crate::audit::AuditRecord;
use crate::compat_agents::KeysError;
use crate::notices::{Notice, NoticeQueue};
use crate::tls::TlsError;

/// An event of a relay.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum RelayEvent {
    /// An agent logged in.
    AgentJoined {
        /// Who.
        owner: Owner,
        /// The key that acts for the owner by a delegation; `None` where it is the owner's own.
        key: Option<Address>,
        /// The public URL of its first service.
        url: String,
        /// The address it connected from.
        peer: SocketAddr,
    },
    /// A logged-in agent's link ended.
    AgentLeft {
        /// Who.
        owner: Owner,
        /// The key that acts for the owner by a delegation; `None` where it is the owner's own.
        key: Option<Address>,
        /// Why.
        reason: DownReason,
    },
    /// A record for the audit log.
    Audit(AuditRecord),
    /// An owner took a delegation back. Agents that acted by it are gone, or go now.
    DelegationRevoked {
        /// The owner.
        owner: Address,
        /// The delegation.
        id: DelegationId,
        /// Whether it stays revoked when the relay is started again.
        persisted: bool,
    },
    /// The options were read again: the groups of them that have an effect after a restart only. On an error nothing has changed.
    Options(Result<Vec<&'static str>, String>),
    /// The keys that check tokens of older systems were read again; on an error those from before stay in use.
    Keys(Result<(), KeysError>),
    /// The certificates were read again; on an error those from before stay in use.
    Certificate(Result<(), TlsError>),
    /// A certificate was issued or renewed, or could not be.
    Acme(AcmeEvent),
    /// The database of tunnels is back; on an error it was lost. Agents that are connected stay, and others are let in as before.
    TunnelDatabase(Result<(), RegistryError>),
    /// The store that the relays share is back; on an error it was lost, for this reason. What is known of the others goes on to hold.
    Cluster(Result<(), String>),
    /// Nor can another relay be reached: visitors are answered 503 until the store is back.
    CutOff,
}

/// The receiving end of a relay's events.
pub type RelayEvents = Events<RelayEvent>;

/// Sends events to the observer first, then into the channel of the handle.
pub(crate) struct EventSink {
    pub(crate) observer: Arc<dyn Observer<RelayEvent>>,
    pub(crate) sender: EventSender<RelayEvent>,
    pub(crate) notices: NoticeQueue,
}

impl EventSink {
    /// A sink that nobody reads.
    #[cfg(test)]
    pub(crate) fn unseen() -> Self {
        let (sender, _) = hvym_tunnel_net::events::event_channel(1);
        Self { observer: Arc::new(()), sender, notices: NoticeQueue::default() }
    }

    pub(crate) fn emit(&self, event: RelayEvent) {
        self.observer.handle_event(&event);
        if let Some(notice) = notice(&event) {
            self.notices.push(notice);
        }
        self.sender.send(event);
    }
}

/// What a webhook is told of it.
fn notice(event: &RelayEvent) -> Option<Notice> {
    let (owner, event) = match event {
        RelayEvent::AgentJoined { owner, .. } => (owner, "connected"),
        RelayEvent::AgentLeft { owner, .. } => (owner, "disconnected"),
        _ => return None,
    };
    Some(Notice { domain: owner.to_string(), event })
}
