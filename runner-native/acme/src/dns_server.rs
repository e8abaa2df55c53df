//! The DNS server of the relay's domain, over UDP and TCP (RFC 7766).
//!
//! It does not know what is asked and answered: see `hvym-dns`.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::{Either, join, pending, select};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hvym_dns::{Transport, Zone, answer};
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_net::udp::UdpSocket;
use smol::future::yield_now;

/// The longest query that is read: one question with EDNS has less than 300 bytes, and options some more.
const MAX_QUERY_BYTES: usize = 1232;
/// TCP connections at once. Resolvers come by TCP only when an answer was cut.
const MAX_CONNECTIONS: usize = 64;
/// How long a TCP connection may take for one query and its answer.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// Queries on one TCP connection.
const MAX_TCP_QUERIES: usize = 32;
/// Datagrams in a row before other tasks get their turn.
const BURST: usize = 64;
/// How long receiving pauses after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// How often the two sockets are tried to have one port, where any free port will do.
const PORT_ATTEMPTS: usize = 16;

/// The sockets of the server.
pub(crate) struct DnsServer {
    udp: UdpSocket,
    tcp: TcpListener,
    zone: Arc<RwLock<Zone>>,
}

impl DnsServer {
    /// Listens at `at`, by UDP and by TCP; with `reuse_port` beside other processes that do so. Port 0 takes one that is free for both.
    ///
    /// # Errors
    /// The address is in use, not of this machine, or a port below 1024 without the privilege.
    pub(crate) fn bind(at: SocketAddr, reuse_port: bool, zone: Arc<RwLock<Zone>>) -> io::Result<Self> {
        let mut attempts = if at.port() == 0 { PORT_ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            let tcp = match reuse_port {
                true => TcpListener::listen_beside_others(at, None)?,
                false => TcpListener::listen(at, None)?,
            };
            match UdpSocket::bind(tcp.local_addr()?, reuse_port) {
                Err(_) if attempts > 0 => {}
                udp => return Ok(Self { udp: udp?, tcp, zone }),
            }
        }
    }

    /// Where it listens.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Answers until it is dropped.
    pub(crate) async fn run(self) {
        let Self { udp, tcp, zone } = &self;
        join(datagrams(udp, zone), connections(tcp, zone)).await;
    }
}

async fn datagrams(udp: &UdpSocket, zone: &RwLock<Zone>) {
    // One byte more shows that a query was too long.
    let mut buffer = [0; MAX_QUERY_BYTES + 1];
    for turn in 1_usize.. {
        if turn.is_multiple_of(BURST) {
            yield_now().await;
        }
        let (length, peer) = match udp.receive(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "no DNS query can be received for a moment");
                Timer::after(ERROR_PAUSE).await;
                continue;
            }
        };
        if length > MAX_QUERY_BYTES || peer.port() == 0 {
            continue;
        }
        let answer =
            answer(&zone.read().unwrap_or_else(PoisonError::into_inner), &buffer[..length], Transport::Udp);
        if let Some(answer) = answer
            && let Err(error) = udp.try_send(&answer, peer)
        {
            tracing::debug!(%peer, %error, "a DNS answer was not sent");
        }
    }
}

async fn connections(listener: &TcpListener, zone: &RwLock<Zone>) {
    let mut open = FuturesUnordered::new();
    loop {
        let ended = async {
            match open.is_empty() {
                true => pending().await,
                false => open.next().await,
            }
        };
        let accepted = match select(pin!(listener.accept()), pin!(ended)).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => continue,
        };
        let (tcp, peer) = accepted;
        if open.len() < MAX_CONNECTIONS {
            open.push(serve(tcp, zone));
        } else {
            tracing::debug!(%peer, "too many DNS connections");
        }
    }
}

async fn serve(mut tcp: Tcp, zone: &RwLock<Zone>) {
    for _ in 0..MAX_TCP_QUERIES {
        match within(TCP_TIMEOUT, one_query(&mut tcp, zone)).await {
            Some(Ok(true)) => {}
            Some(Ok(false) | Err(_)) | None => return,
        }
    }
}

/// Reads and answers one query, each with its length in front (RFC 1035 section 4.2.2). `false` ends the connection.
async fn one_query(tcp: &mut Tcp, zone: &RwLock<Zone>) -> io::Result<bool> {
    let mut length = [0; 2];
    tcp.read_exact(&mut length).await?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_QUERY_BYTES {
        return Ok(false);
    }
    let mut query = vec![0; length];
    tcp.read_exact(&mut query).await?;
    let answer = answer(&zone.read().unwrap_or_else(PoisonError::into_inner), &query, Transport::Tcp);
    let Some(answer) = answer else { return Ok(false) };
    let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
    tcp.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream, UdpSocket as StdUdpSocket};

    use hvym_dns::DomainName;
    use hvym_tunnel_net::runtime::{Runtime, Task};

    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01x\x01t\x04test\0\0\x01\0\x01";

    fn start(runtime: &Runtime) -> (SocketAddr, Task<()>) {
        let mut zone = Zone::new(DomainName::parse("t.test").expect("a name"), 1);
        zone.set_addresses(vec![Ipv4Addr::new(192, 0, 2, 7).into()]);
        let _inside = runtime.handle().enter();
        let server = DnsServer::bind((Ipv4Addr::LOCALHOST, 0).into(), false, Arc::new(RwLock::new(zone)));
        let server = server.expect("a free port");
        let at = server.local_addr().expect("its address");
        (at, runtime.spawn(server.run()))
    }

    fn framed(query: &[u8]) -> Vec<u8> {
        [&u16::try_from(query.len()).expect("short").to_be_bytes()[..], query].concat()
    }

    fn ask(tcp: &mut TcpStream) -> Option<Vec<u8>> {
        tcp.write_all(&framed(QUERY)).ok()?;
        let mut length = [0; 2];
        tcp.read_exact(&mut length).ok()?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        tcp.read_exact(&mut answer).ok()?;
        Some(answer)
    }

    #[test]
    fn queries_are_answered_over_udp_and_over_tcp() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let (at, _server) = start(&runtime);
        let udp = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        udp.connect(at).expect("an address");
        // What is no query, and what is too long for one, gets no answer.
        for datagram in [&b"x"[..], &[0; MAX_QUERY_BYTES + 1], QUERY] {
            udp.send(datagram).expect("it is sent");
        }
        let mut answer = [0; 512];
        let length = udp.recv(&mut answer).expect("an answer");
        assert!(answer[..length].starts_with(b"\x12\x34") && answer[..length].ends_with(&[192, 0, 2, 7]));
        let mut tcp = TcpStream::connect(at).expect("it listens");
        assert_eq!(ask(&mut tcp).as_deref(), Some(&answer[..length]));
    }

    #[test]
    fn a_connection_has_a_bounded_number_of_queries_of_a_bounded_length() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let (at, _server) = start(&runtime);
        let mut tcp = TcpStream::connect(at).expect("it listens");
        assert_eq!((0..=MAX_TCP_QUERIES).filter_map(|_| ask(&mut tcp)).count(), MAX_TCP_QUERIES);
        for (length, is_answered) in [(MAX_QUERY_BYTES, true), (MAX_QUERY_BYTES + 1, false)] {
            let mut tcp = TcpStream::connect(at).expect("it listens");
            // A record of EDNS whose data fill the query up.
            let mut query = QUERY.to_vec();
            query[11] = 1;
            let rest = u16::try_from(length - QUERY.len() - 11).expect("short");
            query.extend(b"\0\0\x29\x04\xd0\0\0\0\0");
            query.extend(rest.to_be_bytes());
            query.resize(length, 0);
            tcp.write_all(&framed(&query)).expect("it is sent");
            let mut answer = Vec::new();
            // One that sent too much may be cut off already.
            let _closed = tcp.shutdown(std::net::Shutdown::Write);
            let _end = tcp.read_to_end(&mut answer);
            assert_eq!(!answer.is_empty(), is_answered, "{length}");
        }
    }

    #[test]
    fn connections_above_the_limit_are_closed() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let (at, _server) = start(&runtime);
        let mut open: Vec<TcpStream> = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut tcp = TcpStream::connect(at).expect("it listens");
            assert!(ask(&mut tcp).is_some());
            open.push(tcp);
        }
        let mut tcp = TcpStream::connect(at).expect("the kernel accepts");
        assert_eq!(ask(&mut tcp), None);
        drop(open);
    }
}
