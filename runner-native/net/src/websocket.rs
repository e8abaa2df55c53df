//! An open WebSocket: messages of the core in and out over a connection, and its end.
//!
//! Knows no machine. What is read goes from the system to a payload of its own where the payload is large; what is sent
//! is written beside its header, several messages at once.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::io::AsyncWrite;
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::plane::MessageLimits;
use hvym_tunnel_core::time::Instant;
use hvym_websocket::{BinaryDelivery, CloseCode, Input, ProtocolError, Received, WebSocket};
use smol::channel::{Receiver, Sender, bounded};
use thiserror::Error;

use super::error_text::words;
use super::link_pacing::LinkPacing;
use super::runtime::spawn;
use super::thread_buffer;
use super::timeout::within;
use super::wire::Wire;

/// Slices of one write: eight messages with their headers. More of them are small, and rare.
const SLICES: usize = 16;
/// What a read takes while messages are limited to less, so that undecoded input adds little to what a stranger
/// makes us hold.
const SMALL_READ_BYTES: usize = 4 * 1024;
/// Limits below this are those of a peer that has not logged in.
const SMALL_LIMIT_BYTES: usize = 64 * 1024;
/// How long a close may take to reach a peer that does not read.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What ends a WebSocket that the peer did not close.
#[derive(Debug, Error)]
pub(super) enum SocketError {
    #[error("it was cut off without a goodbye")]
    Ended,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl SocketError {
    /// What it means for the machine. A code other than [`Close::ABNORMAL`] is sent to the peer.
    pub(super) fn close(&self) -> Close {
        match self {
            SocketError::Io(error) => Close::abnormal(words(error)),
            SocketError::Ended => Close::abnormal(self.to_string()),
            SocketError::Protocol(error) => Close::new(error.close_code(), error.to_string()),
        }
    }
}

/// What a peer sent, as the core's types.
pub(super) enum Incoming {
    Message(Message),
    /// The beginning of a text message that was larger than its limit.
    Oversized(Bytes),
    Close(Close),
}

/// An open WebSocket.
pub struct Socket {
    wire: Wire,
    websocket: WebSocket,
    input: Input,
    /// The most that is read at once.
    max_read: usize,
    pacing: LinkPacing,
    /// The connection may hold what it has not given to the system: TLS does.
    is_unflushed: bool,
}

impl Socket {
    /// `wire` after its upgrade; `ahead` was read from it already.
    pub(super) fn new(wire: Wire, websocket: WebSocket, ahead: Vec<u8>) -> Self {
        let pacing = LinkPacing::new();
        limit_unsent(&wire, pacing);
        Self {
            wire,
            websocket,
            input: Input::new(ahead),
            max_read: SMALL_READ_BYTES,
            pacing,
            is_unflushed: false,
        }
    }

    /// Limits what is received from now on.
    pub(super) fn set_limits(&mut self, limits: MessageLimits) {
        self.websocket.set_max_message_bytes(limits.max_bytes);
        self.websocket.set_binary_delivery(match limits.binary_is_stream {
            true => BinaryDelivery::Pieces,
            false => BinaryDelivery::Messages,
        });
        self.websocket.set_oversized_head(limits.oversized_head);
        self.max_read = if limits.max_bytes < SMALL_LIMIT_BYTES { SMALL_READ_BYTES } else { usize::MAX };
    }

    /// The next message of what was read already.
    pub(super) fn next_message(&mut self) -> Result<Option<Incoming>, SocketError> {
        let received = self.websocket.read(&mut self.input)?;
        Ok(received.map(|received| match received {
            Received::Text(text) => Incoming::Message(Message::Text(text)),
            Received::Binary(data) => Incoming::Message(Message::Binary(data)),
            Received::Oversized(head) => Incoming::Oversized(head),
            Received::Close(frame) => Incoming::Close(match frame.code {
                CloseCode::NO_STATUS => Close::new(CloseCode::NORMAL, ""),
                code => Close::new(code, frame.reason),
            }),
        }))
    }

    /// Reads what has arrived, for [`Self::next_message`]. To be called once that has given `None`.
    pub(super) fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        let size = self.websocket.read_bytes().min(self.max_read);
        let mut buffer = thread_buffer::take(mem::take(&mut self.input).into_buffer(), size);
        let read = self.wire.poll_read_spare(cx, &mut buffer);
        if let Poll::Ready(Ok(1..)) = read {
            self.input = Input::new(buffer);
            return Poll::Ready(Ok(()));
        }
        thread_buffer::put_back(buffer);
        match ready!(read) {
            Ok(_) => Poll::Ready(Err(SocketError::Ended)),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Queues a message. The caller sees to it that little waits.
    pub(super) fn send(&mut self, message: Message) {
        match message {
            Message::Text(text) => self.websocket.send_text(text),
            Message::Binary(data) => self.websocket.send_binary(data),
        }
    }

    /// Bytes that may be queued at once, in one message or several.
    pub(super) fn batch(&self) -> usize {
        self.pacing.batch()
    }

    /// Ready once everything that was queued is written and the system wants more. How long it does not says how much it may
    /// hold from then on.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        let mut room = self.poll_flush(cx);
        if let (Poll::Ready(Ok(())), true, Some(tcp)) = (&room, self.pacing.is_slow(), self.wire.tcp()) {
            room = tcp.poll_room(cx);
        }
        if room.is_pending() {
            self.pacing.handle_blocked(now);
        } else if self.pacing.handle_writable(now) {
            limit_unsent(&self.wire, self.pacing);
        }
        room
    }

    /// Bytes that wait to be written.
    pub(super) fn queued_bytes(&self) -> usize {
        self.websocket.queued_bytes()
    }

    /// Ready once everything that was queued is written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_unflushed {
            // What TLS holds goes first: it takes more than the system does, and answers to pings would pile up there.
            ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
        }
        while self.websocket.queued_bytes() > 0 {
            let mut slices = [io::IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (place, slice) in slices.iter_mut().zip(self.websocket.slices()) {
                *place = io::IoSlice::new(slice);
                count += 1;
            }
            match ready!(Pin::new(&mut self.wire).poll_write_vectored(cx, &slices[..count]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.websocket.advance(n),
            }
            self.is_unflushed = true;
        }
        ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }
}

fn limit_unsent(wire: &Wire, pacing: LinkPacing) {
    if let Some(tcp) = wire.tcp() {
        tcp.limit_unsent(pacing.unsent());
    }
}

/// Resolves with an error when the closing handshake is over; nothing is ever sent.
pub(super) type CloseDone = Receiver<Infallible>;

/// Tells the peer why, in the background: neither it nor the network may hold anybody up.
pub(super) fn close(mut socket: Socket, close: Close) -> CloseDone {
    let (over, close_done) = bounded(1);
    spawn(async move {
        let _over: Sender<Infallible> = over;
        socket.websocket.close(close.code, &close.reason);
        if let Some(Err(error)) = within(CLOSE_TIMEOUT, closing(&mut socket)).await {
            tracing::trace!(%error, "closing");
        }
    })
    .detach();
    close_done
}

/// Writes what is queued, then reads on until the peer's own close, which keeps the kernel from turning ours into a reset.
async fn closing(socket: &mut Socket) -> Result<(), SocketError> {
    poll_fn(|cx| socket.poll_flush(cx)).await?;
    loop {
        while let Some(incoming) = socket.next_message()? {
            if matches!(incoming, Incoming::Close(_)) {
                return Ok(());
            }
        }
        poll_fn(|cx| socket.poll_input(cx)).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::io::AsyncRead;
    use futures_util::task::noop_waker;

    use super::*;
    use crate::wire::Duplex;

    /// A peer that sends pings and reads nothing, behind something that takes all that is written, as TLS does for a while.
    struct Pings(Arc<AtomicUsize>);

    impl Duplex for Pings {}

    impl AsyncRead for Pings {
        fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            // Masked by zeros (RFC 6455 section 5.3).
            let ping = [&[0x89, 0x80 | 100, 0, 0, 0, 0][..], &[b'x'; 100]].concat();
            let pings = ping.repeat(buf.len() / ping.len());
            buf[..pings.len()].copy_from_slice(&pings);
            Poll::Ready(Ok(pings.len()))
        }
    }

    impl AsyncWrite for Pings {
        fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.fetch_add(buf.len(), Ordering::Relaxed);
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_peer_that_sends_pings_and_reads_nothing_makes_nothing_pile_up() {
        let written = Arc::<AtomicUsize>::default();
        let wire = Wire::Boxed(Box::new(Pings(Arc::clone(&written))));
        let mut socket = Socket::new(wire, WebSocket::server(1024), Vec::new());
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..1000 {
            assert!(matches!(socket.poll_input(&mut cx), Poll::Ready(Ok(()))));
            assert!(matches!(socket.next_message(), Ok(None)), "pings are no messages");
            assert!(socket.poll_flush(&mut cx).is_pending());
        }
        // One that was written, and one that waited behind it.
        let held = written.load(Ordering::Relaxed) + socket.queued_bytes();
        assert!((1..=3 * 102).contains(&held), "{held} bytes");
    }
}
