//! Follows the frames of one direction of a WebSocket, and gives each message when it is complete.
//!
//! It corrects and refuses nothing: what it cannot follow, it does not follow any further.

use hvym_websocket::{FrameHeader, Opcode};

use super::inflate::{INFLATER_BYTES, Inflater};
use super::messages::{CapturedKind, MAX_MESSAGE_BYTES, NewMessage};

/// The bit of a frame's first byte that says that its message is compressed (RFC 7692 section 6).
const COMPRESSED: u8 = 0x40;
/// How much of a frame is unmasked at once.
const UNMASK_BYTES: usize = 4096;

/// What follows in this direction is no WebSocket.
#[derive(Debug)]
pub(super) struct NotFollowed;

/// One direction.
#[derive(Debug)]
pub(super) struct FrameReader {
    /// What came of a header, without the bit that says that the message is compressed.
    header: Vec<u8>,
    is_compressed: bool,
    frame: Option<Frame>,
    message: Option<Partial>,
    control: Option<Partial>,
    /// Whether messages may be compressed.
    may_compress: bool,
    /// Set as long as compressed messages can be followed.
    inflater: Option<Inflater>,
}

/// A frame whose payload is incomplete.
#[derive(Copy, Clone, Debug)]
struct Frame {
    header: FrameHeader,
    left: u64,
}

/// A message that is incomplete.
#[derive(Debug)]
struct Partial {
    kind: CapturedKind,
    data: Vec<u8>,
    length: u64,
    is_compressed: bool,
}

impl FrameReader {
    /// At the start of a direction. `compression` is set if compression was agreed upon: whether each message begins anew.
    pub(super) fn new(compression: Option<bool>) -> Self {
        Self {
            header: Vec::new(),
            is_compressed: false,
            frame: None,
            message: None,
            control: None,
            may_compress: compression.is_some(),
            inflater: compression.map(Inflater::new),
        }
    }

    /// Reads the next bytes, and gives each message that is complete to `emit`.
    ///
    /// # Errors
    /// [`NotFollowed`]; nothing after that can be read.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        mut emit: impl FnMut(NewMessage),
    ) -> Result<(), NotFollowed> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(count);
                let (header, at) = (frame.header, frame.header.length - frame.left);
                frame.left -= count as u64;
                let is_over = frame.left == 0;
                bytes = rest;
                self.take_payload(header, at, payload);
                if !is_over {
                    return Ok(());
                }
                self.frame = None;
                if let Some(message) = self.end_frame(header) {
                    emit(message);
                }
            } else {
                let Some((&(mut byte), rest)) = bytes.split_first() else { return Ok(()) };
                if self.header.is_empty() {
                    self.is_compressed = self.may_compress && byte & COMPRESSED != 0;
                    byte &= if self.is_compressed { !COMPRESSED } else { u8::MAX };
                }
                self.header.push(byte);
                bytes = rest;
                self.take_header()?;
            }
        }
    }

    /// Heap bytes held.
    pub(super) fn held(&self) -> usize {
        let partial = |partial: &Option<Partial>| partial.as_ref().map_or(0, |part| part.data.capacity());
        let inflater = if self.inflater.is_some() { INFLATER_BYTES } else { 0 };
        self.header.capacity() + partial(&self.message) + partial(&self.control) + inflater
    }

    fn take_header(&mut self) -> Result<(), NotFollowed> {
        let decoded = FrameHeader::decode(&self.header).map_err(|_| NotFollowed)?;
        let Some((header, _)) = decoded else { return Ok(()) };
        self.header.clear();
        let kind = match header.opcode {
            Opcode::Continuation => None,
            Opcode::Text => Some(CapturedKind::Text),
            Opcode::Binary => Some(CapturedKind::Binary),
            Opcode::Close => Some(CapturedKind::Close),
            Opcode::Ping => Some(CapturedKind::Ping),
            Opcode::Pong => Some(CapturedKind::Pong),
        };
        let is_compressed = self.is_compressed;
        let begun = kind.map(|kind| Partial { kind, data: Vec::new(), length: 0, is_compressed });
        match begun {
            Some(partial) if header.opcode.is_control() => self.control = Some(partial),
            Some(partial) if self.message.is_none() => self.message = Some(partial),
            None if self.message.is_some() => {}
            Some(_) | None => return Err(NotFollowed),
        }
        self.frame = Some(Frame { header, left: header.length });
        Ok(())
    }

    /// Takes a part of a frame's payload, which begins `at` bytes after the beginning of the payload.
    fn take_payload(&mut self, header: FrameHeader, at: u64, payload: &[u8]) {
        let slot = if header.opcode.is_control() { &mut self.control } else { &mut self.message };
        let Some(partial) = slot else { return };
        let mut scratch = [0; UNMASK_BYTES];
        let mut at = at;
        for piece in payload.chunks(UNMASK_BYTES) {
            let plain = &mut scratch[..piece.len()];
            plain.copy_from_slice(piece);
            if let Some(key) = header.mask {
                for (byte, place) in plain.iter_mut().zip(at..) {
                    *byte ^= key[(place % 4) as usize];
                }
            }
            at += piece.len() as u64;
            partial.length += piece.len() as u64;
            if partial.is_compressed
                && let Some(inflater) = &mut self.inflater
            {
                if inflater.read(plain, &mut partial.data).is_err() {
                    self.inflater = None;
                }
                continue;
            }
            let room = MAX_MESSAGE_BYTES.saturating_sub(partial.data.len());
            partial.data.extend_from_slice(&plain[..plain.len().min(room)]);
        }
    }

    fn end_frame(&mut self, header: FrameHeader) -> Option<NewMessage> {
        if !header.fin {
            return None;
        }
        let slot = if header.opcode.is_control() { &mut self.control } else { &mut self.message };
        let mut partial = slot.take()?;
        if partial.is_compressed {
            match self.inflater.as_mut().map(|inflater| inflater.finish(&mut partial.data)) {
                Some(Ok(length)) => partial.length = length,
                // Its bytes as they came are nothing that a person can read.
                Some(Err(_)) | None => (self.inflater, partial.kind) = (None, CapturedKind::Binary),
            }
        }
        let Partial { kind, data, length, .. } = partial;
        Some(NewMessage { kind, name: None, length, data })
    }
}

/// Whether compression was agreed upon in this `Sec-WebSocket-Extensions`, and if so, whether each message of visitors and of
/// the service begins anew.
pub(super) fn compression(extensions: &str) -> Option<(bool, bool)> {
    let agreed = extensions.split(',').map(str::trim).find(|one| {
        one.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("permessage-deflate"))
    })?;
    let has = |wanted: &str| {
        agreed
            .split(';')
            .any(|part| part.split('=').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(wanted)))
    };
    Some((has("client_no_context_takeover"), has("server_no_context_takeover")))
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let opcode = [Opcode::Continuation, Opcode::Text, Opcode::Binary][usize::from(first & 0xf)];
        let header = FrameHeader { fin: first & 0x80 != 0, opcode, mask, length: payload.len() as u64 };
        let (mut bytes, length) = header.encode();
        bytes[0] |= first & COMPRESSED;
        let masked = payload.iter().enumerate().map(|(at, byte)| byte ^ mask.map_or(0, |key| key[at % 4]));
        bytes[..length].iter().copied().chain(masked).collect()
    }

    fn read(reader: &mut FrameReader, bytes: &[u8]) -> Vec<(CapturedKind, Vec<u8>)> {
        let mut messages = Vec::new();
        reader.read(bytes, |message| messages.push((message.kind, message.data))).expect("it is followed");
        messages
    }

    #[test]
    fn messages_are_found_wherever_the_bytes_are_cut() {
        let wire = [
            frame(0x01, Some([1, 2, 3, 4]), b"hel"),
            vec![0x89, 0],
            frame(0x80, Some([9, 9, 9, 9]), b"lo"),
            frame(0x82, None, &[7; 300]),
            vec![0x88, 2, 3, 0xe8],
        ]
        .concat();
        let expected = [
            (CapturedKind::Ping, vec![]),
            (CapturedKind::Text, b"hello".to_vec()),
            (CapturedKind::Binary, vec![7; 300]),
            (CapturedKind::Close, vec![3, 0xe8]),
        ];
        for at in 0..=wire.len() {
            let mut reader = FrameReader::new(None);
            let mut found = read(&mut reader, &wire[..at]);
            found.extend(read(&mut reader, &wire[at..]));
            assert_eq!(found, expected, "cut at {at}");
        }
    }

    #[test]
    fn compressed_messages_are_shown_as_they_were_before() {
        for is_fresh in [false, true] {
            let mut compress = Compress::new(Compression::default(), false);
            let mut reader = FrameReader::new(Some(is_fresh));
            for text in ["a text that is said twice", "a text that is said twice", "and another"] {
                let mut packed = Vec::with_capacity(200);
                let done = compress.compress_vec(text.as_bytes(), &mut packed, FlushCompress::Sync);
                done.expect("it is compressed");
                packed.truncate(packed.len() - 4);
                if is_fresh {
                    compress.reset();
                }
                let found = read(&mut reader, &frame(0xc1, Some([5, 6, 7, 8]), &packed));
                assert_eq!(found, [(CapturedKind::Text, text.as_bytes().to_vec())], "{is_fresh}");
            }
        }
    }

    #[test]
    fn a_message_that_grows_too_far_is_not_decompressed() {
        let mut compress = Compress::new(Compression::best(), false);
        let mut packed = Vec::with_capacity(64 * 1024);
        compress.compress_vec(&vec![0; 2 << 20], &mut packed, FlushCompress::Sync).expect("it is compressed");
        let mut reader = FrameReader::new(Some(false));
        let found = read(&mut reader, &frame(0xc1, None, &packed[..packed.len() - 4]));
        assert_eq!(found[0].0, CapturedKind::Binary);
        assert!(found[0].1.len() <= MAX_MESSAGE_BYTES && reader.inflater.is_none());
    }

    #[test]
    fn what_is_no_websocket_is_not_followed() {
        for wire in [&[0xf1, 0][..], &[0x80, 0], &[0x01, 0, 0x01, 0], &[0x83, 0]] {
            assert!(FrameReader::new(None).read(wire, drop).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn what_was_agreed_upon_is_read() {
        assert_eq!(compression("x-other"), None);
        assert_eq!(compression("permessage-deflate"), Some((false, false)));
        assert_eq!(
            compression("foo, Permessage-Deflate; server_no_context_takeover; client_max_window_bits=15"),
            Some((false, true))
        );
    }
}
