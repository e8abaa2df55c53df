//! curl as a visitor, at the relay's door or directly at a service.

use std::path::PathBuf;

use serde_json::Value;

use crate::installed::required_tool;
use crate::program::{Home, Program};
use crate::tunnel::Tunnel;

/// Where curl goes.
#[derive(Clone, Debug)]
pub struct Curl {
    program: PathBuf,
    /// What it writes into `Host`, and what its URLs begin with.
    host: String,
    /// Where it really connects, on this machine.
    port: u16,
}

/// What curl brought back.
#[derive(Debug)]
pub struct Fetched {
    /// Its exit code; 0 is good.
    pub code: i32,
    /// What it says about the transfer: `http_code`, `http_version`, `num_connects` and more.
    pub facts: Value,
    /// All heads as they came, interim ones too; lower case.
    pub heads: String,
    /// The body, of several the last.
    pub body: Vec<u8>,
}

impl Fetched {
    /// The status of the last answer.
    pub fn status(&self) -> u64 {
        self.facts["http_code"].as_u64().unwrap_or_default()
    }

    /// The value of the field `name`, lower case, in the last head that has it.
    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.heads.lines().rev();
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
    }
}

impl Curl {
    /// To the agent's first service, by the relay's door. `None` after it was said that there is no curl.
    pub fn through(tunnel: &Tunnel) -> Option<Self> {
        let (host, port) = (tunnel.agent.host().to_owned(), tunnel.relay.port);
        Some(Curl { program: required_tool("curl")?, host, port })
    }

    /// The same curl, to the agent's service of this name.
    #[must_use]
    pub fn named(&self, service: &str) -> Self {
        Curl { host: format!("{service}--{}", self.host), ..self.clone() }
    }

    /// The same curl, straight to a service of this machine.
    #[must_use]
    pub fn direct(&self, port: u16) -> Self {
        Curl { host: format!("127.0.0.1:{port}"), port, ..self.clone() }
    }

    /// curl on its way to `target`, for who wants to hear it while it runs.
    pub fn start(&self, target: &str, arguments: &[&str]) -> Program {
        let mut command = std::process::Command::new(&self.program);
        command.args(["--silent", "--show-error", "--noproxy", "*", "--path-as-is"]);
        command.args(["--connect-to", &format!("::127.0.0.1:{}", self.port)]);
        command.args(arguments).arg(format!("http://{}{target}", self.host));
        Program::start(command)
    }

    /// What `target` answers.
    ///
    /// # Panics
    /// When curl does not end.
    pub fn fetch(&self, target: &str, arguments: &[&str]) -> Fetched {
        let home = Home::new();
        let (heads, body) = (home.path("heads"), home.path("body"));
        let (heads_text, body_text) = (heads.to_string_lossy(), body.to_string_lossy());
        let ours = ["-D", &heads_text, "-o", &body_text, "-w", "%{stderr}%{json}\n"];
        let mut program = self.start(target, &[&ours, arguments].concat());
        let code = program.code();
        let said = program.transcript();
        let facts = said.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        Fetched {
            code,
            facts: facts.unwrap_or_else(|| panic!("curl said no facts: {said}")),
            heads: std::fs::read_to_string(heads).unwrap_or_default().to_ascii_lowercase(),
            body: std::fs::read(body).unwrap_or_default(),
        }
    }
}
