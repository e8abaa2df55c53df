//! Connected sockets on a runtime. They remember what the kernel reported last, and ask again only when that may have changed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::poll_fn;
use futures_util::io::{AsyncRead, AsyncWrite};
use socket2::{Domain, Protocol, Socket, Type};

#[cfg(unix)]
use std::os::fd::AsFd as AsSource;
#[cfg(windows)]
use std::os::windows::io::AsSocket as AsSource;

use super::registration::Registration;
#[cfg(unix)]
use super::timer::Timer;

/// A TCP connection. Only one task at a time may use it.
pub type Tcp = SocketStream<std::net::TcpStream>;

/// A connection to a Unix socket. Only one task at a time may use it.
#[cfg(unix)]
pub type Unix = SocketStream<std::os::unix::net::UnixStream>;

/// How long a connect to a Unix socket waits while the backlog of the listener is full, for which the kernel has no event.
#[cfg(unix)]
const BACKLOG_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// What a [`SocketStream`] needs of a socket.
pub trait StreamSocket: AsSource + Send + Sync + 'static {
    /// Reads what is there.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] if nothing is there.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Reads what is there into the spare capacity of `buf`.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_spare(&self, buf: &mut Vec<u8>) -> io::Result<usize>;
    /// Writes what there is room for.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] if there is no room.
    fn write(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize>;
    /// Ends the writing half.
    ///
    /// # Errors
    /// The system's.
    fn shutdown_write(&self) -> io::Result<()>;
}

macro_rules! stream_socket {
    ($socket:ty) => {
        impl StreamSocket for $socket {
            fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
                Read::read(&mut &*self, buf)
            }

            #[cfg(unix)]
            fn read_spare(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
                Ok(rustix::io::read(self, rustix::buffer::spare_capacity(buf))?)
            }

            #[cfg(not(unix))]
            fn read_spare(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
                super::thread_buffer::with(|scratch| {
                    let spare = scratch.len().min(buf.capacity() - buf.len());
                    let n = Read::read(&mut &*self, &mut scratch[..spare])?;
                    buf.extend_from_slice(&scratch[..n]);
                    Ok(n)
                })
            }

            fn write(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
                match bufs {
                    [one] => Write::write(&mut &*self, one),
                    bufs => Write::write_vectored(&mut &*self, bufs),
                }
            }

            fn shutdown_write(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

stream_socket!(std::net::TcpStream);
#[cfg(unix)]
stream_socket!(std::os::unix::net::UnixStream);

/// A connected socket. Only one task at a time may use it.
#[derive(Debug)]
pub struct SocketStream<S> {
    /// Before the socket, which must outlive it.
    registration: Registration,
    socket: Arc<S>,
}

impl<S: StreamSocket> SocketStream<S> {
    /// Takes over a socket that does not block; others may keep it, to set how it behaves or to end it.
    ///
    /// # Errors
    /// The system has no room for another.
    pub fn from_shared(socket: Arc<S>) -> io::Result<Self> {
        Ok(Self { registration: Registration::new(&*socket)?, socket })
    }

    /// The socket itself, to set how it behaves.
    pub fn handle(&self) -> Arc<S> {
        Arc::clone(&self.socket)
    }

    /// Ready when the connection was reset, for who does not read at the moment and so would not hear of it. Where what
    /// arrived before may still matter, read it first.
    pub fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.registration.poll_broken(cx).map(|()| io::ErrorKind::ConnectionReset.into())
    }

    /// Reads into the spare capacity of `buf`, which must have some and need not be initialised; 0 is the end.
    pub fn poll_read_spare(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let room = buf.capacity() - buf.len();
        self.poll_input(cx, room, |socket| socket.read_spare(buf))
    }

    fn poll_input(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        mut read: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.registration.poll_readable(cx))?;
            self.registration.about_to_read();
            match read(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A read that was not filled took everything; more, or the end, is reported anew.
                Ok(n) if 0 < n && n < room => return Poll::Ready(Ok(n)),
                read => {
                    self.registration.has_more();
                    match read {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        read => return Poll::Ready(read),
                    }
                }
            }
        }
    }

    /// Writes; `length` is how much there is.
    fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        mut write: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.registration.poll_writable(&*self.socket, cx))?;
            self.registration.about_to_write();
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // What was taken in part has filled the buffer; room is reported anew.
                Ok(n) if 0 < n && n < length => return Poll::Ready(Ok(n)),
                written => {
                    self.registration.has_room();
                    match written {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        written => return Poll::Ready(written),
                    }
                }
            }
        }
    }
}

impl Tcp {
    /// Takes a connection over.
    ///
    /// # Errors
    /// The system has no room for another.
    pub fn new(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::from_shared(Arc::new(stream))
    }

    /// Connects to `at`, for as long as the system tries.
    ///
    /// # Errors
    /// The system's reason why there is no connection.
    pub async fn connect(at: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        let begun = socket.connect(&at.into());
        let socket = Arc::new(std::net::TcpStream::from(socket));
        match begun {
            Err(error) if is_in_progress(&error) => {
                let stream = Self { registration: Registration::connecting(&*socket)?, socket };
                stream.connected().await?;
                Ok(stream)
            }
            begun => begun.and_then(|()| Self::from_shared(socket)),
        }
    }

    /// Waits until the connect that was begun is done.
    async fn connected(&self) -> io::Result<()> {
        // One that was done before it was registered is reported all the same.
        poll_fn(|cx| self.registration.poll_writable(&*self.socket, cx)).await?;
        self.socket.take_error()?.map_or(Ok(()), Err)
    }

    /// The other side's address.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Our side's address.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether what is written leaves at once, however little it is.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_nodelay(nodelay)
    }

    /// Limits what the system holds unsent to about `bytes` (`TCP_NOTSENT_LOWAT`), beside what is on its way. Systems without
    /// such a limit hold as much as their buffers.
    pub fn limit_unsent(&self, bytes: usize) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            // A connection that is gone says so when it is written.
            let _set = socket2::SockRef::from(&*self.socket).set_tcp_notsent_lowat(bytes);
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _nothing = bytes;
    }

    /// Ready when the system wants more to send, as [`Self::limit_unsent`] has it. A write may take something before: the
    /// system fills up its last segment without asking for the limit.
    #[cfg(target_os = "linux")]
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        loop {
            ready!(self.registration.poll_writable(&*self.socket, cx))?;
            self.registration.about_to_write();
            let mut socket = [PollFd::new(&*self.socket, PollFlags::OUT)];
            match poll(&mut socket, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                // From now on the kernel reports when there is room (tcp_poll sets SOCK_NOSPACE).
                Ok(0) => {}
                polled => {
                    self.registration.has_room();
                    return Poll::Ready(polled.map(drop).map_err(io::Error::from));
                }
            }
        }
    }

    /// Other systems take as much as their buffers hold.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn poll_room(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Reads the next bytes and leaves them where they are.
    ///
    /// # Errors
    /// The connection's.
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            loop {
                ready!(self.registration.poll_readable(cx))?;
                self.registration.about_to_read();
                match self.socket.peek(buf) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => {
                        self.registration.has_more();
                        return Poll::Ready(peeked);
                    }
                }
            }
        })
        .await
    }
}

#[cfg(unix)]
impl Unix {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// The system's reason why there is no connection.
    pub async fn connect_to(path: &std::path::Path) -> io::Result<Self> {
        let at = socket2::SockAddr::unix(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        loop {
            match socket.connect(&at) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Timer::after(BACKLOG_PAUSE).await,
                connected => break connected?,
            }
        }
        Self::from_shared(Arc::new(socket.into()))
    }
}

/// Whether a connect goes on by itself.
fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    let in_progress = error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let in_progress = false;
    in_progress || error.kind() == io::ErrorKind::WouldBlock
}

impl<S: StreamSocket> AsyncRead for SocketStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buf.len();
        self.poll_input(cx, room, |socket| socket.read(buf))
    }
}

impl<S: StreamSocket> AsyncWrite for SocketStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, buf.len(), |socket| socket.write(&[io::IoSlice::new(buf)]))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_io(cx, length, |socket| socket.write(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown_write())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;
    use std::thread;

    use futures_util::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::listener::TcpListener;
    use crate::runtime::Runtime;

    fn runtime() -> Runtime {
        Runtime::new().expect("threads and descriptors")
    }

    pub(crate) fn pair(runtime: &Runtime) -> (Tcp, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = listener.local_addr().expect("its address");
        let ours = runtime.block_on(Tcp::connect(at)).expect("the listener listens");
        (ours, listener.accept().expect("somebody connects").0)
    }

    #[test]
    fn a_reader_hears_of_bytes_and_of_the_end() {
        let runtime = runtime();
        let (mut ours, mut theirs) = pair(&runtime);
        let read = runtime.spawn(async move {
            let mut all = Vec::new();
            ours.read_to_end(&mut all).await.map(|_| all)
        });
        for word in [&b"a"[..], b"few", b"words"] {
            theirs.write_all(word).expect("somebody reads");
        }
        drop(theirs);
        assert_eq!(runtime.block_on(read).expect("an orderly end"), b"afewwords");
    }

    #[test]
    fn a_writer_goes_on_when_there_is_room_again() {
        const MUCH: usize = 16 * 1024 * 1024;
        let runtime = runtime();
        let (mut ours, theirs) = pair(&runtime);
        let read = thread::spawn(move || io::copy(&mut { theirs }, &mut io::sink()));
        runtime
            .run(async move {
                ours.write_all(&vec![0; MUCH]).await?;
                ours.close().await
            })
            .expect("somebody reads");
        assert_eq!(read.join().expect("no panic").expect("an orderly end"), MUCH as u64);
    }

    #[test]
    fn a_listener_accepts_and_a_closed_port_refuses() {
        let runtime = runtime();
        let (at, served) = runtime.block_on(async {
            let listener = TcpListener::listen((Ipv4Addr::LOCALHOST, 0).into(), None).expect("a free port");
            let at = listener.local_addr().expect("its address");
            let (ours, theirs) = futures_util::future::join(listener.accept(), Tcp::connect(at)).await;
            let (mut ours, mut theirs) = (ours.0, theirs.expect("it listens"));
            theirs.write_all(b"x").await.expect("somebody reads");
            let mut byte = [0];
            assert_eq!(ours.peek(&mut byte).await.ok(), Some(1));
            (at, ours.read(&mut byte).await.map(|_| byte))
        });
        assert_eq!(served.expect("a byte"), *b"x");
        let refused = runtime.block_on(Tcp::connect(at)).expect_err("nobody listens any more");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
