//! Receive windows: when to send a window update, and how large a window should be.
//!
//! A window follows the bandwidth-delay product of its stream: what is read in a round trip without queues. Where the window
//! is what limits the stream, a larger one makes it faster; where it does not, it only fills queues, and is not grown again.

use core::time::Duration;

use crate::frame::INITIAL_WINDOW;
use crate::recv::RecvState;
use crate::session::Mux;
use crate::stream_state::PendingFrame;

/// The least round trip that windows grow by. Below it the window is not what limits a stream.
const MIN_RTT: Duration = Duration::from_millis(1);
/// A window below so many times what is read in a round trip grows: half of it may have been read and not granted.
const MIN_ROUND_TRIPS: u64 = 3;
/// A window above so many times what is read in a round trip shrinks, far from where it grows.
const MAX_ROUND_TRIPS: u64 = 16;
/// A reader that takes long for half a window grants what it has read after so long, so that a slow peer is granted a
/// steady flow and hears that this end lives,
const SLOW_GRANT_MICROS: u32 = 1_000_000;
/// if it has read so much: an update that grants little is noise.
const SLOW_GRANT_BYTES: u32 = 16 * 1024;
/// What a window begins with at most, if streams of the session were read as fast before: from 256 KiB it would take two round
/// trips to grow as far.
const MAX_FIRST_WINDOW: u32 = 1024 * 1024;
/// The share of the budget that streams take before they have shown that they need it.
const FIRST_SHARE: usize = 4;

impl Mux {
    /// After a read: queues a window update once half a window has been read, or less by a slow reader, and adapts the
    /// window to the rate at which the stream is read.
    pub(crate) fn grant_if_due(&mut self, key: usize) {
        let stream = &self.streams[key];
        // After a FIN, a stop or a reset the peer needs no window.
        if stream.recv.state() != RecvState::Open
            || stream.reset.is_some()
            || stream.frames.contains(PendingFrame::Window)
        {
            return;
        }
        let grantable = stream.recv.grantable(self.parser.unarrived(key));
        if grantable < stream.recv.window() / 2
            && (grantable < SLOW_GRANT_BYTES || stream.recv.measured(self.now).1 < SLOW_GRANT_MICROS)
        {
            return;
        }
        self.adapt_window(key, grantable);
        if self.rtt.is_due(self.now) {
            self.control.ping(self.random.next_u64() as u32);
        }
        self.queue_frame(key, PendingFrame::Window);
    }

    /// Doubles a window that limits its stream, and takes back half of what could be granted of one that is far too large.
    /// Once in a round trip: in a shorter time a stream may get nothing, or all that it gets in a round trip.
    fn adapt_window(&mut self, key: usize, grantable: u32) {
        let Some(rtt) = self.rtt.min() else { return };
        let rtt = u64::try_from(rtt.max(MIN_RTT).as_micros()).unwrap_or(u64::MAX);
        let stream = &mut self.streams[key];
        let (measured, micros) = stream.recv.measured(self.now);
        if u64::from(micros) < rtt {
            return;
        }
        stream.recv.restart_measurement(self.now);
        let micros = u64::from(micros).max(1);
        let rate = u32::try_from(u64::from(measured) * 1000 / micros).unwrap_or(u32::MAX);
        let in_round_trip = u64::from(measured).saturating_mul(rtt) / micros;
        self.rtt.bytes_read(in_round_trip);
        let window = u64::from(stream.recv.window());
        // A longer round trip may be the queue that the last growth filled: then the stream is no faster for it.
        let is_faster = u64::from(rate) * 4 > u64::from(stream.reader.rate) * 5;
        if window < in_round_trip.saturating_mul(MIN_ROUND_TRIPS) && is_faster {
            stream.reader.rate = rate;
            let window = stream.recv.window();
            self.grow_window(key, window);
        } else if window > in_round_trip.saturating_mul(MAX_ROUND_TRIPS) {
            stream.reader.rate = rate;
            let excess = stream.recv.window() - INITIAL_WINDOW;
            self.shrink_window(key, excess.min(grantable / 2));
        }
    }

    /// Before the first frame of a stream of this end, or the acknowledgement of one of the peer: grants more than the first
    /// 256 KiB where as much was read in a round trip a moment ago.
    pub(crate) fn grow_first_window(&mut self, key: usize) {
        let first = self.rtt.bytes().min(MAX_FIRST_WINDOW).saturating_sub(INITIAL_WINDOW);
        let share = self.config.window_growth_budget / FIRST_SHARE;
        if first > 0 && self.counts.window_growth + first as usize <= share {
            self.grow_window(key, first);
            self.queue_frame(key, PendingFrame::Window);
        }
    }

    /// Grows a window by up to `bytes`. What a stream, or its group, has grown by is at most what is left for others, so
    /// that those who have much never keep others from growing.
    fn grow_window(&mut self, key: usize, bytes: u32) {
        let group = self.streams[key].reader.group;
        let recv = &mut self.streams[key].recv;
        let own = self.groups.growth(group).unwrap_or(recv.window_growth());
        let free = self.config.window_growth_budget.saturating_sub(self.counts.window_growth);
        let budget = free.saturating_sub(own) / 2;
        let room = self.config.max_stream_window.saturating_sub(recv.window());
        let growth = bytes.min(room).min(u32::try_from(budget).unwrap_or(u32::MAX));
        recv.grow(growth);
        self.counts.window_growth += growth as usize;
        self.groups.grow(group, growth as usize);
    }

    fn shrink_window(&mut self, key: usize, bytes: u32) {
        let stream = &mut self.streams[key];
        stream.recv.shrink(bytes);
        self.counts.window_growth -= bytes as usize;
        self.groups.shrink(stream.reader.group, bytes as usize);
    }
}
