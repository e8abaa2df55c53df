//! Receive windows: when to send a window update, and when a window should grow.

use core::time::Duration;

use crate::frame::INITIAL_WINDOW;
use crate::recv::RecvState;
use crate::session::Mux;
use crate::stream_state::PendingFrame;

/// The least round trip that windows grow by. Below it the window is not what limits a stream.
const MIN_RTT: Duration = Duration::from_millis(1);

impl Mux {
    /// After a read: queues a window update once half a window has been read, and grows a window that is too small.
    pub(crate) fn grant_if_due(&mut self, key: usize) {
        let stream = &self.streams[key];
        // After a FIN, a stop or a reset the peer needs no window.
        if stream.recv.state() != RecvState::Open
            || stream.reset.is_some()
            || stream.frames.contains(PendingFrame::Window)
        {
            return;
        }
        if stream.recv.grantable(self.parser.unarrived(key)) < stream.recv.window() / 2 {
            return;
        }
        self.grow_window(key);
        self.streams[key].recv.set_granted_at(self.now);
        if self.rtt.is_due(self.now) {
            self.control.ping(self.random.next_u64() as u32);
        }
        self.queue_frame(key, PendingFrame::Window);
    }

    /// Doubles a window of which half was read within two round trips: the window limits the stream, not the peer or
    /// the reader.
    fn grow_window(&mut self, key: usize) {
        let Some(rtt) = self.rtt.min() else { return };
        let group = self.streams[key].unread.group;
        let recv = &mut self.streams[key].recv;
        let elapsed = self.now - recv.granted_at();
        if elapsed >= rtt.max(MIN_RTT).saturating_mul(2) {
            return;
        }
        let budget = self.config.window_growth_budget.saturating_sub(self.counts.window_growth);
        let room = self.config.max_stream_window.saturating_sub(recv.window());
        let growth = recv.window().min(room).min(u32::try_from(budget).unwrap_or(u32::MAX));
        recv.grow(growth);
        self.counts.window_growth += growth as usize;
        self.groups.grow(group, growth as usize);
        debug_assert!(recv.window() >= INITIAL_WINDOW);
    }
}
