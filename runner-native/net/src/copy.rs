//! Splices a tunnel stream to a local connection. Each direction ends by itself.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};

use bytes::Bytes;
use futures_util::future;
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::stream::{TunnelReader, TunnelStream, TunnelWriter};
use super::thread_buffer;

/// Which way bytes go.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the tunnel to the local side.
    ToLocal,
    /// From the local side to the tunnel.
    ToTunnel,
}

/// Whether the local side was reset. The system reports a reset once: if a write gets the error, a later read looks
/// like a clean end.
#[derive(Default)]
pub struct ResetFlag(AtomicBool);

impl ResetFlag {
    /// Takes note of what a write came to.
    fn note(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionReset {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the end that was just read is one.
    ///
    /// # Errors
    /// It is not: the connection was reset.
    pub fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

/// Moves bytes both ways until both halves have ended, or one has failed; then the other is reset too. A local side
/// that stops reading may still send: a service that responds "too large" closes before it has read the request.
///
/// `tap` sees everything that passes; `None` is the end of that half.
pub async fn splice<L>(
    tunnel: TunnelStream,
    local: L,
    tap: impl FnMut(Direction, Option<&[u8]>) + Send,
) -> io::Result<()>
where
    L: AsyncRead + AsyncWrite + Send + Unpin,
{
    let tap = std::sync::Mutex::new(tap);
    let see = |way, data: Option<&[u8]>| {
        if let Ok(mut tap) = tap.lock() {
            (*tap)(way, data);
        }
    };
    let (tunnel_reader, tunnel_writer) = tunnel.split();
    let (local_reader, local_writer) = local.split();
    let broken_off = ResetFlag::default();
    let inward = to_local(tunnel_reader, local_writer, &broken_off, &see);
    let outward = to_tunnel(local_reader, tunnel_writer, &broken_off, &see);
    future::try_join(inward, outward).await.map(|_| ())
}

/// One way of [`splice`]: from the tunnel to the local side.
pub async fn to_local(
    mut from: TunnelReader,
    mut to: impl AsyncWrite + Unpin,
    broken_off: &ResetFlag,
    see: &(impl Fn(Direction, Option<&[u8]>) + Sync),
) -> io::Result<()> {
    while let Some(data) = from.read_bytes().await? {
        see(Direction::ToLocal, Some(&data));
        let taken = async {
            to.write_all(&data).await?;
            to.flush().await
        };
        if let Err(error) = taken.await {
            tracing::debug!(%error, "the local side takes nothing more");
            broken_off.note(&error);
            return Ok(());
        }
    }
    see(Direction::ToLocal, None);
    // The local side may have closed everything already, which is its right.
    match to.close().await {
        Err(e) if e.kind() != io::ErrorKind::NotConnected => Err(e),
        _ => Ok(()),
    }
}

async fn to_tunnel(
    mut from: impl AsyncRead + Unpin,
    mut to: TunnelWriter,
    broken_off: &ResetFlag,
    see: &(impl Fn(Direction, Option<&[u8]>) + Sync),
) -> io::Result<()> {
    loop {
        let data = poll_fn(|cx| {
            thread_buffer::with(|scratch| {
                let n = ready!(Pin::new(&mut from).poll_read(cx, scratch))?;
                Poll::Ready(io::Result::Ok(Bytes::copy_from_slice(&scratch[..n])))
            })
        });
        let data = data.await?;
        if data.is_empty() {
            broken_off.check()?;
            see(Direction::ToTunnel, None);
            return to.finish();
        }
        see(Direction::ToTunnel, Some(&data));
        to.write_bytes(data).await?;
    }
}
