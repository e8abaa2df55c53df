//! Real servers of tunely, as PyPI has them: started on free ports, with a tunnel and its token, and visited.
//!
//! `HVYM_TUNNEL_TUNELY` names the folder where the test command installed them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::http::{Conversation, Head, nobody};
use crate::installed::tunely_folder;
use crate::program::{Home, Program};
use crate::tunnel::request;

/// The last version: connections in binary messages, and requests in messages only where its database says so.
pub const NEW: &str = "0.12.0";
/// The last that speaks the first protocol: requests in messages.
pub const OLD: &str = "0.2.1";
/// The tunnel that a server's TCP port leads to.
pub const NAME: &str = "agent";
/// What administers a server.
const API_KEY: &str = "a-key-of-the-tests";

/// How a server carries what visitors send.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Bytes, at its TCP port. Only [`NEW`] has one.
    Tcp,
    /// Requests in messages, at `name.domain`.
    Http,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub program: Program,
    /// Where agents, and visitors of [`Mode::Http`], arrive.
    pub port: u16,
    /// Where visitors of [`Mode::Tcp`] arrive.
    pub tcp_port: u16,
    version: &'static str,
    folder: PathBuf,
    home: Home,
    variables: Variables,
}

/// Settings that a server finds in its environment.
pub type Variables = &'static [(&'static str, &'static str)];

impl Server {
    /// One of this version, without a tunnel; `None` after it was said that it is not installed.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn start(version: &'static str) -> Option<Self> {
        Self::start_with(version, &[])
    }

    /// The same, with these settings.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn start_with(version: &'static str, variables: Variables) -> Option<Self> {
        Some(Self::start_in(tunely_folder()?, Home::new(), version, [0, nobody()], variables))
    }

    /// The same, but for how soon it misses a link that says nothing: within 4 s, and not within 40.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn start_impatient(version: &'static str) -> Option<Self> {
        let (folder, home) = (tunely_folder()?, Home::new());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/tunely_serve.py");
        let mut command = python_tool(&folder, version, "python", &home);
        command.arg(script);
        Some(Self::start_by(command, folder, home, version, [0, nobody()], &[]))
    }

    fn start_in(
        folder: PathBuf,
        home: Home,
        version: &'static str,
        ports: [u16; 2],
        variables: Variables,
    ) -> Self {
        let command = python_tool(&folder, version, "tunely", &home);
        Self::start_by(command, folder, home, version, ports, variables)
    }

    fn start_by(
        mut command: Command,
        folder: PathBuf,
        home: Home,
        version: &'static str,
        [port, tcp_port]: [u16; 2],
        variables: Variables,
    ) -> Self {
        let database = format!("sqlite+aiosqlite:///{}", home.path("tunnels.db").display());
        let port = port.to_string();
        command.args(["serve", "--host", "127.0.0.1", "--port", &port, "--domain", "localhost"]);
        command.args(["--database", &database, "--api-key", API_KEY]);
        command.env("WS_TUNNEL_TCP_LISTEN", format!("{tcp_port}:{NAME}")).envs(variables.iter().copied());
        let mut program = Program::start(command);
        // "... on http://127.0.0.1:36043 (Press CTRL+C to quit)"
        let line = program.says("Uvicorn running on");
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        Server { program, port, tcp_port, version, folder, home, variables }
    }

    /// Ends it as a power cut would, and starts it again: the same tunnels, the same ports.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(self) -> Self {
        let Server { mut program, port, tcp_port, version, folder, home, variables } = self;
        program.kill();
        Self::start_in(folder, home, version, [port, tcp_port], variables)
    }

    /// What an agent gives as `--relay`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Makes the tunnel [`NAME`], and returns its token.
    ///
    /// # Panics
    /// When it is refused.
    pub fn tunnel(&self, mode: Mode) -> String {
        let made = self.call("POST", "/api/tunnels", &json!({"domain": NAME}));
        let token = made["token"].as_str().unwrap_or_else(|| panic!("no token: {made}")).to_owned();
        if self.version != OLD {
            self.set_mode(mode);
        }
        token
    }

    /// New servers make tunnels of bytes alone, and serve the others that they find in their database.
    fn set_mode(&self, mode: Mode) {
        let mode = match mode {
            Mode::Tcp => "tcp",
            Mode::Http => "http",
        };
        let change = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=30); \
                      db.execute('UPDATE tunnels SET mode = ? WHERE domain = ?', sys.argv[2:]); db.commit()";
        let mut python = python_tool(&self.folder, self.version, "python", &self.home);
        let status =
            python.args(["-c", change]).arg(self.home.path("tunnels.db")).args([mode, NAME]).status();
        assert!(status.expect("Python starts").success(), "the database cannot be changed");
    }

    /// What it says about the tunnel [`NAME`].
    pub fn tunnel_info(&self) -> Value {
        self.call("GET", &format!("/api/tunnels/{NAME}"), &Value::Null)
    }

    /// Calls its API.
    ///
    /// # Panics
    /// When it does not answer in JSON.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let lines = [
            &format!("x-api-key: {API_KEY}"),
            "Content-Type: application/json",
            &format!("Content-Length: {}", body.len()),
        ];
        let mut caller = Conversation::dial(self.port);
        let call = request("localhost", method, path, &lines) + &body;
        let answer = caller.send(call).and_then(|()| caller.head()).and_then(|head| caller.body(&head));
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}: {self:?}"));
        serde_json::from_slice(&answer)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer)))
    }

    /// A visitor of the tunnel [`NAME`], and what its request's head is: `lines` are whole field lines.
    pub fn visit(&self, mode: Mode, method: &str, target: &str, lines: &[&str]) -> (Conversation, String) {
        let port = match mode {
            Mode::Tcp => self.tcp_port,
            Mode::Http => self.port,
        };
        (Conversation::dial(port), request(&format!("{NAME}.localhost"), method, target, lines))
    }

    /// What a visitor gets.
    ///
    /// # Errors
    /// The answer did not come whole.
    pub fn ask(
        &self,
        mode: Mode,
        method: &str,
        target: &str,
        lines: &[&str],
        body: &[u8],
    ) -> io::Result<(Head, Vec<u8>)> {
        let length = format!("Content-Length: {}", body.len());
        let mut lines = lines.to_vec();
        if !body.is_empty() {
            lines.push(&length);
        }
        let (mut visitor, head) = self.visit(mode, method, target, &lines);
        visitor.send(head)?;
        visitor.send(body)?;
        let head = visitor.head()?;
        let body = visitor.body(&head)?;
        Ok((head, body))
    }
}

/// The program `tool` beside a version of tunely, about to start in `home` with nothing else around it.
pub fn python_tool(folder: &Path, version: &str, tool: &str, home: &Home) -> Command {
    alone(&folder.join(format!("python-{version}/bin/{tool}")), home)
}

/// A program of tunely, about to start in `home` with nothing else around it.
pub fn alone(program: &Path, home: &Home) -> Command {
    let mut command = Command::new(program);
    // They read a file called .env where they are started, and proxies from the environment.
    command.env_clear().current_dir(home.path("")).env("HOME", home.path(""));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // What is logged must come whole, one thing in each line.
    command.env("PYTHONUTF8", "1").env("PYTHONUNBUFFERED", "1").env("COLUMNS", "500");
    command
}
