//! Small applications over streams, the same for ours and for theirs.

use std::future::Future;
use std::io;
use std::time::Duration;

use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long any exchange may take before its test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// `len` bytes that differ from those of another `seed` and do not repeat soon.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A size from 1 byte to 8 MiB, most of them small: what the `n`-th stream of a test carries.
pub fn size(n: u64) -> usize {
    let roll = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let most = match n % 64 {
        0 => 8 * 1024 * 1024,
        1..8 => 300 * 1024,
        _ => 20 * 1024,
    };
    1 + (roll as usize) % most
}

/// Sends back what comes, then its end.
pub async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buf = vec![0; 16 * 1024];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return stream.close().await;
        }
        stream.write_all(&buf[..n]).await?;
        stream.flush().await?;
    }
}

/// Writes all of `request`, ends this half, and returns everything that comes back.
pub async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> io::Result<Vec<u8>> {
    let (mut reader, mut writer) = smol::io::split(stream);
    let send = async {
        writer.write_all(request).await?;
        writer.close().await
    };
    let mut answer = Vec::new();
    let receive = async { reader.read_to_end(&mut answer).await.map(|_| ()) };
    smol::future::try_zip(send, receive).await?;
    Ok(answer)
}

/// Runs `work`, and fails it when it takes longer than any honest run.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let late = async {
        smol::Timer::after(PATIENCE).await;
        panic!("nothing moved for {PATIENCE:?}");
    };
    smol::block_on(smol::future::or(work, late))
}
