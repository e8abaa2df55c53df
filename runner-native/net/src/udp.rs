//! UDP sockets on a runtime: datagrams in, datagrams out.
//!
//! Knows no protocol.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use futures_util::future::poll_fn;
use socket2::{Domain, Protocol, Socket, Type};

use super::registration::Registration;

/// A bound UDP socket. Only one task at a time may receive.
#[derive(Debug)]
pub struct UdpSocket {
    /// Before the socket, which must outlive it.
    registration: Registration,
    socket: std::net::UdpSocket,
}

impl UdpSocket {
    /// Binds to `at`; with `reuse_port` beside other processes of this user that do so (only on Unix). Port 0 takes a free one.
    ///
    /// # Errors
    /// The address is in use, not of this machine, or a port below 1024 without the privilege.
    pub fn bind(at: SocketAddr, reuse_port: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
        #[cfg(unix)]
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        #[cfg(not(unix))]
        let _no_such_option = reuse_port;
        socket.bind(&at.into())?;
        socket.set_nonblocking(true)?;
        let socket = std::net::UdpSocket::from(socket);
        Ok(Self { registration: Registration::new(&socket)?, socket })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next datagram, cut to the length of `buffer`, and who sent it.
    ///
    /// # Errors
    /// The system's, among them that an earlier datagram did not arrive. The socket stays usable.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_receive(cx, buffer)).await
    }

    /// Sends a datagram, or nothing if there is no room: whoever misses it asks again.
    ///
    /// # Errors
    /// The system's.
    pub fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        match self.socket.send_to(datagram, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent.map(drop),
        }
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            ready!(self.registration.poll_readable(cx))?;
            self.registration.about_to_read();
            match self.socket.recv_from(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => {
                    self.registration.has_more();
                    return Poll::Ready(received);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::runtime::Runtime;

    #[test]
    fn datagrams_come_one_by_one_and_go_back() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let entered = runtime.handle().enter();
        let ours = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), false).expect("a free port");
        drop(entered);
        let theirs = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        theirs.connect(ours.local_addr().expect("its address")).expect("an address");
        for datagram in [&b"one"[..], b"two, longer", b""] {
            theirs.send(datagram).expect("it is sent");
        }
        let received = runtime.run(async move {
            let mut received = Vec::new();
            for _ in 0..3 {
                let mut buffer = [0; 5];
                let (length, peer) = ours.receive(&mut buffer).await.expect("a datagram");
                ours.try_send(&buffer[..length], peer).expect("it is sent");
                received.push(buffer[..length].to_vec());
            }
            received
        });
        assert_eq!(received, [&b"one"[..], b"two, ", b""]);
        let mut buffer = [0; 9];
        assert_eq!(theirs.recv(&mut buffer).expect("an answer"), 3);
    }
}
