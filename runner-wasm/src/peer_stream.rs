//! Streams to the services of other identities, through the relay.
//!
//! The owner of the service answers each new stream with an accept or a refusal before its first byte. Data may be
//! written before that answer. This file knows no HTTP.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use hvym_tunnel_core::dialect::{OpenResult, OpenResultReader, StreamHeader};
use hvym_tunnel_core::stellar::Address;
use js_sys::Promise;
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::driver::Driver;
use crate::error::{open_error, stream_error, tunnel_error, tunnel_error_from, tunnel_error_with_hint};
use crate::stream::TunnelStream;
use crate::task::{promise, promise_void};

/// Opens a stream to `service` of `address`. The owner's answer is read by [`PeerStream::accepted`] or the first read.
///
/// # Errors
/// `bad_target`, `not_connected` or `too_many`.
pub(crate) fn open(driver: &Driver, address: &str, service: &str) -> Result<ByteStream, JsValue> {
    let address: Address = address.parse().map_err(|error| tunnel_error_from("bad_target", &error))?;
    let header = StreamHeader::reaching(address, service);
    let id = driver.with(|agent, now| agent.open(&header, now)).map_err(|error| open_error(&error))?;
    Ok(ByteStream(Rc::new(PeerStream {
        stream: TunnelStream::new(driver.clone(), id),
        pending: RefCell::new(Some(OpenResultReader::new())),
        unread: RefCell::default(),
    })))
}

/// A stream to another identity's service.
pub(crate) struct PeerStream {
    stream: TunnelStream,
    /// The reader of the owner's answer; `None` once the owner has accepted.
    pending: RefCell<Option<OpenResultReader>>,
    /// Received bytes that the user has not taken.
    unread: RefCell<Bytes>,
}

impl PeerStream {
    /// Waits until the owner has accepted the stream.
    ///
    /// # Errors
    /// The owner's refusal, `protocol` if its answer is malformed, `stream_lost`.
    pub(crate) async fn accepted(&self) -> Result<(), JsValue> {
        loop {
            let open_result = match &mut *self.pending.borrow_mut() {
                None => return Ok(()),
                Some(reader) => reader.handle_data(&mut self.unread.borrow_mut()),
            };
            match open_result.map_err(|error| tunnel_error_from("protocol", &error))? {
                Some(OpenResult::Accepted) => *self.pending.borrow_mut() = None,
                Some(OpenResult::Refused { code, message }) => return Err(refusal(&code, &message)),
                None if self.receive().await? => {}
                None => return Err(tunnel_error("protocol", "the stream ended without a verdict")),
            }
        }
    }

    /// Received bytes that a parser has not taken yet. They follow the owner's answer once [`Self::accepted`] is done.
    pub(crate) fn unread(&self) -> &RefCell<Bytes> {
        &self.unread
    }

    /// Replaces the unread bytes by the next ones. `false` at the end of the stream.
    ///
    /// # Errors
    /// `stream_lost`.
    pub(crate) async fn receive(&self) -> Result<bool, JsValue> {
        let data = self.stream.read().await.map_err(|error| stream_error(&error))?;
        Ok(data.map(|data| *self.unread.borrow_mut() = data).is_some())
    }

    /// Writes all of `data` as flow control allows.
    ///
    /// # Errors
    /// `stream_lost`.
    pub(crate) async fn write(&self, data: Bytes) -> Result<(), JsValue> {
        self.stream.write(data).await.map_err(|error| stream_error(&error))
    }

    /// Closes the write half.
    ///
    /// # Errors
    /// `stream_lost`.
    pub(crate) fn finish(&self) -> Result<(), JsValue> {
        self.stream.finish().map_err(|error| stream_error(&error))
    }

    /// Resets both halves.
    pub(crate) fn reset(&self) {
        self.stream.reset();
    }

    async fn read(&self) -> Result<Option<Bytes>, JsValue> {
        self.accepted().await?;
        if self.unread.borrow().is_empty() && !self.receive().await? {
            return Ok(None);
        }
        Ok(Some(self.unread.take()))
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

/// A byte stream to a service, for JavaScript.
#[wasm_bindgen]
pub struct ByteStream(Rc<PeerStream>);

impl ByteStream {
    /// The stream itself, for a request on it.
    pub(crate) fn peer_stream(&self) -> Rc<PeerStream> {
        Rc::clone(&self.0)
    }
}

#[wasm_bindgen]
impl ByteStream {
    /// Resolves once the owner has accepted. Rejected with the owner's refusal, or `stream_lost`.
    pub fn accepted(&self) -> Promise {
        let stream = Rc::clone(&self.0);
        promise_void(async move { stream.accepted().await })
    }

    /// The next bytes, or `undefined` at the end. Rejected as for [`Self::accepted`].
    pub fn read(&self) -> Promise {
        let stream = Rc::clone(&self.0);
        promise(async move { stream.read().await.map(convert::chunk) })
    }

    /// Resolves once flow control has taken all of `data`. Rejected with `stream_lost`.
    pub fn write(&self, data: Vec<u8>) -> Promise {
        let stream = Rc::clone(&self.0);
        promise_void(async move { stream.write(Bytes::from(data)).await })
    }

    /// Closes the write half.
    ///
    /// # Errors
    /// `stream_lost`.
    pub fn finish(&self) -> Result<(), JsValue> {
        self.0.finish()
    }

    /// Resets both halves.
    pub fn reset(&self) {
        self.0.reset();
    }
}
