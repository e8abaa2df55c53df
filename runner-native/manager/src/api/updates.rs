//! Every update as it happens: over a WebSocket, or as server-sent events.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures_util::stream;
use http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::socket::accept_key;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use hvym_websocket::{Input, Received, WebSocket};
use hyper::body::{Frame, Incoming};

use super::ApiState;
use super::answer::{self, Answer};
use super::guard::token_protocol;
use crate::TunnelManager;
use crate::feed::Listener;

/// Between two pings, and two comments of an event stream: proxies and sleeping machines lose silent connections.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// A listener that has sent nothing for so long, not even a pong, is gone.
const SILENCE_LIMIT: Duration = Duration::from_secs(75);
/// How long a listener may take for what is sent to it.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// The longest message of a listener, which has nothing to say.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// What is read of a listener at once.
const READ_BYTES: usize = 4 * 1024;
/// A ping without content (RFC 6455 section 5.5.2).
const PING: [u8; 2] = [0x89, 0];
/// The listener does not read fast enough.
const TRY_AGAIN_LATER: u16 = 1013;

/// Answers a request for updates as server-sent events.
pub(super) fn events(state: &ApiState) -> Answer {
    let Some(listener) = state.manager.subscribe() else { return too_many() };
    let first = event(&state.manager.first_update().text);
    let updates = stream::unfold((Some(first), listener), |(first, listener)| async move {
        let bytes = match first {
            Some(first) => first,
            None => match within(PING_INTERVAL, listener.next()).await {
                Some(Some(update)) => event(&update.text),
                Some(None) => return None,
                None => Bytes::from_static(b":\n\n"),
            },
        };
        Some((Ok(Frame::data(bytes)), (None, listener)))
    });
    let mut answer = answer::content(StatusCode::OK, "text/event-stream", "");
    *answer.body_mut() = StreamBody::new(updates).boxed_unsync();
    answer
}

fn event(text: &Bytes) -> Bytes {
    [b"data: ", &text[..], b"\n\n"].concat().into()
}

/// Answers a request for updates over a WebSocket (RFC 6455 section 4.2).
pub(super) fn upgrade(state: &ApiState, mut request: Request<Incoming>) -> Answer {
    let Some(key) = websocket_key(request.headers()) else {
        let mut answer = answer::error(StatusCode::UPGRADE_REQUIRED, "This is a WebSocket");
        answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return answer;
    };
    let Some(listener) = state.manager.subscribe() else { return too_many() };
    let mut answer = Response::new(Empty::new().boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = answer.headers_mut();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accepted) = HeaderValue::from_str(&accept_key(key.as_bytes())) {
        fields.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    }
    // A browser fails if none of those that it offered comes back.
    let protocol =
        token_protocol(request.headers()).and_then(|protocol| HeaderValue::from_str(protocol).ok());
    if let Some(mut protocol) = protocol {
        protocol.set_sensitive(true);
        fields.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    fields.remove(CONTENT_TYPE);
    let (upgraded, manager) = (hyper::upgrade::on(&mut request), state.manager.clone());
    spawn(async move {
        match upgraded.await {
            Ok(stream) => {
                let ended = serve(Io(stream), &manager, listener).await;
                tracing::debug!(?ended, "a listener left");
            }
            Err(error) => tracing::debug!(%error, "a listener was not upgraded"),
        }
    })
    .detach();
    answer
}

fn too_many() -> Answer {
    answer::error(StatusCode::SERVICE_UNAVAILABLE, "Too many listen already")
}

/// The key of a request that asks for a WebSocket of the only version there is.
fn websocket_key(fields: &HeaderMap) -> Option<String> {
    let has = |name, token: &str| {
        let values = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let is_websocket =
        has(UPGRADE, "websocket") && has(CONNECTION, "upgrade") && has(SEC_WEBSOCKET_VERSION, "13");
    fields.get(SEC_WEBSOCKET_KEY).filter(|_| is_websocket)?.to_str().ok().map(str::to_owned)
}

/// What a listener's task woke for.
enum Woke {
    Read(io::Result<usize>),
    Update(Option<Bytes>),
    Ping,
}

/// Sends every update to one listener, until one of both sides ends.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    manager: &TunnelManager,
    listener: Listener,
) -> io::Result<()> {
    let mut websocket = WebSocket::server(MAX_MESSAGE_BYTES);
    let (clock, mut buffer) = (Clock::new(), vec![0; READ_BYTES]);
    let (mut heard_at, mut ping_at) = (clock.now(), clock.now() + PING_INTERVAL);
    websocket.send_text(manager.first_update().text);
    loop {
        send(&mut stream, &mut websocket).await?;
        if websocket.is_closed() {
            return stream.close().await;
        }
        let woke = {
            let read = pin!(async { Woke::Read(stream.read(&mut buffer).await) });
            let update = pin!(async { Woke::Update(listener.next().await.map(|update| update.text)) });
            let ping = pin!(async {
                Timer::at(ping_at).await;
                Woke::Ping
            });
            match select(select(read, update), ping).await {
                Either::Left((Either::Left((woke, _)) | Either::Right((woke, _)), _))
                | Either::Right((woke, _)) => woke,
            }
        };
        match woke {
            Woke::Read(read) => {
                let count = read?;
                if count == 0 {
                    return Ok(());
                }
                heard_at = clock.now();
                handle_input(&mut websocket, buffer[..count].to_vec());
            }
            Woke::Update(Some(text)) => websocket.send_text(text),
            Woke::Update(None) => websocket.close(TRY_AGAIN_LATER, "updates were lost, or will not come"),
            Woke::Ping if clock.now() - heard_at >= SILENCE_LIMIT => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Woke::Ping => {
                ping_at = clock.now() + PING_INTERVAL;
                // Everything queued was sent above, so that no frame is cut in two.
                within(SEND_LIMIT, stream.write_all(&PING))
                    .await
                    .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
            }
        }
    }
}

/// A listener has nothing to say but pongs and its goodbye.
fn handle_input(websocket: &mut WebSocket, bytes: Vec<u8>) {
    let mut input = Input::new(bytes);
    loop {
        match websocket.read(&mut input) {
            Ok(Some(Received::Close(_)) | None) => return,
            Ok(Some(Received::Text(_) | Received::Binary(_) | Received::Oversized(_))) => {}
            Err(error) => return websocket.close(error.close_code(), CLOSE_REASON),
        }
    }
}

const CLOSE_REASON: &str = "this is no WebSocket";

/// Writes everything that is queued.
async fn send(stream: &mut (impl AsyncWrite + Unpin), websocket: &mut WebSocket) -> io::Result<()> {
    let write = async {
        while websocket.queued_bytes() > 0 {
            let chunk: Vec<u8> = websocket.slices().flatten().copied().collect();
            stream.write_all(&chunk).await?;
            websocket.advance(chunk.len());
        }
        stream.flush().await
    };
    within(SEND_LIMIT, write).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}
