//! What a session that does nothing must say to frames, written down a second time: streams and verdicts only.

use std::collections::BTreeMap;

use hvym_yamux::{FloodKind, MuxConfig, MuxError};

use crate::lens::{DATA, FIN, Frame, GO_AWAY, PING, RST, SYN};
use crate::ops::End;

const WINDOW: u32 = 262_144;

#[derive(Copy, Clone, Debug)]
enum Known {
    Live { credit: u32, window: u32, unread: u32, ended: bool },
    Closed { credit: u32 },
}

/// A passive session: it accepts no stream, reads nothing, and pulls its output and its events at once.
#[derive(Debug)]
pub struct Judge {
    end: End,
    config: MuxConfig,
    streams: BTreeMap<u32, Known>,
    discarded: u64,
}

impl Judge {
    /// Of a fresh session.
    pub fn new(end: End, config: MuxConfig) -> Self {
        Judge { end, config, streams: BTreeMap::new(), discarded: 0 }
    }

    /// The session has opened this stream.
    pub fn opened(&mut self, id: u32) {
        self.streams.insert(id, Known::Live { credit: WINDOW, window: WINDOW, unread: 0, ended: false });
    }

    /// The session gave this stream up to make room, which is its own choice.
    pub fn shed(&mut self, id: u32) {
        if let Some(Known::Live { credit, .. }) = self.streams.get(&id) {
            self.streams.insert(id, Known::Closed { credit: *credit });
        }
    }

    /// Bytes that wait to be read.
    pub fn unread(&self) -> usize {
        let unread = |known: &Known| match known {
            Known::Live { unread, .. } => *unread as usize,
            Known::Closed { .. } => 0,
        };
        self.streams.values().map(unread).sum()
    }

    /// Live streams that came in.
    pub fn inbound(&self) -> usize {
        let theirs = |(id, known): &(&u32, &Known)| self.theirs(**id) && matches!(known, Known::Live { .. });
        self.streams.iter().filter(theirs).count()
    }

    fn theirs(&self, id: u32) -> bool {
        (id % 2) as End != self.end
    }

    /// One frame, with its payload.
    pub fn frame(&mut self, frame: Frame) -> Result<(), MuxError> {
        if frame.version != 0 {
            return Err(MuxError::BadVersion(frame.version));
        }
        match frame.kind {
            GO_AWAY if frame.length != 0 => Err(MuxError::RemoteGoAway(frame.length)),
            GO_AWAY | PING => Ok(()),
            kind if kind > GO_AWAY => Err(MuxError::UnknownType(kind)),
            _ if frame.id == 0 => Err(MuxError::BadStreamId(0)),
            _ if frame.has(SYN) => self.opening(frame),
            _ => self.following(frame),
        }
    }

    fn opening(&mut self, frame: Frame) -> Result<(), MuxError> {
        let (id, data) = (frame.id, frame.kind == DATA);
        if !self.theirs(id) {
            return Err(MuxError::BadStreamId(id));
        }
        match self.streams.get(&id) {
            Some(Known::Live { .. }) => return Err(MuxError::DuplicateSyn(id)),
            Some(Known::Closed { .. }) => return Err(MuxError::IdReused(id)),
            None => {}
        }
        if data && frame.length > WINDOW {
            return Err(MuxError::WindowExceeded(id));
        }
        if frame.has(RST) {
            return Ok(());
        }
        if !data && frame.length > u32::MAX - WINDOW {
            return Err(MuxError::WindowOverflow(id));
        }
        let open = self.inbound();
        if open >= self.config.max_inbound_streams || open >= self.config.accept_backlog {
            let credit = WINDOW - if data { frame.length } else { 0 };
            self.streams.insert(id, Known::Closed { credit });
            return Ok(());
        }
        self.opened(id);
        self.following(frame)
    }

    fn following(&mut self, frame: Frame) -> Result<(), MuxError> {
        let (id, length, data) = (frame.id, frame.length, frame.kind == DATA);
        let theirs = self.theirs(id);
        let Some(known) = self.streams.get_mut(&id) else {
            self.discarded += if data { u64::from(length) } else { 0 };
            return match self.config.discarded_limit {
                Some(limit) if self.discarded > limit.burst => Err(MuxError::Flood(FloodKind::Discarded)),
                None if data && length > self.config.max_stream_window => Err(MuxError::WindowExceeded(id)),
                _ => Ok(()),
            };
        };
        match known {
            Known::Closed { credit } if data => {
                *credit = credit.checked_sub(length).ok_or(MuxError::WindowExceeded(id))?;
            }
            Known::Closed { .. } => {}
            Known::Live { credit, ended, .. } if frame.has(RST) => {
                let length = if data { length } else { 0 };
                *credit = credit.checked_sub(length).ok_or(MuxError::WindowExceeded(id))?;
                // What the peer of an own stream said before it refused the rest stays readable.
                if theirs || !*ended {
                    *known = Known::Closed { credit: *credit };
                }
            }
            Known::Live { credit, unread, ended, .. } if data => {
                *credit = credit.checked_sub(length).ok_or(MuxError::WindowExceeded(id))?;
                // What is late is dropped. Nobody reads here, so what came before the end is still there.
                *unread += if *ended { 0 } else { length };
                *ended |= frame.has(FIN);
            }
            Known::Live { window, ended, .. } => {
                *window = window.checked_add(length).ok_or(MuxError::WindowOverflow(id))?;
                *ended |= frame.has(FIN);
            }
        }
        Ok(())
    }
}
