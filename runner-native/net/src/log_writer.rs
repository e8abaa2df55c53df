//! Writes lines to two streams by a thread of its own, behind a bounded queue: writers never wait for a slow or
//! stopped reader.
//!
//! Knows nothing of reports and logs. Lines beyond the capacity, and those that a stream does not take, are dropped and counted; a
//! line with their number is written once there is room.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The capacity of the queue, bytes: some thousand lines, which bridge a reader's pause of a second under load.
const CAPACITY_BYTES: usize = 512 * 1024;
/// The part of it that [`Priority::Droppable`] lines may fill, so that important lines have room left.
const DROPPABLE_BYTES: usize = CAPACITY_BYTES / 2;
/// How long lines are collected under load before one write. Too short to be noticed.
const PAUSE: Duration = Duration::from_millis(20);
/// Lines in a [`PAUSE`] that are still few: each is written as it comes. Beyond, one write carries many.
const FEW: usize = 8;

/// Which of the two streams.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// The first, usually standard output.
    Out,
    /// The second, usually standard error.
    Err,
}

/// What is dropped first.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Priority {
    /// One of many, such as a line per request.
    Droppable,
    /// Rare, and missed when it is missing. Dropped only when the queue is full of its like.
    Important,
}

/// Renders the line about `n` dropped lines.
type RenderDropped = Box<dyn Fn(u64) -> (Output, Vec<u8>) + Send>;

#[derive(Default)]
struct Queue {
    pieces: Vec<(Output, Vec<u8>)>,
    bytes: usize,
    lines: usize,
    /// Dropped since the last such line.
    dropped_untold: u64,
    dropped: u64,
    /// Not taken by a stream, and not told yet. They are told with the next lines: a full disk is tried no more often.
    refused_untold: u64,
    /// The writer waits for something to write.
    is_idle: bool,
    /// The writer is to pause no more.
    is_urgent: bool,
    /// Written and flushed, everything that was in the queue.
    is_done: bool,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// For the writer.
    filled: Condvar,
    /// Notifies those that wait until everything is written.
    drained: Condvar,
}

/// The queue in front of the thread. Clones are the same one; the thread ends with the last, after what waits is written.
#[derive(Clone)]
pub struct LogWriter(Arc<Closer>);

struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while the queue was locked left it as it was.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogWriter {
    /// Starts the thread. `render_dropped` makes the line that stands for lines that were dropped.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn new(
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
        render_dropped: impl Fn(u64) -> (Output, Vec<u8>) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        shared.lock().is_done = true;
        let streams =
            Streams { out: Box::new(out), err: Box::new(err), render_dropped: Box::new(render_dropped) };
        let queue = Arc::clone(&shared);
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || streams.write(&queue))?;
        Ok(Self(Arc::new(Closer(shared))))
    }

    /// Queues `bytes`, which are whole lines; never waits. `false`: there was no room, and they were dropped.
    pub fn write(&self, output: Output, priority: Priority, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let mut queue = self.0.0.lock();
        let capacity = match priority {
            Priority::Droppable => DROPPABLE_BYTES,
            Priority::Important => CAPACITY_BYTES,
        };
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count().max(1);
        if queue.bytes + bytes.len() > capacity {
            queue.dropped_untold += lines as u64;
            queue.dropped += lines as u64;
            return false;
        }
        queue.bytes += bytes.len();
        queue.lines += lines;
        queue.is_done = false;
        // What matters does not wait for a pause to end.
        queue.is_urgent |= priority == Priority::Important;
        match queue.pieces.last_mut() {
            Some((last, piece)) if *last == output => piece.extend_from_slice(bytes),
            _ => queue.pieces.push((output, bytes.to_vec())),
        }
        if queue.is_idle || queue.is_urgent {
            self.0.0.filled.notify_one();
        }
        true
    }

    /// Waits until everything that was queued is written, for at most `limit`. `false`: the reader does not read.
    pub fn flush(&self, limit: Duration) -> bool {
        let mut queue = self.0.0.lock();
        queue.is_urgent = true;
        self.0.0.filled.notify_one();
        let waited = self.0.0.drained.wait_timeout_while(queue, limit, |queue| !queue.is_done);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_done
    }

    /// How many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.0.0.lock().dropped
    }
}

/// The state of the thread.
struct Streams {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    render_dropped: RenderDropped,
}

impl Streams {
    fn write(mut self, shared: &Shared) {
        // When the lines that are counted began to come.
        let (mut since, mut lines) = (Instant::now(), 0);
        loop {
            let mut queue = shared.lock();
            if queue.pieces.is_empty() && queue.dropped_untold == 0 {
                queue.is_done = true;
                shared.drained.notify_all();
                if queue.closed {
                    return;
                }
                queue.is_idle = true;
                let waits =
                    |queue: &mut Queue| queue.pieces.is_empty() && queue.dropped_untold == 0 && !queue.closed;
                queue = shared.filled.wait_while(queue, waits).unwrap_or_else(PoisonError::into_inner);
                queue.is_idle = false;
            }
            if since.elapsed() >= PAUSE {
                (since, lines) = (Instant::now(), 0);
            }
            if lines >= FEW {
                let goes_on = |queue: &mut Queue| !queue.is_urgent && !queue.closed;
                let paused = shared.filled.wait_timeout_while(queue, PAUSE, goes_on);
                queue = paused.unwrap_or_else(PoisonError::into_inner).0;
            }
            queue.is_urgent = false;
            let pieces = std::mem::take(&mut queue.pieces);
            let mut dropped = std::mem::take(&mut queue.dropped_untold);
            if !pieces.is_empty() {
                dropped += std::mem::take(&mut queue.refused_untold);
            }
            lines += std::mem::take(&mut queue.lines);
            // Still counted while it is written, so that twice the capacity is the most that is ever held.
            queue.bytes = 0;
            drop(queue);
            let refused: u64 = pieces.iter().map(|(output, bytes)| self.write_piece(*output, bytes)).sum();
            let mut untold = refused;
            if dropped > 0 {
                let (output, bytes) = (self.render_dropped)(dropped);
                if self.write_piece(output, &bytes) > 0 {
                    untold += dropped;
                }
            }
            if untold > 0 {
                let mut queue = shared.lock();
                queue.dropped += refused;
                queue.refused_untold += untold;
            }
        }
    }

    /// Returns how many lines the stream did not take. One that is closed has nobody to tell, and is no reason to stop: the other may
    /// still be read.
    fn write_piece(&mut self, output: Output, bytes: &[u8]) -> u64 {
        let stream = match output {
            Output::Out => &mut self.out,
            Output::Err => &mut self.err,
        };
        match stream.write_all(bytes).and_then(|()| stream.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                bytes.iter().filter(|byte| **byte == b'\n').count() as u64
            }
            Ok(()) | Err(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A stream whose reader reads when the test says so.
    struct Reader {
        may_read: Receiver<()>,
        read: Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.may_read.recv().map_err(io::Error::other)?;
            self.read.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer() -> (LogWriter, Sender<()>, Receiver<Vec<u8>>) {
        let ((allow, may_read), (read, written)) = (channel(), channel());
        let render = |n| (Output::Out, format!("{n} dropped\n").into_bytes());
        let writer = LogWriter::new(Reader { may_read, read }, io::sink(), render).expect("a thread");
        (writer, allow, written)
    }

    #[test]
    fn few_lines_come_at_once_and_many_together() {
        let (writer, allow, written) = writer();
        for _ in 0..1000 {
            allow.send(()).expect("the writer lives");
        }
        assert!(writer.write(Output::Out, Priority::Droppable, b"first\n"));
        assert_eq!(written.recv().expect("a line"), b"first\n");
        for _ in 0..1000 {
            assert!(writer.write(Output::Out, Priority::Droppable, b"x\n"));
        }
        assert!(writer.flush(LIMIT));
        let writes: Vec<Vec<u8>> = written.try_iter().collect();
        assert_eq!(writes.iter().map(Vec::len).sum::<usize>(), 2000);
        assert!(writes.len() < 500, "{} writes", writes.len());
    }

    #[test]
    fn a_reader_that_stopped_holds_up_nobody_and_is_told_what_is_missing() {
        let (writer, allow, written) = writer();
        let line = vec![b'x'; 1023].into_iter().chain([b'\n']).collect::<Vec<u8>>();
        let lines = 2 * CAPACITY_BYTES / line.len();
        let taken = (0..lines).filter(|_| writer.write(Output::Out, Priority::Droppable, &line)).count();
        assert!(taken < lines);
        assert_eq!(writer.dropped(), (lines - taken) as u64);
        assert!(writer.write(Output::Out, Priority::Important, b"the end\n"), "no room for what matters");
        assert!(!writer.flush(Duration::from_millis(1)));
        for _ in 0..lines {
            allow.send(()).expect("the writer lives");
        }
        assert!(writer.flush(LIMIT));
        let text = String::from_utf8(written.try_iter().flatten().collect()).expect("ASCII");
        assert_eq!(text.lines().filter(|line| line.starts_with('x')).count(), taken);
        // Those from before the writer blocked may be told apart from the others.
        let told = text.lines().filter_map(|line| line.strip_suffix(" dropped")?.parse::<usize>().ok());
        assert!(text.contains("the end\n") && told.sum::<usize>() == lines - taken);
    }

    /// A disk that takes what there is room for.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(bool, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().expect("no panic");
            if disk.0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_told_when_it_takes_something_again() {
        let disk = Disk::default();
        let render = |n| (Output::Out, format!("{n} dropped\n").into_bytes());
        let writer = LogWriter::new(disk.clone(), io::sink(), render).expect("a thread");
        let write = |line: &[u8]| {
            assert!(writer.write(Output::Out, Priority::Droppable, line));
            assert!(writer.flush(LIMIT));
        };
        write(b"1\n");
        disk.0.lock().expect("no panic").0 = true;
        write(b"2\n3\n");
        write(b"4\n");
        assert_eq!(writer.dropped(), 3);
        disk.0.lock().expect("no panic").0 = false;
        write(b"5\n");
        assert_eq!(disk.0.lock().expect("no panic").1, b"1\n5\n3 dropped\n");
        assert_eq!(writer.dropped(), 3);
    }

    #[test]
    fn what_waits_is_written_after_the_last_handle_is_gone() {
        let (writer, allow, written) = writer();
        assert!(writer.write(Output::Out, Priority::Important, b"last words\n"));
        drop(writer);
        allow.send(()).expect("the writer lives");
        assert_eq!(written.recv().expect("a line"), b"last words\n");
        // The thread ends, and with it the stream.
        assert!(written.recv().is_err());
    }
}
