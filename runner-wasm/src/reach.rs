//! Streams to the services of other identities, and HTTP over them.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use hvym_http1::{BodyWriter, Event, RequestHead, ResponseHead, ResponseReader};
use hvym_tunnel_core::dialect::{OpenResult, OpenResultReader, StreamHeader};
use hvym_tunnel_core::stellar::Address;
use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;

use crate::driver::Driver;
use crate::fault::{fault, fault_with_hint, of_http, of_open, of_stream};
use crate::fields;
use crate::stream::TunnelStream;
use crate::task::{promise, promise_done};

/// Asks the relay for `service` of `address`. What is written goes ahead of the owner's yes or no.
///
/// # Errors
/// The address is none, there is no link, or no room on it.
pub(crate) fn open(driver: &Driver, address: &str, service: &str) -> Result<ByteStream, JsValue> {
    let address: Address = address.parse().map_err(|error| fault("bad_target", &format!("{error}")))?;
    let opening = StreamHeader::reaching(address, service);
    let id = driver.with(|agent, now| agent.open(&opening, now)).map_err(|error| of_open(&error))?;
    Ok(ByteStream(Rc::new(Reaching {
        stream: TunnelStream::new(driver.clone(), id),
        verdict: RefCell::new(Some(OpenResultReader::new())),
        input: RefCell::default(),
    })))
}

struct Reaching {
    stream: TunnelStream,
    /// Until the owner has said yes.
    verdict: RefCell<Option<OpenResultReader>>,
    /// What has arrived and was not taken.
    input: RefCell<Bytes>,
}

impl Reaching {
    /// Waits for the owner's yes.
    async fn welcome(&self) -> Result<(), JsValue> {
        loop {
            let verdict = match &mut *self.verdict.borrow_mut() {
                None => return Ok(()),
                Some(reader) => reader.handle_data(&mut self.input.borrow_mut()),
            };
            match verdict.map_err(|error| fault("protocol", &error.to_string()))? {
                Some(OpenResult::Accepted) => *self.verdict.borrow_mut() = None,
                Some(OpenResult::Refused { code, message }) => return Err(refused(&code, &message)),
                None => match self.stream.read().await.map_err(|error| of_stream(&error))? {
                    Some(data) => *self.input.borrow_mut() = data,
                    None => return Err(fault("protocol", "the stream ended without a verdict")),
                },
            }
        }
    }

    async fn read(&self) -> Result<Option<Bytes>, JsValue> {
        self.welcome().await?;
        let early = self.input.take();
        if !early.is_empty() {
            return Ok(Some(early));
        }
        self.stream.read().await.map_err(|error| of_stream(&error))
    }

    async fn write(&self, data: Bytes) -> Result<(), JsValue> {
        self.stream.write(data).await.map_err(|error| of_stream(&error))
    }
}

fn refused(code: &str, message: &str) -> JsValue {
    let hint = match code {
        OpenResult::NOT_REACHABLE => {
            "check address and service; if both are right, its owner has to be connected and to allow your address"
        }
        OpenResult::UNAVAILABLE => "try again later, or tell the service's owner",
        OpenResult::TOO_MANY => "close streams that you no longer use, and open them more slowly",
        _ => return fault(code, message),
    };
    fault_with_hint(code, message, Some(hint))
}

/// A stream of bytes to a service.
#[wasm_bindgen]
pub struct ByteStream(Rc<Reaching>);

#[wasm_bindgen]
impl ByteStream {
    /// Waits for the owner's yes. Rejected with the owner's no, or if the stream is gone.
    pub fn welcome(&self) -> Promise {
        let reaching = Rc::clone(&self.0);
        promise_done(async move { reaching.welcome().await })
    }

    /// The next bytes, or `undefined` at the end. Rejected as for [`Self::welcome`].
    pub fn read(&self) -> Promise {
        let reaching = Rc::clone(&self.0);
        promise(async move { reaching.read().await.map(fields::chunk) })
    }

    /// Writes `data`, when the service takes it. Rejected if the stream is gone.
    pub fn write(&self, data: Vec<u8>) -> Promise {
        let reaching = Rc::clone(&self.0);
        promise_done(async move { reaching.write(Bytes::from(data)).await })
    }

    /// Ends this side's half.
    ///
    /// # Errors
    /// The stream is gone.
    pub fn finish(&self) -> Result<(), JsValue> {
        self.0.stream.finish().map_err(|error| of_stream(&error))
    }

    /// Tears the stream down.
    pub fn reset(&self) {
        self.0.stream.reset();
    }
}

/// One request to a service, and its response.
#[wasm_bindgen]
pub struct Call {
    reaching: Rc<Reaching>,
    response: Rc<RefCell<ResponseReader>>,
    request: RefCell<Option<BodyWriter>>,
    head: RefCell<Option<Bytes>>,
}

impl Call {
    /// A request on `stream`, of which nothing is sent yet. `headers` is flat; `length` as for [`fields::payload`].
    ///
    /// # Errors
    /// The head cannot be written.
    pub(crate) fn new(
        stream: &ByteStream,
        method: &str,
        target: &str,
        headers: &[String],
        length: Option<f64>,
    ) -> Result<Call, JsValue> {
        let mut head = RequestHead::new(method, target);
        head.headers = fields::from_list(headers);
        let framing = head.set_framing(fields::payload(length));
        head.headers.push("Connection", "close");
        let head = head.encode().map_err(|error| fault("bad_request", &error.to_string()))?;
        Ok(Call {
            reaching: Rc::clone(&stream.0),
            response: Rc::new(RefCell::new(ResponseReader::new(method))),
            request: RefCell::new(Some(BodyWriter::new(framing))),
            head: RefCell::new(Some(head)),
        })
    }

    /// What goes out for `data`: the head too if it has not gone yet.
    fn encode(&self, data: Option<Vec<u8>>) -> Result<Vec<Bytes>, JsValue> {
        let body = match data {
            Some(data) => match &mut *self.request.borrow_mut() {
                Some(writer) => writer.encode(Bytes::from(data)),
                None => return Err(fault("bad_request", "the body has ended")),
            },
            None => self.request.take().map_or_else(|| Ok(Bytes::new()), BodyWriter::finish),
        };
        let body = body.map_err(|error| fault("bad_request", &error.to_string()))?;
        Ok(self.head.take().into_iter().chain([body]).collect())
    }
}

#[wasm_bindgen]
impl Call {
    /// Sends the head; a piece of the body, when the service takes it; with nothing, the end of the body. Rejected if the
    /// body is not as long as announced, or the stream is gone.
    pub fn send(&self, data: Option<Vec<u8>>) -> Promise {
        let wire = self.encode(data);
        let reaching = Rc::clone(&self.reaching);
        promise_done(async move {
            for piece in wire? {
                reaching.write(piece).await?;
            }
            Ok(())
        })
    }

    /// Waits for the response: `[status, reason, headers]`. Rejected with the owner's no, or what is no response, or if
    /// the stream is gone.
    pub fn head(&self) -> Promise {
        let (reaching, response) = (Rc::clone(&self.reaching), Rc::clone(&self.response));
        promise(async move {
            match next(&reaching, &response).await? {
                Some(Event::Head(head)) => {
                    let parts: [JsValue; 3] =
                        [head.status.into(), head.reason.into(), fields::to_list(&head.headers).into()];
                    Ok(parts.into_iter().collect::<Array>().into())
                }
                _ => Err(fault("bad_http", "the service hung up without a response")),
            }
        })
    }

    /// The next bytes of the response's body, or `undefined` at its end. Rejected if the response is not whole, or the
    /// stream is gone.
    pub fn read(&self) -> Promise {
        let (reaching, response) = (Rc::clone(&self.reaching), Rc::clone(&self.response));
        promise(async move {
            if let Some(Event::Body(data)) = next(&reaching, &response).await? {
                return Ok(fields::chunk(Some(data)));
            }
            // The other side ends too, by `Connection: close`; one that is over already needs no end.
            let _over = reaching.stream.finish();
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Tears everything down.
    pub fn abort(&self) {
        self.reaching.stream.reset();
    }
}

async fn next(
    reaching: &Reaching,
    response: &RefCell<ResponseReader>,
) -> Result<Option<Event<ResponseHead>>, JsValue> {
    reaching.welcome().await?;
    loop {
        let part = response.borrow_mut().read(&mut reaching.input.borrow_mut());
        if let Some(part) = part.map_err(|error| of_http(&error))? {
            return Ok(Some(part));
        }
        match reaching.stream.read().await.map_err(|error| of_stream(&error))? {
            Some(data) => *reaching.input.borrow_mut() = data,
            None => return response.borrow_mut().handle_end().map_err(|error| of_http(&error)),
        }
    }
}
