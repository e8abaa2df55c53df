//! What a relay tells whoever runs it, and where these events go.

use std::net::SocketAddr;
use std::sync::Arc;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_net::events::{EventSender, Events};
use hvym_tunnel_net::observer::Observer;

use crate::compat_agents::KeysError;
use crate::tls::TlsError;

/// Something that happened at a relay.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum RelayEvent {
    /// An agent logged in.
    AgentJoined {
        /// Who.
        owner: Owner,
        /// Where its first service is reachable.
        url: String,
        /// From where it dialled.
        peer: SocketAddr,
    },
    /// An agent is gone.
    AgentLeft {
        /// Who.
        owner: Owner,
        /// Why.
        reason: DownReason,
    },
    /// The keys that check tokens of older systems were read again; on an error those from before stay in use.
    Keys(Result<(), KeysError>),
    /// The certificates were read again; on an error those from before stay in use.
    Certificate(Result<(), TlsError>),
}

/// The channel by which a handle gives out events.
pub type RelayEvents = Events<RelayEvent>;

/// Where events go: to the observer first, then into the channel of the handle.
pub(crate) struct EventSink {
    pub(crate) observer: Arc<dyn Observer<RelayEvent>>,
    pub(crate) sender: EventSender<RelayEvent>,
}

impl EventSink {
    /// Events that nobody sees.
    #[cfg(test)]
    pub(crate) fn unseen() -> Self {
        let (sender, _) = hvym_tunnel_net::events::event_channel(1);
        Self { observer: Arc::new(()), sender }
    }

    pub(crate) fn emit(&self, event: RelayEvent) {
        self.observer.handle_event(&event);
        self.sender.send(event);
    }
}
