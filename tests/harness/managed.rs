//! A manager that runs by a settings file, with its API, and somebody who asks it.

use std::path::PathBuf;

use serde_json::Value;

use crate::Key;
use crate::http::{Conversation, Head, nobody};
use crate::program::{Home, Program};
use crate::tunnel::{Relay, request};

/// A relay, and a manager with a link to it.
#[derive(Debug)]
pub struct Managed {
    /// The manager; its events were heard up to `api`.
    pub program: Program,
    /// The relay.
    pub relay: Relay,
    /// The port of the API.
    pub port: u16,
    /// The token of the API.
    pub token: String,
    home: Home,
}

impl Managed {
    /// One whose settings file has a link called `home`, and `more` after it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(more: &str) -> Self {
        let (relay, home, port) = (Relay::start(&[]), Home::of(&Key::from_seed([75; 32])), nobody());
        let text = format!(
            "# mine\nversion = 1\n\n[[link]]\nname = \"home\"\nrelay = \"{}\"\n\n{more}",
            relay.url()
        );
        std::fs::write(file_in(&home), text).expect("the folder takes a file");
        let mut command = home.command(&["manager", "--json"]);
        // Beside the file, so that it stays whatever becomes of the file.
        command.env("HVYM_TUNNEL_API_PORT", port.to_string());
        let mut program = Program::start(command);
        let api = program.event("api");
        let token = std::fs::read_to_string(api["token_file"].as_str().expect("a path")).expect("a token");
        Managed { program, relay, port, token: token.trim().to_owned(), home }
    }

    /// The settings file.
    pub fn file(&self) -> PathBuf {
        file_in(&self.home)
    }

    /// A folder that is gone with the manager.
    pub fn folder(&self) -> PathBuf {
        self.home.path("")
    }

    /// What the settings file says.
    ///
    /// # Panics
    /// When there is none.
    pub fn text(&self) -> String {
        std::fs::read_to_string(self.file()).expect("a settings file")
    }

    /// The address of a page of the API.
    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// What the API answers to a request with the token.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn ask(&self, method: &str, path: &str, content: &str) -> (Head, Vec<u8>) {
        let (bearer, length) =
            (format!("Authorization: Bearer {}", self.token), format!("Content-Length: {}", content.len()));
        let mut api = Conversation::dial(self.port);
        api.send(request("localhost", method, path, &[&bearer, &length])).expect("it reads");
        api.send(content).expect("it reads");
        let head = api.head().expect("it answers");
        let body = api.body(&head).expect("a body");
        (head, body)
    }

    /// The status and the JSON of an answer.
    ///
    /// # Panics
    /// When it is none.
    pub fn call(&self, method: &str, path: &str, content: &str) -> (u16, Value) {
        let (head, body) = self.ask(method, path, content);
        let value = serde_json::from_slice(&body);
        (head.status(), value.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body))))
    }
}

fn file_in(home: &Home) -> PathBuf {
    home.path("config/hvym-tunnel/config.toml")
}
