//! Splices a tunnel stream to a local connection. Each direction ends by itself.

use std::io;

use bytes::BytesMut;
use futures_util::future;
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::stream::{TunnelReader, TunnelStream, TunnelWriter};

/// Read from the local side at once. Larger saves little and is held by every open connection.
pub(crate) const CHUNK_BYTES: usize = 16 * 1024;

/// Which way bytes go.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// From the tunnel to the local side.
    ToLocal,
    /// From the local side to the tunnel.
    ToTunnel,
}

/// Moves bytes both ways until both halves have ended, or one has failed; then the other is torn down too.
/// A local side that takes nothing more may still have something to say: a service that answers "too large"
/// closes before it has read the question.
///
/// `tap` sees everything that passes; `None` is the end of that half.
pub(crate) async fn splice<L>(
    tunnel: TunnelStream,
    local: L,
    tap: impl FnMut(Way, Option<&[u8]>) + Send,
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
    let inward = to_local(tunnel_reader, local_writer, &see);
    let outward = to_tunnel(local_reader, tunnel_writer, &see);
    future::try_join(inward, outward).await.map(|_| ())
}

/// One way of [`splice`]: from the tunnel to the local side.
pub(crate) async fn to_local(
    mut from: TunnelReader,
    mut to: impl AsyncWrite + Unpin,
    see: &(impl Fn(Way, Option<&[u8]>) + Sync),
) -> io::Result<()> {
    while let Some(data) = from.read_bytes().await? {
        see(Way::ToLocal, Some(&data));
        let taken = async {
            to.write_all(&data).await?;
            to.flush().await
        };
        if let Err(error) = taken.await {
            tracing::debug!(%error, "the local side takes nothing more");
            return Ok(());
        }
    }
    see(Way::ToLocal, None);
    // The local side may have closed everything already, which is its right.
    match to.close().await {
        Err(e) if e.kind() != io::ErrorKind::NotConnected => Err(e),
        _ => Ok(()),
    }
}

async fn to_tunnel(
    mut from: impl AsyncRead + Unpin,
    mut to: TunnelWriter,
    see: &(impl Fn(Way, Option<&[u8]>) + Sync),
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.resize(CHUNK_BYTES, 0);
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            see(Way::ToTunnel, None);
            return to.finish();
        }
        let data = buffer.split_to(n).freeze();
        see(Way::ToTunnel, Some(&data));
        to.write_bytes(data).await?;
    }
}
