//! Redis, as Debian has it: started in a folder of its own, on a Unix socket, with nothing kept, and gone at the end.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::installed::required_tool;
use crate::program::{Home, PATIENCE};

/// A running server.
#[derive(Debug)]
pub struct RedisServer {
    program: PathBuf,
    home: Home,
    child: Child,
}

impl RedisServer {
    /// An empty one; `None` after it was said that there is none.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn start() -> Option<Self> {
        let program = required_tool("redis-server")?;
        let home = Home::new();
        let child = spawn(&program, &home);
        let mut server = Self { program, home, child };
        server.await_ready();
        Some(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.home.path("redis.sock")
    }

    /// What it answers to one command.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn ask(&self, command: &str) -> String {
        self.try_ask(command).expect("it answers")
    }

    fn try_ask(&self, command: &str) -> std::io::Result<String> {
        let mut connection = UnixStream::connect(self.socket())?;
        connection.write_all(format!("{command}\r\n").as_bytes())?;
        // It answers what it was sent, then closes.
        connection.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn await_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.try_ask("PING").is_ok_and(|answer| answer.starts_with("+PONG")) {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < deadline, "Redis does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a power cut would. All that it knew is lost.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Starts it again, empty.
    pub fn restart(&mut self) {
        self.child = spawn(&self.program, &self.home);
        self.await_ready();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Already gone is as good.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn spawn(program: &PathBuf, home: &Home) -> Child {
    let mut command = Command::new(program);
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocketperm", "700"]);
    command.arg("--unixsocket").arg(home.path("redis.sock")).arg("--dir").arg(home.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the server is there")
}
