//! One port for a program's own pages and a relay: a server of hyper on tokio peeks at the host name of each connection, and hands those
//! to the relay that are not its own.
//!
//! `cargo run -p hvym-tunnel-examples --example relay_beside_hyper`, then
//! `hvym-tunnel expose 3000 --relay ws://localhost:8080` and `curl -H 'Host: app.localhost' localhost:8080`

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_relay::{Relay, RelayHandle};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The host name of the program's own pages.
const OWN_HOST: &str = "app.localhost";
/// As much of a request as is looked at: a head of a browser is shorter.
const PEEKED_BYTES: usize = 4096;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let runtime = Runtime::new()?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    let relay = start_relay(&runtime, listener.local_addr()?.port())?;
    println!("agents dial {}", relay.urls().1);
    serve(listener, Arc::new(relay)).await
}

/// A relay whose URLs name the port of the listener in front. Its own is at a free port, and nobody need know it.
pub(crate) fn start_relay(runtime: &Runtime, port: u16) -> Result<RelayHandle, Error> {
    let builder = Relay::builder(Identity::generate()?).listen("127.0.0.1:0".parse()?);
    let builder = builder.with_options(|options| options.public.public_port = Some(port));
    Ok(builder.start(runtime.handle())?)
}

/// Serves connections until the listener fails.
pub(crate) async fn serve(listener: TcpListener, relay: Arc<RelayHandle>) -> Result<(), Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        let relay = Arc::clone(&relay);
        tokio::spawn(async move {
            if let Err(error) = serve_one(stream, &relay).await {
                eprintln!("a connection has failed: {error}");
            }
        });
    }
}

async fn serve_one(stream: TcpStream, relay: &RelayHandle) -> Result<(), Error> {
    let mut head = [0; PEEKED_BYTES];
    let peeked = stream.peek(&mut head).await?;
    if is_own(&head[..peeked]) {
        let service = service_fn(respond);
        return Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?);
    }
    Ok(relay.serve_connection(stream.into_std()?)?)
}

/// Whether a request is for the program's own pages. One whose head has not come yet is the relay's, which knows how to wait.
fn is_own(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let mut fields = head.lines().skip(1).map_while(|line| line.split_once(':'));
    let host = fields.find(|(name, _)| name.eq_ignore_ascii_case("host"));
    host.is_some_and(|(_, host)| host.trim().split(':').next() == Some(OWN_HOST))
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(format!("the program's own page {}\n", request.uri().path()).into()))
}
