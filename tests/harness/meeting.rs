//! How a test meets a foreign implementation: one executor, a transport, our end of it running.

use std::rc::Rc;

use hvym_tunnel_core::mux::{MuxConfig, MuxEnd, Role};
use smol::LocalExecutor;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::{TcpListener, TcpStream};

use crate::node::Node;
use crate::pipe::{Record, Tap, pipe};

/// Whatever carries bytes.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// What lies between the two ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A pipe of 64 KiB.
    Memory,
    /// Loopback.
    Tcp,
}

/// Two ends of a transport.
pub async fn connect(transport: Transport) -> (Box<dyn Io>, Box<dyn Io>) {
    match transport {
        Transport::Memory => {
            let (a, b) = pipe();
            (Box::new(a), Box::new(b))
        }
        Transport::Tcp => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
            let address = listener.local_addr().expect("it is bound");
            let (a, b) = smol::future::zip(TcpStream::connect(address), listener.accept()).await;
            let (a, (b, _)) = (a.expect("it listens"), b.expect("somebody connects"));
            for stream in [&a, &b] {
                stream.set_nodelay(true).expect("a TCP option");
            }
            (Box::new(a), Box::new(b))
        }
    }
}

/// Our end of a transport, running.
pub struct OurEnd {
    /// The session.
    pub node: Node,
    /// Everything it read and wrote.
    pub record: Record,
    /// How it ends.
    pub end: smol::Task<MuxEnd>,
}

/// Tasks of one thread.
pub type Tasks = Rc<LocalExecutor<'static>>;

impl OurEnd {
    /// Starts a session over `io`.
    pub fn start(tasks: &Tasks, role: Role, config: MuxConfig, io: Box<dyn Io>) -> Self {
        let (io, record) = Tap::new(io);
        let (node, driver) = Node::new(role, config, io);
        OurEnd { node, record, end: tasks.spawn(driver) }
    }

    /// Sends back whatever comes on any stream of the other side.
    pub fn echo(&self, tasks: &Tasks) {
        let (node, executor) = (self.node.clone(), tasks.clone());
        let work = async move {
            while let Some(stream) = node.accept().await {
                executor.spawn(crate::apps::echo(stream)).detach();
            }
        };
        tasks.spawn(work).detach();
    }
}

/// Runs `work` together with everything that is spawned on its tasks.
pub fn meet<T>(work: impl AsyncFnOnce(Tasks) -> T) -> T {
    let tasks = Tasks::default();
    crate::apps::run(tasks.clone().run(work(tasks)))
}
