//! An agent with a relay of its own, as one process: the shortest way from a visitor to a service.

use std::io;
use std::process::Command;

use crate::http::{Conversation, Head};
use crate::program::{Home, Program};
use crate::tunnel::{host_of, request};

/// `expose` without `--relay`, ready.
#[derive(Debug)]
pub struct Alone {
    /// Its process, which tells what happens in JSON.
    pub agent: Program,
    /// Where visitors reach its first service.
    pub url: String,
    /// Its folder.
    pub home: Home,
}

impl Alone {
    /// One that exposes `target`.
    pub fn exposing(target: &str, arguments: &[&str]) -> Self {
        Self::exposing_in(Home::new(), target, arguments, |_| ())
    }

    /// The same in this home, its command changed by `prepare`.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn exposing_in(
        home: Home,
        target: &str,
        arguments: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = home.command(&[&["expose", target, "--json"], arguments].concat());
        prepare(&mut command);
        let mut agent = Program::start(command);
        let url = agent.event("ready")["url"].as_str().expect("a URL").to_owned();
        Alone { agent, url, home }
    }

    /// What visitors write into `Host`.
    pub fn host(&self) -> &str {
        host_of(&self.url)
    }

    /// A visitor at the door.
    ///
    /// # Panics
    /// When the URL names no port.
    pub fn visit(&self) -> Conversation {
        let port = self.host().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Conversation::dial(port.expect("a port"))
    }

    /// What a visitor gets who sends this; `lines` are whole field lines.
    ///
    /// # Errors
    /// The answer did not come whole.
    pub fn ask(
        &self,
        method: &str,
        target: &str,
        lines: &[&str],
        body: &[u8],
    ) -> io::Result<(Head, Vec<u8>)> {
        let length = format!("Content-Length: {}", body.len());
        let lines = if body.is_empty() { lines.to_vec() } else { [lines, &[&length]].concat() };
        let mut visitor = self.visit();
        visitor.send(request(self.host(), method, target, &lines))?;
        visitor.send(body)?;
        let head = visitor.head()?;
        let is_empty = method == "HEAD" || matches!(head.status(), 204 | 304);
        let body = if is_empty { Vec::new() } else { visitor.body(&head)? };
        Ok((head, body))
    }

    /// What a visitor gets who asks for `target`.
    ///
    /// # Errors
    /// The answer did not come whole.
    pub fn get(&self, target: &str) -> io::Result<(Head, Vec<u8>)> {
        self.ask("GET", target, &[], &[])
    }
}
