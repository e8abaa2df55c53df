//! One HTTP/1.1 request to another identity's service, and its response.
//!
//! Each request has a stream of its own and asks for `Connection: close`. JavaScript (`js/fetch.js`) makes `fetch` of it.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use hvym_http1::{BodyWriter, Event, RequestHead, ResponseHead, ResponseReader};
use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::error::{http_error, tunnel_error, tunnel_error_from};
use crate::peer_stream::{ByteStream, PeerStream};
use crate::task::{promise, promise_void};

/// A request that is being sent, and the response that is being read.
#[wasm_bindgen]
pub struct ClientRequest {
    stream: Rc<PeerStream>,
    response: Rc<RefCell<ResponseReader>>,
    /// `None` once the body has ended.
    body: RefCell<Option<BodyWriter>>,
    /// The encoded head, until it is sent.
    head: RefCell<Option<Bytes>>,
}

impl ClientRequest {
    /// A request on `stream`; nothing is sent yet. `headers` is flat; `length` as for [`convert::payload`].
    ///
    /// # Errors
    /// `bad_request` if the head is invalid.
    pub(crate) fn new(
        stream: &ByteStream,
        method: &str,
        target: &str,
        headers: &[String],
        length: Option<f64>,
    ) -> Result<ClientRequest, JsValue> {
        let mut head = RequestHead::new(method, target);
        head.headers = convert::headers_from_flat(headers);
        let framing = head.set_framing(convert::payload(length));
        head.headers.push("Connection", "close");
        let head = head.encode().map_err(|error| tunnel_error_from("bad_request", &error))?;
        Ok(ClientRequest {
            stream: stream.peer_stream(),
            response: Rc::new(RefCell::new(ResponseReader::new(method))),
            body: RefCell::new(Some(BodyWriter::new(framing))),
            head: RefCell::new(Some(head)),
        })
    }

    /// The bytes to send for a piece of the body, or for its end; preceded by the head the first time.
    fn encode(&self, data: Option<Vec<u8>>) -> Result<Vec<Bytes>, JsValue> {
        let body = match data {
            Some(data) => match &mut *self.body.borrow_mut() {
                Some(writer) => writer.encode(Bytes::from(data)),
                None => return Err(tunnel_error("bad_request", "the body has ended")),
            },
            None => self.body.take().map_or_else(|| Ok(Bytes::new()), BodyWriter::finish),
        };
        let body = body.map_err(|error| tunnel_error_from("bad_request", &error))?;
        Ok(self.head.take().into_iter().chain([body]).collect())
    }
}

#[wasm_bindgen]
impl ClientRequest {
    /// Sends a piece of the body, or its end if `data` is `undefined`; the first call sends the head too. Resolves once
    /// flow control has taken it. Rejected with `bad_request` if the body is not as long as announced, or `stream_lost`.
    pub fn send(&self, data: Option<Vec<u8>>) -> Promise {
        let encoded = self.encode(data);
        let stream = Rc::clone(&self.stream);
        promise_void(async move {
            for bytes in encoded? {
                stream.write(bytes).await?;
            }
            Ok(())
        })
    }

    /// The response's head: `[status, reason, headers]`. Rejected with the owner's refusal, `bad_http` or `stream_lost`.
    pub fn head(&self) -> Promise {
        let (stream, response) = (Rc::clone(&self.stream), Rc::clone(&self.response));
        promise(async move {
            match next_event(&stream, &response).await? {
                Some(Event::Head(head)) => {
                    let headers = convert::headers_to_flat(&head.headers);
                    let parts: [JsValue; 3] = [head.status.into(), head.reason.into(), headers.into()];
                    Ok(parts.into_iter().collect::<Array>().into())
                }
                _ => Err(tunnel_error("bad_http", "the service hung up without a response")),
            }
        })
    }

    /// The next bytes of the response's body, or `undefined` at its end. Rejected with `bad_http` if the body is
    /// malformed or incomplete, or `stream_lost`.
    pub fn read(&self) -> Promise {
        let (stream, response) = (Rc::clone(&self.stream), Rc::clone(&self.response));
        promise(async move {
            if let Some(Event::Body(data)) = next_event(&stream, &response).await? {
                return Ok(convert::chunk(Some(data)));
            }
            // The service closes its half because of `Connection: close`. A lost stream needs no close.
            let _lost = stream.finish();
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Resets the stream.
    pub fn abort(&self) {
        self.stream.reset();
    }
}

/// The next event of the response, or `None` at its end.
async fn next_event(
    stream: &PeerStream,
    response: &RefCell<ResponseReader>,
) -> Result<Option<Event<ResponseHead>>, JsValue> {
    stream.accepted().await?;
    loop {
        let event = response.borrow_mut().read(&mut stream.unread().borrow_mut());
        if let Some(event) = event.map_err(|error| http_error(&error))? {
            return Ok(Some(event));
        }
        if !stream.receive().await? {
            return response.borrow_mut().handle_end().map_err(|error| http_error(&error));
        }
    }
}
