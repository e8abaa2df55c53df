//! Frames out: headers and payloads side by side, to be written without a copy.

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

use crate::control::ControlPayload;
use crate::header::{FrameHeader, MAX_HEADER_BYTES, Opcode};
use crate::mask::Mask;

/// A frame that is not written in full.
#[derive(Debug)]
struct Frame {
    header: [u8; MAX_HEADER_BYTES],
    /// Written.
    header_start: u8,
    header_end: u8,
    payload: Bytes,
}

impl Frame {
    fn header(&self) -> &[u8] {
        &self.header[usize::from(self.header_start)..usize::from(self.header_end)]
    }

    fn len(&self) -> usize {
        self.header().len() + self.payload.len()
    }
}

/// The frames that wait to be written, in order, and at most one pong behind them.
pub(crate) struct Output {
    /// Where masking keys come from; `None` on a server.
    keys: Option<ChaCha20Rng>,
    frames: VecDeque<Frame>,
    bytes: usize,
    pong: Option<ControlPayload>,
    /// A close frame is the last one.
    closed: bool,
}

impl Output {
    /// Masks by keys from `seed`, if there is one.
    pub(crate) fn new(seed: Option<[u8; 32]>) -> Self {
        let keys = seed.map(ChaCha20Rng::from_seed);
        Self { keys, frames: VecDeque::new(), bytes: 0, pong: None, closed: false }
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Appends a frame. Nothing follows a close frame.
    pub(crate) fn push(&mut self, opcode: Opcode, payload: Bytes) {
        if self.closed {
            return;
        }
        self.closed = opcode == Opcode::Close;
        let mask = self.keys.as_mut().map(|keys| keys.next_u32().to_ne_bytes());
        let header = FrameHeader { fin: true, opcode, mask, length: payload.len() as u64 };
        let (header, end) = header.encode();
        let payload = match mask {
            Some(key) => masked(key, payload),
            None => payload,
        };
        let frame = Frame { header, header_start: 0, header_end: end as u8, payload };
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Answers a ping once what waits is written. One that waits already is replaced: only the newest ping needs an
    /// answer (RFC 6455 section 5.5.3), so a peer that reads nothing makes nothing pile up.
    pub(crate) fn pong(&mut self, payload: ControlPayload) {
        self.pong = Some(payload);
        self.release_pong();
    }

    fn release_pong(&mut self) {
        if self.frames.is_empty()
            && let Some(payload) = self.pong.take()
        {
            self.push(Opcode::Pong, Bytes::copy_from_slice(payload.as_slice()));
        }
    }

    /// What waits, in order, none of it empty.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let slices = self.frames.iter().flat_map(|frame| [frame.header(), &*frame.payload]);
        slices.filter(|slice| !slice.is_empty())
    }

    /// `n` bytes are written.
    ///
    /// # Panics
    /// If fewer wait.
    pub(crate) fn advance(&mut self, mut n: usize) {
        assert!(n <= self.bytes, "more was written than there was");
        self.bytes -= n;
        while let Some(frame) = self.frames.front_mut() {
            let header = frame.header().len().min(n);
            frame.header_start += header as u8;
            n -= header;
            let payload = frame.payload.len().min(n);
            frame.payload.advance(payload);
            n -= payload;
            if frame.len() > 0 {
                return;
            }
            self.frames.pop_front();
        }
        self.release_pong();
    }
}

/// `payload` masked by `key`: in place if nobody else has it.
fn masked(key: [u8; 4], payload: Bytes) -> Bytes {
    match payload.try_into_mut() {
        Ok(mut payload) => {
            Mask::new(key).apply(&mut payload);
            payload.freeze()
        }
        Err(shared) => Mask::new(key).copy(&shared).freeze(),
    }
}
