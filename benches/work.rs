//! What there is to do.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Bytes of one write of bulk data.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of a small message.
pub const MESSAGE_BYTES: usize = 64;

/// Who does it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Contender {
    /// The multiplexer of this project.
    Ours,
    /// The crate `yamux`.
    Theirs,
}

/// Over what.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Within the process.
    Memory,
    /// Loopback.
    Tcp,
}

/// What one end asks of the other. All of it is spread evenly over `streams` streams at a time.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Work {
    /// Sends this many chunks one way.
    Bulk {
        /// At a time.
        streams: usize,
        /// Together.
        chunks: usize,
    },
    /// Sends small messages and gets each back before the next.
    Echo {
        /// At a time.
        streams: usize,
        /// Together.
        messages: usize,
    },
    /// Opens a stream, gets one small message back, and ends it.
    Cycle {
        /// At a time.
        streams: usize,
        /// Together.
        cycles: usize,
    },
}

impl Work {
    /// How many streams there are at a time.
    pub fn streams(self) -> usize {
        match self {
            Work::Bulk { streams, .. } | Work::Echo { streams, .. } | Work::Cycle { streams, .. } => streams,
        }
    }

    /// How many pieces there are together.
    pub fn amount(self) -> usize {
        match self {
            Work::Bulk { chunks: n, .. } | Work::Echo { messages: n, .. } | Work::Cycle { cycles: n, .. } => {
                n
            }
        }
    }

    /// The same work, of another amount.
    #[must_use]
    pub fn with_amount(self, n: usize) -> Self {
        match self {
            Work::Bulk { streams, .. } => Work::Bulk { streams, chunks: n },
            Work::Echo { streams, .. } => Work::Echo { streams, messages: n },
            Work::Cycle { streams, .. } => Work::Cycle { streams, cycles: n },
        }
    }
}

/// CPU time that this process has used.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = time.tv_sec * 1_000_000_000 + time.tv_nsec;
    Duration::from_nanos(u64::try_from(nanos).expect("time passes forwards"))
}
