//! The crate `yamux` as a peer: its connection behind the same three words as ours.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use smol::channel::Sender;
use smol::io::{AsyncRead, AsyncWrite};
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

#[derive(Default)]
struct State {
    opens: VecDeque<Sender<Stream>>,
    incoming: VecDeque<Stream>,
    closing: bool,
    over: bool,
    driver: Option<Waker>,
    acceptors: Vec<Waker>,
}

/// A session of theirs. Clones are the same session.
#[derive(Clone, Default)]
pub(crate) struct Peer(Rc<RefCell<State>>);

impl Peer {
    /// A session, and the future that moves its bytes over `io` until it ends.
    pub(crate) fn new(
        mode: Mode,
        config: Config,
        io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) -> (Self, impl Future<Output = Result<(), ConnectionError>>) {
        let peer = Peer::default();
        let driver = drive(peer.clone(), Connection::new(io, config, mode));
        (peer, driver)
    }

    /// Opens a stream, as soon as that is possible. Nothing is sent before it is written to.
    pub(crate) async fn open(&self) -> Stream {
        let (sender, receiver) = smol::channel::bounded(1);
        self.ask(sender);
        receiver.recv().await.expect("the session lives")
    }

    fn ask(&self, sender: smol::channel::Sender<Stream>) {
        let mut state = self.0.borrow_mut();
        state.opens.push_back(sender);
        state.driver.take().into_iter().for_each(Waker::wake);
    }

    /// The next stream of the other side, `None` at the end of the session.
    pub(crate) async fn accept(&self) -> Option<Stream> {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            match state.incoming.pop_front() {
                Some(stream) => Poll::Ready(Some(stream)),
                None if state.over => Poll::Ready(None),
                None => {
                    state.acceptors.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Ends the session, in an orderly way as they see it.
    pub(crate) fn close(&self) {
        let mut state = self.0.borrow_mut();
        state.closing = true;
        state.driver.take().into_iter().for_each(Waker::wake);
    }
}

async fn drive<T>(peer: Peer, mut connection: Connection<T>) -> Result<(), ConnectionError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let outcome = poll_fn(|cx| {
        if peer.0.borrow().closing {
            return connection.poll_close(cx);
        }
        peer.0.borrow_mut().driver = Some(cx.waker().clone());
        while !peer.0.borrow().opens.is_empty() {
            match connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    let reply = peer.0.borrow_mut().opens.pop_front().expect("it was not empty");
                    // Whoever asked may have gone.
                    let _ = reply.try_send(stream);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        loop {
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    let mut state = peer.0.borrow_mut();
                    state.incoming.push_back(stream);
                    state.acceptors.drain(..).for_each(Waker::wake);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    let mut state = peer.0.borrow_mut();
    state.over = true;
    state.opens.clear();
    state.acceptors.drain(..).for_each(Waker::wake);
    outcome
}
