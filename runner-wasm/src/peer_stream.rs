//! Streams to the services of other identities, through the relay, and the HTTP/1.1 requests on them.
//!
//! The owner of the service answers each new stream with an accept or a refusal before its first byte. Data may be
//! written before that answer. What gives "nothing yet" gives `null` to JavaScript, and the waker is called when it is worth
//! another try.

use bytes::Bytes;
use hvym_http1::{BodyWriter, Event, Framing, RequestHead, ResponseHead, ResponseReader};
use hvym_tunnel_core::dialect::{OpenResult, OpenResultReader};
use hvym_tunnel_core::mux::Read;
use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::error::{http_error, tunnel_error, tunnel_error_from, tunnel_error_with_hint};
use crate::stream::TunnelStream;

/// A stream of bytes, or a connection for one HTTP request after another.
#[wasm_bindgen]
pub struct PeerStream {
    stream: TunnelStream,
    /// The reader of the owner's answer; `None` once the owner has accepted.
    verdict: Option<OpenResultReader>,
    /// Received bytes that nobody has taken.
    unread: Bytes,
    request: Option<Request>,
    /// Whether the last exchange leaves the connection fit for another one.
    is_reusable: bool,
}

/// A request that is being sent, and the response that is being read.
struct Request {
    method: String,
    /// `None` once the body has ended.
    body: Option<BodyWriter>,
    response: ResponseReader,
    /// Whether the response's framing and fields leave the connection open.
    keeps_alive: bool,
    is_upgrade: bool,
}

impl PeerStream {
    /// A stream that this page has opened, on which the owner's answer comes first.
    pub(crate) fn opened(stream: TunnelStream) -> Self {
        Self { verdict: Some(OpenResultReader::new()), ..Self::accepted_stream(stream) }
    }

    /// A stream that somebody has opened to a service of this page.
    pub(crate) fn accepted_stream(stream: TunnelStream) -> Self {
        Self { stream, verdict: None, unread: Bytes::new(), request: None, is_reusable: true }
    }

    /// Replaces the unread bytes by the next ones: whether there are any, or `None` at the end of the stream.
    fn receive(&mut self) -> Result<Option<bool>, JsValue> {
        Ok(match self.stream.read()? {
            Read::Data(data) => {
                self.unread = data;
                Some(true)
            }
            Read::Empty => Some(false),
            Read::Finished => None,
        })
    }

    /// The next event of the response; `Ok(None)` if it has not arrived.
    fn poll_response(&mut self) -> Result<Option<Option<Event<ResponseHead>>>, JsValue> {
        if !self.accepted()? {
            return Ok(None);
        }
        loop {
            let Some(request) = &mut self.request else { return Ok(Some(None)) };
            let event = request.response.read(&mut self.unread).map_err(|error| http_error(&error))?;
            if let Some(event) = event {
                return Ok(Some(Some(event)));
            }
            match self.receive()? {
                Some(true) => {}
                Some(false) => return Ok(None),
                None => {
                    let Some(request) = &mut self.request else { return Ok(Some(None)) };
                    return request.response.handle_end().map(Some).map_err(|error| http_error(&error));
                }
            }
        }
    }

    fn end_request(&mut self) {
        if let Some(request) = self.request.take() {
            self.is_reusable = request.keeps_alive
                && request.body.is_none()
                && self.unread.is_empty()
                && self.stream.is_flushed();
        }
    }
}

#[wasm_bindgen]
impl PeerStream {
    /// Sets the function that is called when there may be more to read, or room for more to write.
    #[wasm_bindgen(js_name = onWake)]
    pub fn on_wake(&self, waker: Function) {
        self.stream.set_waker(waker);
    }

    /// Whether the owner has accepted; `false` while it has not answered.
    ///
    /// # Errors
    /// The owner's refusal, `protocol` if its answer is malformed, `stream_lost`.
    pub fn accepted(&mut self) -> Result<bool, JsValue> {
        while let Some(reader) = &mut self.verdict {
            let verdict = reader.handle_data(&mut self.unread);
            match verdict.map_err(|error| tunnel_error_from("protocol", &error))? {
                Some(OpenResult::Accepted) => self.verdict = None,
                Some(OpenResult::Refused { code, message }) => return Err(refusal(&code, &message)),
                None => match self.receive()? {
                    Some(true) => {}
                    Some(false) => return Ok(false),
                    None => return Err(tunnel_error("protocol", "the stream ended without a verdict")),
                },
            }
        }
        Ok(true)
    }

    /// Begins a request. `headers` is flat; `length` as for `convert::payload`; `upgrade` is the protocol that the connection
    /// shall change to. Nothing is sent yet.
    ///
    /// # Errors
    /// `bad_request` if the head is invalid.
    pub fn begin(
        &mut self,
        method: String,
        target: &str,
        headers: Vec<String>,
        length: Option<f64>,
        upgrade: Option<String>,
    ) -> Result<(), JsValue> {
        let mut head = RequestHead::new(method.as_str(), target);
        head.headers = convert::headers_from_flat(&headers);
        let framing = head.set_framing(convert::payload(length));
        let is_upgrade = upgrade.is_some();
        if let Some(protocol) = upgrade {
            head.headers.push("Connection", "Upgrade");
            head.headers.push("Upgrade", protocol);
        }
        self.stream.queue(head.encode().map_err(|error| tunnel_error_from("bad_request", &error))?);
        self.is_reusable = false;
        self.request = Some(Request {
            response: ResponseReader::new(method.as_str()),
            method,
            body: Some(BodyWriter::new(framing)),
            keeps_alive: false,
            is_upgrade,
        });
        Ok(())
    }

    /// Queues bytes: a piece of the request's body, or of the stream where there is no request. [`Self::flush`] sends them.
    ///
    /// # Errors
    /// `bad_request` if the body becomes longer than announced.
    pub fn send(&mut self, data: Vec<u8>) -> Result<(), JsValue> {
        let data = Bytes::from(data);
        let data = match &mut self.request {
            None => data,
            Some(Request { body: None, .. }) => {
                return Err(tunnel_error("bad_request", "the body has ended"));
            }
            Some(Request { body: Some(writer), .. }) => {
                writer.encode(data).map_err(|error| tunnel_error_from("bad_request", &error))?
            }
        };
        self.stream.queue(data);
        Ok(())
    }

    /// Queues the end of the request's body.
    ///
    /// # Errors
    /// `bad_request` if the body is shorter than announced.
    #[wasm_bindgen(js_name = endBody)]
    pub fn end_body(&mut self) -> Result<(), JsValue> {
        if let Some(writer) = self.request.as_mut().and_then(|request| request.body.take()) {
            let end = writer.finish().map_err(|error| tunnel_error_from("bad_request", &error))?;
            self.stream.queue(end);
        }
        Ok(())
    }

    /// Sends what was queued, as flow control allows. Returns whether that is all.
    ///
    /// # Errors
    /// `stream_lost`.
    pub fn flush(&mut self) -> Result<bool, JsValue> {
        self.stream.flush()
    }

    /// The response's head: `[status, reason, headers]`, or `null`. After a 101 the stream is one of bytes.
    ///
    /// # Errors
    /// The owner's refusal, `bad_http`, or `stream_lost`.
    pub fn head(&mut self) -> Result<JsValue, JsValue> {
        let head = match self.poll_response()? {
            None => return Ok(JsValue::NULL),
            Some(Some(Event::Head(head))) => head,
            Some(_) => return Err(tunnel_error("bad_http", "the service hung up without a response")),
        };
        if let Some(request) = &mut self.request {
            let framing = Framing::for_response(&head, &request.method);
            request.keeps_alive =
                head.keeps_alive() && !matches!(framing, Ok(Framing::UntilClose | Framing::Tunnel));
            if head.status == 101 {
                if !request.is_upgrade {
                    return Err(tunnel_error(
                        "bad_http",
                        "the service changes a protocol that nobody asked it to",
                    ));
                }
                self.request = None;
            }
        }
        let headers = convert::headers_to_flat(&head.headers);
        let parts: [JsValue; 3] = [head.status.into(), head.reason.into(), headers.into()];
        Ok(parts.into_iter().collect::<Array>().into())
    }

    /// The next bytes of the response's body, or of the stream where there is no request: bytes, `null`, or `undefined` at the
    /// end.
    ///
    /// # Errors
    /// `bad_http` if the body is malformed or incomplete, the owner's refusal, or `stream_lost`.
    pub fn read(&mut self) -> Result<JsValue, JsValue> {
        if self.request.is_some() {
            return Ok(match self.poll_response()? {
                None => JsValue::NULL,
                Some(Some(Event::Body(data))) => convert::chunk(Some(data)),
                Some(_) => {
                    self.end_request();
                    JsValue::UNDEFINED
                }
            });
        }
        if !self.accepted()? {
            return Ok(JsValue::NULL);
        }
        if self.unread.is_empty() {
            match self.receive()? {
                Some(true) => {}
                Some(false) => return Ok(JsValue::NULL),
                None => return Ok(JsValue::UNDEFINED),
            }
        }
        Ok(convert::chunk(Some(std::mem::take(&mut self.unread))))
    }

    /// Whether another request may be sent: the last exchange is over, and the service has neither closed nor said anything
    /// since.
    #[wasm_bindgen(js_name = isReusable)]
    pub fn is_reusable(&mut self) -> bool {
        self.is_reusable = self.is_reusable && matches!(self.receive(), Ok(Some(false)));
        self.is_reusable
    }

    /// Closes the write half.
    ///
    /// # Errors
    /// `stream_lost`.
    pub fn finish(&mut self) -> Result<(), JsValue> {
        self.stream.finish()
    }

    /// Gives the stream back: see `TunnelStream::close`.
    pub fn close(&mut self) {
        self.stream.close();
    }
}

fn refusal(code: &str, message: &str) -> JsValue {
    let hint = match code {
        OpenResult::NOT_REACHABLE => {
            "check address and service; if both are right, its owner has to be connected and to allow your address"
        }
        OpenResult::UNAVAILABLE => "try again later, or tell the service's owner",
        OpenResult::TOO_MANY => "close streams that you no longer use, and open them more slowly",
        _ => return tunnel_error(code, message),
    };
    tunnel_error_with_hint(code, message, Some(hint))
}
