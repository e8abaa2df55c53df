//! A forward: local connections that reach the service of another identity by way of its relay.

mod check;
mod local;
mod shared;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::SignedDelegation;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::runtime::{RuntimeHandle, spawn};
use hvym_tunnel_net::shutdown::CancellationToken;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::target::{RelayUrl, ServiceAddress};
use smol::channel::{Receiver, Sender, bounded};

use crate::builder::Launch;
use crate::error::AgentError;
use crate::event::{AgentEvent, AgentStatus};
use crate::event_sink::AgentEvents;
use crate::handle::AgentControl;
use crate::link_status::Purpose;
use crate::service::ServiceTable;
use crate::settings::{LinkSettings, SettingsError};
pub use check::can_reach;
use local::LocalListener;
pub use shared::SharedForward;

/// A local port that leads to the service of another identity.
#[derive(Debug)]
pub enum Forward {}

impl Forward {
    /// A forward with this identity, or that of this signer, which the owner of the service must admit.
    pub fn builder(signer: impl Into<Signer>) -> ForwardBuilder {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        ForwardBuilder { launch: Launch::new(signer.into()), to: None, listen }
    }
}

/// The settings of a forward that does not run yet.
pub struct ForwardBuilder {
    launch: Launch,
    to: Option<ServiceAddress>,
    listen: SocketAddr,
}

impl ForwardBuilder {
    /// The relay of the service's owner.
    #[must_use]
    pub fn relay(mut self, url: RelayUrl) -> Self {
        self.launch.link.relay = Some(url);
        self
    }

    /// All settings of the link, in place of those set before.
    #[must_use]
    pub fn link(mut self, link: LinkSettings) -> Self {
        self.launch.link = link;
        self
    }

    /// What lets this identity act for another one, in place of the file that the settings of the link name.
    #[must_use]
    pub fn delegation(mut self, delegation: SignedDelegation) -> Self {
        self.launch.delegation = Some(delegation);
        self
    }

    /// As [`AgentBuilder::known_relays`](crate::AgentBuilder::known_relays).
    #[must_use]
    pub fn known_relays(mut self, file: Option<KnownRelays>) -> Self {
        self.launch.known_relays = file;
        self
    }

    /// Whose service, and which.
    #[must_use]
    pub fn to(mut self, service: ServiceAddress) -> Self {
        self.to = Some(service);
        self
    }

    /// Where local connections are taken; a free port of the loopback interface by default. Whoever can connect there acts
    /// as the identity of this forward.
    #[must_use]
    pub fn listen(mut self, at: SocketAddr) -> Self {
        self.listen = at;
        self
    }

    /// Sees every event as it happens, on the thread where it happens.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer<AgentEvent>>) -> Self {
        self.launch.observer = observer;
        self
    }

    /// How many events wait for the reader of [`ForwardHandle::events`]; at least 1.
    #[must_use]
    pub fn event_capacity(mut self, capacity: usize) -> Self {
        self.launch.event_capacity = capacity.max(1);
        self
    }

    /// Starts the forward on the threads of `runtime`; it listens and dials at once. Once there is a link, it asks whether the
    /// service can be reached, and says [`AgentEvent::ForwardFailed`] if not: it listens all the same.
    ///
    /// # Errors
    /// No relay or no service is set, the address cannot be listened at, or the settings of the link make no sense.
    pub fn start(self, runtime: &RuntimeHandle) -> Result<ForwardHandle, AgentError> {
        let _inside = runtime.enter();
        let ForwardBuilder { mut launch, to, listen } = self;
        let to = to.ok_or(SettingsError::NoForwardTarget)?;
        launch.relay()?;
        let (listener, listen) = local::bind(listen)?;
        let table = ServiceTable::new(Vec::new())?;
        let (observer, online) = OnlineObserver::new(launch.observer);
        launch.observer = observer;
        let prepared = launch.prepare(Purpose::Forward { listen }, None, table)?;
        let (shared, sink) = (prepared.shared.clone(), prepared.shared.sink.clone());
        let table = Arc::clone(&shared.table);
        let listener = LocalListener::new(
            listener,
            to,
            Box::new(move || Some(shared.clone())),
            Box::new(move |event| sink.emit(event)),
            // The agent ends with it, and so do its streams.
            CancellationToken::new(),
        );
        let check = listener.check();
        spawn(async move {
            // An end without a link closes the channel.
            if online.recv().await.is_ok() {
                check.run().await;
            }
        })
        .detach();
        let accepting = spawn(async move {
            select(pin!(listener.accept()), pin!(table.drain().begun())).await;
        });
        Ok(ForwardHandle { control: prepared.run(Some((listen, accepting))), listen })
    }
}

/// Tells once that there is a link, beside what it is for.
struct OnlineObserver {
    inner: Arc<dyn Observer<AgentEvent>>,
    online: Sender<()>,
}

impl OnlineObserver {
    /// `inner`, and what has a message when there is a link.
    fn new(inner: Arc<dyn Observer<AgentEvent>>) -> (Arc<Self>, Receiver<()>) {
        let (online, received) = bounded(1);
        (Arc::new(Self { inner, online }), received)
    }
}

impl Observer<AgentEvent> for OnlineObserver {
    fn handle_event(&self, event: &AgentEvent) {
        self.inner.handle_event(event);
        if let AgentEvent::ForwardOnline { .. } = event {
            let _once = self.online.try_send(());
        }
    }
}

/// A running forward. Dropped, it closes its link and its port.
pub struct ForwardHandle {
    control: AgentControl,
    listen: SocketAddr,
}

impl ForwardHandle {
    /// The forward's address, which the owner of the service must admit.
    pub fn address(&self) -> Address {
        self.control.address
    }

    /// Where local connections are taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.listen
    }

    /// The events from the start on; see [`AgentHandle::events`](crate::AgentHandle::events).
    pub fn events(&self) -> AgentEvents {
        self.control.events.clone()
    }

    /// How things stand now.
    pub fn status(&self) -> AgentStatus {
        self.control.status()
    }

    /// Asks the forward to finish: it takes no connection any more, and ends when none is open, at the latest after
    /// `deadline`.
    pub fn drain(&self, deadline: Duration) {
        self.control.drain(deadline);
    }

    /// Asks the forward to end at once; connections are reset.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why it ended, unless it was asked to.
    pub async fn closed(&self) -> Result<(), AgentError> {
        self.control.closed().await
    }

    /// [`Self::drain`], then [`Self::closed`].
    ///
    /// # Errors
    /// As for [`Self::closed`].
    pub async fn shutdown(self, deadline: Duration) -> Result<(), AgentError> {
        self.drain(deadline);
        self.closed().await
    }
}

impl fmt::Debug for ForwardHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardHandle").field("listen", &self.listen).finish_non_exhaustive()
    }
}
