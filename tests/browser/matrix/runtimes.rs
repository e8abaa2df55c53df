//! The package outside browsers: a program forwards local services, another one reaches them.

use std::path::{Path, PathBuf};
use std::process::Command;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, nobody, ok};
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::Program;
use hvym_tunnel_tests::tunnel::{PORTS, Relay, host_of, port_of, request};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::super::installed;
use super::{Row, folder};

/// The value of `Sec-WebSocket-Key`, and what belongs to it (RFC 6455 section 1.3).
const HANDSHAKE: [&str; 2] = ["dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];

/// A program that runs the package's programs.
struct Runtime {
    name: &'static str,
    path: PathBuf,
    /// What lets it run a script that may do everything.
    arguments: &'static [&'static str],
}

/// Those that are there, or asked for.
fn runtimes() -> Vec<Runtime> {
    let runtime = |name, path, arguments| Runtime { name, path, arguments };
    let mut found = Vec::new();
    found.extend(required_tool("node").map(|node| runtime("Node.js, the system's", node, &[])));
    if folder().is_some()
        && let Some(folder) = installed::more()
    {
        let modules = folder.join("node_modules");
        found.push(runtime("Node.js 22", modules.join("node-22/bin/node"), &[]));
        let deno = ["run", "--allow-all", "--no-lock", "--node-modules-dir=manual"].as_slice();
        // Beside it is a script of Node.js that starts it, and passes no signal on.
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        found.push(runtime("Deno", modules.join(format!("@deno/linux-{machine}-glibc/deno")), deno));
        found.push(runtime("Bun", modules.join(".bin/bun"), &[]));
    }
    found
}

/// A script in a runtime, with `more` after its name.
fn script(runtime: &Runtime, folder: &Path, name: &str, seed: u8, more: &[&str]) -> Command {
    let mut command = Command::new(&runtime.path);
    command.args(runtime.arguments).arg(folder.join(name)).args(more).current_dir(folder);
    command.env("HVYM_TUNNEL_SECRET", Key::from_seed([seed; 32]).secret().trim());
    command.env("NO_COLOR", "1");
    command
}

/// A local server: it says what it was asked, or echoes after an upgrade.
fn local() -> Origin {
    Origin::start(|mut connection: Conversation| {
        loop {
            let head = connection.head()?;
            if head.field("upgrade").is_some() {
                let accept = accept_of(head.field("sec-websocket-key").unwrap_or_default());
                let lines =
                    format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}");
                connection.send(format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n\r\n"))?;
                return echo_frames(connection);
            }
            let body = connection.body(&head)?;
            let said = format!("{} {} {}", head.method(), head.target(), String::from_utf8_lossy(&body));
            connection.send(ok(said.as_bytes()))?;
        }
    })
}

/// Sends back each short frame of a client, without its mask (RFC 6455 section 5.2).
fn echo_frames(mut connection: Conversation) -> std::io::Result<()> {
    loop {
        let head = connection.take(6)?;
        let length = head[1] & 0x7f;
        let masked = connection.take(usize::from(length))?;
        let payload = masked.iter().enumerate().map(|(at, byte)| byte ^ head[2 + at % 4]);
        connection.send([head[0], length].into_iter().chain(payload).collect::<Vec<_>>())?;
    }
}

/// The answer to a key of a handshake, for the one that a test sends; a client with keys of its own calculates.
fn accept_of(key: &str) -> String {
    if key == HANDSHAKE[0] {
        return HANDSHAKE[1].to_owned();
    }
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    data_encoding::BASE64.encode(digest.as_ref())
}

/// What a visitor from outside gets of `url`.
fn visit(relay: &Relay, url: &str, method: &str, path: &str, lines: &[&str], more: &[u8]) -> (u16, String) {
    let mut visitor = relay.visit();
    visitor
        .send([request(host_of(url), method, path, lines).as_bytes(), more].concat())
        .expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let body = if head.status() == 101 {
        // A final text frame whose mask changes nothing.
        visitor
            .send([&[0x81, 0x80 | 13, 0, 0, 0, 0][..], b"over a socket"].concat())
            .expect("the relay reads");
        visitor.take(15).expect("an echo").split_off(2)
    } else {
        visitor.body(&head).expect("a whole answer")
    };
    (head.status(), String::from_utf8_lossy(&body).into_owned())
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> Result<String, String> {
    if got == expected { Ok("yes".into()) } else { Err(format!("{got:?} in place of {expected:?}")) }
}

/// What is said of a local server that is not there.
fn refused(relay: &Relay, url: &str, port: u16) -> Result<String, String> {
    let (status, said) = visit(relay, url, "GET", "/", &[], b"");
    let expected = format!("nothing answers at 127.0.0.1:{port}");
    // Each runtime has words of its own for why.
    same((status, said.get(..expected.len())), (502, Some(&*expected)))
}

fn row(number: usize, runtime: &Runtime) {
    let Some(folder) = installed::folder() else { return };
    let relay = Relay::with_ports(PORTS);
    let (http, tcp, gone) = (local(), Origin::echo(), nobody());
    let url = relay.url();
    let targets = [
        format!("http://127.0.0.1:{}", http.port),
        format!("tcp://127.0.0.1:{}", tcp.port),
        format!("http://127.0.0.1:{gone}/base"),
        format!("http://127.0.0.1:{gone}"),
    ];
    let arguments = [&[url.as_str()][..], &targets.each_ref().map(String::as_str)].concat();
    let mut serving = Program::start(script(runtime, folder, "examples/forward.mjs", 71, &arguments));
    let [app, raw, below, bare] = std::array::from_fn(|_| serving.line());
    let mut row = Row::new("runtimes", number, runtime.name);

    let answer = |path: &str, lines: &[&str], more: &[u8]| {
        visit(&relay, &app, if more.is_empty() { "GET" } else { "POST" }, path, lines, more)
    };
    row.add("`forward` of HTTP", same(answer("/path?q=1", &[], b""), (200, "GET /path?q=1 ".into())));
    row.add("with a body", same(answer("/", &["Content-Length: 5"], b"hello"), (200, "POST / hello".into())));
    let upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let key = format!("Sec-WebSocket-Key: {}", HANDSHAKE[0]);
    let lines = [&upgrade[..], &[key.as_str()]].concat();
    row.add("of WebSockets", same(answer("/socket", &lines, b""), (101, "over a socket".into())));
    // With a path requests are made anew, and without one their bytes are passed on.
    row.add(
        "where nothing answers",
        refused(&relay, &below, gone).and_then(|_| refused(&relay, &bare, gone)),
    );
    let mut stream = Conversation::dial(port_of(&raw));
    stream.send(b"over a stream").and_then(|()| stream.finish()).expect("the relay reads");
    row.add("of TCP", same(stream.rest().expect("an end"), b"over a stream".to_vec()));

    let owner = Key::from_seed([71; 32]).address().to_string();
    let mut reaching = Program::start(script(runtime, folder, "reach.mjs", 72, &[&url, &owner]));
    let seen: Value = serde_json::from_str(&reaching.line()).expect("JSON");
    for (column, name, expected) in [
        ("`serve` and `fetch`", "own", json!("you said hello")),
        ("`fetch` of another one", "fetched", json!("GET /path?q=1 ")),
        ("`webSocket`", "socket", json!("over a socket")),
        ("`connectStream`", "stream", json!("over a stream")),
        ("`createConnection`", "duplex", json!("over a socket of Node.js")),
        ("a socket that cannot be", "lost", json!("not_reachable")),
        ("`serve` of a handler", "served", json!("asked for /by/serve")),
        ("errors with codes", "refused", json!([true, "not_reachable"])),
        ("`Identity.persistent()`", "kept", json!("no_storage")),
    ] {
        let outcome = same(seen[name].clone(), expected);
        let outcome = if name == "kept" { outcome.map(|_| "no, `no_storage`".into()) } else { outcome };
        row.add(column, outcome);
    }
    row.add("it ends when it is closed", same(reaching.code(), 0));
    serving.signal(Signal::INT);
    row.add("by a signal, too", same(serving.code(), 0));
    row.finish();
}

#[test]
fn programs_outside_browsers_serve_and_reach() {
    let runtimes = runtimes();
    for (number, runtime) in runtimes.iter().enumerate() {
        row(number, runtime);
    }
}
