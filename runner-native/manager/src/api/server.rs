//! Listens for the API's clients, and leads each request through the rules to what it asks for.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::io::{AsyncRead, AsyncWrite};
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, ORIGIN};
use http::{HeaderValue, Method, Request, StatusCode};
use hvym_tunnel_net::connection_slots::{ConnectionSlot, ConnectionSlots};
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::hyper::{HoldingBody, Io};
use hvym_tunnel_net::hyper_rt::HyperTimer;
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::runtime::{RuntimeHandle, spawn};
use hvym_tunnel_net::shutdown::{CancellationToken, TaskGuard, TaskTracker};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::tls_server::TlsServer;
#[cfg(unix)]
use hvym_tunnel_net::unix_listener::UnixListener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use thiserror::Error;

use super::answer::{self, Answer};
use super::guard::{Refusal, RequestGuard};
use super::routes::{Found, Route, find};
use super::{ApiHooks, ApiState, handlers, owner, page, peer_user, token_file};
use crate::TunnelManager;
use crate::settings::ApiSettings;

/// Connections at once: those of listeners, and some more. A newcomer takes the place of one on which nothing is asked.
pub const MAX_CONNECTIONS: usize = 128;
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is held of a connection's input.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long requests that are under way may take at the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Why the API does not listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApiError {
    /// What others on the network could read and change would pass in plain text.
    #[error("other machines reach {0}, and the API has no certificate for them")]
    NotLoopback(SocketAddr),
    /// The certificate cannot be used.
    #[error("the certificate of the API cannot be used: {0}")]
    Tls(String),
    /// Somebody listens there, or the system refuses.
    #[error("the API cannot listen at {at}: {reason}")]
    Listen {
        /// Where.
        at: String,
        /// The system's text.
        reason: String,
        /// Whether another program listens there.
        is_taken: bool,
    },
    /// The file of the token cannot be used.
    #[error("the token of the API cannot be kept in {}: {reason}", path.display())]
    Token {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// A running API. Dropped, it listens no more.
pub struct ApiServer {
    addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    tracker: Arc<TaskTracker>,
    /// Ends what listens, and not what was accepted.
    deaf: CancellationToken,
    listening: TaskTracker,
}

/// From where a connection comes.
#[derive(Copy, Clone)]
enum Peer {
    /// A program, or a page, of this machine or of another one.
    Tcp { peer: SocketAddr, local: SocketAddr },
    /// A program of the same user: nobody else can open the socket.
    SameUser,
    /// Whoever an agent of this process let in to the dashboard, as its relay says.
    Owner,
}

impl ApiServer {
    /// Serves `manager`, and the settings file that it runs by, on the threads of `runtime`.
    ///
    /// # Errors
    /// It cannot listen, or the file of the token cannot be used.
    pub fn start(
        settings: &ApiSettings,
        manager: TunnelManager,
        hooks: ApiHooks,
        runtime: &RuntimeHandle,
    ) -> Result<Self, ApiError> {
        let _inside = runtime.enter();
        let token = token_file::load_or_create(&settings.token_file)
            .map_err(|error| ApiError::Token { path: settings.token_file.clone(), reason: words(&error) })?;
        let tls = settings.tls.as_ref().map(|files| TlsServer::load(&files.certificate, &files.key));
        let tls = tls.transpose().map_err(|error| ApiError::Tls(error.to_string()))?;
        let listeners = listen(settings, &hooks, tls.is_some())?;
        #[cfg(unix)]
        let sockets =
            [(listen_unix(settings, &hooks)?, Peer::SameUser), (listen_for_owner(settings)?, Peer::Owner)];
        manager.set_metrics_interval(settings.metrics_interval);
        let state = Arc::new(ApiState {
            manager,
            guard: RequestGuard {
                allowed_hosts: settings.allowed_hosts.clone(),
                allowed_origins: settings.allowed_origins.clone(),
                local_read: settings.local_read,
                token,
            },
            local_control: settings.local_control,
            has_metrics: settings.metrics,
            hooks,
            counts: Default::default(),
            connections: ConnectionSlots::new(MAX_CONNECTIONS),
        });
        let (stop, tracker) = (CancellationToken::new(), Arc::new(TaskTracker::new()));
        let (deaf, listening) = (CancellationToken::new(), TaskTracker::new());
        let acceptor = Acceptor {
            state,
            tls,
            stop: stop.clone(),
            tracker: Arc::clone(&tracker),
            deaf: deaf.clone(),
            _guard: listening.enter(),
        };
        #[cfg(unix)]
        for (listener, peer) in sockets {
            if let Some(listener) = listener {
                acceptor.clone().spawn_accept_unix(listener, peer);
            }
        }
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        listeners.into_iter().for_each(|listener| acceptor.clone().spawn_accept(listener));
        drop(acceptor);
        listening.close();
        Ok(Self { addresses, stop, tracker, deaf, listening })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Listens no more, so that another one can at the same places. What was accepted goes on.
    pub async fn stop_listening(&self) {
        self.deaf.cancel();
        self.listening.empty().await;
    }

    /// Listens no more, and waits a moment for requests that are under way.
    pub async fn shutdown(self) {
        self.stop_listening().await;
        self.stop.cancel();
        self.tracker.close();
        within(CLOSE_LIMIT, self.tracker.empty()).await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.deaf.cancel();
        self.stop.cancel();
    }
}

/// The TCP sockets that were passed, or else those of the settings.
fn listen(settings: &ApiSettings, hooks: &ApiHooks, has_tls: bool) -> Result<Vec<TcpListener>, ApiError> {
    let Some(passed) = hooks.sockets.as_ref().and_then(|sockets| sockets.tcp()) else {
        return listen_at(&settings.listen, has_tls);
    };
    let refused = |error: io::Error| listen_error("a socket that was passed".to_owned(), &error);
    let passed = passed.map_err(refused)?;
    for listener in &passed {
        let at = listener.local_addr().map_err(refused)?;
        if !(has_tls || at.ip().is_loopback()) {
            return Err(ApiError::NotLoopback(at));
        }
    }
    Ok(passed)
}

/// Listens for agents of this process, if the dashboard is offered.
#[cfg(unix)]
fn listen_for_owner(settings: &ApiSettings) -> Result<Option<UnixListener>, ApiError> {
    let listener = |path: &PathBuf| {
        UnixListener::listen(path).map_err(|error| listen_error(path.display().to_string(), &error))
    };
    settings.owner_socket.as_ref().map(listener).transpose()
}

/// The Unix socket that was passed, or else that of the settings.
#[cfg(unix)]
fn listen_unix(settings: &ApiSettings, hooks: &ApiHooks) -> Result<Option<UnixListener>, ApiError> {
    let passed = hooks.sockets.as_ref().and_then(|sockets| sockets.unix());
    let (at, listener) = match (passed, &settings.socket) {
        (Some(passed), _) => ("a Unix socket that was passed".to_owned(), passed),
        (None, Some(path)) => (path.display().to_string(), UnixListener::listen(path)),
        (None, None) => return Ok(None),
    };
    listener.map(Some).map_err(|error| listen_error(at, &error))
}

/// Listens at all of `addresses`. With port 0 all have the free port that the first one got. A machine without IPv6 has no address
/// of it, which is no error while there is another.
fn listen_at(addresses: &[SocketAddr], has_tls: bool) -> Result<Vec<TcpListener>, ApiError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for address in addresses {
        if !(has_tls || address.ip().is_loopback()) {
            return Err(ApiError::NotLoopback(*address));
        }
        let free =
            listeners.first().and_then(|first| first.local_addr().ok()).filter(|_| address.port() == 0);
        let at = free.map_or(*address, |first| SocketAddr::new(address.ip(), first.port()));
        match TcpListener::listen(at, None) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_missing_family(&error) && !listeners.is_empty() => {
                tracing::debug!(%at, %error, "the API does not listen there");
            }
            Err(error) => return Err(listen_error(at.to_string(), &error)),
        }
    }
    Ok(listeners)
}

fn is_missing_family(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::AFNOSUPPORT)
}

fn listen_error(at: String, error: &io::Error) -> ApiError {
    let is_taken = error.kind() == io::ErrorKind::AddrInUse;
    ApiError::Listen { at, reason: words(error), is_taken }
}

/// Takes connections until the API ends.
#[derive(Clone)]
struct Acceptor {
    state: Arc<ApiState>,
    tls: Option<TlsServer>,
    stop: CancellationToken,
    tracker: Arc<TaskTracker>,
    deaf: CancellationToken,
    /// Held while it listens.
    _guard: Option<TaskGuard>,
}

impl Acceptor {
    fn spawn_accept(self, listener: TcpListener) {
        let Ok(local) = listener.local_addr() else { return };
        spawn(async move {
            let tls = self.tls.as_ref().filter(|_| !local.ip().is_loopback());
            while let Some((stream, peer)) = until(&self.deaf, listener.accept()).await {
                let peer = Peer::Tcp { peer, local };
                match tls.cloned() {
                    Some(tls) => {
                        self.begin(peer, async move { within(HEAD_TIMEOUT, tls.accept(stream)).await?.ok() })
                    }
                    None => self.begin(peer, ready(Some(stream))),
                }
            }
            // Its place is free before anybody is told so.
            drop(listener);
        })
        .detach();
    }

    #[cfg(unix)]
    fn spawn_accept_unix(self, listener: UnixListener, peer: Peer) {
        spawn(async move {
            while let Some(stream) = until(&self.deaf, listener.accept()).await {
                self.begin(peer, ready(Some(stream)));
            }
            drop(listener);
        })
        .detach();
    }

    /// Serves a connection once it is `opened`, which it may fail to be, until its place goes to another one.
    fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        peer: Peer,
        opened: impl Future<Output = Option<S>> + Send + 'static,
    ) {
        let Some(guard) = self.tracker.enter() else { return };
        let Some(slot) = self.state.connections.enter() else {
            return tracing::debug!("too many connections to the API");
        };
        let (state, stop) = (Arc::clone(&self.state), self.stop.clone());
        spawn(async move {
            let served = pin!(async {
                if let Some(stream) = opened.await {
                    serve(state, stream, peer, stop, guard, &slot).await;
                }
            });
            select(served, pin!(slot.lost())).await;
        })
        .detach();
    }
}

/// What `work` comes to, unless the API ends before.
async fn until<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(stop.cancelled()), pin!(work)).await {
        Either::Left(_) => None,
        Either::Right((done, _)) => Some(done),
    }
}

async fn serve(
    state: Arc<ApiState>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    stop: CancellationToken,
    _guard: TaskGuard,
    slot: &ConnectionSlot,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (state, under_way) = (Arc::clone(&state), slot.begin_request());
        async move {
            let answer = respond(&state, peer, request).await;
            Ok::<_, Infallible>(answer.map(|body| HoldingBody::new(body, under_way)))
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(HyperTimer).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let mut connection = pin!(builder.serve_connection(Io(stream), service).with_upgrades());
    let outcome = match until(&stop, connection.as_mut()).await {
        Some(outcome) => outcome,
        None => {
            connection.as_mut().graceful_shutdown();
            within(CLOSE_LIMIT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection to the API ended");
    }
}

async fn respond(state: &Arc<ApiState>, peer: Peer, request: Request<Incoming>) -> Answer {
    state.counts.begin();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut origin = None;
    let answer = match admit(state, peer, &request, &mut origin) {
        Err(refusal) => answer::refused(refusal),
        Ok(()) if is_preflight(&request) => answer::preflight(),
        Ok(()) => match find(request.method(), &path) {
            Found::Nothing => page::answer(request.method(), &path)
                .unwrap_or_else(|| answer::error(StatusCode::NOT_FOUND, "Endpoint not found")),
            Found::OtherMethods(allowed) => answer::wrong_method(&allowed),
            Found::Route(route, parameter) => match check_access(state, peer, route, request.headers()) {
                Ok(()) => handlers::run(state, route.operation, parameter, request).await,
                Err(refusal) => answer::refused(refusal),
            },
        },
    };
    state.counts.end(answer.status());
    // Without what follows `?`, and without any field: both may hold the token.
    tracing::info!(%method, path, status = answer.status().as_u16(), "answered");
    let mut answer = answer;
    answer::let_read(&mut answer, origin.as_ref());
    if let Peer::Owner = peer {
        owner::mark(&mut answer);
    }
    answer
}

/// Whether a request may do what it asks for.
fn check_access(state: &ApiState, peer: Peer, route: &Route, fields: &HeaderMap) -> Result<(), Refusal> {
    match peer {
        Peer::SameUser => Ok(()),
        Peer::Owner if route.operation.is_for_owner() => Ok(()),
        Peer::Owner => Err(Refusal::Remote),
        Peer::Tcp { peer, local } => {
            let is_same_user = || state.local_control && peer_user::is_same_user(peer, local);
            state.guard.check_access(route.level, fields, local.ip().is_loopback(), is_same_user)
        }
    }
}

/// Whether a request may come in at all; `origin` is the page that may read the response.
fn admit(
    state: &ApiState,
    peer: Peer,
    request: &Request<Incoming>,
    origin: &mut Option<HeaderValue>,
) -> Result<(), Refusal> {
    let local = match peer {
        Peer::Tcp { local, .. } => local,
        Peer::SameUser => return Ok(()),
        Peer::Owner => {
            let hosts = owner::hosts(&state.manager.status().links);
            return state.guard.check_forwarded(request.headers(), &hosts);
        }
    };
    let named = state.guard.check_source(request.uri(), request.headers(), local.ip())?;
    *origin = named.and_then(|named| HeaderValue::from_str(named).ok());
    Ok(())
}

fn is_preflight(request: &Request<Incoming>) -> bool {
    let fields = request.headers();
    request.method() == Method::OPTIONS
        && fields.contains_key(ORIGIN)
        && fields.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
