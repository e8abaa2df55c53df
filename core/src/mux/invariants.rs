//! What must hold after every step, recomputed the slow way. For tests and fuzzers.

use alloc::format;
use alloc::string::String;

use super::frame::INITIAL_WINDOW;
use super::{Mux, StreamId};

impl Mux {
    /// The number of a live stream on the wire, so that a test can find its frames.
    #[doc(hidden)]
    pub fn wire_id(&self, id: StreamId) -> Option<u32> {
        self.find(id).map(|at| self.slots.all[at].id)
    }

    /// Compares every counter and every list with the streams themselves.
    #[doc(hidden)]
    pub fn check_invariants(&self) -> Result<(), String> {
        if self.is_ended() {
            return Ok(());
        }
        let live = || self.slots.all.iter().enumerate().filter(|(_, slot)| !slot.is_free());
        let count = |name: &str, counted: usize, kept: usize| match counted == kept {
            true => Ok(()),
            false => Err(format!("{name}: {counted} counted, {kept} kept")),
        };
        count("inbound", live().filter(|(_, s)| !s.outbound).count(), self.counts.inbound)?;
        count("outbound", live().filter(|(_, s)| s.outbound).count(), self.counts.outbound)?;
        count("unacked", live().filter(|(_, s)| !s.acked).count(), self.counts.unacked)?;
        count("unaccepted", live().filter(|(_, s)| s.unaccepted).count(), self.counts.unaccepted)?;
        count("unread", live().map(|(_, s)| s.unread as usize).sum(), self.counts.unread)?;
        count("unsent", live().map(|(_, s)| s.send_len).sum(), self.counts.unsent)?;
        count("grown", live().map(|(_, s)| (s.window - INITIAL_WINDOW) as usize).sum(), self.counts.grown)?;
        count("ids", live().count(), self.slots.ids.live())?;
        count("free", self.slots.free.len() + live().count(), self.slots.all.len())?;
        for (at, slot) in live() {
            let queued: usize = slot.send_queue.iter().map(bytes::Bytes::len).sum();
            count("send queue", queued, slot.send_len)?;
            let arrived: usize = slot.recv_queue.iter().map(bytes::Bytes::len).sum();
            count("receive queue", arrived + slot.tail.len(), slot.unread as usize)?;
            let held = u64::from(slot.credit) + u64::from(slot.unread) + u64::from(self.parser.unarrived(at));
            if slot.rx == super::slot::Rx::Open && slot.reset.is_none() && held > u64::from(slot.window) {
                return Err(format!("stream {}: more granted than its window", slot.id));
            }
            let sendable = slot.reset.is_none() && slot.send_len > 0 && slot.send_window > 0;
            if sendable && !slot.in_ready && !slot.holding {
                return Err(format!("stream {}: sendable, but nobody will send it", slot.id));
            }
            let listed =
                |list: &alloc::collections::VecDeque<usize>| list.iter().filter(|&&i| i == at).count();
            count("todo", listed(&self.slots.todo), usize::from(slot.in_todo))?;
            count("ready", listed(&self.slots.ready), usize::from(slot.in_ready))?;
            count("crowded", listed(&self.slots.crowded), usize::from(slot.in_crowded))?;
            if slot.wants_write && slot.reset.is_none() && slot.send_len == 0 && !slot.in_crowded {
                return Err(format!("stream {}: blocked, and nothing will wake it", slot.id));
            }
            count("news", listed(&self.slots.news), usize::from(slot.in_news))?;
        }
        Ok(())
    }
}
