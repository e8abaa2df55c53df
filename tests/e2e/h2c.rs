//! A service that speaks HTTP/2 is spoken to in HTTP/2, whatever its visitors speak.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::thread;

use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::BodyExt;
use hvym_tunnel_tests::tunnel::Tunnel;
use hyper::body::{Body, Frame, Incoming};
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use smol::net::{TcpListener, TcpStream};

/// What hyper needs of a connection.
struct Io(TcpStream);

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut room = [0; 4096];
        let most = buf.remaining().min(room.len());
        let n = ready!(Pin::new(&mut self.0).poll_read(cx, &mut room[..most]))?;
        buf.put_slice(&room[..n]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[derive(Clone)]
struct Tasks;

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        smol::spawn(task).detach();
    }
}

/// A body in its frames, each once the one before has left.
struct Frames(Vec<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        Poll::Ready(next.map(Ok))
    }
}

/// By which connections a service was asked.
pub(crate) type Peers = Arc<Mutex<BTreeSet<SocketAddr>>>;

/// A service that speaks HTTP/2 and nothing else: it answers with what it was asked, and a trailer.
pub(crate) fn service() -> (u16, Peers) {
    let listener = smol::block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let peers = Peers::default();
    let seen = Arc::clone(&peers);
    smol::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let answer = service_fn(move |request| {
                seen.lock().expect("nobody panics here").insert(peer);
                answer(request)
            });
            smol::spawn(http2::Builder::new(Tasks).serve_connection(Io(stream), answer)).detach();
        }
    })
    .detach();
    (port, peers)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Frames>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    let (head, body) = request.into_parts();
    let who = head.headers.get("x-forwarded-for").and_then(|value| value.to_str().ok()).unwrap_or("nobody");
    let authority = head.uri.authority().map(ToString::to_string).unwrap_or_default();
    let told = format!("{} {authority}{} for {who}\n", head.method, head.uri.path());
    let mut frames = vec![Frame::data(Bytes::from(told))];
    if head.uri.path() == "/large" {
        // More than the systems of both ends, relay and agent keep of what nobody reads.
        let piece = Bytes::from(vec![b'.'; 64 * 1024]);
        frames.extend((0..256).map(|_| Frame::data(piece.clone())));
    }
    let collected = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // A few pieces, so that answers of many visitors take turns on the one connection.
    frames.extend(collected.chunks(1000).map(|piece| Frame::data(Bytes::copy_from_slice(piece))));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    frames.push(Frame::trailers(trailers));
    let response = Response::builder().header("trailer", "grpc-status").body(Frames(frames));
    Ok(response.expect("a response"))
}

fn exposed(port: u16) -> Tunnel {
    Tunnel::to_target(&format!("h2c://127.0.0.1:{port}"))
}

#[test]
fn an_http1_visitor_is_answered_by_an_http2_service() {
    let (port, _) = service();
    let tunnel = exposed(port);
    let (head, body) = tunnel.post("/a%2Fb", b"body").expect("an answer");
    let told = format!("POST {}/a%2Fb for 127.0.0.1\nbody", tunnel.agent.host());
    assert_eq!((head.status(), String::from_utf8(body).as_deref()), (200, Ok(told.as_str())));
}

#[test]
fn trailers_of_the_service_come_after_the_body() {
    let (port, _) = service();
    let tunnel = exposed(port);
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/", &["TE: trailers"])).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
    let (_, trailers) = visitor.chunks().expect("a whole answer");
    assert_eq!(trailers, [("grpc-status".to_owned(), "0".to_owned())]);
}

#[test]
fn many_visitors_share_one_connection_and_get_their_own_answers() {
    let (port, peers) = service();
    let tunnel = Arc::new(exposed(port));
    // The first one opens the connection that the others share.
    tunnel.get("/first").expect("an answer");
    let visit = |number: usize| {
        let tunnel = Arc::clone(&tunnel);
        thread::spawn(move || {
            let body = vec![b'a' + u8::try_from(number % 26).unwrap_or(0); 10_000 + number];
            let (head, answer) = tunnel.post(&format!("/{number}"), &body).expect("an answer");
            assert_eq!(head.status(), 200);
            let told = format!("POST {}/{number} for 127.0.0.1\n", tunnel.agent.host());
            assert!(answer == [told.as_bytes(), &body].concat(), "{number}: another's answer");
        })
    };
    let visitors: Vec<_> = (0..50).map(visit).collect();
    visitors.into_iter().for_each(|visitor| visitor.join().expect("its own answer"));
    assert_eq!(peers.lock().expect("nobody panics here").len(), 1);
}

#[test]
fn visitors_who_read_nothing_leave_the_shared_connection_to_others() {
    let (port, _) = service();
    let tunnel = exposed(port);
    let stalled = tunnel.visit_silently(12, "/large");
    // Meanwhile the windows of those fill up.
    for number in 0..100 {
        let (head, body) = tunnel.post("/small", &[b'.'; 10_000]).expect("an answer");
        assert_eq!(head.status(), 200, "number {number}");
        assert!(body.len() > 10_000, "number {number}");
    }
    drop(stalled);
}

#[test]
fn a_service_that_is_back_is_asked_over_a_new_connection() {
    let (port, _) = service();
    let proxy = Severed::before(port);
    let tunnel = exposed(proxy.port);
    tunnel.get("/before").expect("an answer");
    proxy.sever();
    let (head, body) = tunnel.get("/after").expect("an answer");
    assert_eq!(head.status(), 200);
    assert!(body.starts_with(b"GET "));
}

/// Something between agent and service that can cut their connections.
struct Severed {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Severed {
    fn before(service: u16) -> Self {
        let listener = smol::block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let open = Arc::<Mutex<Vec<TcpStream>>>::default();
        let kept = Arc::clone(&open);
        smol::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, service)).await else { return };
                kept.lock().expect("nobody panics here").push(near.clone());
                let (inward, mut outward) = (near.clone(), far.clone());
                smol::spawn(async move { futures_util::io::copy(inward, &mut outward).await }).detach();
                let mut back = near;
                smol::spawn(async move { futures_util::io::copy(far, &mut back).await }).detach();
            }
        })
        .detach();
        Severed { port, open }
    }

    fn sever(&self) {
        for stream in self.open.lock().expect("nobody panics here").drain(..) {
            // The agent's look whether the service is there has ended already.
            let _gone = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
