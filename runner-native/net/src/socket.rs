//! WebSockets: dialling, accepting, closing, and the translation to the core's messages.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::Message as Wired;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use async_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite};
use hvym_tunnel_core::agent::DialTarget;
use hvym_tunnel_core::dialect::MUX_YAMUX;
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::reason::DownReason;
use smol::channel::{Receiver, Sender, bounded};

use super::error_text::words;
use super::host_connect::connect;
use super::proxy::Proxy;
use super::runtime::spawn;
use super::size_limit::{READ_BUFFER_BYTES, SizeLimit, TooLarge};
use super::tcp::Tcp;
use super::timeout::within;
use super::tls::{self, Trust};

pub use async_tungstenite::tungstenite::Error;

/// The largest message we read until the machine takes larger ones. The mux sends 64 KiB at a time and accepts any cut
/// of its stream; control messages have their own, smaller limit in the core.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// The largest message we read at all, whatever the machine takes: the limit of the older systems' servers.
const LARGEST_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Collected before a write: two batches of the mux. Larger makes the rest of a partial write costly to move.
const WRITE_BUFFER_BYTES: usize = 128 * 1024;
/// A ping or pong adds two bytes to what is in it (RFC 6455 section 5.2), and four where it is masked.
const PING_OVERHEAD: usize = 2;
/// How long a close may take to reach a peer that does not read.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Any duplex byte stream a WebSocket can run over.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a WebSocket runs over.
pub enum Wire {
    /// TCP.
    Plain(Tcp),
    /// TLS, or a connection that was upgraded by the HTTP server.
    Boxed(Box<dyn Duplex>),
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Boxed(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Boxed(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Wire::Boxed(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Boxed(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_close(cx),
            Wire::Boxed(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}

/// An open WebSocket.
pub type Socket = WebSocketStream<SizeLimit<Wire>>;

/// How to reach a relay.
#[derive(Clone)]
pub struct DialOptions {
    /// Allow `ws://` to an address that is not loopback: everything, the login included, is then readable on the way.
    pub allow_plaintext: bool,
    /// Whose certificate a relay behind `wss://` may have.
    pub trust: Trust,
    /// The proxy on the way, if there is one.
    pub proxy: Option<Proxy>,
    /// A token to show in the upgrade, where the relay knows agents by it.
    pub token: Option<HeaderValue>,
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(8 * WRITE_BUFFER_BYTES + LARGEST_MESSAGE_BYTES)
        // The largest limit of any machine; the size limit below follows the machine's current one.
        .max_message_size(Some(LARGEST_MESSAGE_BYTES))
        .max_frame_size(Some(LARGEST_MESSAGE_BYTES))
}

/// Limits the messages that are read from now on; `None` is the usual limit.
pub(super) fn set_max_message(socket: &mut Socket, max: Option<usize>) {
    let limit = max.unwrap_or(MAX_MESSAGE_BYTES).min(LARGEST_MESSAGE_BYTES);
    socket.get_mut().set_limit(limit);
}

/// Opens a WebSocket to a relay. What went wrong, if it did, is the close's reason, for a person.
pub async fn dial(target: &DialTarget, options: &DialOptions) -> Result<Socket, Close> {
    let failed = |what: String| Close::abnormal(what);
    let mut request = target
        .relay
        .as_str()
        .into_client_request()
        .map_err(|e| failed(format!("{} is not a WebSocket URL: {e}", target.relay)))?;
    if let Some(token) = &target.bearer {
        request.headers_mut().insert("authorization", bearer(token.as_str())?);
        request.headers_mut().insert("hvym-tunnel-mux", HeaderValue::from_static(MUX_YAMUX));
    }
    if let Some(token) = &options.token {
        request.headers_mut().insert("authorization", token.clone());
    }
    let uri = request.uri();
    let secure = uri.scheme_str() == Some("wss");
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tcp = match &options.proxy {
        Some(proxy) => proxy.connect(&host, port).await.map_err(|error| failed(error.to_string()))?,
        None => match connect(&host, port, None).await {
            Ok((tcp, _)) => tcp,
            Err(error) => return Err(failed(format!("{host}:{port}: {}", words(&error.into())))),
        },
    };
    let wire = if secure {
        let stream = tls::client(tcp, &host, options.trust.clone()).await;
        Wire::Boxed(Box::new(stream.map_err(|e| failed(format!("TLS with {host}: {}", words(&e))))?))
    } else {
        // A proxy on this machine leads away from it.
        let loopback = options.proxy.is_none() && tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if !loopback && !options.allow_plaintext {
            return Err(failed(format!(
                "ws:// to {host} would send everything readable; use wss://, or --insecure if you must"
            )));
        }
        Wire::Plain(tcp)
    };
    let wire = SizeLimit::new(wire, MAX_MESSAGE_BYTES);
    let (socket, _) = async_tungstenite::client_async_with_config(request, wire, Some(config()))
        .await
        .map_err(|error| match &error {
            Error::Http(answer) if options.token.is_some() && answer.status() == StatusCode::UNAUTHORIZED => {
                DownReason::Authentication("the server answered HTTP 401".to_owned()).close()
            }
            error => failed(upgrade_failure(error)),
        })?;
    Ok(socket)
}

/// `token` as it is shown in an upgrade, and never in a log.
///
/// # Errors
/// It has a character that no header field can have.
pub fn bearer(token: &str) -> Result<HeaderValue, Close> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| Close::abnormal("the token cannot be sent as a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The relay's end of a connection whose upgrade was already answered.
pub async fn accepted(wire: Wire) -> Socket {
    let wire = SizeLimit::new(wire, MAX_MESSAGE_BYTES);
    WebSocketStream::from_raw_socket(wire, Role::Server, Some(config())).await
}

fn upgrade_failure(error: &Error) -> String {
    match error {
        Error::Http(response) if response.status() == StatusCode::NOT_FOUND => {
            "there is no relay at this URL (HTTP 404); a relay's path is usually /connect".into()
        }
        Error::Http(response) => {
            format!("the server answered HTTP {} instead of a WebSocket", response.status())
        }
        Error::Io(error) => words(error),
        other => other.to_string(),
    }
}

/// What a socket received, as the core's type.
pub(super) enum Received {
    /// A message for the machine.
    Message(Message),
    /// The peer's close.
    Close(Close),
    /// Something the socket deals with by itself.
    Nothing,
}

/// What came over `socket`.
///
/// # Errors
/// A message above the limit of the moment.
pub(super) fn from_wire(socket: &mut Socket, message: Wired) -> Result<Received, Error> {
    let gauge = socket.get_mut();
    let message = match message {
        Wired::Text(text) => Message::Text(Bytes::from(text)),
        Wired::Binary(data) => Message::Binary(data),
        Wired::Close(Some(frame)) => {
            return Ok(Received::Close(Close::new(frame.code.into(), frame.reason.as_str().to_owned())));
        }
        Wired::Close(None) => return Ok(Received::Close(Close::new(1000, ""))),
        Wired::Ping(data) | Wired::Pong(data) => {
            gauge.forgive(PING_OVERHEAD + data.len());
            return Ok(Received::Nothing);
        }
        Wired::Frame(_) => return Ok(Received::Nothing),
    };
    gauge.forget();
    let (Message::Text(data) | Message::Binary(data)) = &message;
    match (data.len(), gauge.limit()) {
        (size, max_size) if size > max_size => {
            Err(Error::Capacity(CapacityError::MessageTooLong { size, max_size }))
        }
        _ => Ok(Received::Message(message)),
    }
}

/// The form of a message that the WebSocket library sends.
pub fn to_wire(message: Message) -> Wired {
    match message {
        Message::Binary(data) => Wired::Binary(data),
        Message::Text(text) => match text.try_into() {
            Ok(text) => Wired::Text(text),
            // The core writes JSON, which is UTF-8; were it not, an empty message is refused by the peer.
            Err(_) => Wired::Text("".into()),
        },
    }
}

/// What an error of the socket means. A code other than [`Close::ABNORMAL`] is sent to the peer.
pub fn what_happened(error: &Error) -> Close {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            Close::new(1009, format!("a message of {size} bytes; at most {max_size} are allowed"))
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Close::abnormal("it was cut off without a goodbye")
        }
        Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) => {
            Close::new(1009, error.to_string())
        }
        Error::Io(error) => Close::abnormal(words(error)),
        Error::Protocol(e) => Close::new(1002, e.to_string()),
        Error::Utf8(_) => Close::new(1007, "text that is not UTF-8"),
        other => Close::abnormal(other.to_string()),
    }
}

/// Resolves with an error when a goodbye is over; nothing is ever sent.
pub type CloseDone = Receiver<Infallible>;

/// Tells the peer why, in the background: neither it nor the network may hold anybody up.
pub fn close(mut socket: Socket, close: Close) -> CloseDone {
    let (over, goodbye) = bounded(1);
    let frame = CloseFrame { code: close.code.into(), reason: close.reason.into_owned().into() };
    spawn(async move {
        let _over: Sender<Infallible> = over;
        let farewell = async {
            socket.close(Some(frame)).await?;
            // Reading on until the peer's own close keeps the kernel from turning ours into a reset.
            while let Some(message) = futures_util::StreamExt::next(&mut socket).await {
                message?;
            }
            Ok::<(), Error>(())
        };
        if let Some(Err(error)) = within(CLOSE_TIMEOUT, farewell).await {
            tracing::trace!(%error, "closing");
        }
    })
    .detach();
    goodbye
}
