//! Many agents in one process: the core's machine for each, over a WebSocket of its own, all on one thread.
//!
//! They log in, offer one service, answer pings and serve nobody.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hvym_tunnel_core::agent::{Agent, AgentEvent};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Message, Transmit};
use hvym_tunnel_core::time::{Instant, UnixTime, Wall};
use smol::future::or;
use smol::{Async, LocalExecutor, Timer};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, WebSocket};

use crate::Key;
use crate::ends::agent_config;
use crate::program::PATIENCE;
use crate::tunnel::Relay;

/// What each WebSocket reads at once; the usual 128 KiB, times thousands, would be more than the test is about.
const READ_BYTES: usize = 4 * 1024;

/// Agents that are connected, until this is dropped.
#[derive(Debug)]
pub struct Crowd {
    /// Closing it ends the thread.
    leave: Option<smol::channel::Sender<()>>,
    /// One reason for each that lost its link.
    lost: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Lets `count` agents with identities of their own connect to `relay`, and returns when visitors could reach each.
    ///
    /// # Panics
    /// When one of them cannot.
    pub fn join(relay: &Relay, count: usize) -> Self {
        let (lose, lost) = channel();
        let (bind, bound) = channel();
        let (leave, leaving) = smol::channel::bounded::<()>(1);
        let (port, address) = (relay.port, relay.address);
        let thread = std::thread::spawn(move || {
            let executor = Rc::new(LocalExecutor::new());
            let everybody = executor.clone();
            let arrive = async move {
                for number in 0..count {
                    let key = Key::from_seed(seed(number));
                    let mut config = agent_config();
                    config.login.identity = key.address();
                    config.services.truncate(1);
                    config.login.relay_address = Some(address);
                    config.relay = format!("ws://127.0.0.1:{port}/connect");
                    let started = std::time::Instant::now();
                    let mut agent = Agent::new(config, wall(Instant::ZERO), [7; 32], Instant::ZERO);
                    let Some(AgentEvent::Dial(target)) = agent.poll_event() else {
                        panic!("an agent dials at once")
                    };
                    let socket = connect(port, &target.relay).await;
                    assert!(
                        agent.handle_open(target.attempt, wall(now(started)), now(started)),
                        "the only dial"
                    );
                    let life = live(agent, started, key, socket, bind.clone(), lose.clone());
                    everybody.spawn(life).detach();
                }
                std::future::pending::<()>().await;
            };
            let end = async {
                // Nothing is ever sent: it ends when the other half is dropped.
                let _closed = leaving.recv().await;
            };
            smol::block_on(executor.run(or(arrive, end)));
        });
        let crowd = Crowd { leave: Some(leave), lost, thread: Some(thread) };
        for number in 0..count {
            let outcome = bound.recv_timeout(PATIENCE);
            outcome.unwrap_or_else(|_| panic!("{number} of {count} agents are bound: {:?}", crowd.lost()));
        }
        crowd
    }

    /// Why links were lost since this was asked last.
    pub fn lost(&self) -> Vec<String> {
        self.lost.try_iter().collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.leave = None;
        if let Some(thread) = self.thread.take() {
            // What made it panic was said when it did.
            let _ended = thread.join();
        }
    }
}

fn seed(number: usize) -> [u8; 32] {
    let mut seed = [0xc0; 32];
    seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
    seed
}

/// One connection that never blocks.
#[derive(Clone, Debug)]
struct Line(Arc<Async<TcpStream>>);

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.get_ref().read(buf)
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_ref().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn connect(port: u16, url: &str) -> WebSocket<Line> {
    let stream = Async::<TcpStream>::connect((Ipv4Addr::LOCALHOST, port)).await.expect("the relay listens");
    let line = Line(Arc::new(stream));
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
    let mut attempt = tungstenite::client::client_with_config(url, line.clone(), Some(config));
    loop {
        match attempt {
            Ok((socket, _)) => return socket,
            Err(HandshakeError::Interrupted(middle)) => {
                line.0.readable().await.expect("a connection can be waited for");
                attempt = middle.handshake();
            }
            Err(HandshakeError::Failure(error)) => panic!("no upgrade: {error}"),
        }
    }
}

fn now(started: std::time::Instant) -> Instant {
    Instant::from_micros(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX))
}

fn wall(at: Instant) -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    Wall { unix: UnixTime::from_secs(since.as_secs()), at }
}

/// One agent, from its first word to the end of its link.
async fn live(
    mut agent: Agent,
    started: std::time::Instant,
    key: Key,
    mut socket: WebSocket<Line>,
    bind: Sender<()>,
    lose: Sender<String>,
) {
    let now = || now(started);
    let line = socket.get_ref().clone();
    let reason = loop {
        if let Some(reason) = settle(&mut agent, &key, &mut socket, &bind, now()) {
            break reason;
        }
        match socket.read() {
            Ok(tungstenite::Message::Text(text)) => agent.handle_message(Message::Text(text.into()), now()),
            Ok(tungstenite::Message::Binary(bytes)) => agent.handle_message(Message::Binary(bytes), now()),
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                let due = agent.poll_timeout().map_or(Duration::MAX, |due| due - now());
                let read = async { line.0.readable().await.expect("a connection can be waited for") };
                let rung = async {
                    Timer::after(due).await;
                };
                or(read, rung).await;
                agent.handle_timeout(now());
            }
            Err(error) => break error.to_string(),
        }
    };
    let _unheard = lose.send(reason);
}

/// Does what the machine asks for; `Some` is the end.
fn settle(
    agent: &mut Agent,
    key: &Key,
    socket: &mut WebSocket<Line>,
    bind: &Sender<()>,
    now: Instant,
) -> Option<String> {
    loop {
        while let Some(event) = agent.poll_event() {
            match event {
                AgentEvent::Sign(input) => agent.handle_signature(&input, Some(key.sign(&input)), now),
                AgentEvent::Bound { .. } => {
                    let _unheard = bind.send(());
                }
                AgentEvent::Down { reason, .. } => return Some(reason.to_string()),
                _ => {}
            }
        }
        let message = match agent.poll_transmit()? {
            Transmit::Send(Message::Text(text)) => {
                tungstenite::Message::Text(text.try_into().expect("our own text is UTF-8"))
            }
            Transmit::Send(Message::Binary(bytes)) => tungstenite::Message::Binary(bytes),
            Transmit::Close(close) => return Some(format!("{close:?}")),
        };
        match socket.send(message) {
            Ok(()) => {}
            // It keeps the message, and sends it with the next.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Some(error.to_string()),
        }
    }
}
