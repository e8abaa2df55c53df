//! Whether a relay serves visitors: a request of its own that comes the way of theirs, through the listener, TLS and the
//! router.
//!
//! Knows no state of the relay.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::tls::{self, Trust};
use smol::lock::Mutex;

/// Where a relay says that it is alive.
pub(crate) const ALIVE_PATH: &str = "/healthz";
/// How long the request may take: longer, and a load balancer had better ask another relay.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// How long an outcome is good for, so that whoever asks all the time causes one request in a second.
const FRESH: Duration = Duration::from_secs(1);
/// What the response begins with.
const ALIVE: &[u8] = b"HTTP/1.1 200 ";

/// The probe of one relay.
pub(crate) struct Readiness {
    at: SocketAddr,
    domain: String,
    is_tls: bool,
    /// Held while the request is under way, so that there is one of them.
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Readiness {
    /// Of a relay that listens at `at` and is called `domain`.
    pub(crate) fn new(at: SocketAddr, domain: &str, is_tls: bool) -> Self {
        let ip = match at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let at = SocketAddr::new(ip, at.port());
        Self { at, domain: domain.to_owned(), is_tls, last: Mutex::default() }
    }

    /// Whether a request is answered, as it was within the last second or is now.
    ///
    /// # Errors
    /// Why not, for a person.
    pub(crate) async fn check(&self, clock: Clock) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, outcome)) = &*last
            && clock.now() - *at < FRESH
        {
            return outcome.clone();
        }
        let outcome = match within(PROBE_LIMIT, self.probe()).await {
            Some(outcome) => outcome.map_err(|error| words(&error)),
            None => Err(format!("a request to itself was not answered within {} s", PROBE_LIMIT.as_secs())),
        };
        *last = Some((clock.now(), outcome.clone()));
        outcome
    }

    async fn probe(&self) -> io::Result<()> {
        let tcp = Tcp::connect(self.at).await?;
        let mut wire = match self.is_tls {
            // It is this process, whose certificate may be for other names, or of an authority of its own.
            true => Wire::Boxed(Box::new(tls::client(tcp, &self.domain, Trust::Anyone).await?)),
            false => Wire::Plain(tcp),
        };
        // Where this machine is a trusted proxy, plain HTTP would be led away.
        let request = format!(
            "GET {ALIVE_PATH} HTTP/1.1\r\nHost: {}\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
            self.domain
        );
        wire.write_all(request.as_bytes()).await?;
        wire.flush().await?;
        let mut begun = [0; ALIVE.len()];
        wire.read_exact(&mut begun).await?;
        if begun == ALIVE {
            return Ok(());
        }
        let status = String::from_utf8_lossy(&begun).into_owned();
        Err(io::Error::other(format!("a request to itself was answered {status:?}")))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use hvym_tunnel_net::runtime::Runtime;

    use super::*;

    #[test]
    fn a_relay_is_ready_if_its_listener_answers_200_and_is_asked_once_in_a_second() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = listener.local_addr().expect("its address");
        let answers = std::thread::spawn(move || {
            for answer in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 503 Unavailable\r\n\r\n"] {
                let (mut visitor, _) = listener.accept().expect("a request");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    visitor.read_exact(&mut byte).expect("a head");
                    head.extend_from_slice(&byte);
                }
                assert!(head.starts_with(b"GET /healthz HTTP/1.1\r\nHost: tunnel.example\r\n"));
                visitor.write_all(answer.as_bytes()).expect("it reads");
            }
        });
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port());
        let [first, second] = [(); 2].map(|()| Readiness::new(any, "tunnel.example", false));
        let clock = Clock::new();
        runtime.run(async move {
            assert_eq!(first.check(clock).await, Ok(()));
            assert_eq!(first.check(clock).await, Ok(()), "the outcome is a moment old");
            let refused = second.check(clock).await.expect_err("503");
            assert!(refused.contains("503"), "{refused}");
        });
        answers.join().expect("both came");
    }
}
