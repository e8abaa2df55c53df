//! The limits of a session, each with its reason.

use core::time::Duration;

use thiserror::Error;

use super::frame::INITIAL_WINDOW;

const MIB: usize = 1024 * 1024;

/// What a stream costs beside its data: its place, the lists that may hold it, its clocks and one small block.
const STREAM_BYTES: usize = 2048;
/// What a session costs beside its streams: the memory of 4096 closed ids and the table that finds them.
const SESSION_BYTES: usize = 256 * 1024;

/// What a session grants, and when it defends itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MuxConfig {
    /// Bytes of one batch, that is of one WebSocket message. Larger saves system calls; 64 KiB costs 5 ms at 100 Mbit/s.
    /// A few more than `send_mark`, so that what fills a stream's queue leaves together with its headers.
    pub batch: usize,
    /// Streams the peer may have open. Each costs a window of 256 KiB that cannot be refused on the wire.
    pub max_inbound_streams: usize,
    /// Streams of the peer that the application has not accepted yet.
    pub accept_backlog: usize,
    /// Streams this side may have open. Some peers end the session above 512 of both sides together.
    pub max_outbound_streams: usize,
    /// Streams of this side that the peer has not acknowledged; existing peers stop at 256.
    pub ack_backlog: usize,
    /// The largest receive window a stream may grow to. Throughput is at most this per round trip.
    pub max_stream_window: u32,
    /// What all streams together may grow beyond their first 256 KiB.
    pub window_budget: usize,
    /// Unread bytes a session may hold; above it the stream that holds most is reset.
    pub max_buffered: usize,
    /// Unsent bytes of a stream above which writing blocks.
    pub send_mark: usize,
    /// Unsent bytes of all streams above which writing blocks.
    pub max_send: usize,
    /// Copy every payload, so that a peer that cuts its frames badly cannot pin large messages with small slices.
    pub always_copy: bool,
    /// A stream nobody accepts is reset after this; hashicorp/yamux ends the session after 75 s without an answer.
    pub accept_timeout: Duration,
    /// A stream the peer does not acknowledge is reset after this. Off by default: some peers acknowledge late.
    pub open_timeout: Option<Duration>,
    /// A half-closed stream on which nothing moves is reset after this.
    pub half_close_idle_timeout: Duration,
    /// A stream whose peer grants no window is reset after this.
    pub stream_stall_timeout: Option<Duration>,
    /// The session ends when output waits this long to be taken.
    pub write_stall_timeout: Duration,
    /// Yamux pings when nothing arrives: the interval, and how long to wait after a ping. Off where the link pings itself.
    pub keepalive: Option<(Duration, Duration)>,
}

/// An illegal combination, by name.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum MuxConfigError {
    /// A batch must hold a frame of useful size.
    #[error("batch must be at least 4096 bytes")]
    Batch,
    /// The wire demands the first 256 KiB.
    #[error("max_stream_window must be at least 262144 bytes")]
    Window,
    /// Nothing could ever be written.
    #[error("send_mark must be at least 1024 bytes and at most max_send")]
    SendMark,
}

impl Default for MuxConfig {
    fn default() -> Self {
        Self {
            batch: 64 * 1024 + 64,
            max_inbound_streams: 256,
            accept_backlog: 256,
            max_outbound_streams: 480,
            ack_backlog: 256,
            max_stream_window: 4 * MIB as u32,
            window_budget: 16 * MIB,
            max_buffered: 64 * MIB,
            send_mark: 64 * 1024,
            max_send: 8 * MIB,
            always_copy: false,
            accept_timeout: Duration::from_secs(30),
            open_timeout: None,
            half_close_idle_timeout: Duration::from_secs(300),
            stream_stall_timeout: None,
            write_stall_timeout: Duration::from_secs(30),
            keepalive: None,
        }
    }
}

impl MuxConfig {
    /// An agent trusts its relay, and serves every visitor the relay sends.
    pub fn agent() -> Self {
        Self { max_inbound_streams: 1024, ..Self::default() }
    }

    /// A relay opens streams to agents it does not trust, takes few from them, and has many of them to bear: what one
    /// agent can make it hold is copied, so that no small slice pins a large message, and capped at 32 MiB, which is
    /// 128 visitors that all read too slowly.
    pub fn relay() -> Self {
        Self {
            max_inbound_streams: 16,
            accept_backlog: 16,
            max_outbound_streams: 1024,
            window_budget: 4 * MIB,
            max_buffered: 32 * MIB,
            always_copy: true,
            stream_stall_timeout: Some(Duration::from_secs(300)),
            ..Self::default()
        }
    }

    /// A browser tab has little memory and few visitors.
    pub fn browser() -> Self {
        Self {
            max_inbound_streams: 64,
            accept_backlog: 64,
            max_stream_window: MIB as u32,
            window_budget: 4 * MIB,
            max_buffered: 16 * MIB,
            max_send: 2 * MIB,
            ..Self::default()
        }
    }

    /// Whether the limits make sense together.
    pub fn check(&self) -> Result<(), MuxConfigError> {
        if self.batch < 4096 {
            return Err(MuxConfigError::Batch);
        }
        if self.max_stream_window < INITIAL_WINDOW {
            return Err(MuxConfigError::Window);
        }
        if self.send_mark < 1024 || self.send_mark > self.max_send {
            return Err(MuxConfigError::SendMark);
        }
        Ok(())
    }

    /// Bytes of memory that a session holds at most, whatever its peer and its applications do, beside the messages that
    /// are being handed over and the buffers that applications gave to [`super::Stream::write`] or still hold from
    /// [`super::Stream::read`].
    ///
    /// A slice that is kept may pin four times its length; what is copied may waste a quarter.
    pub fn memory_bound(&self) -> usize {
        let streams = self.max_inbound_streams.saturating_add(self.max_outbound_streams);
        let windows = streams.saturating_mul(INITIAL_WINDOW as usize).saturating_add(self.window_budget);
        let unread = windows.min(self.max_buffered);
        let pinned = if self.always_copy { unread } else { unread.saturating_mul(4) };
        pinned
            .saturating_add(unread / 4)
            .saturating_add(self.max_send.saturating_mul(2))
            .saturating_add(streams.saturating_mul(STREAM_BYTES))
            .saturating_add(self.batch.saturating_mul(2))
            .saturating_add(SESSION_BYTES)
    }
}
