//! Asks the resolvers of the system, or others that are named, for records of DNS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use hvym_dns::{DomainName, LookupType, ResolverError, lookup_query, lookup_records};
use hvym_tunnel_net::clock::seed;
use hvym_tunnel_net::timeout::within;
use smol::net::{TcpStream, UdpSocket};

use super::proof::{DnsLookup, LookupError, Lookups};

/// Where the system's resolvers stand (resolv.conf(5)).
const SYSTEM_FILE: &str = "/etc/resolv.conf";
/// The port of DNS (RFC 1035 section 4.2).
const PORT: u16 = 53;
/// Resolvers that are asked; as many as the C library takes.
const MAX_SERVERS: usize = 3;
/// How often all of them are asked.
const ROUNDS: usize = 2;
/// How long a resolver may take: it may have to ask others.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer in a datagram (RFC 1035 section 4.2.1), and what is left of longer ones.
const MAX_DATAGRAM: usize = 4096;

/// A client of DNS.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// Asks these resolvers, or those of the system if there are none.
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        let servers = if servers.is_empty() { system_servers() } else { servers };
        Self { servers }
    }

    async fn look_up(&self, name: &str, kind: LookupType) -> Result<Vec<String>, LookupError> {
        let name = DomainName::parse(name).map_err(|error| LookupError(error.to_string()))?;
        let mut last = LookupError("there is no resolver".to_owned());
        for server in (0..ROUNDS).flat_map(|_| self.servers.iter().take(MAX_SERVERS)) {
            let [first, second, ..] = seed();
            let id = u16::from_be_bytes([first, second]);
            let message = lookup_query(id, &name, kind);
            let mut outcome = match within(TIMEOUT, by_datagram(*server, &message)).await {
                Some(Ok(reply)) => lookup_records(&reply, id, &name, kind),
                failed => {
                    last = failure(*server, failed);
                    continue;
                }
            };
            if outcome == Err(ResolverError::Truncated) {
                outcome = match within(TIMEOUT, by_stream(*server, &message)).await {
                    Some(Ok(reply)) => lookup_records(&reply, id, &name, kind),
                    failed => {
                        last = failure(*server, failed);
                        continue;
                    }
                };
            }
            match outcome {
                Ok(records) => return Ok(records),
                Err(error) => last = LookupError(format!("{server}: {error}")),
            }
        }
        Err(last)
    }
}

impl DnsLookup for Resolver {
    fn texts<'a>(&'a self, name: &'a str) -> Lookups<'a> {
        Box::pin(self.look_up(name, LookupType::Txt))
    }

    fn aliases<'a>(&'a self, name: &'a str) -> Lookups<'a> {
        Box::pin(self.look_up(name, LookupType::Cname))
    }
}

fn failure(server: SocketAddr, outcome: Option<io::Result<Vec<u8>>>) -> LookupError {
    match outcome {
        Some(Err(error)) => LookupError(format!("{server}: {error}")),
        Some(Ok(_)) | None => LookupError(format!("{server} does not answer")),
    }
}

/// A socket of its own for each question, so that its port cannot be guessed; connected, so that only the resolver is heard.
async fn by_datagram(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut reply = vec![0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut reply).await?;
        // One with another id is an answer to somebody else, or a guess.
        if reply.get(..2) == message.get(..2) {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

/// Over TCP a message has its length in front (RFC 1035 section 4.2.2).
async fn by_stream(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

fn system_servers() -> Vec<SocketAddr> {
    let servers = std::fs::read_to_string(SYSTEM_FILE).map(|text| servers(&text)).unwrap_or_default();
    // What the C library does without the file.
    if servers.is_empty() { vec![(Ipv4Addr::LOCALHOST, PORT).into()] } else { servers }
}

fn servers(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        // A link-local address names its interface after %, which no socket address takes.
        address.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, PORT))
    };
    text.lines().filter_map(server).take(MAX_SERVERS).collect()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as StdUdpSocket;

    use hvym_tunnel_net::runtime::Runtime;

    use super::*;

    fn look_up(servers: Vec<SocketAddr>) -> Result<Vec<String>, LookupError> {
        let resolver = Resolver::new(servers);
        Runtime::new().expect("threads").block_on(resolver.look_up("a.example", LookupType::Txt))
    }

    #[test]
    fn the_resolvers_of_the_system_are_read_from_its_file() {
        let text = "# c\nsearch example\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 # x\nnameserver fe80::1%eth0\noptions x\n";
        let expected: Vec<SocketAddr> =
            ["192.0.2.1:53", "[2001:db8::1]:53"].map(|at| at.parse().expect("one")).into();
        assert_eq!(servers(text), expected);
        assert!(servers("nameserver x\n").is_empty());
    }

    /// A resolver that answers each question by `reply`.
    fn resolver(count: usize, reply: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
        let socket = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let at = socket.local_addr().expect("bound");
        std::thread::spawn(move || {
            let mut room = [0; 512];
            for _ in 0..count {
                let Ok((length, from)) = socket.recv_from(&mut room) else { return };
                for message in reply(&room[..length]) {
                    let _gone = socket.send_to(&message, from);
                }
            }
        });
        at
    }

    fn with_text(question: &[u8]) -> Vec<u8> {
        let mut message = question.to_vec();
        (message[2], message[7]) = (0x81, 1);
        message.extend(b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x03\x02hi");
        message
    }

    #[test]
    fn an_answer_is_taken_from_whoever_was_asked_and_with_the_id_that_was_asked_for() {
        let wrong = |question: &[u8]| {
            let mut message = with_text(question);
            message[0] ^= 1;
            message
        };
        let at = resolver(1, move |question| vec![wrong(question), with_text(question)]);
        let found = look_up(vec![at]);
        assert_eq!(found, Ok(vec!["hi".to_owned()]));
    }

    #[test]
    fn another_resolver_is_asked_when_one_fails() {
        let failing = resolver(2, |question| {
            let mut message = question.to_vec();
            (message[2], message[3]) = (0x81, 2);
            vec![message]
        });
        let working = resolver(1, |question| vec![with_text(question)]);
        let found = look_up(vec![failing, working]);
        assert_eq!(found, Ok(vec!["hi".to_owned()]));
        let error = look_up(vec![failing]);
        assert!(error.is_err());
    }
}
