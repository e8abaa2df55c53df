//! A narrow place between an agent and its relay: a TCP proxy that carries one direction slowly from when a test says so.
//!
//! It carries bytes and knows no protocol. What waits before it, the kernel knows.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// What the narrow place itself holds: little, so that what waits, waits before it.
const RECEIVE_BYTES: usize = 16 * 1024;
/// What it carries at once when it is slow, and how long it rests then: 16 Mbit/s.
const SLOW: (usize, Duration) = (4 * 1024, Duration::from_millis(2));

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
    flow: Arc<Flow>,
}

/// How bytes pass.
#[derive(Debug, Default)]
struct Flow {
    is_slow: AtomicBool,
    carried_slowly: AtomicUsize,
}

impl Bottleneck {
    /// One before this relay that can be slow on one `way`; the other is always fast.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(relay: u16, way: Way) -> Self {
        let flow = Arc::<Flow>::default();
        let ours = Arc::clone(&flow);
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
                    let flow = if one == way { Arc::clone(&ours) } else { Arc::default() };
                    thread::spawn(move || drop(carry(from, to, &flow)));
                }
            }
        });
        Bottleneck { port, relay, way, flow }
    }

    /// Is slow from now on.
    pub fn slow_down(&self) {
        self.flow.is_slow.store(true, Ordering::Relaxed);
    }

    /// Bytes that were carried since it is slow.
    pub fn carried_slowly(&self) -> usize {
        self.flow.carried_slowly.load(Ordering::Relaxed)
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

fn carry(mut from: TcpStream, mut to: TcpStream, flow: &Flow) -> io::Result<()> {
    let mut room = vec![0; RECEIVE_BYTES];
    loop {
        let is_slow = flow.is_slow.load(Ordering::Relaxed);
        let most = if is_slow { SLOW.0 } else { RECEIVE_BYTES };
        match from.read(&mut room[..most])? {
            0 => return to.shutdown(Shutdown::Write),
            n => to.write_all(&room[..n])?,
        }
        if is_slow {
            flow.carried_slowly.fetch_add(most, Ordering::Relaxed);
            thread::sleep(SLOW.1);
        }
    }
}
