//! A relay behind nginx and behind Caddy, by the files of `packaging`: what they promise is held against the real programs.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_rustls::client::TlsStream;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use hvym_tunnel_tests::guests::write_private;
use hvym_tunnel_tests::http::{Conversation, Origin, nobody, ok};
use hvym_tunnel_tests::installed::{Nginx, required_tool};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Relay, request};
use smol::net::TcpStream;

use crate::tls::Authority;

/// More than a proxy takes by default.
const UPLOAD: usize = 2 * 1024 * 1024;

/// Ports of the proxy, the relay behind it, and who vouches for its certificate.
struct Front {
    http: u16,
    https: u16,
    authority: Authority,
    files: Home,
    relay: Relay,
}

impl Front {
    /// A relay as both files say that it is started.
    fn new() -> Self {
        let (http, https, files, authority) = (nobody(), nobody(), Home::new(), Authority::new());
        let (certificate, key) = authority.issue(2099);
        for (name, pem) in [("ca.pem", authority.certificate.pem()), ("fullchain.pem", certificate.pem())] {
            fs::write(files.path(name), pem).expect("a folder takes a file");
        }
        write_private(&files, "privkey.pem", &key.serialize_pem());
        let port = https.to_string();
        // A relay with another name is for other machines too, as those behind proxies are.
        let relay = Relay::start(&[
            "--public-scheme",
            "https",
            "--public-port",
            &port,
            "--trusted-proxy",
            "127.0.0.1",
            "--also-name",
            "relay.example",
        ]);
        Self { http, https, authority, files, relay }
    }

    /// A file of `packaging` with the addresses, names and files of this place.
    fn example(&self, name: &str, changes: &[(&str, String)]) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name);
        let text = fs::read_to_string(&path).expect("it is there");
        let file = |name| self.files.path(name).display().to_string();
        let common = [
            ("127.0.0.1:4896", format!("127.0.0.1:{}", self.relay.port)),
            ("/etc/ssl/tunnel.example/fullchain.pem", file("fullchain.pem")),
            ("/etc/ssl/tunnel.example/privkey.pem", file("privkey.pem")),
        ];
        let text = common.iter().chain(changes).fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{name} has no {from}");
            text.replace(from, to)
        });
        text.replace("tunnel.example", "localhost")
    }

    async fn visit(&self) -> TlsStream<TcpStream> {
        self.authority.visit(self.https, &[b"http/1.1"]).await
    }
}

/// What a visitor reads until it has seen `end`.
async fn read_to(tls: &mut TlsStream<TcpStream>, end: &str) -> String {
    let (mut text, mut room) = (String::new(), [0; 4096]);
    while !text.contains(end) {
        let count = tls.read(&mut room).await.expect("it is open");
        assert!(count > 0, "it ended before {end:?}: {text}");
        text.push_str(&String::from_utf8_lossy(&room[..count]));
    }
    text
}

/// A service that shows the head that came, counts bodies, and goes on with events when the test has read the one before.
fn service(read: Arc<AtomicUsize>) -> Origin {
    Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            match head.target() {
                "/events" => {
                    connection.send(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
                    )?;
                    for number in 0..3 {
                        while read.load(Ordering::Acquire) < number {
                            std::thread::yield_now();
                        }
                        connection.send(format!("f\r\ndata: event {number}\n\n\r\n"))?;
                    }
                    connection.send("0\r\n\r\n")?;
                }
                "/socket" => {
                    connection.send(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                    )?;
                    let bytes = connection.take(5)?;
                    return connection.send(bytes);
                }
                _ => {
                    let body = connection.body(&head)?;
                    connection.send(ok(format!("{head:?} body of {}.", body.len()).as_bytes()))?;
                }
            }
        }
    })
}

/// Everything that an agent and visitors do, through the proxy.
fn holds_what_it_promises(front: &Front) {
    let read = Arc::<AtomicUsize>::default();
    let (origin, home) = (service(Arc::clone(&read)), Home::new());
    let (url, ca) = (format!("wss://localhost:{}", front.https), front.files.path("ca.pem"));
    let target = origin.port.to_string();
    let ca = ca.to_str().expect("text");
    let mut agent = home.start(&["expose", &target, "--json", "--relay", &url, "--relay-ca", ca]);
    let ready = agent.event("ready");
    let url = ready["url"].as_str().expect("a URL").trim_end_matches('/').to_owned();
    let host = url.strip_prefix("https://").unwrap_or_else(|| panic!("{url}"));
    smol::block_on(async {
        let mut visitor = front.visit().await;
        let spoofed =
            ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9", "X-Forwarded-Proto: http"];
        // Neither `//` nor an escaped slash is changed on the way.
        let target = "/a%2Fb//c?x=%20";
        visitor.write_all(request(host, "GET", target, &spoofed).as_bytes()).await.expect("it reads");
        let seen = read_to(&mut visitor, "body of 0.").await.to_lowercase();
        assert!(seen.starts_with("http/1.1 200") && seen.contains(&target.to_lowercase()), "{seen}");
        assert!(!seen.contains("203.0.113.9") && seen.contains("127.0.0.1"), "{seen}");
        assert!(seen.contains("https") && seen.contains(host), "{seen}");

        let length = format!("Content-Length: {UPLOAD}");
        visitor.write_all(request(host, "POST", "/", &[&length]).as_bytes()).await.expect("it reads");
        visitor.write_all(&vec![b'x'; UPLOAD]).await.expect("it reads");
        read_to(&mut visitor, &format!("body of {UPLOAD}.")).await;

        visitor.write_all(request(host, "GET", "/events", &[]).as_bytes()).await.expect("it reads");
        for number in 0..3 {
            // The next one is sent when this one has come.
            read_to(&mut visitor, &format!("event {number}\n")).await;
            read.store(number + 1, Ordering::Release);
        }

        let mut socket = front.visit().await;
        let upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        socket.write_all(request(host, "GET", "/socket", &upgrade).as_bytes()).await.expect("it reads");
        let head = read_to(&mut socket, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        socket.write_all(b"hello").await.expect("it reads");
        read_to(&mut socket, "hello").await;
    });
    let mut plain = Conversation::dial(front.http);
    plain.send(request(host.split(':').next().expect("a name"), "GET", "/page?x=1", &[])).expect("it reads");
    let head = plain.head().expect("an answer");
    let location = head.field("location").expect("a place").to_owned();
    assert_eq!(head.status(), 308, "{location}");
    let name = host.split(':').next().expect("a name");
    assert!(
        location.starts_with(&format!("https://{name}")) && location.ends_with("/page?x=1"),
        "{location}"
    );
}

#[test]
fn nginx_carries_agents_visitors_events_and_websockets_by_the_packaged_file() {
    let front = Front::new();
    let changes = [
        ("    listen 80;\n    listen [::]:80;\n", format!("    listen 127.0.0.1:{};\n", front.http)),
        (
            "    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n",
            format!("    listen 127.0.0.1:{} ssl http2;\n", front.https),
        ),
    ];
    let servers = front.example("nginx/hvym-tunnel.conf", &changes);
    let Some(_nginx) = Nginx::serving(front.https, |_| servers) else { return };
    holds_what_it_promises(&front);
}

#[test]
fn caddy_carries_agents_visitors_events_and_websockets_by_the_packaged_file() {
    let Some(caddy) = required_tool("caddy") else { return };
    let front = Front::new();
    let global = format!(
        "{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port {}\n\thttps_port {}\n\tskip_install_trust\n}}\n",
        front.http, front.https
    );
    let file = front.files.path("Caddyfile");
    fs::write(&file, global + &front.example("caddy/Caddyfile", &[])).expect("a folder takes a file");
    let mut command = Command::new(caddy);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file).env_clear();
    command.env("HOME", front.files.path("")).env("XDG_DATA_HOME", front.files.path("data"));
    let mut program = Program::start(command);
    program.says("serving initial configuration");
    holds_what_it_promises(&front);
}
