//! The limits of a session, each with its reason.

use core::time::Duration;

use thiserror::Error;

use crate::frame::INITIAL_WINDOW;

const MIB: usize = 1024 * 1024;

/// The least batch: one frame of useful size.
pub(crate) const MIN_BATCH: usize = 4096;
/// The least limit of unsent bytes.
const MIN_UNSENT: usize = 1024;
/// What a stream costs beside its data: its slot, its places in lists, its timers and one small block.
const STREAM_BYTES: usize = 2048;
/// What a session costs beside its streams: 4096 tombstones and the id map that finds them.
const SESSION_BYTES: usize = 256 * 1024;

/// The number of inbound streams that [`MuxConfig::reset_limit`] is for.
pub(crate) const RESET_LIMIT_STREAMS: u64 = 256;

/// How often something may happen before it counts as a flood: a token bucket.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RateLimit {
    /// How many may come at once.
    pub burst: u64,
    /// How many may come each second in the long run.
    pub per_second: u64,
}

impl RateLimit {
    /// Allows `burst` at once and `per_second` in the long run.
    #[must_use]
    pub const fn new(burst: u64, per_second: u64) -> Self {
        Self { burst, per_second }
    }
}

/// Resets, of streams of which 256 may be open: the peer itself decides what it opens and resets.
const RESETS: RateLimit = RateLimit::new(512, 100);
/// Resets by a peer that opens few streams but whose users may connect and break off as fast as they can; each costs one
/// header to judge. Only a peer that means to exceeds it.
const RESETS_BY_USERS: RateLimit = RateLimit::new(8192, 2000);
/// Bytes for unknown streams: an honest peer may have this much in flight when this end resets many streams.
const DISCARDED: RateLimit = RateLimit::new(64 * MIB as u64, 4 * MIB as u64);
/// Refusals that wait to leave: a peer that decides itself what it opens does not open streams without waiting for them.
const REFUSALS: usize = 256;

/// The limits of a session. Begin with [`default`](Self::default), [`acceptor`](Self::acceptor),
/// [`opener`](Self::opener) or [`low_memory`](Self::low_memory), and change fields:
///
/// ```
/// # use hvym_yamux::MuxConfig;
/// let config = MuxConfig::default().with(|config| config.max_inbound_streams = 16);
/// assert_eq!(config.check(), Ok(()));
/// ```
// Fields: each is an independent limit, and a flat list is what a user of the crate looks through.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MuxConfig {
    /// The most bytes of a batch, at least 4096. Larger batches save system calls; 64 KiB take 5 ms at 100 Mbit/s. The
    /// default is a little more than `max_stream_unsent`, so that a full queue leaves together with its headers.
    pub batch: usize,
    /// Streams that the peer may have open. Each may cost a window of 256 KiB, which the wire does not let refuse.
    pub max_inbound_streams: usize,
    /// Streams of the peer that the application has not accepted. More are reset.
    pub accept_backlog: usize,
    /// Streams that this end may have open. Some peers end the session above 512 streams of both ends together.
    pub max_outbound_streams: usize,
    /// Streams of this end that the peer has not acknowledged. Existing peers stop at 256.
    pub ack_backlog: usize,
    /// The largest receive window that a stream may grow to, bytes, at least 262144. The throughput of a stream is at
    /// most this per round trip: 16 MiB are 1 Gbit/s at 130 ms.
    pub max_stream_window: u32,
    /// What the windows of all streams together may grow beyond their first 256 KiB each, bytes. A stream, or a group of
    /// streams, gets at most what is left for others, so one alone gets half.
    pub window_growth_budget: usize,
    /// Unread bytes that a session may hold. Above it a stream is reset with
    /// [`ResetReason::Budget`](crate::ResetReason::Budget): of the group that holds most bytes for longest (see
    /// [`Stream::set_group`](crate::Stream::set_group)), the stream that does. Bytes count by the time since their stream
    /// was last read, so that streams that stand still go before those that are read.
    pub max_unread: usize,
    /// Unread bytes that the streams of one group may hold. Above it a stream of the group is reset, chosen as for
    /// `max_unread`. At least `max_stream_window`, so that no stream exceeds it alone; one without a group is limited by
    /// its window.
    pub max_group_unread: usize,
    /// Unsent bytes of a stream above which its writes block, at least 1024. They also block above what the peer has
    /// granted.
    pub max_stream_unsent: usize,
    /// Unsent bytes of all streams above which writes block, at least `max_stream_unsent`. All of them may leave as soon as
    /// the transport takes them.
    pub max_unsent: usize,
    /// Bytes that a stream of this end may queue before its SYN leaves though the two limits above are reached: what the
    /// peer needs to know of a stream when it opens, so that opening one never waits for others. At most `ack_backlog`
    /// streams use it at once. 0: openings wait as everything does.
    pub opening_reserve: usize,
    /// Above it the session ends with [`FloodKind::Resets`](crate::FloodKind::Resets). Counted are streams that the peer
    /// resets within a second of their opening ("rapid reset"), that are refused, and that send data after their end. In
    /// proportion more where more than 256 inbound streams may be open. `None`: the session goes on, for a peer that
    /// carries the streams of many strangers, where what one of them does must not end the streams of the others.
    pub reset_limit: Option<RateLimit>,
    /// Refusals that wait to be sent; one more ends the session with [`FloodKind::Refusals`](crate::FloodKind::Refusals).
    /// `None`: the session goes on, and of more than 4096 that wait the oldest is forgotten, whose stream the peer must
    /// then end by itself.
    pub refusal_limit: Option<usize>,
    /// Bytes for streams that are not remembered, above which the session ends with
    /// [`FloodKind::Discarded`](crate::FloodKind::Discarded). They are skipped and cost no memory. `None`: the session goes
    /// on, unless one frame is longer than `max_stream_window`.
    pub discarded_limit: Option<RateLimit>,
    /// Copies every payload, so that a peer that cuts its frames badly cannot keep large messages alive with small
    /// slices of them.
    pub always_copy: bool,
    /// A stream that the application does not accept for so long is reset. hashicorp/yamux ends the session after 75 s.
    pub accept_timeout: Duration,
    /// A stream that the peer does not acknowledge for so long is reset. Off by default: some peers acknowledge late.
    pub open_timeout: Option<Duration>,
    /// A half-closed stream without progress for so long is reset.
    pub half_close_idle_timeout: Duration,
    /// A stream whose writer waits so long for any window is reset.
    pub stream_stall_timeout: Option<Duration>,
    /// The session ends when pending output is not pulled for so long.
    pub write_stall_timeout: Duration,
    /// Yamux pings when nothing is received: after which interval, and how long to wait for the answer, or for the
    /// transport to take some of the output that waits, which the answer waits behind. Off by default,
    /// for transports with a keepalive of their own.
    pub keepalive: Option<(Duration, Duration)>,
}

/// Why a [`MuxConfig`] is not consistent.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MuxConfigError {
    /// A batch must hold a frame of useful size.
    #[error("batch must be at least 4096 bytes")]
    Batch,
    /// Every stream begins with a window of 256 KiB (Yamux specification, "Flow Control").
    #[error("max_stream_window must be at least 262144 bytes")]
    Window,
    /// One stream that is not read for a moment would be reset.
    #[error("max_group_unread must be at least max_stream_window")]
    GroupUnread,
    /// Writes would be cut into tiny frames, or one stream could exceed the limit of all.
    #[error("max_stream_unsent must be at least 1024 bytes and at most max_unsent")]
    Unsent,
}

impl Default for MuxConfig {
    /// For peers that are trusted not to exhaust memory: up to 64 MiB unread and 8 MiB unsent.
    fn default() -> Self {
        Self {
            batch: 64 * 1024 + 64,
            max_inbound_streams: 256,
            accept_backlog: 256,
            max_outbound_streams: 480,
            ack_backlog: 256,
            max_stream_window: 16 * MIB as u32,
            window_growth_budget: 32 * MIB,
            max_unread: 64 * MIB,
            max_group_unread: 64 * MIB,
            max_stream_unsent: 64 * 1024,
            max_unsent: 8 * MIB,
            opening_reserve: 0,
            reset_limit: Some(RESETS),
            refusal_limit: Some(REFUSALS),
            discarded_limit: Some(DISCARDED),
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
    /// For an end whose trusted peer opens many streams, for strangers whom it does not choose: nothing that these do to
    /// their own streams ends the session.
    #[must_use]
    pub fn acceptor() -> Self {
        Self {
            max_inbound_streams: 1024,
            reset_limit: None,
            refusal_limit: None,
            discarded_limit: None,
            ..Self::default()
        }
    }

    /// For an end that opens streams to many peers that it does not trust, one session each: payloads are copied, so
    /// that no small slice keeps a large message alive, and unread data is limited to 32 MiB, which is the first window
    /// of 128 streams that are read too slowly. What strangers can make an honest peer do (data in flight for streams that
    /// were reset because they left, openings beyond the limit) does not end the session.
    #[must_use]
    pub fn opener() -> Self {
        Self {
            max_inbound_streams: 16,
            accept_backlog: 16,
            max_outbound_streams: 1024,
            max_unread: 32 * MIB,
            // The first windows of 128 streams, which is what an HTTP/2 connection opens at once and may read slowly.
            max_group_unread: 32 * MIB,
            reset_limit: Some(RESETS_BY_USERS),
            refusal_limit: None,
            discarded_limit: None,
            always_copy: true,
            stream_stall_timeout: Some(Duration::from_secs(300)),
            ..Self::default()
        }
    }

    /// For an end with little memory and few streams, whose peer is trusted as by [`acceptor`](Self::acceptor).
    #[must_use]
    pub fn low_memory() -> Self {
        Self {
            max_inbound_streams: 64,
            accept_backlog: 64,
            max_stream_window: MIB as u32,
            window_growth_budget: 4 * MIB,
            max_unread: 16 * MIB,
            max_unsent: 2 * MIB,
            ..Self::acceptor()
        }
    }

    /// This config after `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Checks that the limits are consistent.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), MuxConfigError> {
        if self.batch < MIN_BATCH {
            return Err(MuxConfigError::Batch);
        }
        if self.max_stream_window < INITIAL_WINDOW {
            return Err(MuxConfigError::Window);
        }
        if self.max_group_unread < self.max_stream_window as usize {
            return Err(MuxConfigError::GroupUnread);
        }
        if self.max_stream_unsent < MIN_UNSENT || self.max_stream_unsent > self.max_unsent {
            return Err(MuxConfigError::Unsent);
        }
        Ok(())
    }

    /// Raises every limit that [`check`](Self::check) objects to.
    pub(crate) fn clamp(&mut self) {
        self.batch = self.batch.max(MIN_BATCH);
        self.max_stream_window = self.max_stream_window.max(INITIAL_WINDOW);
        self.max_group_unread = self.max_group_unread.max(self.max_stream_window as usize);
        self.max_stream_unsent = self.max_stream_unsent.max(MIN_UNSENT);
        self.max_unsent = self.max_unsent.max(self.max_stream_unsent);
    }

    /// The most bytes of memory that a session holds, whatever its peer and its applications do, without the messages
    /// that are being handed over and the buffers that applications gave to [`Stream::write`](crate::Stream::write) or
    /// still hold from [`Stream::read`](crate::Stream::read).
    ///
    /// A slice may keep four times its length alive, and a copy may waste a quarter of its block.
    #[must_use]
    pub fn memory_bound(&self) -> usize {
        let streams = self.max_inbound_streams.saturating_add(self.max_outbound_streams);
        let windows =
            streams.saturating_mul(INITIAL_WINDOW as usize).saturating_add(self.window_growth_budget);
        let unread = windows.min(self.max_unread);
        let reserve = self.ack_backlog.min(self.max_outbound_streams).saturating_mul(self.opening_reserve);
        let unsent = self.max_unsent.saturating_add(reserve);
        let pinned = if self.always_copy { unread } else { unread.saturating_mul(4) };
        pinned
            .saturating_add(unread / 4)
            .saturating_add(unsent.saturating_mul(2))
            .saturating_add(streams.saturating_mul(STREAM_BYTES))
            .saturating_add(self.batch.saturating_mul(2))
            .saturating_add(SESSION_BYTES)
    }
}
