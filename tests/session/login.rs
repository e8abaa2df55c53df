//! The login, both sides: whatever is wrong with it gets its close code and a text for a person, and never a panic.

mod agent_side;
mod clocks;
mod garbage;
mod in_the_middle;
mod relay_side;
mod scopes;
mod together;

use bytes::Bytes;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message, Transmit};
use serde_json::Value;

/// What a machine said: control messages in order, and the close it ended with.
struct Said {
    texts: Vec<Value>,
    close: Option<Close>,
}

impl Said {
    /// Everything `machine` wants to send.
    fn by(machine: &mut impl Machine) -> Self {
        let mut said = Said { texts: Vec::new(), close: None };
        while let Some(transmit) = machine.poll_transmit() {
            assert!(said.close.is_none(), "something was sent after the close");
            match transmit {
                Transmit::Send(Message::Text(text)) => {
                    said.texts.push(serde_json::from_slice(&text).expect("JSON"));
                }
                Transmit::Send(Message::Binary(_)) => {}
                Transmit::Close(close) => said.close = Some(close),
            }
        }
        said
    }

    fn code(&self) -> Option<u16> {
        self.close.as_ref().map(|close| close.code)
    }

    fn last_type(&self) -> Option<&str> {
        self.texts.last().and_then(|text| text["type"].as_str())
    }
}

fn message(json: &Value) -> Message {
    Message::Text(Bytes::from(json.to_string()))
}

/// Texts that are no control message, for any moment.
fn garbage() -> Vec<Message> {
    let texts: [&[u8]; 16] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"null",
        b"true",
        b"5",
        b"\"auth_response\"",
        b"[]",
        b"[{\"type\":\"ping\"}]",
        b"[\"ping\",1]",
        b"{}",
        b"{\"type\":5}",
        b"{\"type\":\"ping\",\"id\":\"x\"}",
        b"{\"type\":\"ping\"} {\"type\":\"ping\"}",
        b"{\"type\":\"error\",\"message\":\"\xff\xfe\"}",
    ];
    let deep = "{\"type\":\"ping\",\"x\":".to_owned() + &"[".repeat(20_000);
    let mut all: Vec<Message> = texts.iter().map(|text| Message::Text(Bytes::from_static(text))).collect();
    all.push(Message::Text(Bytes::from(deep)));
    all
}
