//! Bytes from one peer that were not understood yet, and the search for the end of a head in them.

use bytes::{Bytes, BytesMut};
use hvym_http1::{HeadError, HeadScanner, LineEndings};

/// What a peer sent. A head that arrives in one piece is not copied.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    /// Not scanned.
    pub(crate) data: Bytes,
    /// The beginning of a head, scanned; at most the limit of a head.
    partial: BytesMut,
    scanner: HeadScanner,
    line_endings: LineEndings,
}

impl ReadBuffer {
    pub(crate) const fn new_scanner(line_endings: LineEndings) -> HeadScanner {
        HeadScanner::new(line_endings)
    }

    /// An empty buffer before a head.
    pub(crate) fn new(line_endings: LineEndings) -> Self {
        let scanner = Self::new_scanner(line_endings);
        ReadBuffer { data: Bytes::new(), partial: BytesMut::new(), scanner, line_endings }
    }

    /// Appends what came. Callers read only while nothing is left, so a copy is rare.
    pub(crate) fn push(&mut self, data: Bytes) {
        if self.data.is_empty() {
            self.data = data;
        } else if !data.is_empty() {
            let mut both = BytesMut::from(core::mem::take(&mut self.data));
            both.extend_from_slice(&data);
            self.data = both.freeze();
        }
    }

    /// Takes the next head out, if it is complete.
    ///
    /// # Errors
    /// These bytes can never become a head.
    pub(crate) fn take_head(&mut self) -> Result<Option<Bytes>, HeadError> {
        match self.scanner.feed(&self.data)? {
            None => {
                self.partial.extend_from_slice(&self.data);
                self.data = Bytes::new();
                Ok(None)
            }
            Some(end) => {
                self.scanner = Self::new_scanner(self.line_endings);
                let rest = self.data.split_to(end);
                if self.partial.is_empty() {
                    return Ok(Some(rest));
                }
                self.partial.extend_from_slice(&rest);
                Ok(Some(core::mem::take(&mut self.partial).freeze()))
            }
        }
    }

    /// Whether a head has begun and is not complete. Empty lines before a head do not begin it.
    pub(crate) const fn has_begun_head(&self) -> bool {
        self.scanner.has_begun()
    }

    /// What is there of a head that was refused, taken out with everything behind it.
    pub(crate) fn take_all(&mut self) -> Bytes {
        let mut all = core::mem::take(&mut self.partial);
        let data = core::mem::take(&mut self.data);
        if all.is_empty() {
            return data;
        }
        all.extend_from_slice(&data);
        all.freeze()
    }

    /// Whether nothing waits to be understood.
    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.partial.is_empty()
    }
}
