//! One stream of the link as an async byte stream.

use std::cell::Cell;
use std::future::poll_fn;

use bytes::Bytes;
use hvym_tunnel_core::mux::{StreamError, StreamId};

use crate::driver::Driver;

/// The reset code of a stream that its user abandoned. The peer does not see it.
const RESET_ABANDONED: u32 = 1;

/// The only handle of a stream. Dropping it before both halves have ended resets the stream.
pub(crate) struct TunnelStream {
    driver: Driver,
    id: StreamId,
    is_read_closed: Cell<bool>,
    is_write_closed: Cell<bool>,
}

impl TunnelStream {
    /// The handle of `id`, which must have no other.
    pub(crate) fn new(driver: Driver, id: StreamId) -> Self {
        Self { driver, id, is_read_closed: Cell::new(false), is_write_closed: Cell::new(false) }
    }

    /// The next bytes, or `None` at the end. One reader at a time.
    ///
    /// # Errors
    /// The stream was reset or its link lost.
    pub(crate) async fn read(&self) -> Result<Option<Bytes>, StreamError> {
        let data = poll_fn(|cx| self.driver.poll_read(self.id, cx)).await?;
        if data.is_none() {
            self.is_read_closed.set(true);
        }
        Ok(data)
    }

    /// Writes all of `data` as flow control allows. One writer at a time.
    ///
    /// # Errors
    /// As for [`Self::read`], and after [`Self::finish`].
    pub(crate) async fn write(&self, mut data: Bytes) -> Result<(), StreamError> {
        poll_fn(|cx| self.driver.poll_write(self.id, &mut data, cx)).await
    }

    /// Closes the write half after what was written.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(crate) fn finish(&self) -> Result<(), StreamError> {
        self.is_write_closed.set(true);
        self.driver.stream(self.id, |stream, now| stream.finish(now))
    }

    /// Resets both halves.
    pub(crate) fn reset(&self) {
        self.is_read_closed.set(true);
        self.is_write_closed.set(true);
        self.driver.reset(self.id, RESET_ABANDONED);
    }

    /// Completes when the stream is reset by either side, or its link lost.
    pub(crate) async fn when_reset(&self) {
        poll_fn(|cx| self.driver.poll_reset(self.id, cx)).await;
    }

    /// Whether the stream was reset or its link lost.
    pub(crate) fn is_reset(&self) -> bool {
        self.driver.is_reset(self.id)
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        match (self.is_write_closed.get(), self.is_read_closed.get()) {
            (true, true) => {}
            // The peer gets what was written, and is asked to stop sending.
            (true, false) => {
                // A lost stream needs no close.
                let _lost = self.driver.stream(self.id, |stream, now| {
                    stream.stop(now);
                    Ok(())
                });
            }
            (false, _) => self.driver.reset(self.id, RESET_ABANDONED),
        }
        self.driver.remove(self.id);
    }
}
