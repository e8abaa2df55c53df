//! The local place of a service, and connections to it: TCP, TLS over TCP, or a Unix socket.
//!
//! Knows nothing of tunnels and HTTP. It remembers the address that worked last and the last error.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_rustls::client::TlsStream;
use futures_util::io::{AsyncRead, AsyncWrite};
use thiserror::Error;

use hvym_tunnel_net::copy::LocalConnection;
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::host_connect::{self, HostConnectError};
use hvym_tunnel_net::target::{Origin, Scheme, Target};
use hvym_tunnel_net::tcp::Tcp;
#[cfg(unix)]
use hvym_tunnel_net::tcp::Unix;
use hvym_tunnel_net::thread_buffer::poll_read_copied;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::tls::{self, Trust};

/// How long name, connection and TLS may take together. A service on this machine or its network answers in
/// milliseconds; a firewall that swallows packets never does, and a visitor waits meanwhile.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A local place, and the outcome of the last attempt to connect.
pub(crate) struct Upstream {
    target: Target,
    /// Which certificates are accepted.
    trust: Trust,
    /// The address that answered last. It is tried first as long as the name leads there, which spares an attempt where
    /// a service listens on one of the two addresses of `localhost`.
    last_good: Mutex<Option<SocketAddr>>,
    /// The error of the last attempt.
    last_error: Mutex<Option<ConnectError>>,
}

/// Why a local place could not be reached.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The machine is there, the port is closed.
    #[error("nothing is listening on {0}")]
    Refused(String),
    /// No socket lies there.
    #[error("there is no socket at {0}")]
    NoSocket(String),
    /// The host name has no address.
    #[error("the name {0} cannot be resolved: {1}")]
    Unresolved(String, String),
    /// No answer within 5 s.
    #[error("{0} did not answer within {limit} s", limit = CONNECT_TIMEOUT.as_secs())]
    TimedOut(String),
    /// Connected, but the certificate is not trusted.
    #[error("the certificate of {0} is not trusted")]
    Untrusted(String),
    /// Connected, but what came back is not TLS.
    #[error("{0} does not speak TLS")]
    NotTls(String),
    /// Connected, and TLS failed in another way.
    #[error("TLS with {0} failed: {1}")]
    Tls(String, String),
    /// Anything else the system says.
    #[error("{0} cannot be reached: {1}")]
    Failed(String, String),
}

impl ConnectError {
    /// The status of the page that a visitor gets for it (RFC 9110 sections 15.6.3 and 15.6.5).
    pub(super) fn status(&self) -> u16 {
        if matches!(self, ConnectError::TimedOut(_)) { 504 } else { 502 }
    }
}

impl Upstream {
    /// The place that `target` names; nothing is connected yet. `trust` decides about certificates that are checked.
    pub(crate) fn new(target: Target, trust: Trust) -> Self {
        Self { target, trust, last_good: Mutex::new(None), last_error: Mutex::new(None) }
    }

    /// The place itself.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// A fresh connection.
    pub(crate) async fn connect(&self) -> Result<UpstreamStream, ConnectError> {
        let attempt = async {
            let origin = match &self.target {
                Target::Origin(origin) => origin,
                Target::Socket(path) => return self.open_socket(path).await,
                Target::Folder(path) => {
                    let place = path.display().to_string();
                    return Err(ConnectError::Failed(place, "a folder takes no connections".to_owned()));
                }
            };
            let tcp = self.connect_tcp(origin).await?;
            let trust = match origin.scheme {
                Scheme::Http | Scheme::H2c | Scheme::Tcp => {
                    return Ok(UpstreamStream::Plain(tcp));
                }
                Scheme::Https { verify: true } => self.trust.clone(),
                Scheme::Https { verify: false } => Trust::Anyone,
            };
            let secured = tls::client(tcp, &origin.host, trust).await;
            let secured = secured.map_err(|error| self.explain_tls(&error))?;
            Ok(UpstreamStream::Tls(Box::new(secured)))
        };
        let timed_out = || Err(ConnectError::TimedOut(self.target.place()));
        within(CONNECT_TIMEOUT, attempt).await.unwrap_or_else(timed_out)
    }

    /// Records the outcome of an attempt. Returns whether it differs from the last one.
    pub(crate) fn note(&self, error: Option<&ConnectError>) -> bool {
        let mut known = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let news = known.as_ref() != error;
        if news {
            *known = error.cloned();
        }
        news
    }

    #[cfg(unix)]
    async fn open_socket(&self, path: &Path) -> Result<UpstreamStream, ConnectError> {
        let opened = Unix::connect_to(&expanded(path)).await;
        opened.map(UpstreamStream::Unix).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ConnectError::NoSocket(self.target.place()),
            _ => self.explain(&error),
        })
    }

    #[cfg(not(unix))]
    async fn open_socket(&self, _path: &Path) -> Result<UpstreamStream, ConnectError> {
        Err(ConnectError::NoSocket(self.target.place()))
    }

    async fn connect_tcp(&self, origin: &Origin) -> Result<Tcp, ConnectError> {
        let preferred = *self.last_good.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = host_connect::connect(&origin.host, origin.port, preferred).await;
        let (stream, address) = connected.map_err(|error| match error {
            HostConnectError::Unresolved(error) => {
                ConnectError::Unresolved(origin.host.clone(), words(&error))
            }
            HostConnectError::Failed(error) => self.explain(&error),
        })?;
        *self.last_good.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        Ok(stream)
    }

    fn explain(&self, error: &io::Error) -> ConnectError {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused(self.target.place()),
            _ => ConnectError::Failed(self.target.place(), words(error)),
        }
    }

    fn explain_tls(&self, error: &io::Error) -> ConnectError {
        let place = self.target.place();
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(_)) => ConnectError::Untrusted(place),
            Some(rustls::Error::InvalidMessage(_)) => ConnectError::NotTls(place),
            _ => ConnectError::Tls(place, words(error)),
        }
    }
}

/// A path as a person means it: `~` is the home folder, which a shell replaces only at the start of a word.
pub(crate) fn expanded(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path.to_owned(),
    }
}

/// A connection to a local place.
pub(crate) enum UpstreamStream {
    /// TCP.
    Plain(Tcp),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(Unix),
    /// TLS over TCP; boxed, for its state is hundreds of bytes that plain streams need not carry.
    Tls(Box<TlsStream<Tcp>>),
}

impl LocalConnection for UpstreamStream {
    fn poll_read_spare(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match self {
            UpstreamStream::Plain(stream) => stream.poll_read_spare(cx, buf),
            #[cfg(unix)]
            UpstreamStream::Unix(stream) => stream.poll_read_spare(cx, buf),
            UpstreamStream::Tls(_) => poll_read_copied(self, cx, buf),
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(unix)]
            UpstreamStream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            UpstreamStream::Tls(stream) => match Pin::new(stream).poll_read(cx, buf) {
                // Many servers end TLS without its goodbye. HTTP has its own lengths, and a visitor's browser checks them.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
                other => other,
            },
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(unix)]
            UpstreamStream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            #[cfg(unix)]
            UpstreamStream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(unix)]
            UpstreamStream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_close(cx),
            #[cfg(unix)]
            UpstreamStream::Unix(stream) => Pin::new(stream).poll_close(cx),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}
