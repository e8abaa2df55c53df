//! Decompresses the messages of one direction of a WebSocket (RFC 7692).
//!
//! What a message grows to is bounded: a peer may send a kilobyte that means a megabyte, and nobody would read it.

use flate2::{Decompress, FlushDecompress};

use super::messages::MAX_MESSAGE_BYTES;

/// The most that one message is decompressed to. Beyond it the direction is not decompressed any more, since what follows
/// refers to what came before.
const MAX_INFLATED_BYTES: u64 = 1024 * 1024;
/// What a sender left out at the end of each message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// What is taken out of the decompressor at once.
const OUTPUT_BYTES: usize = 4096;
/// What a decompressor holds: the window of 32 KiB, and tables.
pub(super) const INFLATER_BYTES: usize = 48 * 1024;

/// A decompressor, as long as its direction can be followed.
pub(super) struct Inflater {
    state: Decompress,
    /// Whether each message begins anew.
    is_fresh: bool,
    length: u64,
}

/// The message cannot be decompressed, nor any after it.
#[derive(Debug)]
pub(super) struct NotInflated;

impl Inflater {
    /// At the start of a direction. `is_fresh` is whether its sender forgets what it sent before each message.
    pub(super) fn new(is_fresh: bool) -> Self {
        Self { state: Decompress::new(false), is_fresh, length: 0 }
    }

    /// Decompresses a part of a message, and keeps its beginning.
    ///
    /// # Errors
    /// [`NotInflated`].
    pub(super) fn read(&mut self, mut bytes: &[u8], kept: &mut Vec<u8>) -> Result<(), NotInflated> {
        let mut output = [0; OUTPUT_BYTES];
        loop {
            let (read, written) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(bytes, &mut output, FlushDecompress::Sync);
            status.map_err(|_| NotInflated)?;
            let read = usize::try_from(self.state.total_in() - read).map_err(|_| NotInflated)?;
            let written = usize::try_from(self.state.total_out() - written).map_err(|_| NotInflated)?;
            bytes = &bytes[read..];
            self.length += written as u64;
            if self.length > MAX_INFLATED_BYTES {
                return Err(NotInflated);
            }
            let room = MAX_MESSAGE_BYTES.saturating_sub(kept.len());
            kept.extend_from_slice(&output[..written.min(room)]);
            if written < OUTPUT_BYTES && bytes.is_empty() || read == 0 && written == 0 {
                return Ok(());
            }
        }
    }

    /// The message is complete. Returns how long it is.
    ///
    /// # Errors
    /// [`NotInflated`].
    pub(super) fn finish(&mut self, kept: &mut Vec<u8>) -> Result<u64, NotInflated> {
        self.read(&TAIL, kept)?;
        if self.is_fresh {
            self.state.reset(false);
        }
        Ok(std::mem::take(&mut self.length))
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("is_fresh", &self.is_fresh).finish_non_exhaustive()
    }
}
