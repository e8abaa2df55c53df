//! Local connections to the service of another identity: one stream for each.
//!
//! Knows nothing of dialling and logging in. Whether the owner lets us in is what comes back first on each stream.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::{self, Either, select};
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use hvym_tunnel_core::agent::Agent;
use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_core::stellar::Address;
use smol::net::{TcpListener, TcpStream};
use socket2::SockRef;

use super::serve::Services;
use hvym_tunnel_net::clock::within;
use hvym_tunnel_net::copy::{ResetFlag, to_local};
use hvym_tunnel_net::executor::spawn;
use hvym_tunnel_net::exit::{Exit, Failure};
use hvym_tunnel_net::link_driver::LinkHandle;
use hvym_tunnel_net::report::{Report, Reporter};
use hvym_tunnel_net::stream::{TunnelReader, TunnelWriter};
use hvym_tunnel_net::target::ServiceAddress;

/// How long a verdict may take. The relay gives up on the owner after 10 s and says so.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long accepting rests when the process is out of file descriptors; some are free again by then.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Read from a local connection at once. Larger saves little and is held by every open connection.
const CHUNK_BYTES: usize = 16 * 1024;

/// What every local connection needs.
pub(super) struct Reach {
    /// The link.
    pub(super) agent: LinkHandle<Agent>,
    /// Who we are, for a person to tell the owner.
    pub(super) own: Address,
    /// What is reached.
    pub(super) to: ServiceAddress,
    /// Who is told.
    pub(super) reporter: Reporter,
    /// Why the last connection was cut, so that a person is told once.
    pub(super) trouble: Mutex<Option<String>>,
}

/// Why a local connection was cut, for a person.
struct Trouble {
    code: String,
    message: String,
    hint: Option<String>,
}

/// How one connection ended before its time.
enum Broken {
    /// The service was not reached.
    Refused(Trouble),
    /// It was, and something broke later.
    Later(io::Error),
}

/// Takes local connections at `at`.
///
/// # Errors
/// The place is taken, not ours, or below 1024 without the right.
pub(super) async fn listen(at: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(at).await;
    let bound = listener.and_then(|listener| listener.local_addr().map(|local| (listener, local)));
    bound.map_err(|error| {
        Failure::new(Exit::Config, format!("cannot listen at {at}: {error}"))
            .with_hint("choose another port, or leave it out for a free one")
    })
}

/// Forwards every connection that comes, until it is asked to finish or dropped. What runs is counted with the streams
/// of `services`, which serve nothing else here.
pub(super) async fn accept(reach: Reach, listener: TcpListener, services: Arc<Services>) {
    let reach = Arc::new(reach);
    let accepting = async {
        loop {
            let (tcp, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for a moment");
                    smol::Timer::after(ACCEPT_REST).await;
                    continue;
                }
            };
            tracing::debug!(%peer, "a local connection");
            let (reach, ticket) = (Arc::clone(&reach), services.drain().ticket());
            spawn(async move {
                reach.carry(tcp).await;
                drop(ticket);
            })
            .detach();
        }
    };
    if let Either::Left((never, _)) = select(pin!(accepting), pin!(services.drain().begun())).await {
        never
    }
}

impl Reach {
    /// Carries one local connection to its end.
    async fn carry(&self, tcp: TcpStream) {
        let Err(broken) = self.try_carry(tcp.clone()).await else { return };
        // A plain end would look like the service's own.
        let _reset = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
        match broken {
            Broken::Refused(trouble) => self.tell(trouble),
            Broken::Later(error) => tracing::debug!(%error, "a forwarded connection ended early"),
        }
    }

    async fn try_carry(&self, tcp: TcpStream) -> Result<(), Broken> {
        // A line of a conversation must not wait for the acknowledgement of what went before.
        tcp.set_nodelay(true).map_err(Broken::Later)?;
        let opening = StreamHeader::reaching(self.to.owner, self.to.service.as_str());
        let opened = self.agent.with(|agent, now| agent.open(&opening, now));
        let id = opened.map_err(|error| Broken::Refused(Trouble::new("not_connected", error.to_string())))?;
        let (from_owner, to_owner) = self.agent.stream(id).split();
        let (from_local, into_local) = tcp.split();
        let broken_off = ResetFlag::default();
        let inward = self.inward(from_owner, into_local, &broken_off);
        let outward = async { outward(from_local, to_owner, &broken_off).await.map_err(Broken::Later) };
        future::try_join(inward, outward).await.map(|_| ())
    }

    async fn inward(
        &self,
        mut from: TunnelReader,
        to: impl AsyncWrite + Unpin,
        broken_off: &ResetFlag,
    ) -> Result<(), Broken> {
        let trouble = match within(VERDICT_TIMEOUT, from.read_verdict()).await {
            Some(Ok(OpenResult::Accepted)) => {
                self.trouble().take();
                return to_local(from, to, broken_off, &|_, _| ()).await.map_err(Broken::Later);
            }
            Some(Ok(OpenResult::Refused { code, message })) => Trouble::refused(&code, message, self.own),
            Some(Err(error)) => {
                let hint = "the relay, or the owner's agent, may be of an earlier version".to_owned();
                Trouble { hint: Some(hint), ..Trouble::new("no_verdict", error.to_string()) }
            }
            None => Trouble::new("timed_out", "the relay did not say yes or no".to_owned()),
        };
        Err(Broken::Refused(trouble))
    }

    /// Tells a person what is wrong, unless they know.
    fn tell(&self, Trouble { code, message, hint }: Trouble) {
        if self.trouble().replace(code.clone()).as_ref() != Some(&code) {
            let service = self.to.to_string();
            self.reporter.tell(&Report::NotReached { service, code, message, hint });
        }
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    fn new(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message, hint: None }
    }

    fn refused(code: &str, message: String, own: Address) -> Self {
        let hint = match code {
            OpenResult::NOT_REACHABLE => {
                Some(format!("is its owner connected to this relay, and does it --allow {own}?"))
            }
            OpenResult::UNAVAILABLE => Some("you are let in; ask the owner to start it".to_owned()),
            _ => None,
        };
        Self { hint, ..Self::new(code, message) }
    }
}

/// From the local side to the owner. An owner that takes nothing more may still have something to say, a verdict
/// for one; a local side that broke has not.
async fn outward(
    mut from: impl AsyncRead + Unpin,
    mut to: TunnelWriter,
    broken_off: &ResetFlag,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.resize(CHUNK_BYTES, 0);
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            broken_off.check()?;
        }
        let sent = match n {
            0 => to.finish(),
            n => to.write_bytes(buffer.split_to(n).freeze()).await,
        };
        if n == 0 || sent.is_err() {
            return Ok(());
        }
    }
}
