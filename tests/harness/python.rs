//! The PyPI package `hvym-stellar`, alive, as a peer: it makes and checks tokens as existing programs do.
//!
//! `HVYM_TUNNEL_PYTHON` names a python that has the package.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use hvym_tunnel_core::stellar::Address;
use serde_json::{Value, json};

use crate::installed::packaged_python;

/// A running `peers/hvym_stellar.py`.
pub struct Peer {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// `None` after it was said that no python was named.
    ///
    /// # Panics
    /// When it does not start, or is missing under `CI`.
    pub fn start() -> Option<Self> {
        let python = packaged_python()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/hvym_stellar.py");
        let mut process = Command::new(&python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", python.display()));
        let commands = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Some(Peer { process, commands, answers })
    }

    /// What it answers to one command; the script says which there are.
    ///
    /// # Panics
    /// When it cannot do it.
    pub fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").expect("the peer reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the peer writes");
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("the peer said {line:?}: {e}"));
        assert!(answer.get("fault").is_none(), "{answer}");
        answer
    }

    /// Its verdict on a token.
    pub fn verify(&mut self, token: &str, audience: Address) -> Value {
        self.ask(&json!({"op": "verify", "jwt": token, "audience": audience.to_string()}))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Already gone is as good.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}
