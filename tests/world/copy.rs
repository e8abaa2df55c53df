//! The relay's side of an upgraded or TCP connection: bytes pass both ways, unread.

use std::time::Duration;

use hvym_proxy::{Closing, SendQueue};
use hvym_tunnel_core::link::Stream;
use hvym_tunnel_core::mux::Read;
use hvym_tunnel_core::time::Instant;

use crate::line::{Pipe, PipeEnd, Received};

/// How long nothing may pass: longer than a crowd at a slow line makes a message wait.
const IDLE: Duration = Duration::from_secs(150);
/// Bytes that wait in one direction; above it nothing is read for it.
pub(crate) const MAX_QUEUED: usize = 64 * 1024;

/// One direction.
#[derive(Default)]
struct Direction {
    queue: SendQueue,
    has_ended: bool,
    /// The end was passed on too.
    is_over: bool,
}

/// Both directions.
pub(crate) struct Tunnel {
    to_visitor: Direction,
    to_service: Direction,
    is_broken: bool,
    moved: Instant,
}

impl Tunnel {
    /// A connection with what came of it already.
    pub(crate) fn new((to_visitor, to_service): (SendQueue, SendQueue), now: Instant) -> Self {
        let direction = |queue| Direction { queue, ..Direction::default() };
        Self {
            to_visitor: direction(to_visitor),
            to_service: direction(to_service),
            is_broken: false,
            moved: now,
        }
    }

    pub(crate) fn fail(&mut self) {
        self.is_broken = true;
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.to_visitor.queue.len().max(self.to_service.queue.len())
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.moved + IDLE
    }

    /// Bytes between the visitor and the queues. Whether any moved.
    pub(crate) fn pass_visitor(&mut self, pipe: &mut Pipe, now: Instant) -> bool {
        let mut moved = false;
        self.is_broken |= pipe.is_reset(PipeEnd::Relay, now) || now >= self.poll_timeout();
        let up = &mut self.to_service;
        while !up.has_ended && up.queue.len() < MAX_QUEUED {
            match pipe.receive(PipeEnd::Relay, 16 * 1024, now) {
                Received::Nothing => break,
                Received::Data(data) => up.queue.push(data),
                Received::End => up.has_ended = true,
                Received::Reset => (up.has_ended, self.is_broken) = (true, true),
            }
            moved = true;
        }
        let down = &mut self.to_visitor;
        loop {
            let Some(data) = down.queue.buffers().next().cloned() else { break };
            let count = pipe.send(PipeEnd::Relay, &data, now);
            if count == 0 {
                break;
            }
            down.queue.advance(count);
            moved = true;
        }
        if down.has_ended && down.queue.is_empty() && !std::mem::replace(&mut down.is_over, true) {
            pipe.finish(PipeEnd::Relay, now);
        }
        self.note(moved, now)
    }

    /// Bytes between the service and the queues. Whether any moved.
    pub(crate) fn pass_service(&mut self, stream: &mut Stream<'_>, now: Instant) -> bool {
        let mut moved = false;
        let up = &mut self.to_service;
        let written = up.queue.send_with(|data| {
            let before = data.len();
            let written = stream.write(data, now);
            moved |= data.len() < before;
            written.map(drop)
        });
        self.is_broken |= written.is_err();
        if up.has_ended && up.queue.is_empty() && !std::mem::replace(&mut up.is_over, true) {
            self.is_broken |= stream.finish(now).is_err();
        }
        let down = &mut self.to_visitor;
        while !down.has_ended && down.queue.len() < MAX_QUEUED {
            match stream.read(16 * 1024, now) {
                Ok(Read::Data(data)) => down.queue.push(data),
                Ok(Read::Finished) => down.has_ended = true,
                Ok(Read::Empty) => break,
                Err(_) => {
                    self.is_broken = true;
                    break;
                }
            }
            moved = true;
        }
        self.note(moved, now)
    }

    fn note(&mut self, moved: bool, now: Instant) -> bool {
        if moved {
            self.moved = now;
        }
        moved
    }

    /// Whether it is over, and how.
    pub(crate) fn closing(&self) -> Option<Closing> {
        if self.is_broken {
            return Some(Closing::Reset);
        }
        (self.to_visitor.is_over && self.to_service.is_over).then_some(Closing::Orderly)
    }
}
