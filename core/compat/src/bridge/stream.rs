//! One operation on one stream, as a mux has them.

use bytes::Bytes;

use super::slot::Role;
use super::{BridgeEvent, MessageBridge};
use hvym_tunnel_core::mux::{Read, StreamError, StreamId};
use hvym_tunnel_core::time::Instant;

/// A live stream, borrowed for one operation.
#[derive(Debug)]
pub struct Stream<'a> {
    exchange: &'a mut MessageBridge,
    id: StreamId,
}

impl<'a> Stream<'a> {
    pub(super) fn new(exchange: &'a mut MessageBridge, id: StreamId) -> Self {
        Self { exchange, id }
    }

    /// Its id.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Takes up to `max` bytes that have arrived.
    ///
    /// # Errors
    /// None; a stream that was torn down is gone.
    pub fn read(&mut self, max: usize, now: Instant) -> Result<Read, StreamError> {
        self.exchange.tick(now);
        let Some(slot) = self.exchange.slots.get_mut(&self.id) else { return Err(StreamError::Lost) };
        if let Some(data) = slot.inbox.take(max.max(1)) {
            self.exchange.held -= data.len();
            return Ok(Read::Data(data));
        }
        if !slot.inbox.ended && !slot.inbox.done {
            slot.inbox.wants = true;
            return Ok(Read::Empty);
        }
        slot.inbox.done = true;
        self.exchange.remove_if_over(self.id);
        Ok(Read::Finished)
    }

    /// Takes from the front of `data` what there is room for, and says how much.
    ///
    /// # Errors
    /// [`StreamError::Finished`] after the owner's own end.
    pub fn write(&mut self, data: &mut Bytes, now: Instant) -> Result<usize, StreamError> {
        self.exchange.tick(now);
        let Some(slot) = self.exchange.slots.get(&self.id) else { return Err(StreamError::Lost) };
        if slot.finished {
            return Err(StreamError::Finished);
        }
        Ok(match slot.role {
            Role::Pipe(_) => self.exchange.write_pipe(self.id, data),
            Role::Ask(_) => {
                let data = core::mem::take(data);
                self.exchange.write_ask(self.id, &data);
                data.len()
            }
            Role::Answer(_) => {
                let data = core::mem::take(data);
                self.exchange.write_answer(self.id, &data);
                data.len()
            }
        })
    }

    /// How many bytes a write would take now.
    pub fn writable(&self) -> usize {
        self.exchange.writable(self.id)
    }

    /// Ends the owner's half, after what was written.
    ///
    /// # Errors
    /// None; a second time does nothing.
    pub fn finish(&mut self, now: Instant) -> Result<(), StreamError> {
        self.exchange.tick(now);
        let Some(slot) = self.exchange.slots.get_mut(&self.id) else { return Err(StreamError::Lost) };
        if core::mem::replace(&mut slot.finished, true) {
            return Ok(());
        }
        match slot.role {
            Role::Ask(_) => self.exchange.finish_ask(self.id),
            Role::Answer(_) => self.exchange.finish_answer(self.id),
            Role::Pipe(_) => self.exchange.finish_pipe(self.id),
        }
        self.exchange.remove_if_over(self.id);
        Ok(())
    }

    /// Tears the stream down. A request that was not sent yet never will be.
    pub fn reset(&mut self, _code: u32, now: Instant) {
        self.exchange.tick(now);
        let Some(slot) = self.exchange.slots.get(&self.id) else { return };
        match slot.role {
            Role::Ask(_) => self.exchange.unsay(self.id),
            Role::Answer(_) => self.exchange.abandon_answer(self.id),
            Role::Pipe(_) => self.exchange.abandon_pipe(self.id),
        }
        self.exchange.remove(self.id);
    }

    /// Gives up reading.
    pub fn stop(&mut self, now: Instant) {
        self.exchange.tick(now);
        let Some(slot) = self.exchange.slots.get_mut(&self.id) else { return };
        slot.inbox.done = true;
        let dropped = slot.inbox.clear();
        self.exchange.held -= dropped;
        self.exchange.remove_if_over(self.id);
    }
}

impl MessageBridge {
    /// Gives bytes to the reader of `id`.
    pub(super) fn give(&mut self, id: StreamId, data: Bytes) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        self.held += slot.inbox.push(data);
        self.wake_reader(id);
    }

    /// Tells the reader of `id` that nothing follows.
    pub(super) fn end(&mut self, id: StreamId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.inbox.ended = true;
        self.wake_reader(id);
    }

    pub(super) fn wake_reader(&mut self, id: StreamId) {
        if let Some(slot) = self.slots.get_mut(&id)
            && core::mem::take(&mut slot.inbox.wants)
        {
            self.events.push_back(BridgeEvent::Readable(id));
        }
    }
}
