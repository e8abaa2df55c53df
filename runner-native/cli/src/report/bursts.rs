//! A stream of lines of which few are written at once and many together.
//!
//! A person sees each line as it comes. A service that answers thousands of requests a second does not pay for a system
//! call, and for whoever reads, with each of them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_net::timer::Timer;

/// How late a line of many may be. Nobody sees the difference.
const PAUSE: Duration = Duration::from_millis(20);
/// How many lines in a [`PAUSE`] are still few.
const FEW: u32 = 8;
/// What is held at most, bytes.
const HELD_BYTES: usize = 32 * 1024;

/// A stream, and the lines that wait for others. Clones are the same one.
#[derive(Clone)]
pub(super) struct Bursts(Arc<Mutex<Inner>>);

struct Inner {
    out: Box<dyn Write + Send>,
    held: Vec<u8>,
    /// When the lines that are counted began to come.
    since: Instant,
    lines: u32,
    /// Whether what is held is about to be written.
    is_due: bool,
}

impl Bursts {
    /// Nothing waits.
    pub(super) fn new(out: impl Write + Send + 'static) -> Self {
        let out = Box::new(out);
        let inner = Inner { out, held: Vec::new(), since: Instant::now(), lines: 0, is_due: false };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// A line is whole: it is written at once, or with those that follow.
    pub(super) fn settle(&self) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.since.elapsed() >= PAUSE {
            (inner.since, inner.lines) = (Instant::now(), 0);
        }
        inner.lines += 1;
        let runtime = RuntimeHandle::try_current();
        let Some(runtime) = runtime.filter(|_| inner.lines > FEW && inner.held.len() < HELD_BYTES) else {
            return inner.write();
        };
        if !std::mem::replace(&mut inner.is_due, true) {
            let bursts = self.clone();
            runtime
                .spawn(async move {
                    Timer::after(PAUSE).await;
                    let mut inner = bursts.lock();
                    inner.is_due = false;
                    let _closed = inner.write();
                })
                .detach();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(&self.held).and_then(|()| self.out.flush());
        self.held.clear();
        written
    }
}

impl Write for Bursts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Writes everything that waits.
    fn flush(&mut self) -> io::Result<()> {
        self.lock().write()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use hvym_tunnel_net::runtime::Runtime;

    use super::*;

    struct Told(Sender<usize>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.len()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn few_lines_come_at_once_and_many_together() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let _inside = runtime.handle().enter();
        let (told, writes) = channel();
        let mut bursts = Bursts::new(Told(told));
        let many = HELD_BYTES;
        for _ in 0..many {
            bursts.write_all(b"\n").and_then(|()| bursts.settle()).expect("somebody listens");
        }
        bursts.flush().expect("somebody listens");
        let writes: Vec<usize> = writes.try_iter().collect();
        assert_eq!(writes.iter().sum::<usize>(), many);
        assert_eq!(writes[..FEW as usize], [1; FEW as usize]);
        assert!(writes.iter().any(|bytes| *bytes > 1));
    }
}
