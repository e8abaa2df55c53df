//! The crate `yamux` at work.

#[path = "../tests/peers/yamux.rs"]
#[expect(dead_code, reason = "nothing here says goodbye")]
mod peer;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::Stream as _;
use futures::executor::{LocalPool, LocalSpawner};
use futures::task::LocalSpawnExt;
use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use yamux::{Config, Mode, Packet, Stream};

use self::peer::Peer;
use crate::pipe::pipe;
use crate::sockets::{Polled, Waiting, sockets};
use crate::work::{CHUNK_BYTES, MESSAGE_BYTES, Transport, Work, cpu_time};

/// Does the work, and says how much CPU time that took.
pub fn measure(work: Work, transport: Transport) -> Duration {
    let mut hall = Hall::new(transport, !matches!(work, Work::Bulk { .. }));
    let start = cpu_time();
    hall.run(work);
    cpu_time() - start
}

/// Two sessions with open idle streams, for as long as this lives.
pub struct Idle(#[expect(dead_code, reason = "it only has to live")] Hall, Rc<Cell<Vec<Stream>>>);

/// Opens `streams` streams, says one message on each both ways, and leaves them.
pub fn idle(streams: usize) -> Idle {
    let mut hall = Hall::new(Transport::Memory, true);
    let kept = Rc::new(Cell::new(Vec::with_capacity(streams)));
    let (opener, done, keep) = (hall.opener.clone(), hall.done.clone(), kept.clone());
    hall.spawn(async move {
        for _ in 0..streams {
            let mut stream = opener.open().await;
            echo_once(&mut stream).await;
            let mut all = keep.take();
            all.push(stream);
            keep.set(all);
        }
        done.set(streams);
    });
    hall.run_until(streams);
    Idle(hall, kept)
}

impl Idle {
    /// How many streams are open.
    pub fn streams(&self) -> usize {
        let all = self.1.take();
        let n = all.len();
        self.1.set(all);
        n
    }
}

struct Hall {
    pool: LocalPool,
    waiting: Waiting,
    opener: Peer,
    done: Rc<Cell<usize>>,
}

impl Hall {
    fn new(transport: Transport, echoes: bool) -> Self {
        let (pool, waiting) = (LocalPool::new(), Waiting::default());
        let done = Rc::new(Cell::new(0));
        let opener = match transport {
            Transport::Memory => {
                let (a, b) = pipe();
                start(&pool.spawner(), a, b, echoes, done.clone())
            }
            Transport::Tcp => {
                let (a, b) = sockets().expect("loopback works");
                let [a, b] = [a, b].map(|socket| Polled::new(socket, waiting.clone()));
                start(&pool.spawner(), a, b, echoes, done.clone())
            }
        };
        Hall { pool, waiting, opener, done }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.pool.spawner().spawn_local(task).expect("the pool lives");
    }

    fn run(&mut self, work: Work) {
        let streams = work.streams();
        for n in 0..streams {
            let share = work.amount() / streams + usize::from(n < work.amount() % streams);
            let (opener, done) = (self.opener.clone(), self.done.clone());
            self.spawn(async move {
                match work {
                    // Bulk is done when it has arrived, which the other end counts.
                    Work::Bulk { .. } => send(opener.open().await, share).await,
                    Work::Echo { .. } => {
                        let mut stream = opener.open().await;
                        for _ in 0..share {
                            echo_once(&mut stream).await;
                            done.set(done.get() + 1);
                        }
                    }
                    Work::Cycle { .. } => {
                        for _ in 0..share {
                            let mut stream = opener.open().await;
                            echo_once(&mut stream).await;
                            stream.close().await.expect("the session lives");
                            while next(&mut stream).await.is_some() {}
                            done.set(done.get() + 1);
                        }
                    }
                }
            });
        }
        let amount = match work {
            Work::Bulk { chunks, .. } => chunks * CHUNK_BYTES,
            Work::Echo { messages: n, .. } | Work::Cycle { cycles: n, .. } => n,
        };
        self.run_until(amount);
    }

    fn run_until(&mut self, amount: usize) {
        loop {
            self.pool.run_until_stalled();
            if self.done.get() >= amount {
                return;
            }
            let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
            assert!(!waiting.is_empty(), "nobody can go on");
            waiting.into_iter().for_each(std::task::Waker::wake);
        }
    }
}

/// Runs a session at each end; the second end takes every stream. Bytes that go one way are counted.
fn start<T>(spawner: &LocalSpawner, a: T, b: T, echoes: bool, arrived: Rc<Cell<usize>>) -> Peer
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut config = Config::default();
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(1 << 20);
    let (opener, a) = Peer::new(Mode::Client, config.clone(), a);
    let (acceptor, b) = Peer::new(Mode::Server, config, b);
    for driver in [spawner.spawn_local(async { drop(a.await) }), spawner.spawn_local(async { drop(b.await) })]
    {
        driver.expect("the pool lives");
    }
    let tasks = spawner.clone();
    let accept = async move {
        while let Some(stream) = acceptor.accept().await {
            tasks.spawn_local(serve(stream, echoes, arrived.clone())).expect("the pool lives");
        }
    };
    spawner.spawn_local(accept).expect("the pool lives");
    opener
}

async fn next(stream: &mut Stream) -> Option<Packet> {
    let mut stream = pin!(stream);
    poll_fn(|cx| stream.as_mut().poll_next(cx)).await.map(|packet| packet.expect("the session lives"))
}

/// Sends back or counts what comes, and ends with the other side.
async fn serve(mut stream: Stream, echoes: bool, arrived: Rc<Cell<usize>>) {
    while let Some(packet) = next(&mut stream).await {
        let data = packet.as_ref();
        if echoes {
            stream.write_all(data).await.expect("the session lives");
        } else {
            arrived.set(arrived.get() + data.len());
        }
    }
    stream.close().await.expect("the session lives");
}

async fn send(mut stream: Stream, chunks: usize) {
    let chunk = vec![7; CHUNK_BYTES];
    for _ in 0..chunks {
        stream.write_all(&chunk).await.expect("the session lives");
    }
    stream.close().await.expect("the session lives");
    while next(&mut stream).await.is_some() {}
}

async fn echo_once(stream: &mut Stream) {
    stream.write_all(&[7; MESSAGE_BYTES]).await.expect("the session lives");
    let mut got = 0;
    while got < MESSAGE_BYTES {
        got += next(stream).await.expect("an answer").as_ref().len();
    }
}
