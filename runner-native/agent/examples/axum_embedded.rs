//! An axum server with a relay and an agent in the same process: what the server answers has a public address, and all of it
//! is started and stopped a hundred times without a thread or a descriptor left behind.
//!
//! `cargo run --package hvym-tunnel-agent --example axum_embedded`

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use hvym_tunnel_agent::event::AgentEvent;
use hvym_tunnel_agent::{Agent, Identity, RelayUrl, ServiceSpec};
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_relay::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Error = Box<dyn std::error::Error>;

const ROUNDS: usize = 100;
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let service = listener.local_addr()?.to_string();
    let app = Router::new().route("/", get(|| async { "hello from axum" }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut first = None;
    for _ in 0..ROUNDS {
        round(&service).await?;
        let (mut now, ended) = (held(), Instant::now());
        // The server may still hold the last connection for a moment, and the kernel lists a thread after it was joined.
        let (threads, descriptors) = *first.get_or_insert(now);
        while now.0 > threads && ended.elapsed() < LIMIT {
            std::thread::yield_now();
            now = held();
        }
        assert!(now.0 <= threads && now.1 <= descriptors + 2, "{now:?} instead of {first:?}");
    }
    println!(
        "{ROUNDS} times started and stopped: {:?} threads and descriptors are held, as after the first",
        held()
    );
    Ok(())
}

/// Starts a relay and an agent, has one visitor served, and stops both.
async fn round(service: &str) -> Result<(), Error> {
    let runtime = Runtime::new()?;
    let relay = Relay::builder(Identity::generate()?).start(runtime.handle())?;
    let at = relay.local_addr();
    let path = RelayUrl::DEFAULT_PATH.to_owned();
    let url = RelayUrl { tls: false, host: at.ip().to_string(), port: at.port(), path };
    let agent = Agent::builder(Identity::generate()?)
        .relay(url)
        .service(ServiceSpec::new("web".parse()?, service.parse()?))
        .start(runtime.handle())?;
    let events = agent.events();
    let url = loop {
        match events.next().await {
            Some(AgentEvent::Online { services }) => break services[0].url.clone(),
            Some(_) => {}
            None => return Err("the agent ended".into()),
        }
    };
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut visitor = TcpStream::connect(at).await?;
    visitor
        .write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut response = String::new();
    visitor.read_to_string(&mut response).await?;
    assert!(response.ends_with("hello from axum"), "{response}");
    agent.shutdown(LIMIT).await?;
    relay.shutdown(LIMIT).await;
    // Joining threads blocks, which a worker of tokio must not.
    let ended = tokio::task::spawn_blocking(move || runtime.shutdown(LIMIT)).await?;
    assert!(ended, "a thread is left behind");
    Ok(())
}

/// Threads and descriptors of this process; nothing where the system does not tell.
fn held() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
    (count("/proc/self/task"), count("/proc/self/fd"))
}
