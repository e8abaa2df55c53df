//! What two sessions are made to do, decoded from raw bytes, so that property tests and fuzzers share every step.
//!
//! The first four bytes choose the sessions and the pipe between them, every four bytes after that are one step. Any
//! bytes are valid, and removing steps leaves the others as they were, which is what makes a failure shrink.

use core::time::Duration;

use hvym_yamux::MuxConfig;

/// Which of the two sessions: 0 is the relay, 1 the agent.
pub type End = usize;

/// The most steps of one run; more would only make a fuzzer slow.
const MAX_OPS: usize = 400;

/// The sessions and the pipe.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which limits, see [`Setup::config`].
    pub profile: u8,
    /// Bytes on their way above which nothing more is pulled; at least one.
    pub capacity: usize,
    /// How long bytes are on their way.
    pub delay: Duration,
    /// The pieces that arriving bytes are cut into.
    pub chunk: usize,
    /// No deadline of a session is ever reached, so that nothing ends unless somebody asks for it.
    pub calm: bool,
    /// Events are drained after every step, as a driver does; otherwise only now and then.
    pub eager: bool,
    /// Output may wait for ever: how long it has waited is known only to within two looks at the clock.
    pub patient: bool,
}

/// Profiles that [`Setup::config`] knows.
pub const PROFILES: u8 = 8;

impl Setup {
    fn from_bytes(raw: [u8; 4]) -> Self {
        let [profile, pipe, cut, flags] = raw;
        Setup {
            profile: profile % PROFILES,
            capacity: [64 * 1024, 1, 13, 1000, 4096, 1 << 20][usize::from(pipe & 15) % 6],
            delay: Duration::from_micros([0, 0, 100, 2_000, 15_000][usize::from(pipe >> 4) % 5]),
            chunk: [usize::MAX, 1, 5, 12, 13, 1000, 16_396][usize::from(cut) % 7],
            calm: flags & 1 == 0,
            eager: flags & 2 == 0,
            patient: false,
        }
    }

    /// The first four bytes, and what follows them.
    pub fn split(raw: &[u8]) -> (Self, &[u8]) {
        let (setup, rest) = raw.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        (Setup::from_bytes(*setup), rest)
    }

    /// The limits of both sessions.
    pub fn config(&self) -> MuxConfig {
        let base = MuxConfig::default();
        let config = match self.profile {
            1 => base.with(|config| {
                config.batch = 4096;
                config.max_stream_unsent = 1024;
                config.max_unsent = 2500;
                config.opening_reserve = 1500;
            }),
            2 => base.with(|config| config.window_growth_budget = 0),
            3 => base.with(|config| {
                config.max_inbound_streams = 4;
                config.accept_backlog = 2;
                config.max_outbound_streams = 8;
                config.ack_backlog = 3;
            }),
            4 => base.with(|config| {
                config.max_stream_unsent = 400_000;
                config.max_unsent = 500_000;
                config.max_unread = 300_000;
                config.max_stream_window = 262_144;
                config.max_group_unread = 262_144;
            }),
            5 => base.with(|config| {
                config.always_copy = true;
                config.window_growth_budget = 300_000;
                config.max_stream_window = 400_000;
            }),
            6 => base.with(|config| {
                config.batch = 17_000;
                config.max_stream_unsent = 300_000;
            }),
            7 => MuxConfig::opener(),
            _ => base,
        };
        if self.calm {
            return config;
        }
        config.with(|config| {
            config.accept_timeout = Duration::from_secs(1);
            config.open_timeout = Some(Duration::from_secs(2));
            config.half_close_idle_timeout = Duration::from_secs(3);
            config.stream_stall_timeout = Some(Duration::from_secs(4));
            config.write_stall_timeout = Duration::from_secs(if self.patient { 1 << 40 } else { 5 });
            config.keepalive = Some((Duration::from_secs(6), Duration::from_secs(2)));
        })
    }

    /// The most bytes of one write: bytes that are handed over one by one take their time.
    pub fn max_write(&self) -> usize {
        self.chunk.saturating_mul(4096)
    }

    /// Whether an honest session may reset a stream because too much is unread.
    pub fn sheds(&self) -> bool {
        self.profile == 4
    }
}

/// Which streams count their unread bytes together.
pub fn group(id: u32) -> u64 {
    u64::from(id / 2 % 4)
}

/// One step. A `u8` picks one of the streams that the end knows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Pulls one batch, if the pipe takes it.
    Pull(End),
    /// Hands over so many of the bytes that have arrived.
    Deliver(End, usize),
    /// Pulls and hands over both ways, so many times.
    Pump(u8),
    /// Opens a stream.
    Open(End),
    /// Accepts a stream that came in.
    Accept(End, u8),
    /// Writes so many bytes.
    Write(End, u8, usize),
    /// Reads so many bytes.
    Read(End, u8, usize),
    /// Ends the sending half.
    Finish(End, u8),
    /// Tears down.
    Reset(End, u8),
    /// Gives up reading.
    Stop(End, u8),
    /// Lets time pass.
    Advance(Duration),
    /// Lets a session look at the clock, due or not.
    Timeout(End),
    /// Lets time pass up to the next deadline, and acts on it.
    Due,
    /// Lets a session look at a clock that has gone back.
    Back(End, Duration),
    /// Drains the events.
    Events(End),
    /// Announces that no streams are taken any more.
    GoAway(End),
    /// Shuts down within so much time.
    Shutdown(End, Duration),
    /// Loses the connection.
    Lose(End),
}

/// One run.
#[derive(Clone, Debug)]
pub struct Ops {
    /// The sessions and the pipe.
    pub setup: Setup,
    /// The steps, in order.
    pub steps: Vec<Op>,
}

impl Ops {
    /// Any bytes are a run.
    pub fn from_bytes(raw: &[u8]) -> Self {
        let (setup, steps) = Setup::split(raw);
        let calm = setup.calm;
        let steps = steps.as_chunks::<4>().0;
        let steps = steps.iter().take(MAX_OPS).map(|step| op(*step, calm)).collect();
        Ops { setup, steps }
    }

    /// The same with every deadline in reach: after each other step, time goes to or past one.
    pub fn restless(mut self) -> Self {
        self.setup.calm = false;
        let between = |(at, step): (usize, Op)| match at % 4 {
            1 => [step, Op::Due],
            3 => [step, Op::Advance(Duration::from_micros(1 << (at % 24)))],
            _ => [step, Op::Timeout(at / 2 % 2)],
        };
        self.steps = self.steps.into_iter().enumerate().flat_map(between).collect();
        self
    }
}

const SIZES: [usize; 16] =
    [1, 2, 11, 12, 13, 100, 1023, 1024, 1025, 4096, 16_383, 16_384, 65_536, 100_000, 262_144, 262_145];

fn op([kind, a, b, c]: [u8; 4], calm: bool) -> Op {
    let end = usize::from(a & 1);
    let pick = a >> 1;
    let size = SIZES[usize::from(b & 15)] + usize::from(c & 3);
    match kind % 64 {
        0..=9 => Op::Pump(b % 4 + 1),
        10..=14 => Op::Pull(end),
        15..=19 => Op::Deliver(end, size),
        20..=25 => Op::Open(end),
        26..=30 => Op::Accept(end, pick),
        31..=40 => Op::Write(end, pick, size),
        41..=49 => Op::Read(end, pick, if c & 128 == 0 { size } else { usize::MAX }),
        50..=52 => Op::Finish(end, pick),
        53 => Op::Reset(end, pick),
        54 => Op::Stop(end, pick),
        55 | 56 => Op::Advance(jump(b, c, calm)),
        57 if !calm => Op::Due,
        57 => Op::Advance(jump(b, c, calm)),
        58 => Op::Timeout(end),
        59 => Op::Back(end, jump(b, c, calm)),
        60..=62 => Op::Events(end),
        _ => match b {
            0..=7 => Op::GoAway(end),
            8..=15 => Op::Shutdown(end, jump(c, b, calm)),
            16..=19 => Op::Lose(end),
            _ => Op::Events(end),
        },
    }
}

/// Calm time passes in milliseconds; otherwise anything up to thousands of years.
fn jump(b: u8, c: u8, calm: bool) -> Duration {
    let fine = u64::from(c);
    match calm {
        true => Duration::from_micros(u64::from(b) * 80 + fine),
        false => Duration::from_micros((fine + 1) << (b % 48)),
    }
}
