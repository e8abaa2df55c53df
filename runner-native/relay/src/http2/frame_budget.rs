//! How many frames a visitor may send over HTTP/2 that carry no part of a request: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, empty
//! DATA and unknown ones cost time and are answered or ignored for ever (CVE-2019-9512, 9513, 9515, 9518).
//!
//! It reads frame headers (RFC 9113 section 4.1), and knows no stream and no socket.

use hvym_tunnel_core::time::Instant;

/// What may come at once. Browsers and gRPC libraries send a few hundred bytes at the start, and 17 for a PING; a thousand of these
/// cost as much as some requests.
const BURST_BYTES: u64 = 16 * 1024;
/// What is added each second: 120 PINGs, where programs send one in seconds.
const BYTES_PER_SECOND: u64 = 2 * 1024;
/// What each frame with a part of a message adds, whoever sends it: a visitor may answer it by the WINDOW_UPDATE of a stream and of the
/// connection (26 bytes), a PING and a reset.
const BYTES_PER_MESSAGE_FRAME: u64 = 64;
/// So much of the payload is added beside it: some programs send two WINDOW_UPDATE for every 4 KiB that they read.
const PAYLOAD_DIVISOR: u64 = 64;

/// The preface of a visitor (RFC 9113 section 3.4), before its first frame.
const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_LENGTH: usize = 9;
/// Parts of a byte in which the budget is counted.
const PARTS: u64 = 1_000_000;
const FULL: u64 = BURST_BYTES * PARTS;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// What is left to a visitor's connection.
#[derive(Debug)]
pub(super) struct FrameBudget {
    received: FrameReader,
    sent: FrameReader,
    /// In millionths of a byte, as much as a microsecond adds of a byte a second.
    left: u64,
    /// When time was added last.
    at: Instant,
}

impl FrameBudget {
    /// That of a connection on which nothing was sent.
    pub(super) fn new(now: Instant) -> Self {
        FrameBudget {
            received: FrameReader { payload: PREFACE_BYTES, ..FrameReader::default() },
            sent: FrameReader::default(),
            left: FULL,
            at: now,
        }
    }

    /// The visitor sent `data`. Returns whether that was within its budget.
    pub(super) fn handle_received(&mut self, data: &[u8], now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_micros();
        let earned = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(BYTES_PER_SECOND);
        (self.left, self.at) = (self.left.saturating_add(earned).min(FULL), self.at.max(now));
        let (left, mut is_within) = (&mut self.left, true);
        self.received.read(data, |kind, length| {
            if is_message(kind, length) {
                *left = (*left + credit(length)).min(FULL);
                return;
            }
            let cost = (FRAME_HEADER_LENGTH + length) as u64 * PARTS;
            is_within &= cost <= *left;
            *left = left.saturating_sub(cost);
        });
        is_within
    }

    /// `data` was sent to the visitor.
    pub(super) fn handle_sent(&mut self, data: &[u8]) {
        let left = &mut self.left;
        self.sent.read(data, |kind, length| {
            if is_message(kind, length) {
                *left = (*left + credit(length)).min(FULL);
            }
        });
    }
}

/// Whether a frame carries a part of a message.
const fn is_message(kind: u8, length: usize) -> bool {
    matches!(kind, DATA | HEADERS | CONTINUATION) && length > 0
}

/// What a frame with a part of a message adds.
const fn credit(length: usize) -> u64 {
    (BYTES_PER_MESSAGE_FRAME + length as u64 / PAYLOAD_DIVISOR) * PARTS
}

/// Finds the frame headers in bytes that come in any pieces.
#[derive(Debug, Default)]
struct FrameReader {
    header: [u8; FRAME_HEADER_LENGTH],
    /// Bytes of the header that are there.
    filled: usize,
    /// Bytes of the payload that are to come.
    payload: usize,
}

impl FrameReader {
    /// Shows type and length of each frame whose header ends in `data`.
    fn read(&mut self, mut data: &[u8], mut on_frame: impl FnMut(u8, usize)) {
        while !data.is_empty() {
            let skipped = self.payload.min(data.len());
            self.payload -= skipped;
            data = &data[skipped..];
            let taken = (FRAME_HEADER_LENGTH - self.filled).min(data.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&data[..taken]);
            self.filled += taken;
            data = &data[taken..];
            if self.filled == FRAME_HEADER_LENGTH {
                let [a, b, c, kind, ..] = self.header;
                (self.filled, self.payload) = (0, u32::from_be_bytes([0, a, b, c]) as usize);
                on_frame(kind, self.payload);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
    }

    /// A budget behind the preface.
    fn budget() -> FrameBudget {
        let mut budget = FrameBudget::new(Instant::ZERO);
        assert!(budget.handle_received(&[0xff; PREFACE_BYTES], Instant::ZERO));
        budget
    }

    #[test]
    fn control_frames_are_within_the_burst_up_to_its_last_byte() {
        let filling =
            |bytes: u64| frame(4, &vec![0; usize::try_from(bytes).expect("a length") - FRAME_HEADER_LENGTH]);
        for (bytes, is_within) in [(BURST_BYTES - 1, true), (BURST_BYTES, true), (BURST_BYTES + 1, false)] {
            assert_eq!(budget().handle_received(&filling(bytes), Instant::ZERO), is_within, "{bytes}");
        }
        let mut used = budget();
        assert!(used.handle_received(&filling(BURST_BYTES), Instant::ZERO));
        assert!(!used.handle_received(&frame(PING, &[0; 8]), Instant::ZERO));
    }

    #[test]
    fn every_kind_that_carries_nothing_of_a_message_costs_its_bytes() {
        for kind in [DATA, HEADERS, CONTINUATION] {
            let mut budget = budget();
            let empty = frame(kind, &[]);
            let count = BURST_BYTES / empty.len() as u64;
            for _ in 0..count {
                assert!(budget.handle_received(&empty, Instant::ZERO), "{kind}");
            }
            assert!(!budget.handle_received(&empty, Instant::ZERO), "{kind}");
        }
        for kind in (2..=8).chain(10..=255) {
            let mut budget = budget();
            assert!(budget.handle_received(&frame(kind, &[0; 8]), Instant::ZERO));
            assert_eq!(budget.left, FULL - 17 * PARTS, "{kind}");
        }
    }

    #[test]
    fn the_budget_grows_with_time_and_with_messages_and_not_beyond_its_burst() {
        let mut budget = budget();
        let all = frame(4, &vec![0; BURST_BYTES as usize - FRAME_HEADER_LENGTH]);
        assert!(budget.handle_received(&all, Instant::ZERO));
        let second = Instant::ZERO + Duration::from_secs(1);
        // Looked at often, it grows as fast.
        for micros in (0..1_000_000).step_by(100) {
            assert!(budget.handle_received(&[], Instant::ZERO + Duration::from_micros(micros)));
        }
        assert!(budget.handle_received(&[], second));
        assert_eq!(budget.left, BYTES_PER_SECOND * PARTS);
        let before = budget.left;
        assert!(budget.handle_received(&frame(DATA, b"x"), second));
        budget.handle_sent(
            &[frame(HEADERS, b"x"), frame(DATA, b"y"), frame(DATA, b""), frame(PING, &[0; 8])].concat(),
        );
        assert_eq!(budget.left, before + 3 * BYTES_PER_MESSAGE_FRAME * PARTS);
        assert!(budget.handle_received(&[], second + Duration::from_secs(3600)));
        assert_eq!(budget.left, FULL);
        budget.handle_sent(&frame(DATA, b"x"));
        assert_eq!(budget.left, FULL);
    }

    #[test]
    fn a_program_may_grant_more_with_every_piece_that_it_reads() {
        let mut budget = budget();
        let piece = frame(DATA, &[0; 16 * 1024]);
        let updates = frame(8, &[0, 0, 16, 0]).repeat(8);
        for _ in 0..10_000 {
            budget.handle_sent(&piece);
            assert!(budget.handle_received(&updates, Instant::ZERO));
        }
    }

    #[test]
    fn frames_are_found_however_their_bytes_are_cut() {
        let all = [
            &[1; PREFACE_BYTES][..],
            &frame(4, &[0; 300]),
            &frame(DATA, b""),
            &frame(PING, &[6; 8]),
            &frame(HEADERS, &[9; 70]),
        ];
        let all = all.concat();
        for size in 1..all.len() {
            let mut budget = FrameBudget::new(Instant::ZERO);
            budget.left = 1000 * PARTS;
            for piece in all.chunks(size) {
                assert!(budget.handle_received(piece, Instant::ZERO));
            }
            assert_eq!(budget.left, (1000 - 309 - 9 - 17 + BYTES_PER_MESSAGE_FRAME + 1) * PARTS, "{size}");
        }
    }
}
