//! One WebSocket of the browser: messages and closes in and out, and nothing once it is dropped.

use bytes::Bytes;
use hvym_tunnel_core::message::{Close, Message};
use js_sys::{ArrayBuffer, JsString, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

/// What a WebSocket tells.
pub(crate) enum Told {
    /// It is open.
    Opened,
    /// A message came.
    Message(Message),
    /// It is over, or could not be opened.
    Closed(Close),
}

/// A WebSocket that is being opened, or open. Dropped, it says nothing more, whatever still happens to it.
pub(crate) struct Socket {
    socket: WebSocket,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Socket {
    /// Begins to open one, and passes on to `tell` what becomes of it.
    ///
    /// # Errors
    /// The URL is none that the browser takes.
    pub(crate) fn dial(url: &str, tell: impl Fn(Told) + Clone + 'static) -> Result<Self, Close> {
        let socket = WebSocket::new(url).map_err(|error| {
            let why = js_sys::Error::from(error).message().as_string().unwrap_or_default();
            Close::abnormal(why)
        })?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let on_open = {
            let tell = tell.clone();
            Closure::<dyn FnMut()>::new(move || tell(Told::Opened))
        };
        let on_message = {
            let tell = tell.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                if let Some(message) = read(event.data()) {
                    tell(Told::Message(message));
                }
            })
        };
        let on_close = Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| {
            tell(Told::Closed(Close::new(event.code(), event.reason())));
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Ok(Self { socket, _on_open: on_open, _on_message: on_message, _on_close: on_close })
    }

    /// Bytes that the browser holds because the network does not take them.
    pub(crate) fn buffered(&self) -> u32 {
        self.socket.buffered_amount()
    }

    /// Hands a message over. One that the browser does not take belongs to a socket that is closing, of which the
    /// close tells.
    pub(crate) fn send(&self, message: &Message) {
        let _closing = match message {
            Message::Text(text) => self.socket.send_with_str(&String::from_utf8_lossy(text)),
            Message::Binary(data) => self.socket.send_with_u8_array(data),
        };
    }

    /// Closes it after what was sent.
    pub(crate) fn close(self, close: &Close) {
        let _closed = self.socket.close_with_code_and_reason(code_for_browsers(close.code), &close.reason);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // One that is closing already is not disturbed by it.
        let _closed = self.socket.close();
    }
}

fn read(data: JsValue) -> Option<Message> {
    match data.dyn_into::<ArrayBuffer>() {
        Ok(buffer) => Some(Message::Binary(Bytes::from(Uint8Array::new(&buffer).to_vec()))),
        Err(data) => {
            let text = data.dyn_into::<JsString>().ok()?;
            Some(Message::Text(Bytes::from(String::from(text))))
        }
    }
}

/// A page may close with 1000 or 3000 to 4999 alone. Of the others a relay only needs to know whether it was to blame:
/// 1002 (protocol) and 1009 (too large) become 4000, and what is no fault becomes 1000.
fn code_for_browsers(code: u16) -> u16 {
    match code {
        1000 | 3000..=4999 => code,
        1002 | 1007 | 1009 => 4000,
        _ => 1000,
    }
}
