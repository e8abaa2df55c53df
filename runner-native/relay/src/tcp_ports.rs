//! Public TCP ports of services: accepts visitors at each, and joins them to the agent that has the port.
//!
//! Which service has which port, [`crate::sessions`] says. The bytes of visitors are passed on unread.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hvym_proxy::limits::{Use, VisitorKey};
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::relay::{BindRefusal, Name};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use socket2::SockRef;

use crate::config::TunnelPort;
use crate::error::RelayError;
use crate::handover::ListenerRole;
use crate::limits::tunnel_idle::splice_until_idle;
use crate::limits::visitor_counts::{ConnectionSlot, RequestPermit};
use crate::relay_state::RelayState;
use crate::totals::TcpConnection;
use crate::upstream::pool::{StreamUser, next_visitor_id};
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::shutdown::TaskGuard;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timer::Timer;

/// Listens for visitors of a service, at a port that it alone has from now on. `share` and `from` are as for [`crate::sessions::PortTable::bind`].
///
/// # Errors
/// The refusal that the agent's owner is told.
pub(crate) fn bind(
    state: &Arc<RelayState>,
    address: Address,
    service: &str,
    share: Option<usize>,
    from: Option<VisitorKey>,
) -> Result<u16, BindRefusal> {
    state.ports.bind(address, service, share, from, state.clock.now(), |at| {
        let role = ListenerRole::Port(at.port());
        let listener = state.handover.listen(&state.settings.options.restart, role, at)?;
        Ok(spawn(accept(Arc::clone(state), listener, at.port())))
    })
}

/// Listens at the ports of tunnels, as long as the tasks that are returned live.
///
/// # Errors
/// One of them cannot be listened at.
pub(crate) fn listen_for_tunnels(state: &Arc<RelayState>) -> Result<Vec<Task<()>>, RelayError> {
    let listen = |port: &TunnelPort| {
        let role = ListenerRole::Port(port.at.port());
        let listener = state.handover.listen(&state.settings.options.restart, role, port.at);
        let listener = listener.map_err(|error| RelayError::listen(port.at, &error))?;
        Ok(spawn(accept(Arc::clone(state), listener, port.at.port())))
    };
    state.settings.options.tunnel_ports.ports.iter().map(listen).collect()
}

/// No session serves a service any more: its port is held for it for a while.
pub(crate) fn release(state: &Arc<RelayState>, address: &Address, service: &str) {
    expire_at(state, state.ports.release(address, service, state.clock.now()));
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
        if let Either::Left(_) = select(pin!(over), pin!(state.lifecycle.closing.cancelled())).await {
            state.ports.expire(state.clock.now());
        }
    })
    .detach();
}

/// Accepts visitors of the service that has `port`, until it is dropped or the relay drains.
async fn accept(state: Arc<RelayState>, listener: Arc<TcpListener>, port: u16) {
    let visitors = async {
        loop {
            let (tcp, peer) = listener.accept().await;
            match admit(&state, port, peer) {
                Some(admitted) => spawn(serve(Arc::clone(&state), tcp, peer, admitted)).detach(),
                // The protocol is unknown, so there is no way to say why.
                None => tracing::debug!(%peer, port, "refused a connection"),
            }
        }
    };
    select(pin!(visitors), pin!(state.lifecycle.draining.cancelled())).await;
}

/// What one visitor holds of the limits while its connection is open.
struct Admitted {
    name: Arc<Name>,
    _slot: Arc<ConnectionSlot>,
    _permit: RequestPermit,
    _counted: TcpConnection,
    _guard: TaskGuard,
}

/// Admits a visitor of `port`; `None` if no service has it, or a limit of the visitor, the service or the relay is reached.
fn admit(state: &Arc<RelayState>, port: u16, peer: SocketAddr) -> Option<Admitted> {
    if state.network_bans.contains(peer.ip(), || state.clock.wall().unix) {
        return None;
    }
    let name = Arc::new(state.ports.owner(port)?);
    let slot = state.limits.connect(peer).ok()?;
    let visitor = state.limits.key(peer.ip());
    Some(Admitted {
        _slot: slot,
        // Whether it is broken off, its bytes do not tell.
        _permit: state.limits.enter(visitor, &name, Use::Tunnel).ok()?.over(),
        _guard: state.lifecycle.requests.enter()?,
        _counted: state.totals.open_tcp(),
        name,
    })
}

async fn serve(state: Arc<RelayState>, tcp: Tcp, peer: SocketAddr, admitted: Admitted) {
    // One handle is kept, to reset the connection after everything else has dropped it.
    let kept = tcp.handle();
    let carried = pin!(carry(&state, tcp, peer, &admitted.name));
    let outcome = match select(carried, pin!(state.lifecycle.closing.cancelled())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "a visitor's connection ended early");
        // An orderly end would look like complete data.
        let _reset = SockRef::from(&*kept).set_linger(Some(Duration::ZERO));
    }
}

async fn carry(state: &RelayState, tcp: Tcp, peer: SocketAddr, name: &Arc<Name>) -> io::Result<()> {
    let mut opening = StreamHeader {
        proto: Proto::Tcp,
        visitor: Some(canonical(peer).to_string()),
        at: tcp.local_addr().ok().map(|at| canonical(at).to_string()),
        ..StreamHeader::default()
    };
    let user = StreamUser { id: next_visitor_id(), group: VisitorKey::new(peer.ip()).as_u64() };
    let opened = state.sessions.open(user, name, &mut opening).await;
    let (stream, _assigned) = opened.map_err(|page| io::Error::other(page.title))?;
    tracing::debug!(stream = ?stream.id(), service = opening.service, %peer, "connection");
    splice_until_idle(stream, tcp, state.settings.options.visitors.tunnel_timeout, state.clock).await
}

/// IPv4-mapped IPv6 addresses as IPv4.
fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use hvym_tunnel_core::time::UnixTime;

    use super::*;
    use crate::RelaySettings;
    use crate::event::EventSink;
    use crate::live_options::CurrentOptions;
    use crate::names::NameRegistry;
    use crate::relay_state::Plugins;
    use hvym_tunnel_net::key::Identity;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

    fn state(change: impl FnOnce(&mut RelaySettings)) -> Arc<RelayState> {
        let mut settings = RelaySettings::loopback();
        change(&mut settings);
        let identity = Arc::new(Identity::generate().expect("randomness"));
        let (agents, plugins) = (CurrentOptions::default(), Plugins::default());
        let bans = crate::access::Bans::load(None, UnixTime::from_secs(0)).expect("no file");
        let names = NameRegistry::load(None, std::time::Duration::from_secs(1)).expect("no file");
        Arc::new(RelayState::new(identity, settings, agents, 1, EventSink::unseen(), plugins, (bans, names)))
    }

    /// Assigns a port of `state`.
    fn taken(state: &Arc<RelayState>, service: &str) -> u16 {
        state.ports.assign(Address::from_public_key([9; 32]), service).expect("a free port")
    }

    #[test]
    fn a_service_takes_a_bounded_number_of_visitors_and_then_as_many_as_leave() {
        let state = state(|settings| {
            settings.options.limits.service_requests = 3;
            settings.options.visitors.tunnels = Some(9);
            settings.options.visitors.requests = Some(9);
        });
        let (port, other) = (taken(&state, "db"), taken(&state, "cache"));
        let mut inside: Vec<_> = std::iter::from_fn(|| admit(&state, port, PEER)).collect();
        assert_eq!(inside.len(), 3);
        assert!(admit(&state, other, PEER).is_some(), "another service has its own");
        inside.pop();
        assert!(admit(&state, port, PEER).is_some());
        assert!(admit(&state, 1, PEER).is_none(), "nobody has that port");
    }

    #[test]
    fn one_visitor_has_its_share_of_a_port_and_others_have_theirs() {
        let state = state(|settings| settings.options.visitors.tunnels = Some(2));
        let port = taken(&state, "db");
        let inside: Vec<_> = std::iter::from_fn(|| admit(&state, port, PEER)).collect();
        let other = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 9);
        assert_eq!((inside.len(), admit(&state, port, other).is_some()), (2, true));
    }

    #[test]
    fn a_visitor_who_has_enough_is_turned_away_at_ports_too() {
        let state = state(|settings| settings.options.visitors.connections = Some(1));
        let port = taken(&state, "db");
        let first = admit(&state, port, PEER);
        assert!(first.is_some() && admit(&state, port, PEER).is_none());
        let other = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 9);
        assert!(admit(&state, port, other).is_some());
    }

    #[test]
    fn a_relay_that_is_full_or_drains_takes_no_visitor_at_any_port() {
        let state = state(|settings| settings.options.limits.connections = 1);
        let port = taken(&state, "db");
        let first = admit(&state, port, PEER);
        assert!(first.is_some() && admit(&state, port, PEER).is_none());
        drop(first);
        state.lifecycle.requests.close();
        assert!(admit(&state, port, PEER).is_none());
    }
}
