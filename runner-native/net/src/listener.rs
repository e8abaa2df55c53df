//! Where TCP connections arrive. A listener never fails once it listens: it waits while the process has no descriptor left.
//!
//! Knows no limits and no protocol.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::poll_fn;
use hvym_tunnel_core::time::Instant;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::clock::Clock;
use super::registration::Registration;
use super::tcp::Tcp;
use super::timer::Timer;

/// Connections the kernel holds ready for us. A page with many parts opens dozens at once.
const BACKLOG: i32 = 1024;
/// How long accepting pauses when the process is out of descriptors; some are free again by then.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections accepted in a row before other tasks get their turn: a flood of them must not stop those that are served.
const ACCEPT_BURST: usize = 64;
/// How often a lasting lack of descriptors is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Where TCP connections arrive.
#[derive(Debug)]
pub struct TcpListener {
    /// Before the socket, which must outlive it.
    registration: Registration,
    listener: std::net::TcpListener,
    keepalive: Option<Duration>,
    /// Connections accepted since none waited.
    burst: AtomicUsize,
    failures: AtomicU64,
    log: Mutex<FailureLog>,
}

impl TcpListener {
    /// Listens at `at`. Connections have no delay (`TCP_NODELAY`), and with `keepalive` those that are idle for so long are
    /// probed, so that one whose peer lost its network does not stay for ever.
    ///
    /// # Errors
    /// The address is in use, not of this machine, or a port below 1024 without the privilege.
    pub fn listen(at: SocketAddr, keepalive: Option<Duration>) -> io::Result<Self> {
        Self::open(at, keepalive, false)
    }

    /// The same, beside other processes of this user that listen there in this way: each connection goes to one of them.
    /// Only on Unix; elsewhere as [`TcpListener::listen`].
    ///
    /// # Errors
    /// Also if something listens there that does not let others.
    pub fn listen_beside_others(at: SocketAddr, keepalive: Option<Duration>) -> io::Result<Self> {
        Self::open(at, keepalive, true)
    }

    /// Takes a socket over that listens already, as another process of this program or a supervisor has opened it.
    ///
    /// # Errors
    /// The system has no room for another, or it is no socket that listens.
    pub fn from_listening(listener: std::net::TcpListener, keepalive: Option<Duration>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        if INHERITS_OPTIONS {
            configure(&listener, keepalive)?;
        }
        Self::register(listener, keepalive)
    }

    fn register(listener: std::net::TcpListener, keepalive: Option<Duration>) -> io::Result<Self> {
        Ok(Self {
            registration: Registration::new(&listener)?,
            listener,
            keepalive,
            burst: AtomicUsize::new(0),
            failures: AtomicU64::new(0),
            log: Mutex::default(),
        })
    }

    /// The same socket for another process, which accepts from the same queue. It listens until both are dropped.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn try_clone_socket(&self) -> io::Result<std::net::TcpListener> {
        self.listener.try_clone()
    }

    fn open(at: SocketAddr, keepalive: Option<Duration>, is_shared: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        // Without it, a restart would wait for the connections of the previous run to time out.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        if is_shared {
            socket.set_reuse_port(true)?;
        }
        #[cfg(not(unix))]
        let _no_such_option = is_shared;
        socket.bind(&at.into())?;
        socket.set_nonblocking(true)?;
        if INHERITS_OPTIONS {
            configure(&socket, keepalive)?;
        }
        socket.listen(BACKLOG)?;
        Self::register(socket.into(), keepalive)
    }

    /// Where it really listens.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection, and from where it comes. While the process has no descriptor left it waits, and those who
    /// connect wait in the backlog of the kernel.
    pub async fn accept(&self) -> (Tcp, SocketAddr) {
        loop {
            let accepted = poll_fn(|cx| self.poll_accept(cx)).await;
            match accepted.and_then(|(stream, peer)| Ok((Tcp::from_shared(Arc::new(stream))?, peer))) {
                Ok(accepted) => return accepted,
                Err(error) if ended_before(&error) => {}
                Err(error) => {
                    self.note_failure(&error);
                    Timer::after(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next connection that the kernel has accepted already.
    pub fn accept_now(&self) -> Option<(Tcp, SocketAddr)> {
        let (stream, peer) = accept(&self.listener, self.keepalive).ok()?;
        Some((Tcp::from_shared(Arc::new(stream)).ok()?, peer))
    }

    /// Begins no connection any more, and goes on with those that have begun: whoever dials tries again a second later, and
    /// reaches another process that listens there. Closing at once would reset connections whose handshake is under way.
    ///
    /// # Errors
    /// The system's; not all systems can.
    pub fn pause(&self) -> io::Result<()> {
        drop_dials(&self.listener)
    }

    /// How often accepting failed for want of descriptors or memory.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn note_failure(&self, error: &io::Error) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.is_due(Clock::new().now()) {
            tracing::warn!(%error, failures, "cannot accept connections for a moment");
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        if self.burst.fetch_add(1, Ordering::Relaxed) >= ACCEPT_BURST {
            self.burst.store(0, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            ready!(self.registration.poll_readable(cx))?;
            self.registration.about_to_read();
            match accept(&self.listener, self.keepalive) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.burst.store(0, Ordering::Relaxed);
                }
                accepted => {
                    self.registration.has_more();
                    return Poll::Ready(accepted);
                }
            }
        }
    }
}

/// Drops every segment that begins a connection (RFC 9293 section 3.1: SYN without ACK).
#[cfg(target_os = "linux")]
fn drop_dials(listener: &std::net::TcpListener) -> io::Result<()> {
    use socket2::SockFilter;

    /// Where the flags are in a TCP header, those of a segment that begins a connection, and the one beside it in its answer.
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    // bpf(4): load a byte, mask it, compare, and return how much of the segment to keep.
    let program = [
        SockFilter::new(0x30, 0, 0, FLAGS_AT),
        SockFilter::new(0x54, 0, 0, SYN | ACK),
        SockFilter::new(0x15, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&program)
}

#[cfg(not(target_os = "linux"))]
fn drop_dials(_listener: &std::net::TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the options of a listening socket are those of its connections too.
const INHERITS_OPTIONS: bool = cfg!(target_os = "linux");

fn configure<'a>(socket: impl Into<SockRef<'a>>, keepalive: Option<Duration>) -> io::Result<()> {
    let socket = socket.into();
    socket.set_tcp_nodelay(true)?;
    match keepalive {
        Some(idle) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
        None => Ok(()),
    }
}

/// One connection, which does not block; `accept4` sets it up in the same system call.
#[cfg(target_os = "linux")]
fn accept(
    listener: &std::net::TcpListener,
    _keepalive: Option<Duration>,
) -> io::Result<(TcpStream, SocketAddr)> {
    use rustix::net::SocketFlags;

    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (stream, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((stream.into(), peer.ok_or(io::ErrorKind::ConnectionAborted)?))
}

/// One connection, which does not block.
#[cfg(not(target_os = "linux"))]
fn accept(
    listener: &std::net::TcpListener,
    keepalive: Option<Duration>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    // A connection that is gone already says so when it is read.
    let _configured = configure(&stream, keepalive);
    Ok((stream, peer))
}

/// Errors of one connection that ended before it was accepted, among them those of the network (accept(2), "Error handling").
fn ended_before(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
        PermissionDenied,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
    )
}

/// When failures were logged last. Knows no clock.
#[derive(Debug, Default)]
struct FailureLog {
    logged: Option<Instant>,
}

impl FailureLog {
    /// Whether a failure at `now` is worth a line.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.logged.is_none_or(|at| now - at >= LOG_INTERVAL);
        if is_due {
            self.logged = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;

    use super::*;
    use crate::runtime::Runtime;

    fn listener(runtime: &Runtime, keepalive: Option<Duration>) -> (TcpListener, SocketAddr) {
        let _inside = runtime.handle().enter();
        let listener = TcpListener::listen((Ipv4Addr::LOCALHOST, 0).into(), keepalive).expect("a free port");
        let at = listener.local_addr().expect("its address");
        (listener, at)
    }

    #[test]
    fn connections_have_their_options_and_say_from_where_they_come() {
        let runtime = Runtime::new().expect("threads and descriptors");
        for keepalive in [None, Some(Duration::from_secs(77))] {
            let (listener, at) = listener(&runtime, keepalive);
            let theirs = TcpStream::connect(at).expect("it listens");
            let (ours, peer) = runtime.run(async move { listener.accept().await });
            assert_eq!(peer, theirs.local_addr().expect("its address"));
            let ours = ours.handle();
            let ours = SockRef::from(&*ours);
            assert!(ours.tcp_nodelay().expect("a socket"));
            assert_eq!(ours.keepalive().expect("a socket"), keepalive.is_some());
            #[cfg(unix)]
            {
                assert!(ours.nonblocking().expect("a socket"));
                let idle = keepalive.map(|_| ours.tcp_keepalive_time().expect("a socket"));
                assert_eq!(idle, keepalive);
            }
        }
    }

    #[test]
    fn a_flood_of_connections_lets_other_tasks_have_their_turn() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let (listener, at) = listener(&runtime, None);
        let _inside = runtime.handle().enter();
        let visitors: Vec<_> =
            (0..=ACCEPT_BURST).map(|_| TcpStream::connect(at).expect("it listens")).collect();
        let mut in_a_row = 0;
        while listener.accept().now_or_never().is_some() {
            in_a_row += 1;
        }
        assert_eq!(in_a_row, ACCEPT_BURST);
        assert!(listener.accept().now_or_never().is_some(), "the last of {}", visitors.len());
    }

    #[test]
    fn a_lasting_shortage_is_logged_once_a_minute() {
        let mut log = FailureLog::default();
        let due = [0, 1, 59_999, 60_000, 60_001, 119_999, 120_000]
            .map(|millis| log.is_due(Instant::from_millis(millis)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
