//! An agent with its inspector, as one process, and somebody who asks the inspector.

use std::io;
use std::ops::Deref;

use serde_json::Value;

use crate::alone::Alone;
use crate::http::{Conversation, Head};
use crate::program::{Home, PATIENCE, Program};

/// `expose --inspect` without `--relay`, ready.
#[derive(Debug)]
pub struct Inspected {
    /// The agent, and its visitors' way to it.
    pub alone: Alone,
    inspector: InspectorAt,
}

/// Somebody who asks an inspector.
#[derive(Debug)]
pub struct InspectorAt {
    /// Where it is.
    pub port: u16,
}

impl Deref for Inspected {
    type Target = InspectorAt;

    fn deref(&self) -> &InspectorAt {
        &self.inspector
    }
}

impl Inspected {
    /// One that exposes `target`.
    pub fn exposing(target: u16, arguments: &[&str]) -> Self {
        let arguments = [&["--inspect=127.0.0.1:0"], arguments].concat();
        let alone = Alone::exposing_in(Home::new(), &target.to_string(), &arguments, |_| ());
        let inspector = InspectorAt::of(&alone.agent);
        Inspected { alone, inspector }
    }
}

impl InspectorAt {
    /// The inspector of this agent, which has said where it is.
    pub fn of(agent: &Program) -> Self {
        InspectorAt { port: inspector_port(agent) }
    }

    /// What the inspector says to a request; `lines` are whole field lines, `Host` among them.
    ///
    /// # Errors
    /// The response did not come whole.
    pub fn ask(&self, method: &str, path: &str, lines: &[&str], body: &str) -> io::Result<(Head, Vec<u8>)> {
        let mut connection = Conversation::dial(self.port);
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        connection.send(format!(
            "{method} {path} HTTP/1.1\r\n{lines}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))?;
        let head = connection.head()?;
        let body = if head.status() == 204 { Vec::new() } else { connection.body(&head)? };
        Ok((head, body))
    }

    /// The same from a program of this machine.
    ///
    /// # Panics
    /// When no response comes.
    pub fn own(&self, method: &str, path: &str, lines: &[&str], body: &str) -> (Head, Vec<u8>) {
        let host = format!("Host: 127.0.0.1:{}", self.port);
        self.ask(method, path, &[&[host.as_str()], lines].concat(), body).expect("it answers")
    }

    /// The value at `path`.
    ///
    /// # Panics
    /// When there is none.
    pub fn json(&self, path: &str) -> Value {
        let (head, body) = self.own("GET", path, &[], "");
        assert_eq!(head.status(), 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("it is JSON")
    }

    /// The field line that proves who changes something.
    ///
    /// # Panics
    /// When the inspector has none.
    pub fn token_line(&self) -> String {
        let session = self.json("/api/session");
        format!("Authorization: Bearer {}", session["token"].as_str().expect("a token"))
    }

    /// The requests, oldest first, once there are `count` that are over.
    ///
    /// # Panics
    /// When there never are.
    pub fn requests(&self, count: usize) -> Vec<Value> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let listed = self.json("/api/requests");
            let requests = listed["requests"].as_array().cloned().unwrap_or_default();
            if requests.len() == count && requests.iter().all(|request| request["progress"] != "open") {
                return requests;
            }
            assert!(std::time::Instant::now() < deadline, "{count} requests never were: {listed}");
            std::thread::yield_now();
        }
    }
}

/// Where the inspector of an agent is, as it said.
///
/// # Panics
/// When it has none.
pub fn inspector_port(agent: &Program) -> u16 {
    let said = agent.transcript();
    let event = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let event = event.into_iter().find(|event| event["event"] == "inspecting");
    let url = event.as_ref().and_then(|event| event["url"].as_str());
    let port = url.and_then(|url| url.rsplit_once(':')?.1.parse().ok());
    port.unwrap_or_else(|| panic!("no inspector: {said}"))
}
