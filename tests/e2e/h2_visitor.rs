//! Visitors who speak HTTP/2, by hyper's side of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};

/// A futures-io stream, as hyper reads and writes.
struct Io<T>(T);

impl<T: AsyncRead + Unpin> Read for Io<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; 16 * 1024];
        let room = buf.remaining().min(chunk.len());
        let n = ready!(Pin::new(&mut self.0).poll_read(cx, &mut chunk[..room]))?;
        buf.put_slice(&chunk[..n]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Write for Io<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[derive(Clone)]
struct Tasks;

impl<F: Future + Send + 'static> Executor<F> for Tasks
where
    F::Output: Send,
{
    fn execute(&self, task: F) {
        smol::spawn(async { drop(task.await) }).detach();
    }
}

/// One connection of HTTP/2. Clones share it.
#[derive(Clone)]
pub(crate) struct H2(http2::SendRequest<Full<Bytes>>);

impl H2 {
    /// Over a connection that is open.
    pub(crate) async fn over(wire: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) =
            http2::handshake(Tasks, Io(wire)).await.expect("the other side speaks HTTP/2");
        // However it ends, the requests say so.
        smol::spawn(async { drop(connection.await) }).detach();
        H2(sender)
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let mut sender = self.0.clone();
        sender.ready().await?;
        sender.send_request(request).await
    }

    /// The status and the whole body of the answer to a GET.
    pub(crate) async fn get(&self, url: &str) -> hyper::Result<(u16, Bytes)> {
        let request = Request::get(url).body(Full::default()).expect("a request");
        let answer = self.ask(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}
