//! `hashicorp/yamux` as a peer: a Go process that is told what to do, line by line.
//!
//! It is built from the package of the Go sources that Debian calls `golang-github-hashicorp-yamux-dev`, without a
//! network. `HVYM_TUNNEL_GOPATH` names another place for such sources.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use hvym_tunnel_tests::installed::skip;
use smol::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use smol::net::{TcpListener, TcpStream};
use smol::process::{Child, ChildStdin, ChildStdout};

/// Where Debian puts Go sources.
const GOPATH: &str = "/usr/share/gocode";

/// The built peer, or why there is none.
fn program() -> Result<&'static Path, &'static str> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(build).as_deref().map_err(String::as_str)
}

fn build() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join("hashicorp-peer");
    let gopath = env::var_os("HVYM_TUNNEL_GOPATH").unwrap_or_else(|| GOPATH.into());
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg("main.go")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/hashicorp"))
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("GOPATH", gopath)
        .env("GOCACHE", folder.join("go-cache"))
        .output()
        .map_err(|e| format!("go: {e}"))?;
    match output.status.success() {
        true => Ok(program),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Whether there is a peer to test against; if not, that was said.
///
/// # Panics
/// When there is none under `CI`.
pub(crate) fn is_there() -> bool {
    let Err(why) = program() else { return true };
    skip(&format!("golang-go or golang-github-hashicorp-yamux-dev is not installed: {why}"));
    false
}

/// A running peer.
pub(crate) struct Peer {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts the peer as `dial` or `serve`, and gives the connection to it.
    pub(crate) async fn start(role: &str, flags: &[&str]) -> (Self, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let mut process = smol::process::Command::new(program().expect("looked for before"))
            .args([role, &address])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it was just built");
        let commands = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let (stream, _) = listener.accept().await.expect("it dials");
        stream.set_nodelay(true).expect("a TCP option");
        (Peer { process, commands, answers }, stream)
    }

    /// Gives a command, and waits for what it came to.
    pub(crate) async fn tell(&mut self, command: &str) -> String {
        self.command(command).await;
        self.answer().await
    }

    /// Gives a command.
    pub(crate) async fn command(&mut self, command: &str) {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.expect("the peer reads");
        self.commands.flush().await.expect("the peer reads");
    }

    /// What the next unanswered command came to.
    pub(crate) async fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).await.expect("the peer writes");
        line.trim_end().to_owned()
    }

    /// Sends it a Unix signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(kill.is_ok_and(|status| status.success()), "kill -s {name}");
    }
}
