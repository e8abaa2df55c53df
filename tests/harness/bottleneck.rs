//! A narrow place between an agent and its relay: a TCP proxy that stops reading one direction when a test says so.
//!
//! It carries bytes and knows no protocol. What waits before it, the kernel knows.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use socket2::{Domain, Socket, Type};

/// What the narrow place itself takes while it is closed: little, so that what waits, waits before it.
const RECEIVE_BYTES: usize = 16 * 1024;

/// Which way bytes go.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the agent, as downloads do.
    ToRelay,
    /// From the relay, as uploads do.
    ToAgent,
}

/// The proxy. It lives until the test process ends.
#[derive(Debug)]
pub struct Bottleneck {
    /// Where agents dial it.
    pub port: u16,
    relay: u16,
    way: Way,
    gate: Arc<Gate>,
}

/// Whether bytes pass.
#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, is_closed: bool) {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = is_closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(is_closed, |is_closed| *is_closed));
    }
}

impl Bottleneck {
    /// One before this relay that can stop carrying `way`; the other way it carries always.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(relay: u16, way: Way) -> Self {
        let gate = Arc::<Gate>::default();
        let ours = Arc::clone(&gate);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(RECEIVE_BYTES).expect("a socket");
        socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        socket.listen(1).expect("it listens");
        let listener = TcpListener::from(socket);
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            for agent in listener.incoming().map_while(Result::ok) {
                let relay_side = dial(relay).expect("the relay listens");
                let pairs = [(Way::ToRelay, &agent, &relay_side), (Way::ToAgent, &relay_side, &agent)];
                for (one, from, to) in pairs {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let gate = (one == way).then(|| Arc::clone(&ours));
                    thread::spawn(move || drop(carry(from, to, gate.as_deref())));
                }
            }
        });
        Bottleneck { port, relay, way, gate }
    }

    /// Stops reading.
    pub fn close(&self) {
        self.gate.set(true);
    }

    /// Goes on.
    pub fn open(&self) {
        self.gate.set(false);
    }

    /// Bytes before it that the kernel holds of the link: sent and not acknowledged, or not sent.
    ///
    /// # Panics
    /// When there is no link.
    pub fn queued(&self) -> u64 {
        let port_of_link = if self.way == Way::ToRelay { self.port } else { self.relay };
        let table = std::fs::read_to_string("/proc/net/tcp").expect("procfs");
        let mut queues = table.lines().skip(1).filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, remote, state, queues) =
                (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let port = |at: &str| u16::from_str_radix(at.split_once(':')?.1, 16).ok();
            // The agent's end has the narrow place as its peer; the relay's end has the relay's port itself.
            let is_end = match self.way {
                Way::ToRelay => port(remote)? == port_of_link,
                Way::ToAgent => port(local)? == port_of_link,
            };
            // ESTABLISHED; the queue of what is sent comes first.
            (is_end && state == "01").then(|| u64::from_str_radix(queues.split_once(':')?.0, 16).ok())?
        });
        let first = queues.next().expect("a link");
        queues.fold(first, u64::max)
    }
}

fn dial(relay: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    socket.connect(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, relay)).into())?;
    Ok(socket.into())
}

fn carry(mut from: TcpStream, mut to: TcpStream, gate: Option<&Gate>) -> io::Result<()> {
    let mut room = vec![0; RECEIVE_BYTES];
    loop {
        if let Some(gate) = gate {
            gate.pass();
        }
        match from.read(&mut room)? {
            0 => return to.shutdown(Shutdown::Write),
            n => to.write_all(&room[..n])?,
        }
    }
}
