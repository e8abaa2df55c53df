//! The server's side of an HTTP/1.1 connection on a stream, for JavaScript (`js/serve.js`), which calls the page's handlers.
//!
//! What gives "nothing yet" gives `null` to JavaScript, and the waker is called when it is worth another try.

use bytes::Bytes;
use hvym_http1::{
    BodyWriter, Event, Framing, Headers, RequestHead, RequestReader, ResponseHead, is_reserved_field,
};
use hvym_tunnel_core::mux::Read;
use hvym_tunnel_pages::{Format, Page};
use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::error::{http_error, tunnel_error, tunnel_error_from};
use crate::peer_stream::PeerStream;
use crate::stream::TunnelStream;

/// The interim response for `Expect: 100-continue` (RFC 9110 section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How much of the response was written.
enum ResponseState {
    /// Nothing.
    Pending,
    /// The head, and perhaps some of the body.
    Streaming(BodyWriter),
    /// All of it.
    Complete,
}

/// The connection of a client, and the request that it has under way.
#[wasm_bindgen]
pub struct ServerConnection {
    stream: TunnelStream,
    reader: RequestReader,
    /// Received bytes that the reader has not taken.
    unread: Bytes,
    /// Whether the client is an identity, and no visitor whose request the relay has looked at.
    is_caller: bool,
    head: Option<RequestHead>,
    is_body_read: bool,
    is_upgraded: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    expects_continue: bool,
    response: ResponseState,
}

impl ServerConnection {
    /// A connection on `stream`, of which nothing is read yet.
    pub(crate) fn new(stream: TunnelStream, is_caller: bool) -> Self {
        Self {
            stream,
            reader: RequestReader::new(),
            unread: Bytes::new(),
            is_caller,
            head: None,
            is_body_read: true,
            is_upgraded: false,
            expects_continue: false,
            response: ResponseState::Complete,
        }
    }

    /// The next event of the current request, or the next head; `Ok(None)` if it has not arrived.
    fn poll_event(&mut self) -> Result<Option<Option<Event<RequestHead>>>, JsValue> {
        loop {
            if let Some(event) = self.reader.read(&mut self.unread).map_err(|error| http_error(&error))? {
                return Ok(Some(Some(event)));
            }
            match self.stream.read()? {
                Read::Data(data) => self.unread = data,
                Read::Empty => return Ok(None),
                Read::Finished => {
                    return self.reader.handle_end().map(Some).map_err(|error| http_error(&error));
                }
            }
        }
    }

    fn is_pending(&self) -> bool {
        matches!(self.response, ResponseState::Pending)
    }

    fn begin_response(&mut self, head: &ResponseHead, framing: Framing) -> Result<(), JsValue> {
        let head = head.encode().map_err(|error| tunnel_error_from("bad_response", &error))?;
        if !self.is_pending() {
            return Err(tunnel_error("bad_response", "the request was answered already"));
        }
        self.response = ResponseState::Streaming(BodyWriter::new(framing));
        self.stream.queue(head);
        Ok(())
    }
}

#[wasm_bindgen]
impl ServerConnection {
    /// Sets the function that is called when there may be more to read, or room for more to write.
    #[wasm_bindgen(js_name = onWake)]
    pub fn on_wake(&self, waker: Function) {
        self.stream.set_waker(waker);
    }

    /// The bytes of the connection, of which nothing was read yet: for a service that reads HTTP itself.
    #[wasm_bindgen(js_name = intoStream)]
    pub fn into_stream(self) -> PeerStream {
        PeerStream::accepted_stream(self.stream)
    }

    /// The next request: `[method, target, headers, hasBody, isLast]`, `null`, or `undefined` when the client has closed.
    /// `headers` is flat: name, value, name, value.
    ///
    /// # Errors
    /// `bad_http` or `stream_lost`.
    #[expect(clippy::should_implement_trait, reason = "its caller is JavaScript, which has no such trait")]
    pub fn next(&mut self) -> Result<JsValue, JsValue> {
        let mut head = match self.poll_event()? {
            None => return Ok(JsValue::NULL),
            Some(Some(Event::Head(head))) => head,
            Some(_) => return Ok(JsValue::UNDEFINED),
        };
        if self.is_caller {
            // What a relay says of visitors, nobody has checked here.
            head.headers.retain(|name, _| !is_reserved_field(name));
        }
        let has_body = !matches!(Framing::for_request(&head), Ok(Framing::Empty | Framing::Length(0)));
        let parts: [JsValue; 5] = [
            head.method.as_str().into(),
            head.target.as_str().into(),
            convert::headers_to_flat(&head.headers).into(),
            has_body.into(),
            (!head.keeps_alive()).into(),
        ];
        self.expects_continue = head.headers.contains_token("expect", "100-continue");
        self.is_body_read = false;
        self.response = ResponseState::Pending;
        self.head = Some(head);
        Ok(parts.into_iter().collect::<Array>().into())
    }

    /// The next bytes of the request's body, or of the connection after [`Self::upgrade`]: bytes, `null`, or `undefined` at the
    /// end.
    ///
    /// # Errors
    /// `bad_http` or `stream_lost`.
    pub fn read(&mut self) -> Result<JsValue, JsValue> {
        if self.is_upgraded {
            if !self.unread.is_empty() {
                return Ok(convert::chunk(Some(std::mem::take(&mut self.unread))));
            }
            return Ok(match self.stream.read()? {
                Read::Data(data) => convert::chunk(Some(data)),
                Read::Empty => JsValue::NULL,
                Read::Finished => JsValue::UNDEFINED,
            });
        }
        if self.is_body_read {
            return Ok(JsValue::UNDEFINED);
        }
        if std::mem::take(&mut self.expects_continue) && self.is_pending() {
            self.stream.queue(Bytes::from_static(CONTINUE));
            self.stream.flush()?;
        }
        Ok(match self.poll_event()? {
            None => JsValue::NULL,
            Some(Some(Event::Body(data))) => convert::chunk(Some(data)),
            Some(_) => {
                self.is_body_read = true;
                JsValue::UNDEFINED
            }
        })
    }

    /// Queues the response's head. `length` is that of the body in bytes: 0 for none, `undefined` for unknown.
    ///
    /// # Errors
    /// `bad_response` if the head is invalid or was sent already.
    pub fn respond(
        &mut self,
        status: u16,
        reason: String,
        headers: Vec<String>,
        length: Option<f64>,
    ) -> Result<(), JsValue> {
        let mut head = ResponseHead::new(status, reason);
        head.headers = convert::headers_from_flat(&headers);
        let Some(request) = &self.head else { return Err(tunnel_error("bad_response", "nobody asked")) };
        let framing = head.set_framing(request, convert::payload(length));
        self.begin_response(&head, framing)
    }

    /// Queues the 101 after which the connection carries the bytes of `protocol`.
    ///
    /// # Errors
    /// As for [`Self::respond`].
    pub fn upgrade(&mut self, protocol: String, headers: Vec<String>) -> Result<(), JsValue> {
        let mut head = ResponseHead::new(101, "Switching Protocols");
        head.headers = Headers::new();
        head.headers.push("Connection", "Upgrade");
        head.headers.push("Upgrade", protocol);
        head.headers.append(convert::headers_from_flat(&headers));
        self.begin_response(&head, Framing::Tunnel)?;
        self.is_upgraded = true;
        Ok(())
    }

    /// Queues a piece of the body.
    ///
    /// # Errors
    /// `bad_response` if it exceeds the announced length, or no response was begun.
    pub fn write(&mut self, data: Vec<u8>) -> Result<(), JsValue> {
        let encoded = match &mut self.response {
            ResponseState::Streaming(writer) => writer.encode(Bytes::from(data)),
            _ => return Err(tunnel_error("bad_response", "no answer was begun")),
        };
        self.stream.queue(encoded.map_err(|error| tunnel_error_from("bad_response", &error))?);
        Ok(())
    }

    /// Queues the end of the response.
    ///
    /// # Errors
    /// `bad_response` if the body is shorter than announced.
    #[wasm_bindgen(js_name = endResponse)]
    pub fn end_response(&mut self) -> Result<(), JsValue> {
        if let ResponseState::Streaming(writer) = &self.response {
            let end = writer.clone().finish().map_err(|error| tunnel_error_from("bad_response", &error))?;
            self.response = ResponseState::Complete;
            self.stream.queue(end);
        }
        Ok(())
    }

    /// Queues an error page if nothing was answered yet. Returns whether it did: a response that was begun cannot become
    /// another one.
    pub fn fail(&mut self) -> bool {
        let Some(head) = self.head.as_ref().filter(|_| self.is_pending()) else { return false };
        let format = Format::preferred(&head.method, head.headers.first("accept"));
        self.stream.queue(Page::service_failed().response(format, &head.method));
        self.response = ResponseState::Complete;
        true
    }

    /// Queues the answer to what is no request, or to one that is too late.
    pub fn reject(&mut self, status: &str) {
        let mut answer = String::from("HTTP/1.1 ");
        answer.push_str(status);
        answer.push_str("\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        self.stream.queue(Bytes::from(answer));
    }

    /// Whether nothing has come of the next request.
    #[wasm_bindgen(js_name = isIdle)]
    pub fn is_idle(&self) -> bool {
        self.reader.is_idle()
    }

    /// Whether another request may follow: the connection was not changed to another protocol.
    #[wasm_bindgen(js_name = isHttp)]
    pub fn is_http(&self) -> bool {
        !self.is_upgraded
    }

    /// Sends what was queued, as flow control allows. Returns whether that is all.
    ///
    /// # Errors
    /// `stream_lost`.
    pub fn flush(&mut self) -> Result<bool, JsValue> {
        self.stream.flush()
    }

    /// Whether the stream was reset, or its link lost.
    #[wasm_bindgen(js_name = isReset)]
    pub fn is_reset(&self) -> bool {
        self.stream.is_reset()
    }

    /// Closes the write half.
    ///
    /// # Errors
    /// `stream_lost`.
    pub fn finish(&mut self) -> Result<(), JsValue> {
        self.stream.finish()
    }

    /// Resets both halves and gives the stream back.
    pub fn reset(&mut self) {
        self.stream.reset();
    }

    /// Gives the stream back: see `TunnelStream::close`.
    pub fn close(&mut self) {
        self.stream.close();
    }
}
