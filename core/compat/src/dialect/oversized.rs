//! What a message was about that is too large to be held, from its beginning: all programs write the type and the name first.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use data_encoding::BASE64;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Dialect;
use super::call::CallId;

/// A message that is larger than [`Dialect::MAX_CALL_BYTES`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Oversized {
    /// A request.
    Request(CallId),
    /// A response, or a piece of one.
    Response(CallId),
    /// Bytes of a connection, which has a gap from here on.
    Data(CallId),
    /// One of the others, sealed; of that the beginning.
    Sealed(Vec<u8>),
}

impl Dialect {
    /// How much of such a message is to be kept: more than what the programs write before the name.
    pub const OVERSIZED_HEAD_BYTES: usize = 4096;

    /// What the message that begins with `head` is about; `None` if that is not said there.
    pub fn decode_oversized(self, head: &[u8]) -> Option<Oversized> {
        let mut start = Start::default();
        // It ends in the middle of something; what was read until there counts.
        let _cut = serde_json::Deserializer::from_slice(head).deserialize_map(&mut start);
        let Start { kind, id, stream_id, connection } = start;
        let text = |id: Option<Value>| match id {
            Some(Value::String(id)) => Some(CallId::Text(id)),
            _ => None,
        };
        match (self, kind?.as_ref()) {
            (Dialect::HvymJson, "tunnel_request_encrypted" | "tunnel_response_encrypted") => {
                payload(head).map(Oversized::Sealed)
            }
            (Dialect::HvymJson, kind) => {
                let id = CallId::Number(stream_id?.as_i64()?);
                match kind {
                    "tunnel_request" => Some(Oversized::Request(id)),
                    "tunnel_response" | "stream_data" => Some(Oversized::Response(id)),
                    _ => None,
                }
            }
            (Dialect::Tunely, "tcp_data") => text(connection).map(Oversized::Data),
            (Dialect::Tunely, "request") | (Dialect::CloudLlm, "http_request") => {
                text(id).map(Oversized::Request)
            }
            (Dialect::Tunely, "response" | "stream_chunk") | (Dialect::CloudLlm, "http_response") => {
                text(id).map(Oversized::Response)
            }
            _ => None,
        }
    }
}

/// What the member `payload`, which is Base64 and does not end, begins with.
fn payload(head: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"\"payload\"";
    let at = head.windows(NAME.len()).position(|window| window == NAME)?;
    let value = head[at + NAME.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let text = value.strip_prefix(b"\"")?;
    BASE64.decode(&text[..text.len() / 4 * 4]).ok()
}

/// The members that were read.
#[derive(Default)]
struct Start<'a> {
    kind: Option<Cow<'a, str>>,
    id: Option<Value>,
    stream_id: Option<Value>,
    connection: Option<Value>,
}

impl<'de> Visitor<'de> for &mut Start<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match name.as_ref() {
                "type" => self.kind = Some(map.next_value()?),
                "id" => self.id = Some(map.next_value()?),
                "stream_id" => self.stream_id = Some(map.next_value()?),
                "conn_id" => self.connection = Some(map.next_value()?),
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_where_the_programs_write_it() {
        let (number, text) = (CallId::Number(7), CallId::Text("a-b".into()));
        for (dialect, head, found) in [
            (
                Dialect::HvymJson,
                r#"{"type":"tunnel_request","stream_id":7,"request":{"method":"POST","body":"xxx"#,
                Some(Oversized::Request(number.clone())),
            ),
            (
                Dialect::HvymJson,
                r#"{"type": "tunnel_response", "stream_id": 7, "response": {"status_code": 200, "#,
                Some(Oversized::Response(number)),
            ),
            (
                Dialect::Tunely,
                r#"{"type":"request","id":"a-b","method":"POST","path":"/","headers":{"a":"b"},"body":"x"#,
                Some(Oversized::Request(text.clone())),
            ),
            (
                Dialect::Tunely,
                r#"{"type":"stream_chunk","id":"a-b","data":"x"#,
                Some(Oversized::Response(text.clone())),
            ),
            (
                Dialect::Tunely,
                r#"{"type":"tcp_data","conn_id":"a-b","data":"x"#,
                Some(Oversized::Data(text.clone())),
            ),
            (
                Dialect::CloudLlm,
                r#"{"id":"a-b","type":"http_response","#,
                Some(Oversized::Response(text.clone())),
            ),
            (Dialect::CloudLlm, r#"{"type":"http_request","id":"a-b"#, None),
            (Dialect::CloudLlm, r#"{"type":"request","id":"a-b","body":""#, None),
            (Dialect::HvymJson, r#"{"type":"tunnel_request","stream_id":"7","request":{"#, None),
            (
                Dialect::HvymJson,
                r#"{"type":"tunnel_request_encrypted","encrypted":true,"payload": "YWJjZG"#,
                Some(Oversized::Sealed(b"abc".to_vec())),
            ),
            (Dialect::HvymJson, r#"{"type":"tunnel_request_encrypted","payload":"YW~jZG"#, None),
            (Dialect::HvymJson, r#"{"type":"tunnel_response_encrypted","encrypted":true,"#, None),
            (Dialect::Tunely, r#"{"type":"request","headers":{"id":"a-b"},"body":"x"#, None),
            (Dialect::Tunely, r#"["type","request"#, None),
            (Dialect::Tunely, "", None),
        ] {
            assert_eq!(dialect.decode_oversized(head.as_bytes()), found, "{head}");
        }
    }
}
