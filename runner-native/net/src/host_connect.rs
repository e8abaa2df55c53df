//! TCP connections to hosts by name: names are resolved for each connection, and all addresses of a name are raced.
//!
//! Knows no proxy and no TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use thiserror::Error;

use super::clock::Clock;
use super::happy_eyeballs::HappyEyeballs;
use super::target::is_localhost;
use super::tcp::Tcp;
use super::timer::Timer;

/// Why there is no connection to a host.
#[derive(Debug, Error)]
pub enum HostConnectError {
    /// The name has no address.
    #[error(transparent)]
    Unresolved(io::Error),
    /// No address could be connected to. Of several reasons this is the one that says most.
    #[error(transparent)]
    Failed(io::Error),
}

impl From<HostConnectError> for io::Error {
    fn from(error: HostConnectError) -> Self {
        let (HostConnectError::Unresolved(error) | HostConnectError::Failed(error)) = error;
        error
    }
}

/// A TCP connection without delay to `host`, by the first of its addresses that answers (RFC 8305), and which that was.
/// The name is resolved again for every call, because it may lead elsewhere by now; if it still leads to `preferred`,
/// that address is tried first. Tries for as long as the system does.
///
/// # Errors
/// The name has no address, or none of them takes the connection.
pub async fn connect(
    host: &str,
    port: u16,
    preferred: Option<SocketAddr>,
) -> Result<(Tcp, SocketAddr), HostConnectError> {
    let mut addresses = resolve(host, port).await.map_err(HostConnectError::Unresolved)?;
    if addresses.is_empty() {
        let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(HostConnectError::Unresolved(error));
    }
    prefer(&mut addresses, preferred);
    race(addresses).await.map_err(HostConnectError::Failed)
}

/// Moves `preferred` to the front, if it is among `addresses`.
fn prefer(addresses: &mut [SocketAddr], preferred: Option<SocketAddr>) {
    if let Some(at) = addresses.iter().position(|address| Some(*address) == preferred) {
        addresses[..=at].rotate_right(1);
    }
}

/// The addresses of `host`, in the order of preference.
///
/// # Errors
/// What the system's resolver says.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if is_localhost(host) {
        // RFC 6761 section 6.3: always loopback. Development servers take one family or the other, hence
        // both; IPv6 first, as browsers ask.
        let loopback = [IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv4Addr::LOCALHOST)];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    smol::net::resolve((host, port)).await
}

/// The connection to whichever address answers first. The other attempts end with it.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<(Tcp, SocketAddr)> {
    let clock = Clock::new();
    let mut dial = HappyEyeballs::new(addresses);
    let mut attempts = FuturesUnordered::new();
    let mut reason = None;
    loop {
        while let Some(address) = dial.poll_attempt(clock.now()) {
            attempts.push(open(address));
        }
        let due = dial.poll_timeout();
        let next = async move {
            match due {
                Some(at) => Timer::at(at).await,
                None => std::future::pending().await,
            }
        };
        match select(attempts.next(), pin!(next)).await {
            Either::Left((Some(Ok(connected)), _)) => return Ok(connected),
            Either::Left((Some(Err(error)), _)) => {
                dial.handle_failure(clock.now());
                reason = Some(more_telling(reason, error));
            }
            // Nothing is in progress, and so nothing is left to try either.
            Either::Left((None, _)) => {
                return Err(reason.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
            }
            Either::Right(_) => {}
        }
    }
}

async fn open(address: SocketAddr) -> io::Result<(Tcp, SocketAddr)> {
    let stream = Tcp::connect(address).await?;
    // A head of two hundred bytes must not wait for the acknowledgement of what went before.
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

/// A closed port says more than silence, and silence more than an address that this machine cannot even try (no IPv6, say).
fn more_telling(known: Option<io::Error>, new: io::Error) -> io::Error {
    let rank = |error: &io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => 2,
        io::ErrorKind::TimedOut => 1,
        _ => 0,
    };
    match known {
        Some(known) if rank(&known) >= rank(&new) => known,
        _ => new,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::runtime::Runtime;

    fn runtime() -> Runtime {
        Runtime::new().expect("threads and descriptors")
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = listener.local_addr().expect("its address");
        (listener, at)
    }

    fn closed() -> SocketAddr {
        listener().1
    }

    /// An address that answers nobody: its backlog is full, so the kernel drops what arrives.
    #[cfg(target_os = "linux")]
    fn silent() -> (Vec<Socket>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        socket.listen(0).expect("it listens");
        let at = socket.local_addr().expect("its address");
        let mut held = vec![socket];
        for _ in 0..3 {
            let filling = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            filling.set_nonblocking(true).expect("a socket");
            let _in_progress = filling.connect(&at);
            held.push(filling);
        }
        (held, at.as_socket().expect("an IP address"))
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_dead_address_does_not_keep_a_living_one_from_being_reached() {
        let ((_held, dead), (_listener, alive)) = (silent(), listener());
        let reached = runtime().run(race(vec![dead, dead, closed(), alive]));
        let (tcp, address) = reached.expect("one lives");
        assert_eq!((address, tcp.peer_addr().ok()), (alive, Some(alive)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_attempts_that_lost_are_closed() {
        let ((held, dead), (_listener, alive)) = (silent(), listener());
        let open_to_dead = move || {
            // Our attempt is in SYN_SENT (02) for as long as its socket lives.
            let table = std::fs::read_to_string("/proc/self/net/tcp").expect("procfs");
            let port = format!(":{:04X} 02", dead.port());
            table.lines().filter(|line| line.contains(&port)).count()
        };
        let before = open_to_dead();
        assert!(before > 0, "those that fill the backlog");
        let runtime = runtime();
        let reached = runtime.run(race(vec![dead, alive])).expect("one lives");
        assert_eq!(open_to_dead(), before);
        drop((reached, held));
    }

    #[test]
    fn a_closed_port_is_the_reason_that_is_told() {
        // Multicast has no connections, so this fails at once on any machine.
        let unreachable = SocketAddr::from(([224, 0, 0, 1], 9));
        for addresses in [vec![closed()], vec![unreachable, closed()], vec![closed(), unreachable]] {
            let refused = runtime().run(race(addresses.clone())).err().map(|error| error.kind());
            assert_eq!(refused, Some(io::ErrorKind::ConnectionRefused), "{addresses:?}");
        }
    }

    #[test]
    fn a_name_without_an_address_is_no_closed_port() {
        // Longer than a name can be, so that nobody has to be asked.
        let name = "a".repeat(300);
        let failed = runtime().run(async move { connect(&name, 9, None).await.err() });
        assert!(matches!(failed, Some(HostConnectError::Unresolved(_))), "{failed:?}");
    }

    #[test]
    fn an_address_that_worked_is_tried_first_only_while_the_name_leads_there() {
        let [one, two, three, gone] = [1, 2, 3, 4].map(|last| SocketAddr::from(([192, 0, 2, last], 80)));
        for (preferred, order) in [
            (None, [one, two, three]),
            (Some(one), [one, two, three]),
            (Some(three), [three, one, two]),
            (Some(gone), [one, two, three]),
        ] {
            let mut addresses = [one, two, three];
            prefer(&mut addresses, preferred);
            assert_eq!(addresses, order, "{preferred:?}");
        }
    }

    #[test]
    fn localhost_is_loopback_of_both_families_and_addresses_are_themselves() {
        let loopback = ["[::1]:9", "127.0.0.1:9"].map(|text| text.parse().expect("an address"));
        for name in ["localhost", "LOCALHOST", "app.localhost"] {
            assert_eq!(smol::block_on(resolve(name, 9)).expect("no lookup"), loopback, "{name}");
        }
        for (host, at) in [("192.0.2.1", "192.0.2.1:9"), ("2001:db8::1", "[2001:db8::1]:9")] {
            let at: SocketAddr = at.parse().expect("an address");
            assert_eq!(smol::block_on(resolve(host, 9)).expect("no lookup"), [at], "{host}");
        }
    }
}
