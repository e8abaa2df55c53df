//! One request of a service's HTTP/1.1 connection, and its response, for JavaScript.
//!
//! JavaScript (`js/serve.js`) makes a `Request` of it and writes back a `Response`. Which request comes next is
//! `http_server`'s business.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

use bytes::Bytes;
use hvym_http1::{BodyWriter, Event, Framing, RequestHead, RequestReader, ResponseHead};
use hvym_tunnel_core::dialect::StreamHeader;
use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::error::{http_error, stream_error, tunnel_error, tunnel_error_from};
use crate::stream::TunnelStream;
use crate::task::{promise, promise_void};

/// The interim response for `Expect: 100-continue` (RFC 9110 section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The server side of an HTTP/1.1 connection on a stream.
pub(crate) struct ServerConnection {
    stream: TunnelStream,
    reader: RefCell<RequestReader>,
    /// Received bytes that the reader has not taken.
    unread: RefCell<Bytes>,
}

impl ServerConnection {
    /// A connection on `stream`, of which nothing is read yet.
    pub(crate) fn new(stream: TunnelStream) -> Self {
        Self { stream, reader: RefCell::new(RequestReader::new()), unread: RefCell::default() }
    }

    /// The stream that carries it.
    pub(crate) fn stream(&self) -> &TunnelStream {
        &self.stream
    }

    /// The next event of the current request, or the next head. `None` at the end of a body, and when the stream ends
    /// between two requests.
    ///
    /// # Errors
    /// `bad_http` or `stream_lost`.
    pub(crate) async fn next_event(&self) -> Result<Option<Event<RequestHead>>, JsValue> {
        loop {
            let event = self.reader.borrow_mut().read(&mut self.unread.borrow_mut());
            if let Some(event) = event.map_err(|error| http_error(&error))? {
                return Ok(Some(event));
            }
            match self.stream.read().await.map_err(|error| stream_error(&error))? {
                Some(data) => *self.unread.borrow_mut() = data,
                None => return self.reader.borrow_mut().handle_end().map_err(|error| http_error(&error)),
            }
        }
    }

    /// Writes all of `data` as flow control allows.
    ///
    /// # Errors
    /// `stream_lost`.
    pub(crate) async fn write(&self, data: Bytes) -> Result<(), JsValue> {
        self.stream.write(data).await.map_err(|error| stream_error(&error))
    }
}

/// How much of the response was written.
pub(crate) enum ResponseState {
    /// Nothing.
    Pending,
    /// The head, and perhaps some of the body.
    Streaming(BodyWriter),
    /// All of it.
    Complete,
}

/// A request and the state of its response.
pub(crate) struct Exchange {
    connection: Rc<ServerConnection>,
    head: RequestHead,
    stream_header: StreamHeader,
    /// Whether the client waits for `100 Continue` before it sends the body.
    expects_continue: Cell<bool>,
    is_body_read: Cell<bool>,
    response: RefCell<ResponseState>,
    on_reset: RefCell<Option<Function>>,
}

impl Exchange {
    /// The exchange of a request whose head was read from `connection`.
    pub(crate) fn new(
        connection: Rc<ServerConnection>,
        head: RequestHead,
        stream_header: StreamHeader,
    ) -> Self {
        Self {
            connection,
            expects_continue: Cell::new(head.headers.contains_token("expect", "100-continue")),
            head,
            stream_header,
            is_body_read: Cell::new(false),
            response: RefCell::new(ResponseState::Pending),
            on_reset: RefCell::new(None),
        }
    }

    /// The request's head.
    pub(crate) fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Marks the response as complete. Returns how much of it was written.
    pub(crate) fn take_response(&self) -> ResponseState {
        mem::replace(&mut *self.response.borrow_mut(), ResponseState::Complete)
    }

    /// Calls what [`HttpExchange::on_reset`] was given, once.
    pub(crate) fn notify_reset(&self) {
        if let Some(callback) = self.on_reset.take() {
            // It only aborts a signal, whose listeners report their own errors.
            let _result = callback.call0(&JsValue::UNDEFINED);
        }
    }

    /// The next bytes of the request's body, or `None` at its end.
    ///
    /// # Errors
    /// `bad_http` or `stream_lost`.
    pub(crate) async fn read_body(&self) -> Result<Option<Bytes>, JsValue> {
        if self.is_body_read.get() {
            return Ok(None);
        }
        match self.connection.next_event().await? {
            Some(Event::Body(data)) => Ok(Some(data)),
            _ => {
                self.is_body_read.set(true);
                Ok(None)
            }
        }
    }

    fn is_response_pending(&self) -> bool {
        matches!(*self.response.borrow(), ResponseState::Pending)
    }

    async fn send_continue(&self) -> Result<(), JsValue> {
        if self.expects_continue.replace(false) && self.is_response_pending() {
            self.connection.write(Bytes::from_static(CONTINUE)).await?;
        }
        Ok(())
    }

    async fn respond(&self, mut head: ResponseHead, length: Option<f64>) -> Result<(), JsValue> {
        let framing = head.set_framing(&self.head, convert::payload(length));
        let head = head.encode().map_err(|error| tunnel_error_from("bad_response", &error))?;
        if !self.is_response_pending() {
            return Err(tunnel_error("bad_response", "the request was answered already"));
        }
        *self.response.borrow_mut() = ResponseState::Streaming(BodyWriter::new(framing));
        self.connection.write(head).await
    }

    async fn write(&self, data: Vec<u8>) -> Result<(), JsValue> {
        let encoded = match &mut *self.response.borrow_mut() {
            ResponseState::Streaming(writer) => writer.encode(Bytes::from(data)),
            _ => return Err(tunnel_error("bad_response", "no answer was begun")),
        };
        let encoded = encoded.map_err(|error| tunnel_error_from("bad_response", &error))?;
        self.connection.write(encoded).await
    }

    async fn finish(&self) -> Result<(), JsValue> {
        let encoded = match &*self.response.borrow() {
            ResponseState::Streaming(writer) => writer.clone().finish(),
            _ => return Ok(()),
        };
        let encoded = encoded.map_err(|error| tunnel_error_from("bad_response", &error))?;
        *self.response.borrow_mut() = ResponseState::Complete;
        self.connection.write(encoded).await
    }
}

/// A request for JavaScript, which writes the response to it.
#[wasm_bindgen]
pub struct HttpExchange(Rc<Exchange>);

impl HttpExchange {
    /// The JavaScript object for `exchange`.
    pub(crate) fn new(exchange: &Rc<Exchange>) -> Self {
        Self(Rc::clone(exchange))
    }
}

#[wasm_bindgen]
impl HttpExchange {
    /// The request: `[method, target, headers, hasBody, service, visitor, from]`.
    ///
    /// `headers` is flat: name, value, name, value. `visitor` is the visitor's address and port as the relay saw them,
    /// or `undefined` if another identity asks; `from` is that identity, as the relay authenticated it.
    pub fn request(&self) -> Array {
        let (head, stream_header) = (&self.0.head, &self.0.stream_header);
        let has_body = !matches!(Framing::for_request(head), Ok(Framing::Empty | Framing::Length(0)));
        let parts: [JsValue; 7] = [
            head.method.as_str().into(),
            head.target.as_str().into(),
            convert::headers_to_flat(&head.headers).into(),
            has_body.into(),
            stream_header.service.as_str().into(),
            convert::optional(stream_header.visitor.as_deref()),
            convert::optional(stream_header.from.map(|address| address.to_string()).as_deref()),
        ];
        parts.into_iter().collect()
    }

    /// Sets the function that is called if the stream is reset before the response is complete.
    #[wasm_bindgen(js_name = onReset)]
    pub fn on_reset(&self, callback: Function) {
        *self.0.on_reset.borrow_mut() = Some(callback);
    }

    /// The next bytes of the request's body, or `undefined` at its end. Rejected with `bad_http` or `stream_lost`.
    pub fn read(&self) -> Promise {
        let exchange = Rc::clone(&self.0);
        promise(async move {
            exchange.send_continue().await?;
            exchange.read_body().await.map(convert::chunk)
        })
    }

    /// Sends the response's head. `headers` is flat; `length` is that of the body in bytes: 0 for none, `undefined` for
    /// unknown. Rejected with `bad_response` if the head is invalid or was sent already, or `stream_lost`.
    pub fn respond(&self, status: u16, reason: String, headers: Vec<String>, length: Option<f64>) -> Promise {
        let exchange = Rc::clone(&self.0);
        promise_void(async move {
            let mut head = ResponseHead::new(status, reason);
            head.headers = convert::headers_from_flat(&headers);
            exchange.respond(head, length).await
        })
    }

    /// Sends a piece of the body; resolves once flow control has taken it. Rejected with `bad_response` if it exceeds
    /// the announced length, or `stream_lost`.
    pub fn write(&self, data: Vec<u8>) -> Promise {
        let exchange = Rc::clone(&self.0);
        promise_void(async move { exchange.write(data).await })
    }

    /// Ends the response. Rejected with `bad_response` if the body is shorter than announced, or `stream_lost`.
    pub fn finish(&self) -> Promise {
        let exchange = Rc::clone(&self.0);
        promise_void(async move { exchange.finish().await })
    }
}
