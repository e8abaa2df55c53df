//! A driver in a task of its own, so that a message wakes nothing but the link, and an owner that is busy stops none.

use std::future::poll_fn;
use std::task::{Context, Poll};

use hvym_tunnel_core::link::Streams;
use smol::channel::{Receiver, Sender, bounded};

use super::link_driver::{Driver, DriverEvent, LinkHandle};
use super::runtime::{Task, spawn};
use super::websocket::Socket;

/// Events that wait for the owner. Beyond them the link waits for it, as the peer should: each is a stream that it
/// opened, or something that it said.
const MAX_EVENTS: usize = 64;
/// Sockets that wait for the driver. A machine dials one after the other.
const MAX_SOCKETS: usize = 8;

/// What the owner of a driven machine holds. Dropping it ends the driver, and with it the sockets.
pub struct LinkTask<M: Streams> {
    handle: LinkHandle<M>,
    sockets: Sender<(M::Socket, Socket)>,
    events: Receiver<DriverEvent<M::Event>>,
    task: Task<()>,
}

impl<M> LinkTask<M>
where
    M: Streams + Send + 'static,
    M::Event: Send,
{
    /// Drives the machine behind `handle`, without a socket yet.
    pub fn spawn(handle: LinkHandle<M>) -> Self {
        let (sockets, arriving) = bounded(MAX_SOCKETS);
        let (happened, events) = bounded(MAX_EVENTS);
        let driver = Driver::new(handle.clone());
        let task = spawn(async move {
            let mut driving = Driving { driver, arriving, happened };
            while let Some(event) = poll_fn(|cx| driving.poll_next(cx)).await {
                if driving.happened.send(event).await.is_err() {
                    break;
                }
            }
            driving.driver.closed().await;
        });
        Self { handle, sockets, events, task }
    }

    /// As [`Driver::attach`].
    pub fn attach(&self, id: M::Socket, socket: Socket) {
        // One that finds no room is dropped, and its end is one of the machine's attempts that timed out.
        let _full = self.sockets.try_send((id, socket));
        self.handle.with(|_, _| ());
    }

    /// The next event. Dropping the future loses nothing.
    ///
    /// # Panics
    /// If the driver did.
    pub async fn next(&mut self) -> DriverEvent<M::Event> {
        self.events.recv().await.expect("a driver goes on for as long as somebody listens to it")
    }

    /// As [`Driver::closed`]; what was not taken by [`Self::next`] is dropped.
    pub async fn closed(self) {
        let Self { handle, events, task, .. } = self;
        drop(events);
        handle.with(|_, _| ());
        let _ended = task.fallible().await;
    }
}

/// The side of the task.
struct Driving<M: Streams> {
    driver: Driver<M>,
    arriving: Receiver<(M::Socket, Socket)>,
    happened: Sender<DriverEvent<M::Event>>,
}

impl<M: Streams + Send + 'static> Driving<M> {
    /// The next event; `None` once nobody listens.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<DriverEvent<M::Event>>> {
        loop {
            while let Ok((id, socket)) = self.arriving.try_recv() {
                self.driver.attach(id, socket);
            }
            if self.happened.is_closed() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(event) = self.driver.poll_next(cx) {
                return Poll::Ready(Some(event));
            }
            // What came before the driver registered its waker woke nobody.
            if self.arriving.is_empty() && !self.happened.is_closed() {
                return Poll::Pending;
            }
        }
    }
}
