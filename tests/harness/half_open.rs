//! A network between an agent and its server that goes away for one of them: a TCP proxy that resets the agent's side of a
//! connection, while the server's side stays open and silent.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// The proxy. It lives until the test process ends.
#[derive(Debug)]
pub struct HalfOpen {
    /// Where agents dial it.
    pub port: u16,
    links: Arc<Mutex<Vec<Link>>>,
}

/// The two ends of one connection.
#[derive(Debug)]
struct Link {
    agent: TcpStream,
    /// Held, so that it stays open.
    _server: TcpStream,
    is_cut: Arc<Mutex<bool>>,
}

impl HalfOpen {
    /// One before the server at this port.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let links = Arc::<Mutex<Vec<Link>>>::default();
        let ours = Arc::clone(&links);
        thread::spawn(move || {
            for agent in listener.incoming().map_while(Result::ok) {
                if let Ok(link) = Link::start(agent, server) {
                    ours.lock().unwrap_or_else(PoisonError::into_inner).push(link);
                }
            }
        });
        HalfOpen { port, links }
    }

    /// Resets all connections at the agent. The server is told nothing, and hears nothing more.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn cut(&self) {
        for link in self.links.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            *link.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = true;
            set_socket_linger(&link.agent, Some(Duration::ZERO)).expect("it can be reset");
            // One that ended before has nothing to shut down.
            let _ended = link.agent.shutdown(Shutdown::Both);
        }
    }
}

impl Link {
    fn start(agent: TcpStream, server: u16) -> io::Result<Self> {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
        let is_cut = Arc::<Mutex<bool>>::default();
        for (from, to) in [(&agent, &server), (&server, &agent)] {
            let (from, to, is_cut) = (from.try_clone()?, to.try_clone()?, Arc::clone(&is_cut));
            thread::spawn(move || carry(from, to, &is_cut));
        }
        Ok(Link { agent, _server: server, is_cut })
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_cut: &Mutex<bool>) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Under the lock, so that no end passes while it is cut.
    let is_cut = is_cut.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_cut {
        let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
