//! Splices between a scripted stream and a real socket.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_util::future::{Either, select};
use hvym_tunnel_core::mux::StreamId;

use super::*;
use crate::runtime::Runtime;
use crate::stream::StreamBackend;
use crate::tcp::tests::pair;
use crate::timer::Timer;

/// More than the buffers of a socket hold.
const MUCH: usize = 64 * 1024 * 1024;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream that gives what it was told to, and takes everything or nothing.
#[derive(Default)]
struct Script {
    /// What is read next; `None` is the end. Behind it nothing comes.
    reads: Mutex<VecDeque<Option<Bytes>>>,
    written: Mutex<Vec<u8>>,
    takes_nothing: bool,
    /// Whether it is reset as soon as somebody asks.
    is_reset: bool,
    has_finished: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StreamBackend for Script {
    fn poll_read(
        &self,
        _: StreamId,
        max: usize,
        _: Instant,
        _: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        let mut reads = lock(&self.reads);
        match reads.pop_front() {
            Some(Some(mut piece)) => {
                let taken = piece.split_to(piece.len().min(max));
                if !piece.is_empty() {
                    reads.push_front(Some(piece));
                }
                Poll::Ready(Ok(Some(taken)))
            }
            Some(None) => Poll::Ready(Ok(None)),
            None => Poll::Pending,
        }
    }

    fn poll_write(
        &self,
        _: StreamId,
        data: &mut Bytes,
        _: Instant,
        _: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.takes_nothing {
            return Poll::Pending;
        }
        lock(&self.written).extend_from_slice(data);
        Poll::Ready(Ok(std::mem::take(data).len()))
    }

    fn poll_reset(&self, _: StreamId, _: Instant, _: &mut Context<'_>) -> Poll<io::Error> {
        if self.is_reset { Poll::Ready(io::ErrorKind::ConnectionReset.into()) } else { Poll::Pending }
    }

    fn finish(&self, _: StreamId) -> io::Result<()> {
        self.has_finished.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn stop(&self, _: StreamId) {}
    fn reset(&self, _: StreamId, _: u32) {}
    fn forget(&self, _: StreamId) {}
}

/// Splices `script` to one end of a connection, of which `peer` has the other.
fn spliced(script: &Arc<Script>, linger: Duration, peer: impl FnOnce(TcpStream)) -> io::Result<()> {
    let runtime = Runtime::new().expect("threads and descriptors");
    let (local, theirs) = pair(&runtime);
    peer(theirs);
    run(&runtime, script, local, linger)
}

fn spliced_to(
    script: &Arc<Script>,
    local: impl LocalConnection + 'static,
    linger: Duration,
) -> io::Result<()> {
    run(&Runtime::new().expect("threads and descriptors"), script, local, linger)
}

fn run(
    runtime: &Runtime,
    script: &Arc<Script>,
    local: impl LocalConnection + 'static,
    linger: Duration,
) -> io::Result<()> {
    let stream = TunnelStream::new(Arc::clone(script) as Arc<dyn StreamBackend>, StreamId::external(0, 1));
    runtime.run(async move {
        let mut splice = Splice::new(stream, local, |_, _, _| ());
        splice.linger = linger;
        match select(splice, Timer::after(PATIENCE)).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => panic!("it goes on"),
        }
    })
}

fn pieces(count: usize, bytes: usize, end: bool) -> Mutex<VecDeque<Option<Bytes>>> {
    let pieces = (0..count).map(|n| Some(Bytes::from(vec![u8::try_from(n % 251).unwrap_or(0); bytes])));
    Mutex::new(pieces.chain(end.then_some(None)).collect())
}

#[test]
fn many_small_pieces_and_large_ones_arrive_in_their_order_and_so_does_the_response() {
    for (count, bytes) in [(3 * AHEAD_PIECES + 1, 1), (5, AHEAD_BYTES + 1), (1000, 100), (0, 0)] {
        let script = Arc::new(Script { reads: pieces(count, bytes, true), ..Script::default() });
        let expected: Vec<u8> =
            lock(&script.reads).iter().flatten().flat_map(|piece| piece.iter().copied()).collect();
        let spliced = spliced(&script, LINGER_TIMEOUT, |mut theirs| {
            thread::spawn(move || {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).expect("an orderly end");
                theirs.write_all(&all).expect("somebody reads");
            });
        });
        spliced.expect("both sides end in order");
        assert!(*lock(&script.written) == expected, "{count} pieces of {bytes} bytes");
        assert!(script.has_finished.load(Ordering::Relaxed));
    }
}

#[test]
fn a_reset_is_heard_while_the_local_side_takes_nothing() {
    let script = Arc::new(Script { reads: pieces(1, MUCH, false), is_reset: true, ..Script::default() });
    let mut kept = None;
    let error = spliced(&script, LINGER_TIMEOUT, |theirs| kept = Some(theirs)).expect_err("it was reset");
    assert!(!lock(&script.reads).is_empty(), "everything was taken");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Has ended its half, and takes nothing.
struct Stuck;

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl LocalConnection for Stuck {
    fn poll_read_spare(&mut self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
}

#[test]
fn a_local_side_that_takes_nothing_is_not_waited_for_without_end_once_the_stream_is_over() {
    let script = Arc::new(Script { reads: pieces(2, 10, true), ..Script::default() });
    let error = spliced_to(&script, Stuck, Duration::from_millis(1)).expect_err("nobody reads");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(script.has_finished.load(Ordering::Relaxed));
}

#[cfg(target_os = "linux")]
#[test]
fn a_local_side_that_breaks_off_is_missed_while_the_tunnel_takes_nothing() {
    let script = Arc::new(Script { takes_nothing: true, ..Script::default() });
    let error = spliced(&script, LINGER_TIMEOUT, |mut theirs| {
        theirs.write_all(b"some").expect("there is room");
        rustix::net::sockopt::set_socket_linger(&theirs, Some(Duration::ZERO))
            .expect("an option of every socket");
    });
    assert_eq!(error.expect_err("it was reset").kind(), io::ErrorKind::ConnectionReset);
}
