//! One browser WebSocket, in the core's messages and closes.

use bytes::Bytes;
use hvym_tunnel_core::message::{Close, Message};
use js_sys::{ArrayBuffer, Function, JsString, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

/// An event of a WebSocket.
pub(crate) enum SocketEvent {
    /// The upgrade succeeded.
    Opened,
    /// A message arrived.
    Message(Message),
    /// The WebSocket closed, or could not be opened. The last event.
    Closed(Close),
}

/// A WebSocket that is connecting or open. Dropping it closes it and ends its events.
pub(crate) struct Socket {
    socket: WebSocket,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Socket {
    /// Begins to connect to `url` by `open`, which gives the WebSocket for a URL, and calls `on_event` for each event.
    ///
    /// # Errors
    /// The browser does not accept the URL.
    pub(crate) fn dial(
        open: &Function,
        url: &str,
        on_event: impl Fn(SocketEvent) + Clone + 'static,
    ) -> Result<Self, Close> {
        let opened = open.call1(&JsValue::UNDEFINED, &url.into());
        // Not checked: what a package brings is another class than the browser's.
        let socket: WebSocket = opened.map(JsCast::unchecked_into).map_err(|error| {
            let message = js_sys::Error::from(error).message().as_string().unwrap_or_default();
            Close::abnormal(message)
        })?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let on_open = {
            let on_event = on_event.clone();
            Closure::<dyn FnMut()>::new(move || on_event(SocketEvent::Opened))
        };
        let on_message = {
            let on_event = on_event.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                if let Some(message) = message_of(event.data()) {
                    on_event(SocketEvent::Message(message));
                }
            })
        };
        let on_close = Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| {
            on_event(SocketEvent::Closed(Close::new(event.code(), event.reason())));
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Ok(Self { socket, _on_open: on_open, _on_message: on_message, _on_close: on_close })
    }

    /// Bytes that the browser has accepted and the network has not.
    pub(crate) fn buffered(&self) -> u32 {
        self.socket.buffered_amount()
    }

    /// Passes a message to the browser.
    pub(crate) fn send(&self, message: &Message) {
        // Fails only while the socket closes, which `SocketEvent::Closed` reports.
        let _closing = match message {
            Message::Text(text) => self.socket.send_with_str(std::str::from_utf8(text).unwrap_or_default()),
            Message::Binary(data) => self.socket.send_with_u8_array(data),
        };
    }

    /// Closes it after what was sent.
    pub(crate) fn close(self, close: &Close) {
        let _closed = self.socket.close_with_code_and_reason(permitted_code(close.code), &close.reason);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // No effect on a socket that is closing.
        let _closed = self.socket.close();
    }
}

fn message_of(data: JsValue) -> Option<Message> {
    match data.dyn_into::<ArrayBuffer>() {
        Ok(buffer) => Some(Message::Binary(Bytes::from(Uint8Array::new(&buffer).to_vec()))),
        Err(data) => {
            let text = data.dyn_into::<JsString>().ok()?;
            Some(Message::Text(Bytes::from(String::from(text))))
        }
    }
}

/// The close code that the browser accepts in place of `code`: pages may send 1000 and 3000 to 4999 only. Codes that
/// blame the peer (1002, 1007, 1009) become 4000, all others 1000.
fn permitted_code(code: u16) -> u16 {
    match code {
        1000 | 3000..=4999 => code,
        1002 | 1007 | 1009 => 4000,
        _ => 1000,
    }
}
