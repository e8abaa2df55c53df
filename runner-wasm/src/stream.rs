//! One stream of the link, with what waits to be written to it. Nothing here waits: JavaScript (`js/wire.js`) does.

use std::collections::VecDeque;

use bytes::Bytes;
use hvym_tunnel_core::mux::{Read, StreamError, StreamId};
use js_sys::Function;
use wasm_bindgen::JsValue;

use crate::driver::Driver;
use crate::error::stream_error;

/// The reset code of a stream that its user abandoned. The peer does not see it.
const RESET_ABANDONED: u32 = 1;

/// The only handle of a stream. [`TunnelStream::close`], or dropping it, resets the stream unless both halves have ended.
pub(crate) struct TunnelStream {
    driver: Driver,
    id: StreamId,
    /// What flow control has not taken yet.
    unsent: VecDeque<Bytes>,
    is_read_closed: bool,
    is_write_closed: bool,
    is_closed: bool,
}

impl TunnelStream {
    /// The handle of `id`, which must have no other.
    pub(crate) fn new(driver: Driver, id: StreamId) -> Self {
        Self {
            driver,
            id,
            unsent: VecDeque::new(),
            is_read_closed: false,
            is_write_closed: false,
            is_closed: false,
        }
    }

    /// Sets the function that is called when there may be more to read, or room for more to write.
    pub(crate) fn set_waker(&self, waker: Function) {
        if !self.is_closed {
            self.driver.set_waker(self.id, waker);
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// `stream_lost`: the stream was reset or its link lost.
    pub(crate) fn read(&mut self) -> Result<Read, JsValue> {
        let read =
            self.check().and_then(|()| self.driver.read(self.id)).map_err(|error| stream_error(&error))?;
        self.is_read_closed |= matches!(read, Read::Finished);
        Ok(read)
    }

    /// Queues `data`. [`Self::flush`] sends it.
    pub(crate) fn queue(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.unsent.push_back(data);
        }
    }

    /// Passes on what flow control takes. Returns whether that is all.
    ///
    /// # Errors
    /// As for [`Self::read`], and after [`Self::finish`].
    pub(crate) fn flush(&mut self) -> Result<bool, JsValue> {
        self.check().map_err(|error| stream_error(&error))?;
        while let Some(data) = self.unsent.front_mut() {
            let written = self.driver.stream(self.id, |stream, now| stream.write(data, now));
            written.map_err(|error| stream_error(&error))?;
            if !data.is_empty() {
                return Ok(false);
            }
            self.unsent.pop_front();
        }
        Ok(true)
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Closes the write half after what was written.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(crate) fn finish(&mut self) -> Result<(), JsValue> {
        self.is_write_closed = true;
        let finished =
            self.check().and_then(|()| self.driver.stream(self.id, |stream, now| stream.finish(now)));
        finished.map_err(|error| stream_error(&error))
    }

    /// Resets both halves.
    pub(crate) fn reset(&mut self) {
        self.is_write_closed = false;
        self.close();
    }

    /// Whether the stream was reset, or its link lost.
    pub(crate) fn is_reset(&self) -> bool {
        self.is_closed || self.driver.is_reset(self.id)
    }

    /// Gives the stream back. If the write half was finished, the peer gets what was written and is asked to stop sending;
    /// else both halves are reset.
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        self.unsent.clear();
        if !(self.is_write_closed && self.is_read_closed) {
            let is_write_closed = self.is_write_closed;
            // A lost stream needs no close.
            let _lost = self.driver.stream(self.id, |stream, now| {
                if is_write_closed {
                    stream.stop(now)
                } else {
                    stream.reset(RESET_ABANDONED, now)
                }
                Ok(())
            });
        }
        self.driver.remove(self.id);
    }

    fn check(&self) -> Result<(), StreamError> {
        if self.is_closed { Err(StreamError::Lost) } else { Ok(()) }
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        self.close();
    }
}
