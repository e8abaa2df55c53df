//! A network that can be cut: TCP proxies that carry nothing either way while it is, and close nothing. What was sent meanwhile arrives
//! when it is whole again, as with TCP.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// The network. It lives until the test process ends.
#[derive(Clone, Debug, Default)]
pub struct Partition(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_cut: Mutex<bool>,
    healed: Condvar,
}

/// Both ends of a connection to a server.
trait Stream: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    fn close(&self);
}

impl Partition {
    /// A port that leads to this one of this machine.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn before(&self, server: u16) -> u16 {
        self.listen(move || TcpStream::connect((Ipv4Addr::LOCALHOST, server)))
    }

    /// A port that leads to the Unix socket at `path`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn before_socket(&self, path: &Path) -> u16 {
        let path = path.to_owned();
        self.listen(move || UnixStream::connect(&path))
    }

    /// Nothing passes from now on.
    pub fn cut(&self) {
        *self.0.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Everything passes again.
    pub fn heal(&self) {
        *self.0.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.healed.notify_all();
    }

    fn wait(&self) {
        let is_cut = self.0.is_cut.lock().unwrap_or_else(PoisonError::into_inner);
        let healed = self.0.healed.wait_while(is_cut, |is_cut| *is_cut);
        drop(healed);
    }

    fn listen<S: Stream>(&self, dial: impl Fn() -> io::Result<S> + Send + 'static) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let network = self.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                network.wait();
                // A server that is away closes the connection.
                let _away = dial().and_then(|server| network.join(client, server));
            }
        });
        port
    }

    fn join<S: Stream>(&self, client: TcpStream, server: S) -> io::Result<()> {
        let (network, from, to) = (self.clone(), client.twin()?, server.twin()?);
        thread::spawn(move || network.carry(from, to));
        let network = self.clone();
        thread::spawn(move || network.carry(server, client));
        Ok(())
    }

    fn carry(&self, mut from: impl Stream, mut to: impl Stream) {
        let mut buffer = [0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            self.wait();
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        self.wait();
        from.close();
        to.close();
    }
}

impl Stream for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn close(&self) {
        let _gone = self.shutdown(Shutdown::Both);
    }
}

impl Stream for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn close(&self) {
        let _gone = self.shutdown(Shutdown::Both);
    }
}
