//! What must hold after every step, recomputed the slow way. For tests and fuzzers.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::{format, vec};

use super::frame::INITIAL_WINDOW;
use super::slot::{Rx, Slot};
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
            self.check_stream(at, slot)?;
        }
        self.check_lists()
    }

    fn check_stream(&self, at: usize, slot: &Slot) -> Result<(), String> {
        let fails = |why: &str| Err(format!("stream {}: {why}", slot.id));
        let queued: usize = slot.send_queue.iter().map(bytes::Bytes::len).sum();
        let arrived: usize = slot.recv_queue.iter().map(bytes::Bytes::len).sum();
        if queued != slot.send_len || arrived + slot.tail.len() != slot.unread as usize {
            return fails("its queues hold other than it says");
        }
        let held = u64::from(slot.credit) + u64::from(slot.unread) + u64::from(self.parser.unarrived(at));
        if slot.rx == Rx::Open && slot.reset.is_none() && held > u64::from(slot.window) {
            return fails("more granted than its window");
        }
        let sendable = slot.reset.is_none() && slot.send_len > 0 && slot.send_window > 0;
        if sendable && !slot.in_ready && !slot.holding {
            return fails("sendable, but nobody will send it");
        }
        if !slot.todo.is_empty() && !slot.in_todo && !slot.in_ready && !slot.holding {
            return fails("something to say, but nobody will say it");
        }
        if !slot.news.is_empty() && !slot.in_news {
            return fails("news, but nobody will tell it");
        }
        if slot.wants_write && slot.reset.is_none() && slot.send_len == 0 && !slot.in_crowded {
            return fails("blocked, and nothing will wake it");
        }
        Ok(())
    }

    /// A place is on a list once if its mark says so, and not at all if not; also the place of a stream that is gone.
    fn check_lists(&self) -> Result<(), String> {
        let check = |name: &str, list: &VecDeque<usize>, mark: fn(&Slot) -> bool| {
            let mut listed = vec![0usize; self.slots.all.len()];
            for at in list {
                listed[*at] += 1;
            }
            match self
                .slots
                .all
                .iter()
                .zip(&listed)
                .position(|(slot, times)| usize::from(mark(slot)) != *times)
            {
                Some(at) => Err(format!("{name}: place {at} is listed {} times", listed[at])),
                None => Ok(()),
            }
        };
        check("todo", &self.slots.todo, |slot| slot.in_todo)?;
        check("ready", &self.slots.ready, |slot| slot.in_ready)?;
        check("crowded", &self.slots.crowded, |slot| slot.in_crowded)?;
        check("news", &self.slots.news, |slot| slot.in_news)
    }
}
