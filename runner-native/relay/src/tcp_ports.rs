//! The public ports of services that carry bytes: one listener for each, and each visitor to the agent it is of.
//!
//! Which service has which port is the core's to say. What a visitor sends is never looked at.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::relay::{BindRefusal, Name, Owner, PortError, Ports};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::runtime::Task;
use socket2::SockRef;

use crate::limits::concurrency::ConcurrencyPermit;
use crate::listener::{self, ConnectionSlot};
use crate::relay_state::RelayState;
use crate::sessions::SessionKey;
use hvym_tunnel_net::copy::splice;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::TaskGuard;
use hvym_tunnel_net::tcp::{Tcp, TcpListener};
use hvym_tunnel_net::timer::Timer;

/// Ports that are found taken by other programs before a service is refused. Each costs a few system calls.
const MAX_TRIES: usize = 64;

/// The ports of one relay.
pub(super) struct PublicPorts {
    /// Where the relay listens, and so do its ports.
    at: IpAddr,
    /// `None`: this relay has no ports to give.
    shelf: Option<Mutex<Shelf>>,
}

struct Shelf {
    ports: Ports<SessionKey>,
    listeners: BTreeMap<u16, Task<()>>,
}

impl PublicPorts {
    /// The ports of `range` of this machine; nothing listens yet.
    pub(super) fn new(at: IpAddr, range: Option<RangeInclusive<u16>>) -> Self {
        let shelf = |range| Mutex::new(Shelf { ports: Ports::new(range), listeners: BTreeMap::new() });
        Self { at, shelf: range.map(shelf) }
    }

    fn shelf(&self) -> Option<MutexGuard<'_, Shelf>> {
        self.shelf.as_ref().map(|shelf| shelf.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose `port` is.
    fn owner(&self, port: u16) -> Option<Name> {
        let shelf = self.shelf()?;
        let (address, service) = shelf.ports.owner(port)?;
        Some(Name { owner: Owner::Identity(address), service: Some(service.to_owned()) })
    }

    /// Forgets whom the ports waited for, if the wait is over; they are listened at no more.
    fn expire(&self, now: Instant) {
        let Some(mut shelf) = self.shelf() else { return };
        for port in shelf.ports.expire(now) {
            tracing::info!(port, "its agent stayed away: the port is free again");
            shelf.listeners.remove(&port);
        }
    }
}

/// Listens for visitors of a service, at the port that is its own from now on.
///
/// # Errors
/// What the agent's owner is told.
pub(super) fn bind(
    state: &Arc<RelayState>,
    address: Address,
    service: &str,
    session: SessionKey,
) -> Result<u16, BindRefusal> {
    let Some(mut shelf) = state.ports.shelf() else {
        let error = "this relay serves HTTP services only; its operator can offer ports with --tcp-ports";
        return Err(BindRefusal { code: "not_offered", error: error.to_owned() });
    };
    for _ in 0..MAX_TRIES {
        let port = shelf.ports.take(address, service, session).map_err(refusal)?;
        if shelf.listeners.contains_key(&port) {
            return Ok(port);
        }
        // Binding and listening do not block, and nobody else may try the same port meanwhile.
        match listener::listen(SocketAddr::new(state.ports.at, port)) {
            Ok(listener) => {
                let accepting = spawn(accept(Arc::clone(state), listener, port));
                shelf.listeners.insert(port, accepting);
                return Ok(port);
            }
            Err(error) => {
                tracing::warn!(port, %error, "cannot listen at a port of --tcp-ports");
                shelf.ports.quarantine(port, state.clock.now());
            }
        }
    }
    Err(refusal(PortError::Exhausted))
}

fn refusal(error: PortError) -> BindRefusal {
    let (code, hint) = match error {
        PortError::Exhausted => ("no_port", "; its operator can offer more with --tcp-ports"),
        PortError::TooMany => ("too_many", ""),
    };
    BindRefusal { code, error: format!("{error}{hint}") }
}

/// A session withdrew a service: its port waits a while for it.
pub(super) fn release(state: &Arc<RelayState>, address: &Address, service: &str, session: SessionKey) {
    let now = state.clock.now();
    let until =
        state.ports.shelf().and_then(|mut shelf| shelf.ports.release(address, service, &session, now));
    expire_at(state, until);
}

/// A session is gone: its ports wait a while for its agent.
pub(super) fn leave(state: &Arc<RelayState>, session: SessionKey) {
    let now = state.clock.now();
    let until = state.ports.shelf().and_then(|mut shelf| shelf.ports.release_all(&session, now));
    expire_at(state, until);
}

fn expire_at(state: &Arc<RelayState>, until: Option<Instant>) {
    let Some(until) = until else { return };
    let state = Arc::clone(state);
    spawn(async move {
        let over = async {
            // The clock, not the timer, says whether it is time.
            while state.clock.now() < until {
                Timer::at(until).await;
            }
        };
        if let Either::Left(_) = select(pin!(over), pin!(state.closing.cancelled())).await {
            state.ports.expire(state.clock.now());
        }
    })
    .detach();
}

/// Accepts visitors of whoever has `port`, until it is dropped or the relay takes nothing new.
async fn accept(state: Arc<RelayState>, listener: TcpListener, port: u16) {
    let visitors = async {
        loop {
            let (tcp, peer) = listener::next(&listener).await;
            match admit(&state, port, peer) {
                Some(admitted) => spawn(serve(Arc::clone(&state), tcp, peer, admitted)).detach(),
                // Dropping the connection is all there is to say where nobody knows the language.
                None => tracing::debug!(%peer, port, "turned away"),
            }
        }
    };
    select(pin!(visitors), pin!(state.draining.cancelled())).await;
}

/// One visitor's place, held for as long as the connection lives.
struct Admitted {
    name: Name,
    _place: Arc<ConnectionSlot>,
    _ticket: ConcurrencyPermit,
    _pass: TaskGuard,
}

/// A place at `port`, unless it is nobody's, or the visitor, the service or the relay has as many connections as it may.
fn admit(state: &Arc<RelayState>, port: u16, peer: SocketAddr) -> Option<Admitted> {
    let name = state.ports.owner(port)?;
    let place = listener::admit(state, peer).ok()?;
    Some(Admitted { _place: place, _ticket: state.load.enter(&name)?, _pass: state.requests.enter()?, name })
}

async fn serve(state: Arc<RelayState>, tcp: Tcp, peer: SocketAddr, admitted: Admitted) {
    // One handle stays here, to say how the connection ends when everybody else has let go of it.
    let kept = tcp.handle();
    let carried = pin!(carry(&state, tcp, peer, &admitted.name));
    let outcome = match select(carried, pin!(state.closing.cancelled())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "a visitor's connection ended early");
        // What is not whole must not end like a whole.
        let _reset = SockRef::from(&*kept).set_linger(Some(Duration::ZERO));
    }
}

async fn carry(state: &RelayState, tcp: Tcp, peer: SocketAddr, name: &Name) -> io::Result<()> {
    listener::tune(&tcp)?;
    let mut opening = StreamHeader {
        proto: Proto::Tcp,
        visitor: Some(canonical(peer).to_string()),
        at: tcp.local_addr().ok().map(|at| canonical(at).to_string()),
        ..StreamHeader::default()
    };
    let Some(live) = state.sessions.agent(&name.owner) else {
        return Err(io::Error::new(io::ErrorKind::NotConnected, "its agent is away"));
    };
    let stream = live.open(name, &mut opening, false).await.map_err(|page| io::Error::other(page.title))?;
    tracing::debug!(stream = ?stream.id(), service = opening.service, %peer, "connection");
    splice(stream, tcp, |_, _| ()).await
}

/// IPv4 as IPv4, though it came in at an IPv6 socket.
fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_core::handshake::Credential;
    use hvym_tunnel_core::relay::Session;

    use super::*;
    use crate::RelaySettings;
    use crate::compat_agents::CompatAgents;
    use crate::event::EventSink;
    use crate::relay_state::Seams;
    use crate::sessions::AgentSession;
    use hvym_tunnel_net::link_driver::LinkHandle;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 9);

    fn state(change: impl FnOnce(&mut RelaySettings)) -> Arc<RelayState> {
        let mut settings = RelaySettings::loopback();
        change(&mut settings);
        let address = Address::from_public_key([7; 32]);
        {
            let guests = CompatAgents::default();
            Arc::new(RelayState::new(address, settings, guests, 1, EventSink::unseen(), Seams::default()))
        }
    }

    /// A port of `state` that somebody has.
    fn taken(state: &Arc<RelayState>, service: &str) -> u16 {
        let (clock, config) = (state.clock, state.session.clone());
        let machine = Session::new(config, &Credential::None, clock.wall(), [0; 32], clock.now());
        let live = AgentSession::new(LinkHandle::new(machine, clock), clock);
        let session = state.sessions.enter(live).expect("an empty relay has room");
        let mut shelf = state.ports.shelf().expect("a relay for this machine has ports");
        shelf.ports.take(Address::from_public_key([9; 32]), service, session).expect("a free port")
    }

    #[test]
    fn a_service_takes_a_bounded_number_of_visitors_and_then_as_many_as_leave() {
        let state = state(|settings| settings.limits.service_requests = 3);
        let (port, other) = (taken(&state, "db"), taken(&state, "cache"));
        let mut inside: Vec<_> = std::iter::from_fn(|| admit(&state, port, PEER)).collect();
        assert_eq!(inside.len(), 3);
        assert!(admit(&state, other, PEER).is_some(), "another service has its own");
        inside.pop();
        assert!(admit(&state, port, PEER).is_some());
        assert!(admit(&state, 1, PEER).is_none(), "nobody has that port");
    }

    #[test]
    fn a_visitor_who_has_enough_is_turned_away_at_ports_too() {
        let state = state(|settings| settings.limits.visitor_connections = 1);
        let port = taken(&state, "db");
        let first = admit(&state, port, PEER);
        assert!(first.is_some() && admit(&state, port, PEER).is_none());
        let other = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)), 9);
        assert!(admit(&state, port, other).is_some());
    }

    #[test]
    fn a_relay_that_is_full_or_drains_takes_no_visitor_at_any_port() {
        let state = state(|settings| settings.limits.connections = 1);
        let port = taken(&state, "db");
        let first = admit(&state, port, PEER);
        assert!(first.is_some() && admit(&state, port, PEER).is_none());
        drop(first);
        state.requests.close();
        assert!(admit(&state, port, PEER).is_none());
    }
}
