//! Small servers that speak as older systems' do, for the real agent: one link at a time, every message the test's own.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use hvym_tunnel_compat::dialect::Dialect;
use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_core::stellar::{Address, Expected, Token};
use hvym_tunnel_core::time::UnixTime;
use serde_json::{Value, json};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Message, WebSocket, accept_hdr_with_config};

use crate::Key;
use crate::program::PATIENCE;

/// A port at which agents arrive.
#[derive(Debug)]
pub struct Port(TcpListener);

impl Default for Port {
    fn default() -> Self {
        Port(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"))
    }
}

impl Port {
    /// What an agent gives as `--relay`.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn url(&self) -> String {
        format!("ws://{}", self.0.local_addr().expect("it is bound"))
    }

    /// The next agent, and the upgrade it asked for.
    ///
    /// # Panics
    /// When none comes, or what comes is none.
    pub fn accept(&self) -> (Link, Request) {
        let mut asked = None;
        #[allow(clippy::result_large_err, reason = "the library's own type")]
        let note = |request: &Request, response: Response| {
            asked = Some(request.clone());
            Ok(response)
        };
        let limit = Some(Dialect::MAX_CALL_BYTES);
        let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
        let socket = accept_hdr_with_config(self.stream(), note, Some(config)).expect("an upgrade");
        (Link { socket, seal: None }, asked.expect("the upgrade was seen"))
    }

    /// Answers the next agent's upgrade with these bytes.
    ///
    /// # Errors
    /// It is gone.
    pub fn refuse(&self, answer: &str) -> io::Result<()> {
        let mut stream = self.stream();
        // The whole question first: what is closed before it was read is reset.
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            io::Read::read_exact(&mut stream, &mut byte)?;
            seen.extend(byte);
        }
        io::Write::write_all(&mut stream, answer.as_bytes())
    }

    fn stream(&self) -> TcpStream {
        let (stream, _) = self.0.accept().expect("somebody comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
        stream
    }
}

/// The server's end of a link.
#[derive(Debug)]
pub struct Link {
    socket: WebSocket<TcpStream>,
    seal: Option<SealKey>,
}

impl Link {
    /// Says `message`.
    ///
    /// # Panics
    /// When the agent is gone.
    pub fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).expect("the agent reads");
    }

    /// The next thing the agent says; an end is `null`.
    ///
    /// # Panics
    /// When nothing comes, or no JSON.
    pub fn hear(&mut self) -> Value {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).expect("JSON"),
                Ok(Message::Close(_)) => return Value::Null,
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("the agent said {other:?}"),
            }
        }
    }

    /// The next thing of this `type`; others are passed over.
    ///
    /// # Panics
    /// When it never comes.
    pub fn hear_of(&mut self, kind: &str) -> Value {
        loop {
            let heard = self.hear();
            assert!(!heard.is_null(), "the agent left before any {kind}");
            if heard["type"] == kind {
                return heard;
            }
        }
    }

    /// Ends the link.
    ///
    /// # Panics
    /// When the agent is gone already.
    pub fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.socket.close(Some(frame)).expect("the agent is there");
        while self.socket.read().is_ok() {}
    }
}

/// An existing HVYM server's half of the login, for the identity `relay`; with a `seal` it offers to seal messages.
///
/// # Panics
/// When the agent's token is not right.
pub fn hvym_login(link: &mut Link, relay: &Key, domain: &str, seal: bool) -> Address {
    let own = relay.address().to_string();
    link.say(&json!({"type": "auth_challenge", "challenge_id": "DqXn5WJNhsZF1QbGM1LoWQ",
                     "challenge": "2pWqkTzqf1y7rVYx1q3m0m9C2Kf0mW1b4zQ8u6cJk7E", "server_address": own}));
    let response = link.hear();
    assert_eq!(
        (&response["type"], &response["challenge_id"]),
        (&json!("auth_response"), &json!("DqXn5WJNhsZF1QbGM1LoWQ")),
        "{response}"
    );
    let token = response["jwt"].as_str().expect("a token");
    let agent =
        Token::verify(token, &Expected::for_audience(relay.address()), now()).expect("the agent's own token");
    assert_eq!(agent.challenge(), Some("2pWqkTzqf1y7rVYx1q3m0m9C2Kf0mW1b4zQ8u6cJk7E"));
    let mode = if seal { json!("XSalsa20-Poly1305") } else { Value::Null };
    link.say(&json!({"type": "auth_ok", "endpoint": format!("https://{}.{domain}", agent.address()),
                     "server_address": own, "services": ["pintheon"], "encryption_available": seal,
                     "encryption_mode": mode}));
    agent.address()
}

/// Seals messages from now on, as the agent asks for it.
///
/// # Panics
/// When it does not.
pub fn hvym_seal(link: &mut Link, relay: &Key, agent: Address) {
    link.hear_of("enable_encryption");
    link.say(&json!({"type": "encryption_enabled", "mode": "XSalsa20-Poly1305"}));
    link.seal = Some(relay.seal_key(&agent));
}

/// Asks for `request` as an existing HVYM server does, and returns the answer.
///
/// # Panics
/// When another answer comes.
pub fn hvym_ask(link: &mut Link, stream: u64, request: &Value) -> Value {
    let ask = json!({"type": "tunnel_request", "stream_id": stream, "request": request});
    let answer = match link.seal.clone() {
        None => {
            link.say(&ask);
            link.hear_of("tunnel_response")
        }
        Some(key) => {
            let nonce = [u8::try_from(stream).expect("a few requests"); 24];
            let payload = data_encoding::BASE64.encode(&key.seal(ask.to_string().as_bytes(), nonce));
            link.say(&json!({"type": "tunnel_request_encrypted", "encrypted": true, "payload": payload}));
            let sealed = link.hear_of("tunnel_response_encrypted");
            let payload = sealed["payload"].as_str().expect("a payload");
            let payload = data_encoding::BASE64.decode(payload.as_bytes()).expect("base64");
            serde_json::from_slice(&key.open(&payload).expect("the agreed key")).expect("JSON")
        }
    };
    assert_eq!(
        (&answer["type"], &answer["stream_id"]),
        (&json!("tunnel_response"), &json!(stream)),
        "{answer}"
    );
    answer["response"].clone()
}

fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime::from_secs(since.expect("a clock after 1970").as_secs())
}
