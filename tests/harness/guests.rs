//! Agents of other systems by hand: a WebSocket to a relay's door, JSON both ways, and nothing that helps.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::program::{Home, PATIENCE};
use crate::tunnel::Relay;

/// What the existing programs in Python call themselves.
pub const PYTHON: (&str, &str) = ("user-agent", "Python/3.11 websockets/17.4");
/// The largest message of any of these systems.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// A relay with this config file.
///
/// # Panics
/// When it does not start.
pub fn relay_with(config: &str, arguments: &[&str]) -> Relay {
    let home = Home::new();
    let path = write_config(&home, config);
    Relay::start_in(home, 0, &[&["--config", &path], arguments].concat())
}

/// A relay that lets in whoever has a token of the login service of [`crate::tokens`], signed with its public keys.
///
/// # Panics
/// When it does not start.
pub fn cloud_relay(more: &str) -> Relay {
    let home = Home::new();
    fs::write(home.path("jwks.json"), include_bytes!("../golden/guests/jwks.json"))
        .expect("a folder takes a file");
    let path = write_config(&home, &format!("{CLOUD}\njwks_file = \"jwks.json\"\n{more}"));
    Relay::start_in(home, 0, &["--config", &path])
}

/// The beginning of the section about that login service.
pub const CLOUD: &str = "[cloud]\nissuer = \"https://login.example/\"\naudience = \"https://api.example\"";

/// Writes a config file that nobody else can read, and returns its path.
///
/// # Panics
/// When the folder takes no file.
pub fn write_config(home: &Home, config: &str) -> String {
    write_private(home, "relay.toml", config)
}

/// Writes a file that nobody else can read, and returns its path.
///
/// # Panics
/// When the folder takes no file.
pub fn write_private(home: &Home, name: &str, content: &str) -> String {
    let path = home.path(name);
    fs::write(&path, content).expect("a folder takes a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner may change a mode");
    path.to_str().expect("a path of text").to_owned()
}

/// One agent.
#[derive(Debug)]
pub struct Guest(WebSocket<TcpStream>);

impl Guest {
    /// Comes to the door `path` of a relay, with these fields in its upgrade.
    ///
    /// # Panics
    /// When it is not let in so far.
    pub fn dial(relay: &Relay, path: &str, fields: &[(&'static str, &str)]) -> Self {
        Self::try_dial(relay, path, fields).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The same, and why it was not let in.
    ///
    /// # Errors
    /// What the relay answered instead of an upgrade.
    pub fn try_dial(
        relay: &Relay,
        path: &str,
        fields: &[(&'static str, &str)],
    ) -> Result<Self, Box<tungstenite::HandshakeError<tungstenite::ClientHandshake<TcpStream>>>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("the relay listens");
        stream.set_nodelay(true).expect("a fresh connection can be tuned");
        stream.set_read_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
        stream.set_write_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
        let mut request = format!("{}{path}", relay.url()).into_client_request().expect("a URL");
        for (name, value) in fields {
            request.headers_mut().insert(*name, value.parse().expect("a field's value"));
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let upgraded = tungstenite::client::client_with_config(request, stream, Some(config));
        upgraded.map(|(socket, _)| Guest(socket)).map_err(Box::new)
    }

    /// A tunely agent on Node that is let in: it carries requests, and no connections.
    ///
    /// # Panics
    /// When it is not.
    pub fn tunely(relay: &Relay, token: &str, force: bool) -> Self {
        let mut guest = Self::dial(relay, "/ws/tunnel", &[]);
        guest.knock(token, force);
        let answer = guest.hears("auth_ok");
        assert!(answer["tunnel_id"].is_string(), "{answer}");
        guest
    }

    /// An agent of CloudToLocalLLM, which says nothing until it is asked.
    pub fn cloud(relay: &Relay, token: &str) -> Self {
        Self::dial(relay, "/ws/tunnel", &[("authorization", &format!("Bearer {token}"))])
    }

    /// Shows a token of tunely.
    ///
    /// # Panics
    /// When the relay does not read.
    pub fn knock(&mut self, token: &str, force: bool) {
        self.tell(&json!({"type": "auth", "token": token, "client_version": "0.1.0", "force": force}));
    }

    /// Sends a message, whatever it is. The relay may close in the middle of it.
    pub fn say(&mut self, message: Message) {
        let _cut = self.0.send(message);
    }

    /// Sends a message of JSON.
    ///
    /// # Panics
    /// When the relay does not read.
    pub fn tell(&mut self, value: &Value) {
        self.0.send(Message::text(value.to_string())).expect("the relay reads");
    }

    /// The next message, whatever it is.
    ///
    /// # Panics
    /// When none comes.
    pub fn read(&mut self) -> Message {
        self.0.read().expect("the relay says something")
    }

    /// The next message of this type. Pings before it are passed over, and nothing else may be.
    ///
    /// # Panics
    /// When something else comes.
    pub fn hears(&mut self, kind: &str) -> Value {
        loop {
            let value = match self.0.read() {
                Ok(Message::Text(text)) => serde_json::from_str::<Value>(&text).expect("JSON"),
                other => panic!("{other:?} instead of {kind}"),
            };
            if value["type"] == kind {
                return value;
            }
            assert_eq!(value["type"], "ping", "instead of {kind}: {value}");
        }
    }

    /// What was said before the relay closed, and the code and the reason that it closed with.
    ///
    /// # Panics
    /// When it ends without a close.
    pub fn end(mut self) -> (Vec<Value>, u16, String) {
        let mut said = Vec::new();
        loop {
            match self.0.read() {
                Ok(Message::Close(Some(frame))) => {
                    return (said, frame.code.into(), frame.reason.to_string());
                }
                Ok(Message::Text(text)) => said.push(serde_json::from_str(&text).expect("JSON")),
                Ok(_) => {}
                Err(error) => panic!("ended without a close: {error}; {said:?}"),
            }
        }
    }
}
