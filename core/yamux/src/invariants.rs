//! What must hold after every step, recomputed the slow way, and other access for tests and fuzzers.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::{format, vec};

use crate::recv::RecvState;
use crate::send::WriterWait;
use crate::session::Mux;
use crate::stream_id::StreamId;
use crate::stream_state::{List, StreamState, StreamTimer};

impl Mux {
    /// The id on the wire of a live stream, so that a test can find its frames.
    #[doc(hidden)]
    pub fn wire_id(&self, id: StreamId) -> Option<u32> {
        self.find(id).map(|key| self.streams[key].id)
    }

    /// Uses up all of this end's ids but the last `left`, so that a test can reach their end.
    #[doc(hidden)]
    pub fn skip_ids(&mut self, left: u32) {
        self.local_ids.skip_to_last(left);
    }

    /// Compares every counter and every list with the streams themselves.
    #[doc(hidden)]
    pub fn check_invariants(&self) -> Result<(), String> {
        if self.is_ended() {
            return Ok(());
        }
        let live = || self.streams.live().map(|(_, stream)| stream);
        let compare = |name: &str, counted: usize, kept: usize| match counted == kept {
            true => Ok(()),
            false => Err(format!("{name}: {counted} counted, {kept} kept")),
        };
        let counts = &self.counts;
        compare("inbound", live().filter(|s| !s.opening.outbound).count(), counts.inbound)?;
        compare("outbound", live().filter(|s| s.opening.outbound).count(), counts.outbound)?;
        compare("unacked", live().filter(|s| !s.opening.acked).count(), counts.unacked)?;
        compare("unaccepted", live().filter(|s| s.opening.unaccepted).count(), counts.unaccepted)?;
        compare("unread", live().map(|s| s.recv.unread() as usize).sum(), counts.unread)?;
        compare("unsent", live().map(|s| s.send.unsent()).sum(), counts.unsent)?;
        compare("window_growth", live().map(|s| s.recv.window_growth()).sum(), counts.window_growth)?;
        compare("ids", live().count(), self.streams.ids.live())?;
        compare("free slots", self.streams.slots() - live().count(), self.streams.free_slots())?;
        self.groups
            .check(live().map(|s| (s.reader.group, s.recv.unread() as usize, s.recv.window_growth())))?;
        for (key, stream) in self.streams.live() {
            self.check_stream(key, stream)?;
        }
        self.check_lists()
    }

    fn check_stream(&self, key: usize, stream: &StreamState) -> Result<(), String> {
        let fails = |why: &str| Err(format!("stream {}: {why}", stream.id));
        let (send, recv) = (&stream.send, &stream.recv);
        if send.count_queued() != send.unsent() || recv.count_queued() != recv.unread() as usize {
            return fails("its queues hold other than it says");
        }
        let unarrived = self.parser.unarrived(key);
        let used = u64::from(recv.credit()) + u64::from(recv.unread()) + u64::from(unarrived);
        if recv.state() == RecvState::Open && stream.reset.is_none() && used > u64::from(recv.window()) {
            return fails("more granted than its window");
        }
        if send.unsent() > send.window() as usize {
            return fails("more is queued than its peer has granted");
        }
        let is_scheduled = stream.is_scheduled();
        if send.unsent() > 0 && !is_scheduled {
            return fails("data, but it is not scheduled");
        }
        if !stream.frames.is_empty() && !stream.lists.contains(List::Frames) && !is_scheduled {
            return fails("frames are pending, but it is not scheduled");
        }
        if !stream.events.is_empty() && !stream.lists.contains(List::Events) {
            return fails("events are pending, but it is not listed");
        }
        let will_wake = stream.reset.is_some()
            || stream.lists.contains(List::SessionBlocked)
            || match send.writer_wait(0) {
                WriterWait::NoWriter | WriterWait::Queue | WriterWait::Window => true,
                WriterWait::LargerWindow => stream.timers.contains(StreamTimer::SwsDelay),
                WriterWait::Ready => false,
            };
        if !will_wake {
            return fails("blocked, and nothing will wake it");
        }
        Ok(())
    }

    /// A slot is in a list once if it says so, and not at all if not; also the slot of a stream that is gone.
    fn check_lists(&self) -> Result<(), String> {
        let check = |list: List, keys: &VecDeque<usize>| {
            let mut listed = vec![0usize; self.streams.slots()];
            for key in keys {
                listed[*key] += 1;
            }
            for (key, times) in listed.into_iter().enumerate() {
                if usize::from(self.streams[key].lists.contains(list)) != times {
                    return Err(format!("{list:?}: slot {key} is listed {times} times"));
                }
            }
            Ok(())
        };
        for list in [List::Frames, List::Sparse, List::Ready, List::Events, List::SessionBlocked] {
            check(list, self.streams.list(list))?;
        }
        Ok(())
    }
}
