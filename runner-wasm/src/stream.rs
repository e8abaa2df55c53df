//! One stream as async bytes: read, write, end, tear down.

use std::cell::Cell;
use std::future::poll_fn;

use bytes::Bytes;
use hvym_tunnel_core::mux::{StreamError, StreamId};

use crate::driver::Driver;

/// Given to `reset` by whoever gives a stream up; local knowledge only.
const RESET_GIVEN_UP: u32 = 1;

/// The only handle of a stream. Dropped before both halves have ended, it tears the stream down.
pub(crate) struct TunnelStream {
    driver: Driver,
    id: StreamId,
    is_read: Cell<bool>,
    is_written: Cell<bool>,
}

impl TunnelStream {
    /// The stream `id`, which nobody else uses.
    pub(crate) fn new(driver: Driver, id: StreamId) -> Self {
        Self { driver, id, is_read: Cell::new(false), is_written: Cell::new(false) }
    }

    /// The next bytes, or `None` at the end. One reader at a time.
    ///
    /// # Errors
    /// The stream was torn down, or its link lost: never a plain end.
    pub(crate) async fn read(&self) -> Result<Option<Bytes>, StreamError> {
        let data = poll_fn(|cx| self.driver.poll_read(self.id, cx)).await?;
        if data.is_none() {
            self.is_read.set(true);
        }
        Ok(data)
    }

    /// Writes all of `data`, as soon as there is room. One writer at a time.
    ///
    /// # Errors
    /// As for [`Self::read`], and after [`Self::finish`].
    pub(crate) async fn write(&self, mut data: Bytes) -> Result<(), StreamError> {
        poll_fn(|cx| self.driver.poll_write(self.id, &mut data, cx)).await
    }

    /// Ends this side's half, after what was written.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(crate) fn finish(&self) -> Result<(), StreamError> {
        self.is_written.set(true);
        self.driver.stream(self.id, |stream, now| stream.finish(now))
    }

    /// Tears the stream down.
    pub(crate) fn reset(&self) {
        self.is_read.set(true);
        self.is_written.set(true);
        self.driver.reset(self.id, RESET_GIVEN_UP);
    }

    /// Waits until the other side, or the link, tears the stream down.
    pub(crate) async fn torn(&self) {
        poll_fn(|cx| self.driver.poll_torn(self.id, cx)).await;
    }

    /// Whether it was torn down.
    pub(crate) fn is_torn(&self) -> bool {
        self.driver.is_torn(self.id)
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        match (self.is_written.get(), self.is_read.get()) {
            (true, true) => {}
            // Everything was said; what still comes is not wanted.
            (true, false) => {
                // One that is over already needs no end.
                let _over = self.driver.stream(self.id, |stream, now| {
                    stream.stop(now);
                    Ok(())
                });
            }
            (false, _) => self.driver.reset(self.id, RESET_GIVEN_UP),
        }
        self.driver.forget(self.id);
    }
}
