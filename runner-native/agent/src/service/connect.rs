//! A connection to a service for one stream. It knows no protocol.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::stream::TunnelStream;

use super::upstream::{ConnectError, Upstream, UpstreamStream};

/// Connects to the service of `stream`, unless that is reset meanwhile: whoever wanted the connection is gone, and an attempt at a
/// service that does not answer would hold a descriptor for seconds.
///
/// # Errors
/// The stream was reset, or its link was lost.
pub(super) async fn connect_for(
    stream: &mut TunnelStream,
    upstream: &Upstream,
) -> io::Result<Result<UpstreamStream, ConnectError>> {
    let mut connecting = pin!(upstream.connect());
    poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(connected) => Poll::Ready(Ok(connected)),
        Poll::Pending => stream.poll_reset(Clock::new().now(), cx).map(Err),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Context;

    use bytes::Bytes;
    use hvym_tunnel_core::mux::StreamId;
    use hvym_tunnel_core::time::Instant;
    use hvym_tunnel_net::runtime::Runtime;
    use hvym_tunnel_net::stream::StreamBackend;
    use hvym_tunnel_net::tls::Trust;

    use super::*;

    /// A stream that is reset when it is asked a second time: the connection is under way then.
    #[derive(Default)]
    struct Resetting {
        was_asked: AtomicBool,
    }

    impl StreamBackend for Resetting {
        fn poll_read(
            &self,
            _: StreamId,
            _: usize,
            _: Instant,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<Option<Bytes>>> {
            Poll::Pending
        }

        fn poll_write(
            &self,
            _: StreamId,
            _: &mut Bytes,
            _: Instant,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_reset(&self, _: StreamId, _: Instant, cx: &mut Context<'_>) -> Poll<io::Error> {
            if self.was_asked.swap(true, Ordering::Relaxed) {
                return Poll::Ready(io::ErrorKind::ConnectionReset.into());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        fn finish(&self, _: StreamId) -> io::Result<()> {
            Ok(())
        }

        fn stop(&self, _: StreamId) {}
        fn reset(&self, _: StreamId, _: u32) {}
        fn forget(&self, _: StreamId) {}
    }

    fn connect(place: &str) -> io::Result<Result<(), ConnectError>> {
        let upstream = Upstream::new(place.parse().expect("a target"), Trust::Anyone);
        let runtime = Runtime::new().expect("threads and descriptors");
        runtime.run(async move {
            let backend: Arc<dyn StreamBackend> = Arc::new(Resetting::default());
            let mut stream = TunnelStream::new(backend, StreamId::external(0, 1));
            connect_for(&mut stream, &upstream).await.map(|connected| connected.map(drop))
        })
    }

    #[test]
    fn an_attempt_to_connect_ends_with_the_stream_that_wanted_it() {
        // The system takes connections here, and nobody answers the TLS handshake.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = silent.local_addr().expect("it is bound").port();
        let gone = connect(&format!("https+insecure://127.0.0.1:{port}"));
        assert_eq!(gone.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
    }
}
