//! WebSocket framing for JavaScript (`js/websocket.js`): bytes of a connection in, messages out, and the other way round.

use bytes::Bytes;
use hvym_websocket::{Input, Received, WebSocket};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::clock;

/// The largest message that is received. Browsers have no limit of their own; a peer must not fill the page's memory.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// One end of a WebSocket whose handshake is over.
#[wasm_bindgen]
pub struct Frames(WebSocket);

#[wasm_bindgen]
impl Frames {
    /// The client's end, or the server's.
    ///
    /// # Errors
    /// The browser's exception if it has no entropy.
    #[wasm_bindgen(constructor)]
    pub fn new(is_client: bool) -> Result<Frames, JsValue> {
        Ok(Self(if is_client {
            WebSocket::client(clock::seed()?, MAX_MESSAGE_BYTES)
        } else {
            WebSocket::server(MAX_MESSAGE_BYTES)
        }))
    }

    /// What `data` brings: texts, `Uint8Array`s, and at the end of it perhaps `[code, reason]` of the peer's close, or `[code]`
    /// of a fault of the peer, which was closed with that code.
    pub fn receive(&mut self, data: Vec<u8>) -> Array {
        let (messages, mut input) = (Array::new(), Input::new(data));
        loop {
            let message: JsValue = match self.0.read(&mut input) {
                // One that is too long is skipped only where that was asked for.
                Ok(None | Some(Received::Oversized(_))) => return messages,
                // The decoder has checked that it is UTF-8.
                Ok(Some(Received::Text(text))) => std::str::from_utf8(&text).unwrap_or_default().into(),
                Ok(Some(Received::Binary(data))) => Uint8Array::from(&data[..]).into(),
                Ok(Some(Received::Close(close))) => {
                    messages.push(&Array::of2(&close.code.into(), &close.reason.into()));
                    return messages;
                }
                Err(error) => {
                    self.0.close(error.close_code(), "");
                    messages.push(&Array::of1(&error.close_code().into()));
                    return messages;
                }
            };
            messages.push(&message);
        }
    }

    /// Queues a text message.
    pub fn text(&mut self, text: String) {
        self.0.send_text(Bytes::from(text));
    }

    /// Queues a binary message.
    pub fn binary(&mut self, data: Vec<u8>) {
        self.0.send_binary(Bytes::from(data));
    }

    /// Queues a close frame, unless there was one; without a code if `code` is 1005.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.0.close(code, reason);
    }

    /// The bytes to send; empty if there are none.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = self.0.slices().collect::<Vec<_>>().concat();
        self.0.advance(bytes.len());
        bytes
    }
}
