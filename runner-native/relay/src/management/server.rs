//! Listens for operators: at a Unix socket that nobody else can open, and at an address of its own.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::io::{AsyncRead, AsyncWrite};
use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hvym_tunnel_net::connection_slots::{ConnectionSlot, ConnectionSlots};
use hvym_tunnel_net::hyper::{HoldingBody, Io};
use hvym_tunnel_net::hyper_rt::HyperTimer;
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::timeout::within;
#[cfg(unix)]
use hvym_tunnel_net::unix_listener::UnixListener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::{ApiCaller, ApiResponse, answer, error};
use crate::http1::auth::bearer;
use crate::relay_state::RelayState;

/// The largest content of a request. An address and a reason take a few hundred bytes.
pub(crate) const MAX_CONTENT_BYTES: usize = 8 * 1024;
/// Connections at once of each listener, beside those of visitors: some programs of one operator. A newcomer takes the place of
/// one on which nothing is asked.
const MAX_CONNECTIONS: usize = 64;
/// How long a head may take, and how long content.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is held of a connection's input; hyper needs 8 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How long a request that is under way may take at the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Where the key is, beside `Authorization`.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Both listeners, until it is dropped.
#[derive(Default)]
pub(crate) struct ManagementServer {
    tasks: Vec<Task<()>>,
}

/// From where a request comes.
#[derive(Copy, Clone)]
enum Peer {
    /// A program of the same user.
    SameUser,
    /// Somebody there.
    Address(IpAddr),
}

impl ManagementServer {
    /// Serves programs of the same user.
    #[cfg(unix)]
    pub(crate) fn serve_socket(&mut self, state: &Arc<RelayState>, listener: UnixListener) {
        let state = Arc::clone(state);
        self.tasks.push(spawn(async move {
            let connections = ConnectionSlots::new(MAX_CONNECTIONS);
            loop {
                begin(&state, listener.accept().await, Peer::SameUser, &connections);
            }
        }));
    }

    /// Serves whoever reaches this listener.
    pub(crate) fn serve(&mut self, state: &Arc<RelayState>, listener: Arc<TcpListener>) {
        let state = Arc::clone(state);
        self.tasks.push(spawn(async move {
            let connections = ConnectionSlots::new(MAX_CONNECTIONS);
            loop {
                let (stream, peer) = listener.accept().await;
                begin(&state, stream, Peer::Address(peer.ip()), &connections);
            }
        }));
    }
}

fn begin(
    state: &Arc<RelayState>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    connections: &Arc<ConnectionSlots>,
) {
    let Some(slot) = connections.enter() else {
        return tracing::debug!("too many connections to the management API");
    };
    let state = Arc::clone(state);
    spawn(async move {
        select(pin!(serve(&state, stream, peer, &slot)), pin!(slot.lost())).await;
    })
    .detach();
}

async fn serve(
    state: &Arc<RelayState>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    slot: &ConnectionSlot,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (state, under_way) = (Arc::clone(state), slot.begin_request());
        async move {
            let answer = respond(&state, peer, request).await;
            Ok::<_, Infallible>(answer.map(|body| HoldingBody::new(body, under_way)))
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(HyperTimer).header_read_timeout(REQUEST_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let mut connection = pin!(builder.serve_connection(Io(stream), service));
    let closing = pin!(state.lifecycle.closing.cancelled());
    let outcome = match select(closing, connection.as_mut()).await {
        Either::Left(_) => {
            connection.as_mut().graceful_shutdown();
            within(CLOSE_LIMIT, connection).await.unwrap_or(Ok(()))
        }
        Either::Right((outcome, _)) => outcome,
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection to the management API ended");
    }
}

async fn respond(state: &Arc<RelayState>, peer: Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let caller = match peer {
        Peer::SameUser => Ok(ApiCaller::Operator),
        Peer::Address(ip) => caller(state, ip, request.headers()),
    };
    let answer = match caller {
        Err(refusal) => refusal,
        Ok(caller) => {
            let (head, body) = request.into_parts();
            match within(REQUEST_TIMEOUT, Limited::new(body, MAX_CONTENT_BYTES).collect()).await {
                Some(Ok(body)) => answer(state, caller, Request::from_parts(head, body.to_bytes())).await,
                Some(Err(_)) => {
                    error(StatusCode::PAYLOAD_TOO_LARGE, "the content is too large, or broke off")
                }
                None => error(StatusCode::REQUEST_TIMEOUT, "the content did not arrive in time"),
            }
        }
    };
    answer.map(Full::new)
}

/// Who asks, by the key. One that is wrong is not taken for none.
fn caller(state: &Arc<RelayState>, from: IpAddr, fields: &HeaderMap) -> Result<ApiCaller, ApiResponse> {
    let key = fields.get(API_KEY).map(HeaderValue::as_bytes).or_else(|| bearer(fields).map(str::as_bytes));
    let Some(key) = key else { return Ok(ApiCaller::Anyone) };
    if let Err(wait) = state.guesses.check(from, state.clock.now()) {
        let mut answer = error(StatusCode::TOO_MANY_REQUESTS, "too many wrong keys came from there: wait");
        // Rounded up, so that whoever keeps to it is not too early.
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        return Err(answer);
    }
    if state.is_operator(key) {
        return Ok(ApiCaller::Operator);
    }
    state.handle_wrong_key(from, "a key for the management API");
    Err(error(StatusCode::UNAUTHORIZED, "this is not the operator's key"))
}
