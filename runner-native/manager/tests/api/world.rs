//! A relay, a manager with its API, and a stand-in for Ollama, all in this process.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_agent::{ConflictPolicy, Identity, RelayUrl, ServiceSpec};
use hvym_tunnel_manager::TunnelManager;
use hvym_tunnel_manager::api::{ApiHooks, ApiServer};
use hvym_tunnel_manager::health::CheckTiming;
use hvym_tunnel_manager::settings::{
    ApiSettings, ManagedLinkSettings, ManagedService, ManagerPolicy, ManagerSettings,
};
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_relay::{Relay, RelayHandle};
use serde_json::Value;

use crate::stored::store;

/// Long enough for any machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Soon enough for a test.
const CHECKS: CheckTiming = CheckTiming {
    interval: Duration::from_millis(300),
    timeout: Duration::from_secs(10),
    max_retries: 1,
    retry_delay: Duration::from_millis(50),
};

/// A relay on a free port, and what one manager needs.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    relay: RelayHandle,
    folder: PathBuf,
}

/// A running manager and its API.
pub(crate) struct Managed {
    pub(crate) manager: TunnelManager,
    pub(crate) at: SocketAddr,
    pub(crate) token: String,
    api: ApiServer,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let runtime = Runtime::new().expect("threads");
        let relay = Relay::builder(identity()).start(runtime.handle()).expect("a free port");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hvym-manager-{}-{number}", std::process::id()));
        Self { runtime, relay, folder }
    }

    /// Settings of a link that leads to this relay.
    pub(crate) fn link(&self, name: &str, services: Vec<ManagedService>) -> ManagedLinkSettings {
        let at = self.relay.local_addr();
        let path = RelayUrl::DEFAULT_PATH.to_owned();
        let relay = RelayUrl { tls: false, host: at.ip().to_string(), port: at.port(), path };
        ManagedLinkSettings {
            name: name.to_owned(),
            signer: identity().into(),
            link: LinkSettings { relay: Some(relay), ..LinkSettings::default() },
            compat: None,
            known_relays: None,
            names: Vec::new(),
            has_own_relay: false,
            process_label: None,
            auto_start: true,
            conflict: ConflictPolicy::Stay,
            observer: None,
            services,
        }
    }

    /// A manager with these links, whose API anybody on this machine may read.
    pub(crate) fn manage(&self, links: Vec<ManagedLinkSettings>) -> Managed {
        self.manage_with(settings(links), |_| {})
    }

    pub(crate) fn manage_with(
        &self,
        settings: ManagerSettings,
        change: impl FnOnce(&mut ApiSettings),
    ) -> Managed {
        let manager = TunnelManager::start(settings, self.runtime.handle()).expect("names that differ");
        let mut api = ApiSettings::new(0, self.folder.join("api.token"));
        api.socket = Some(self.socket());
        change(&mut api);
        let hooks = ApiHooks { settings: store(), ..ApiHooks::default() };
        let server =
            ApiServer::start(&api, manager.clone(), hooks, self.runtime.handle()).expect("a free port");
        let token = std::fs::read_to_string(&api.token_file).expect("a token").trim().to_owned();
        Managed { manager, at: server.addresses()[0], token, api: server }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("api.sock")
    }

    /// Visits a service by its URL.
    pub(crate) fn visit(&self, url: &str) -> Answer {
        let host = url.split("://").nth(1).expect("a URL").trim_end_matches('/');
        ask(self.relay.local_addr(), &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }

    /// Ends the manager, its relay and the runtime.
    pub(crate) fn end(self, managed: Managed) {
        let Managed { manager, api, .. } = managed;
        self.runtime.block_on(async {
            api.shutdown().await;
            manager.shutdown(Duration::ZERO).await;
        });
        drop(manager);
        self.relay.stop();
        self.runtime.block_on(self.relay.closed());
        assert!(self.runtime.shutdown(PATIENCE), "every task yields");
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

impl Managed {
    /// The API listens no more.
    pub(crate) async fn stop_listening(&self) {
        self.api.stop_listening().await;
    }

    /// What a request with the token is answered.
    pub(crate) fn call(&self, method: &str, path: &str, content: &str) -> Answer {
        self.request(method, path, &[("Authorization", &format!("Bearer {}", self.token))], content)
    }

    /// What a request with these fields is answered.
    pub(crate) fn request(&self, method: &str, path: &str, fields: &[(&str, &str)], content: &str) -> Answer {
        let has_host = fields.iter().any(|(name, _)| *name == "Host");
        let host = if has_host { String::new() } else { format!("Host: {}\r\n", self.at) };
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = content.len();
        ask(
            self.at,
            &format!(
                "{method} {path} HTTP/1.1\r\n{host}{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{content}"
            ),
        )
    }

    /// Waits until the status is as wanted.
    pub(crate) fn wait(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let listener = self.manager.subscribe().expect("a place");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = serde_json::to_value(self.manager.status()).expect("JSON");
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what} does not come: {status:#}");
            smol::block_on(smol::future::or(
                async {
                    listener.next().await;
                },
                async {
                    smol::Timer::after(Duration::from_millis(100)).await;
                },
            ));
        }
    }

    /// Waits until visitors can come to a service, and says where.
    pub(crate) fn url(&self, service: &str) -> String {
        let find = |status: &Value| {
            let services = status["services"].as_array().expect("a list");
            services.iter().find(|known| known["name"] == service)?["url"].as_str().map(str::to_owned)
        };
        let status = self.wait("a URL", |status| find(status).is_some());
        find(&status).expect("it was there")
    }
}

/// The whole answer to `request`.
pub(crate) fn ask(at: SocketAddr, request: &str) -> Answer {
    let mut tcp = TcpStream::connect(at).expect("it listens");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    tcp.write_all(request.as_bytes()).expect("it reads");
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).expect("it answers");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A manager with these links, which are checked soon enough for a test.
pub(crate) fn settings(links: Vec<ManagedLinkSettings>) -> ManagerSettings {
    let policy = ManagerPolicy { checks: CHECKS, ..ManagerPolicy::default() };
    ManagerSettings { links, policy, ..ManagerSettings::default() }
}

pub(crate) fn identity() -> Identity {
    Identity::generate().expect("entropy")
}

/// A service of this name at a port of this machine.
pub(crate) fn service(name: &str, port: u16) -> ManagedService {
    let target = format!("127.0.0.1:{port}").parse().expect("a target");
    ManagedService::new(ServiceSpec::new(name.parse().expect("a name"), target))
}

/// A stand-in for Ollama: its version, its models, and `hello` for everything else. Dropped, it is gone.
pub(crate) struct Ollama {
    pub(crate) port: u16,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ollama {
    pub(crate) fn start(port: u16) -> Self {
        let listener = listen(port);
        let port = listener.local_addr().expect("an address").port();
        let stopped = Arc::<AtomicBool>::default();
        let is_stopped = Arc::clone(&stopped);
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if is_stopped.load(Ordering::Acquire) {
                    return;
                }
                let _left = client.and_then(answer);
            }
        });
        Self { port, stopped, thread: Some(thread) }
    }
}

/// A port that was just left may still be held by the last connections.
fn listen(port: u16) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("the port is free");
    socket.listen(16).expect("it is bound");
    socket.into()
}

fn answer(mut client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let body = match head.split(' ').nth(1) {
        Some("/api/version") => r#"{"version":"0.9.0"}"#,
        Some("/api/tags") => r#"{"models":[{"name":"llama2:latest"}]}"#,
        _ => "hello",
    };
    write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

impl Drop for Ollama {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}
