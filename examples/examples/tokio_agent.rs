//! An agent on tokio, made of the sans-IO core alone: it exposes a port of this machine.
//!
//! `cargo run -p hvym-tunnel-examples --example tokio_agent -- ws://localhost:4896/connect 3000`

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use ed25519_dalek::{Signer, SigningKey};
use futures_util::future::OptionFuture;
use futures_util::{SinkExt, StreamExt};
use hvym_tunnel_core::agent::{Agent, AgentConfig, AgentEvent};
use hvym_tunnel_core::link::{LinkConfig, StreamEvent, StreamInterest, StreamWakers, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message, Transmit};
use hvym_tunnel_core::mux::{MuxConfig, Read, StreamError, StreamId};
use hvym_tunnel_core::stellar::{Address, Signature};
use hvym_tunnel_core::time::{Instant, UnixTime, Wall};
use hvym_tunnel_core::{backoff, dialect, handshake, keepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Message as Wire, protocol::CloseFrame};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (relay, port) =
        std::env::args().nth(1).zip(std::env::args().nth(2)).ok_or("give a URL and a port")?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    run(relay, port.parse()?, seed, |url| println!("{url}")).await
}

/// What the loop and the tasks of streams share.
struct Shared {
    state: Mutex<(Agent, StreamWakers)>,
    /// Wakes the loop, because a stream may have something to send.
    output: Notify,
    start: tokio::time::Instant,
}

impl Shared {
    fn with<R>(&self, act: impl FnOnce(&mut Agent, &mut StreamWakers, Instant) -> R) -> R {
        let mut state = self.state.lock().expect("no transition panics");
        let (machine, wakers) = &mut *state;
        act(machine, wakers, Instant::from_micros(self.start.elapsed().as_micros() as u64))
    }

    fn wall(&self) -> Wall {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wall { unix: UnixTime::from_secs(unix.as_secs()), at: self.with(|_, _, now| now) }
    }
}

/// Runs an agent with the key of `seed` until it ends for good; `up` is told the public URL.
pub(crate) async fn run(relay: String, port: u16, seed: [u8; 32], up: impl Fn(String)) -> Result<(), Error> {
    let key = SigningKey::from_bytes(&seed);
    let login = handshake::AgentLogin::new(Address::from_public_key(key.verifying_key().to_bytes()));
    let link = LinkConfig {
        keepalive: keepalive::KeepaliveConfig::default(),
        mux: MuxConfig::acceptor(),
        fallback: None,
    };
    let (services, backoff) = (vec![dialect::Service::http("web")], backoff::BackoffConfig::default());
    // One socket at a time.
    let config = AgentConfig {
        relay,
        login,
        services,
        link,
        backoff,
        names: Vec::new(),
        max_links: 1,
        process: dialect::Process::default(),
    };
    let wall = Wall { unix: UnixTime::from_secs(0), at: Instant::ZERO };
    let state = Mutex::new((Agent::new(config, wall, seed, Instant::ZERO), StreamWakers::new()));
    let shared = Arc::new(Shared { state, output: Notify::new(), start: tokio::time::Instant::now() });
    let (dialled, mut dials) = mpsc::channel(1);
    let (mut attempt, mut pending, mut unflushed, mut sink, mut stream) = (None, None, false, None, None);
    loop {
        // 1. All events, before anything else.
        while let Some(event) = shared.with(|machine, _, _| machine.poll_event()) {
            match event {
                AgentEvent::Dial(target) => {
                    let dialled = dialled.clone();
                    tokio::spawn(async move {
                        dialled.send((target.attempt, connect_async(target.relay.as_str()).await)).await
                    });
                }
                AgentEvent::Sign(input) => {
                    let input = input.reissued(shared.wall().unix);
                    let signature = Signature(key.sign(input.as_bytes()).to_bytes());
                    shared.with(|machine, _, now| machine.handle_signature(&input, Some(signature), now));
                }
                // From now on visitors can come.
                AgentEvent::Bound { url: Some(url), .. } => up(url),
                AgentEvent::Stream(StreamEvent::Opened { id, .. }) => {
                    tokio::spawn(serve(Arc::clone(&shared), id, port));
                }
                AgentEvent::Stream(event) => shared.with(|_, wakers, _| wakers.wake(&event)),
                AgentEvent::Down { reason, retry_at } => {
                    shared.with(|_, wakers, _| wakers.wake_all());
                    retry_at.ok_or_else(|| reason.to_string())?;
                }
                _ => {}
            }
        }
        // 2. Output while the socket takes it, input always, the clock, and new sockets.
        pending = pending.or_else(|| shared.with(|machine, _, _| machine.poll_transmit()));
        let (has_pending, wait) =
            (pending.is_some(), shared.with(|machine, _, now| machine.poll_timeout().map(|at| at - now)));
        let step = sink.as_mut().map(|sink: &mut futures_util::stream::SplitSink<_, Wire>| {
            poll_fn(move |cx| if has_pending { sink.poll_ready_unpin(cx) } else { sink.poll_flush_unpin(cx) })
        });
        tokio::select! {
            Some(_) = OptionFuture::from(step), if has_pending || unflushed => {
                unflushed = has_pending;
                if let (Some(sink), Some(transmit)) = (&mut sink, pending.take()) {
                    // What breaks is seen by the read.
                    let _broken = sink.start_send_unpin(to_wire(transmit));
                }
            }
            Some(message) = OptionFuture::from(stream.as_mut().map(StreamExt::next)) => {
                let Some(attempt) = attempt else { continue };
                shared.with(|machine, _, now| match message {
                    Some(Ok(Wire::Text(text))) => machine.handle_message_from(attempt, Message::Text(text.into()), now),
                    Some(Ok(Wire::Binary(data))) => machine.handle_message_from(attempt, Message::Binary(data), now),
                    Some(Ok(Wire::Close(Some(CloseFrame { code, reason })))) => {
                        machine.handle_close_from(attempt, Close::new(code.into(), reason.to_string()), now);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => {
                        (sink, stream) = (None, None);
                        machine.handle_close_from(attempt, Close::abnormal("the connection was lost"), now);
                    }
                });
            }
            Some((new, dialled)) = dials.recv() => {
                let wall = shared.wall();
                shared.with(|machine, _, now| match dialled {
                    Ok((socket, _)) if machine.handle_open(new, wall, now) => {
                        let (to, from) = socket.split();
                        (attempt, sink, stream, pending) = (Some(new), Some(to), Some(from), None);
                    }
                    Ok(_) => {}
                    Err(error) => machine.handle_close_from(new, Close::abnormal(error.to_string()), now),
                });
            }
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                shared.with(|machine, _, now| machine.handle_timeout(now));
            }
            () = shared.output.notified() => {}
        }
    }
}

fn to_wire(transmit: Transmit) -> Wire {
    match transmit {
        Transmit::Send(Message::Text(text)) => Wire::text(String::from_utf8_lossy(&text).into_owned()),
        Transmit::Send(Message::Binary(data)) => Wire::Binary(data),
        Transmit::Close(Close { code, reason }) => {
            let reason = reason.into_owned().into();
            Wire::Close(Some(CloseFrame { code: code.into(), reason }))
        }
    }
}

/// Copies one stream to a local connection and back; each direction ends by itself.
async fn serve(shared: Arc<Shared>, id: StreamId, port: u16) {
    let copied: Result<_, Error> = async {
        let (from, to) = TcpStream::connect(("localhost", port)).await?.into_split();
        tokio::try_join!(inward(&shared, id, to), outward(&shared, id, from))
    }
    .await;
    shared.with(|machine, wakers, now| {
        wakers.remove(id);
        if let (Err(_), Ok(mut stream)) = (copied, machine.stream(id)) {
            stream.reset(0, now);
        }
    });
    shared.output.notify_one();
}

async fn inward(shared: &Shared, id: StreamId, mut to: impl AsyncWriteExt + Unpin) -> Result<(), Error> {
    let mut read = poll_fn(|cx| {
        let read = shared.with(|machine, wakers, now| match machine.stream(id)?.read(16 * 1024, now)? {
            Read::Empty => {
                wakers.register(id, StreamInterest::Read, cx.waker());
                Ok(Poll::Pending)
            }
            read => Ok::<_, StreamError>(Poll::Ready(Ok(read))),
        });
        // Reading gives the peer new credit.
        shared.output.notify_one();
        read.unwrap_or_else(|error| Poll::Ready(Err(error)))
    });
    while let Read::Data(data) = (&mut read).await? {
        to.write_all(&data).await?;
    }
    Ok(to.shutdown().await?)
}

async fn outward(shared: &Shared, id: StreamId, mut from: impl AsyncReadExt + Unpin) -> Result<(), Error> {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await? > 0 {
        let mut data = buffer.split().freeze();
        poll_fn(|cx| {
            let written = shared.with(|machine, wakers, now| {
                machine.stream(id)?.write(&mut data, now)?;
                wakers.register(id, StreamInterest::Write, cx.waker());
                Ok::<(), StreamError>(())
            });
            shared.output.notify_one();
            if written.is_ok() && !data.is_empty() { Poll::Pending } else { Poll::Ready(written) }
        })
        .await?;
    }
    shared.with(|machine, _, now| machine.stream(id)?.finish(now))?;
    shared.output.notify_one();
    Ok(())
}
